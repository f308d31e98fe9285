#!/usr/bin/env bash
# All benchmarks on a machine with a GPU, from programs that were built elsewhere: that machine
# needs a Vulkan driver, and for cuDNN and ONNX Runtime a python3 that has torch and onnxruntime.
#
#   scripts/bench_gpu.sh --build DIR      builds the programs into DIR, with this script
#   DIR/bench_gpu.sh [DIR [RESULTS.md]]   runs them there, and writes the results
#
# PEERS_ARGS adds options for the comparison (see `DIR/peers --help`), such as `--set all`;
# LSTM_SHAPES chooses the shapes of the library's own benchmark. By default all takes half an hour.
set -euo pipefail

say() { printf '\n[bench_gpu.sh] %s\n' "$*" >&2; }

build() {
    local dir=$1 bench path
    cd "$(dirname "$0")/.."
    mkdir -p "$dir"
    say "building the comparison"
    cargo build --locked --release --manifest-path benches/peers/Cargo.toml --features "${PEERS_FEATURES-burn,candle,tract}"
    cp "${CARGO_TARGET_DIR:-benches/peers/target}/release/peers" "$dir/"
    say "building the benchmarks"
    for bench in lstm peak; do
        path=$(cargo bench --locked --no-run --bench "$bench" 2>&1 | tee /dev/stderr |
            sed -n "s|.*(\(.*/$bench-[0-9a-f]*\)).*|\1|p" | tail -n 1)
        cp "$path" "$dir/$bench"
    done
    git describe --always --dirty --exclude='*' >"$dir/COMMIT"
    cp scripts/bench_gpu.sh "$dir/"
    say "built in $dir: $(ls "$dir" | tr '\n' ' ')"
}

# A program's output in the results, also if it fails.
section() {
    local title=$1
    shift
    say "$title"
    printf '\n## %s\n\n```text\n' "$title"
    "$@" 2>&1 || printf '%s ended with %s\n' "$1" "$?"
    printf '```\n'
}

run() {
    local dir results
    dir=$(cd "$1" && pwd)
    results=${2:-$dir/RESULTS.md}
    mkdir -p "$(dirname "$results")"
    results=$(cd "$(dirname "$results")" && pwd)/$(basename "$results")
    for program in peers lstm peak; do
        [ -x "$dir/$program" ] || { say "no $dir/$program: build it with $0 --build $dir"; exit 1; }
    done
    # Criterion writes its samples where it runs. Not local: the trap outlives the function.
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    cd "$scratch"
    say "the comparison; results go to $results"
    # shellcheck disable=SC2086
    "$dir/peers" --place gpu --place cpu ${PEERS_ARGS-} >"$results" || say "peers ended with $?"
    {
        printf '\n\n## Machine\n\n```text\n'
        uname -srm
        if command -v nvidia-smi >/dev/null; then
            nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,memory.total --format=csv || true
        fi
        if command -v vulkaninfo >/dev/null; then vulkaninfo --summary 2>/dev/null | grep -E 'deviceName|driver(Name|Info)' || true; fi
        printf '```\n'
        section "Peaks" "$dir/peak" --bench
        section "The library's own benchmark" "$dir/lstm" --bench --noplot
    } >>"$results"
    say "done: $results"
}

case ${1-} in
    --build) build "${2:?where to? scripts/bench_gpu.sh --build DIR}" ;;
    -*) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 1 ;;
    *) run "${1:-$(dirname "$0")}" "${2-}" ;;
esac
