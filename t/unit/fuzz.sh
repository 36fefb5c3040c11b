#!/bin/bash
# fuzz - builds every fuzzer of t/fuzz (preset fuzz: clang, ASan, UBSan) and runs each for its share of 20 seconds;
# with ROLLCALL_FULL=1 three minutes each. A finding is printed with the bytes that show it.
#
#     t/unit/fuzz.sh BUILD-DIRECTORY [NAME…]     (from the top of the tree)
set -eu
build=$1/fuzz
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT

cmake --preset fuzz -B "$build" >"$log" 2>&1 && cmake --build "$build" --target fuzz >"$log" 2>&1 || {
    tail -40 "$log"
    echo "not ok - the fuzzers do not build"
    exit 1
}

[ $# -gt 0 ] || set -- $(basename -s .c t/fuzz/*.c)
seconds=$((20 / $#))
[ "$seconds" -gt 1 ] || seconds=2
[ "${ROLLCALL_FULL:-0}" = 0 ] || seconds=180

failed=0
for name in "$@"; do
    corpus=$build/corpus-$name
    mkdir -p "$corpus"
    python3 t/fuzz/seeds.py "$name" "$corpus"
    if "$build/bin/fuzz-$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$corpus-" "$corpus" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        echo "ok - $name: $runs runs in $seconds s, $(ls "$corpus" | wc -l) inputs kept"
    else
        failed=1
        grep -v '^#[0-9]' "$log" | tail -60
        echo "not ok - $name: see above; $build/bin/fuzz-$name FILE repeats it"
    fi
done
exit "$failed"
