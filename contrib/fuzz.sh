#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh [--minutes N] [--seconds N] [--jobs N] [--work DIR] [TARGET…]: runs the fuzz targets under
# libFuzzer with ASan and UBSan (preset fuzz, which needs clang), in turns of --seconds (default 180), until
# --minutes (default 60) are over. What it learns stays in DIR (default build/fuzz-corpus) for the next run;
# what broke lies in DIR/TARGET/broken. Prints runs, seconds and coverage of each target; exit status 1
# when something broke. tests/fuzz/corpus, which CI replays, is only read.
set -euo pipefail
# shellcheck source=contrib/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

MINUTES=60 SECONDS_EACH=180 JOBS=1 WORK=$SLIPWAY_ROOT/build/fuzz-corpus TARGETS=()
BIN=$SLIPWAY_ROOT/build/fuzz/bin

while [ $# -gt 0 ]; do
    case $1 in
        --minutes) MINUTES=${2:?}; shift 2 ;;
        --seconds) SECONDS_EACH=${2:?}; shift 2 ;;
        --jobs) JOBS=${2:?}; shift 2 ;;
        --work) WORK=$(realpath -m "${2:?}"); shift 2 ;;
        -*) sed -n '3,7s/^# //p' "$0" >&2; exit 2 ;;
        *) TARGETS+=("$1"); shift ;;
    esac
done

# One turn of one target. libFuzzer ends with an error when it found something: that is counted later.
turn() {
    local target=$1 dir=$WORK/$1
    mkdir -p "$dir"/{corpus,broken,log}
    nice "$BIN/fuzz_$target" -max_total_time="$SECONDS_EACH" -timeout=20 -rss_limit_mb=3000 \
        -artifact_prefix="$dir/broken/" -print_final_stats=1 "$dir/corpus" \
        "$SLIPWAY_ROOT/tests/fuzz/corpus/$target" >"$dir/log/$(date +%s)" 2>&1 || true
}

report() {
    local target broken=0 count
    printf '%-20s %12s %8s %9s %7s\n' target runs seconds coverage broken
    for target in "${TARGETS[@]}"; do
        count=$(find "$WORK/$target/broken" -type f | wc -l)
        broken=$((broken + count))
        cat "$WORK/$target"/log/* | awk -v target="$target" -v broken="$count" '
            /^Done / { runs += $2; seconds += $5 }
            match($0, / cov: [0-9]+/) { cov = substr($0, RSTART + 6, RLENGTH - 6); if (cov + 0 > best) best = cov + 0 }
            END { printf "%-20s %12d %8d %9d %7d\n", target, runs, seconds, best, broken }'
    done
    [ "$broken" -eq 0 ]
}

need_packages build fuzz
configure_and_build fuzz >&2
[ ${#TARGETS[@]} -gt 0 ] || mapfile -t TARGETS < <(
    find "$BIN" -maxdepth 1 -name 'fuzz_*' -printf '%f\n' | sed 's/^fuzz_//' | sort)
end=$((SECONDS + MINUTES * 60))
while [ "$SECONDS" -lt "$end" ]; do
    for target in "${TARGETS[@]}"; do
        [ "$SECONDS" -lt "$end" ] || break
        while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n || true; done
        turn "$target" &
    done
done
wait
report
