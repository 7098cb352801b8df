#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every test on a bare Debian 12, as root: installs what is missing, builds, runs unit, fuzz (corpus
# replay), privileged and integration tests, then unit and fuzz tests again under ASan and UBSan, and those
# of threaded code under TSan.
# The last line is `N passed, N failed, N skipped`; the exit status is 0 only if nothing failed.
# REQUIRE_ALL=1: a skipped test is a failure.
set -uo pipefail
# shellcheck source=contrib/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

PASSED=0 FAILED=0 SKIPPED=0
PROBLEMS=() SKIPS=()

count_failure() {
    FAILED=$((FAILED + 1))
    PROBLEMS+=("$1")
}

# A step that is no test itself (installing, building) counts as one failure when it fails.
step() {
    local name=$1
    shift
    heading "$name"
    # A subshell: `die` in it must not keep the last line from being printed.
    ("$@") && return 0
    count_failure "$name"
    return 1
}

# Prints name|passed|…, name|failed|… or name|skipped|reason for each test of a JUnit file of ctest. A test
# that could not be started is `notrun` there just like one that skipped: only the latter says exit code 77.
read_junit() {
    awk '
        function flush() {
            if (name == "") return
            if (status == "run") print name "|passed|"
            else if (status == "notrun" && skip ~ /SKIP_RETURN_CODE/) print name "|skipped|" reason
            else print name "|failed|"
            name = ""
        }
        function attribute(key,    m) {
            if (!match($0, " " key "=\"[^\"]*\"")) return ""
            m = substr($0, RSTART, RLENGTH)
            return substr(m, length(key) + 4, length(m) - length(key) - 4)
        }
        /<testcase / { flush(); name = attribute("name"); status = attribute("status"); skip = reason = "" }
        /<skipped/ { skip = attribute("message") }
        reason == "" && match($0, /SKIPPED: .*/) {
            reason = substr($0, RSTART + 9)
            sub(/<.*/, "", reason)
        }
        END { flush() }' "$1"
}

# A bats file is one test for ctest and many for people: its cases are counted instead.
count_bats() {
    local name=$1 verdict=$2 tap=$3 line failed=0
    while IFS= read -r line; do
        case $line in
            'ok '*'# skip'*) SKIPPED=$((SKIPPED + 1)); SKIPS+=("$name: ${line#ok }") ;;
            'ok '*) PASSED=$((PASSED + 1)) ;;
            'not ok '*) failed=1; count_failure "$name: ${line#not ok }" ;;
        esac
    done <"$tap"
    if [ "$verdict" = failed ] && [ "$failed" -eq 0 ]; then count_failure "$name did not run to its end"; fi
}

count_results() {
    local dir=$1 label=$2 name verdict reason tap
    while IFS='|' read -r name verdict reason; do
        tap=$dir/integration/${name#integration.}.tap
        if [[ $name == integration.* && -s $tap ]]; then
            count_bats "$label$name" "$verdict" "$tap"
            continue
        fi
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
    ctest --test-dir "$dir" --output-on-failure --output-junit "$dir/junit.xml" --no-tests=error "$@" </dev/null ||
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

# A cluster that an interrupted run leaves would keep ports and users.
remove_cluster() { "$SLIPWAY_ROOT/tests/integration/shared-cluster" down "$SLIPWAY_ROOT/build/release"; }

report() {
    heading "result"
    local line
    for line in ${SKIPS+"${SKIPS[@]}"}; do printf 'skipped: %s\n' "$line"; done
    for line in ${PROBLEMS+"${PROBLEMS[@]}"}; do printf 'FAILED: %s\n' "$line"; done
    printf '%d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
}

main() {
    [ $# -eq 0 ] || { sed -n '3,7s/^# //p' "$0" >&2; exit 2; }
    cd "$SLIPWAY_ROOT" || exit 1
    trap 'remove_cluster; exit 130' INT TERM HUP
    # Results of an earlier run must not be counted again.
    rm -f build/release/integration/*.tap
    if step "packages" need_packages build test cluster && step "build release" configure_and_build release; then
        # Twice: what measures or fills a machine runs alone, the rest side by side.
        heading "unit tests and corpus replay"
        run_ctest release '' -LE 'integration|privileged' -j "$(nproc)"
        heading "integration and privileged tests"
        run_ctest release '' -L 'integration|privileged'
        remove_cluster
    fi
    if step "build asan-ubsan" build_sanitized asan-ubsan '(unit|fuzz)_[a-z0-9_]*'; then
        heading "unit tests and corpus replay under ASan and UBSan"
        # What looks at the tree or at whole programs has run already.
        UBSAN_OPTIONS=print_stacktrace=1 run_ctest asan-ubsan 'asan: ' -L 'unit|fuzz' \
            -E '^tree\.|^unit\.(cli_program|man_pages|plugin_symbols)$' -j "$(nproc)"
    fi
    local threaded='store|convert|prefetch_transfer|prefetch_sources|service|squashfs_server'
    if step "build tsan" build_sanitized tsan "unit_($threaded)"; then
        heading "unit tests of what has threads under TSan"
        run_ctest tsan 'tsan: ' -R "^unit\.($threaded)\$" -j "$(nproc)"
    fi
    exec 2>&1
    report
    [ "$FAILED" -eq 0 ] && [ "$PASSED" -gt 0 ] || exit 1
    [ "${REQUIRE_ALL:-}" != 1 ] || [ "$SKIPPED" -eq 0 ] || exit 1
}

main "$@"
