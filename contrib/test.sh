#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every test on a bare Debian 12, as root: installs what is missing, builds, runs unit, fuzz (corpus
# replay), privileged and integration tests, then unit and fuzz tests again under ASan and UBSan, and those
# of threaded code under TSan.
# The last line is `N passed, N failed, N skipped`; the exit status is 0 only if nothing failed.
# --times: lists the slowest tests before that line.
# REQUIRE_ALL=1: a skipped test is a failure.
set -uo pipefail
# shellcheck source=contrib/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

PASSED=0 FAILED=0 SKIPPED=0
PROBLEMS=() SKIPS=() TIMES=()
LANES=$(nproc) # integration tests side by side, each on a cluster of its own
[ "$LANES" -le 4 ] || LANES=4

count_failure() {
    FAILED=$((FAILED + 1))
    PROBLEMS+=("$1")
}

in_subshell() { ("$@"); }

# A step that is no test itself (installing, building) counts as one failure when it fails.
step() {
    local name=$1
    shift
    heading "$name"
    # A subshell: `die` in it must not keep the last line from being printed.
    timed "$name" in_subshell "$@" && return 0
    count_failure "$name"
    return 1
}

# Prints name|verdict|seconds|reason for each test of a JUnit file of ctest; the verdict is passed, failed or
# skipped. A program of which only some cases were skipped has a line for itself and one for each of those. A
# test that could not be started is `notrun` there just like one that skipped: only the latter says exit code 77.
read_junit() {
    awk '
        function flush() {
            if (name == "") return
            if (status == "run") {
                print name "|passed|" time "|"
                for (i = 1; i <= reasons; i++) print name "|skipped|0|" reason[i]
            } else if (status == "notrun" && skip ~ /SKIP_RETURN_CODE/) print name "|skipped|0|" reason[1]
            else print name "|failed|" time "|"
            name = ""
        }
        function attribute(key,    m) {
            if (!match($0, " " key "=\"[^\"]*\"")) return ""
            m = substr($0, RSTART, RLENGTH)
            return substr(m, length(key) + 4, length(m) - length(key) - 4)
        }
        /<testcase / {
            flush()
            name = attribute("name"); status = attribute("status"); time = attribute("time")
            skip = ""; reasons = 0; reason[1] = ""
        }
        /<skipped/ { skip = attribute("message") }
        match($0, /SKIPPED: .*/) {
            reason[++reasons] = substr($0, RSTART + 9)
            sub(/<.*/, "", reason[reasons])
        }
        END { flush() }' "$1"
}

# A bats file is one test for ctest and many for people: its cases are counted instead.
count_bats() {
    local name=$1 verdict=$2 tap=$3 line failed=0
    while IFS= read -r line; do
        # "ok 3 title in 1234ms", as bats --timing prints it
        [[ $line =~ ^(not\ )?ok\ [0-9]+\ (.*)\ in\ ([0-9]+)ms ]] &&
            TIMES+=("$((BASH_REMATCH[3] / 1000)).$((BASH_REMATCH[3] % 1000 / 100)) $name: ${BASH_REMATCH[2]}")
        case $line in
            'ok '*'# skip'*) SKIPPED=$((SKIPPED + 1)); SKIPS+=("$name: ${line#ok }") ;;
            'ok '*) PASSED=$((PASSED + 1)) ;;
            'not ok '*) failed=1; count_failure "$name: ${line#not ok }" ;;
        esac
    done <"$tap"
    if [ "$verdict" = failed ] && [ "$failed" -eq 0 ]; then count_failure "$name did not run to its end"; fi
}

count_results() {
    local dir=$1 label=$2 name verdict seconds reason tap
    while IFS='|' read -r name verdict seconds reason; do
        tap=$dir/integration/${name#integration.}.tap
        if [[ $name == integration.* && -s $tap ]]; then
            count_bats "$label$name" "$verdict" "$tap"
            continue
        fi
        TIMES+=("$seconds $label$name")
        case $verdict in
            passed) PASSED=$((PASSED + 1)) ;;
            skipped) SKIPPED=$((SKIPPED + 1)); SKIPS+=("$label$name: $reason") ;;
            *) count_failure "$label$name" ;;
        esac
    done < <(read_junit "$dir/junit.xml")
}

# run_ctest PRESET LABEL OPTION…: runs tests of one build and counts them.
run_ctest() {
    local dir=$SLIPWAY_ROOT/build/$1 label=$2 rc=0 before=$((PASSED + FAILED + SKIPPED)) failures=$FAILED
    shift 2
    rm -f "$dir/junit.xml"
    ctest --test-dir "$dir" --output-on-failure --test-output-size-passed 1000000 --output-junit "$dir/junit.xml" \
        --no-tests=error "$@" </dev/null ||
        rc=$?
    [ ! -f "$dir/junit.xml" ] || count_results "$dir" "$label"
    # What ctest calls a failure must appear in the sum, whatever the file says.
    if [ "$rc" -ne 0 ] && [ "$FAILED" -eq "$failures" ]; then count_failure "ctest in $dir ended with $rc"; fi
    if [ $((PASSED + FAILED + SKIPPED)) -eq "$before" ]; then count_failure "no test ran in $dir"; fi
}

# build_sanitized PRESET REGEX: the test programs whose whole names match. They need no sanitizer build of
# the rest of the house.
build_sanitized() {
    local preset=$1 dir=$SLIPWAY_ROOT/build/$1 targets
    # An empty list of targets would build everything; configuring alone is what is wanted first.
    configure_and_build "$preset" build.ninja
    targets=$(ninja -C "$dir" -t targets all | sed -n 's/: phony$//p' | grep -xE "$2")
    [ -n "$targets" ] || die "no such tests in $dir: $2"
    # shellcheck disable=SC2086
    configure_and_build "$preset" $targets
}

# Clusters that an interrupted run leaves would keep ports and users.
remove_clusters() { "$SLIPWAY_ROOT/tests/integration/shared-cluster" down "$SLIPWAY_ROOT/build/release"; }

# What a part of the run took, tests or build.
timed() {
    local name=$1 start=$SECONDS
    shift
    "$@"
    local rc=$?
    TIMES+=("$((SECONDS - start)).0 (all of: $name)")
    return "$rc"
}

slowest() {
    heading "slowest, in seconds"
    printf '%s\n' "${TIMES[@]}" | sort -rn | head -n 40
}

report() {
    [ -z "$WITH_TIMES" ] || slowest
    heading "result"
    local line
    for line in ${SKIPS+"${SKIPS[@]}"}; do printf 'skipped: %s\n' "$line"; done
    for line in ${PROBLEMS+"${PROBLEMS[@]}"}; do printf 'FAILED: %s\n' "$line"; done
    printf '%d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
}

main() {
    WITH_TIMES=
    [ "${1:-}" != --times ] || { WITH_TIMES=yes; shift; }
    [ $# -eq 0 ] || { sed -n '3,8s/^# //p' "$0" >&2; exit 2; }
    cd "$SLIPWAY_ROOT" || exit 1
    trap 'remove_clusters; exit 130' INT TERM HUP
    # Results of an earlier run must not be counted again.
    rm -f build/release/integration/*.tap
    if step "packages" need_packages build test cluster && step "build release" configure_and_build release; then
        heading "unit tests and corpus replay"
        timed "unit tests" run_ctest release '' -LE 'integration|privileged' -j "$(nproc)"
        heading "integration and privileged tests"
        SLIPWAY_TEST_LANES=$LANES timed "integration and privileged tests" \
            run_ctest release '' -L 'integration|privileged' -j "$LANES"
        remove_clusters
    fi
    if step "build asan-ubsan" build_sanitized asan-ubsan '(unit|fuzz)_[a-z0-9_]*'; then
        heading "unit tests and corpus replay under ASan and UBSan"
        # What looks at the tree or at whole programs has run already.
        UBSAN_OPTIONS=print_stacktrace=1 run_ctest asan-ubsan 'asan: ' -L 'unit|fuzz' \
            -E '^tree\.|^unit\.(cli_program|cli_promises|cli_question|every_program|man_pages|plugin_symbols)$' -j "$(nproc)"
    fi
    local threaded='store|convert|prefetch_transfer|prefetch_sources|service|squashfs|image_server'
    if step "build tsan" build_sanitized tsan "unit_($threaded)"; then
        heading "unit tests of what has threads under TSan"
        run_ctest tsan 'tsan: ' -R "^unit\.($threaded)\$" -j "$(nproc)"
    fi
    exec 2>&1
    report
    [ "$FAILED" -eq 0 ] && [ "$PASSED" -gt 0 ] || exit 1
    [ "${REQUIRE_ALL:-}" != 1 ] || [ "$SKIPPED" -eq 0 ] || exit 1
}

# Sourced by the test of its counting.
[ "${BASH_SOURCE[0]}" != "$0" ] || main "$@"
