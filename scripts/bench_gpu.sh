#!/usr/bin/env bash
# All benchmarks on a machine with a GPU, from programs that were built elsewhere. That machine needs
# a Vulkan driver, and for cuDNN a python3 that has torch; nothing else.
#
#   scripts/bench_gpu.sh --build DIR     builds the programs into DIR, with this script, and DIR.tar.gz
#   DIR/bench_gpu.sh [OPTIONS] [RESULTS.md [SECTION...]]      runs them there (default: DIR/RESULTS.md)
#
#   --device NAME       part of an adapter's name, or `software` (default: the first hardware GPU)
#   --limit S           stops after so many seconds in all
#   --section-limit S   stops a section after so many seconds and goes on (default: 240)
#
# Sections, the most important first: peaks forward train epoch step profile strategies layer-forward
# layer-train stepper lengths startup fit cpu. By their names alone: deepbench flashrnn (public shapes;
# long). Results are added to RESULTS.md line by line. The same command once more goes on where it was
# stopped; a section that is named runs again. Where no command may take more than ten minutes:
# `--limit 570`, and again.
#
# PEERS_ARGS adds options for the comparison (see `DIR/peers --help`), such as `--rounds 3`;
# LSTM_SHAPES chooses the shapes of the library's own benchmark.
set -euo pipefail

SECTIONS="peaks forward train epoch step profile strategies layer-forward layer-train stepper lengths startup fit cpu"

say() { printf '\n[bench_gpu.sh] %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

build() {
    local dir bench path
    mkdir -p "$1"
    dir=$(cd "$1" && pwd)
    cd "$(dirname "$0")/.."
    say "building the comparison"
    cargo build --locked --release --manifest-path benches/peers/Cargo.toml --features "${PEERS_FEATURES-burn,candle,tract}"
    cp "${CARGO_TARGET_DIR:-benches/peers/target}/release/peers" "$dir/"
    say "building the benchmarks"
    cargo build --locked --release --package wgpu-lstm --package xtask --bench lstm --bench peak --bin xtask \
        --message-format=json-render-diagnostics | sed -n 's|.*"executable":"\([^"]*\)".*|\1|p' |
        while read -r path; do
            bench=$(basename "$path")
            cp "$path" "$dir/${bench%-*}"
        done
    # Symbols are nine tenths of it.
    if command -v strip >/dev/null; then strip "$dir/peers" "$dir/lstm" "$dir/peak" "$dir/xtask"; fi
    # For machines that have a driver and no loader.
    path=$(libraries | sed -n 's|.*libvulkan\.so\.1 .*x86-64.* => ||p' | head -n 1)
    if [ -n "$path" ]; then mkdir -p "$dir/lib" && cp -L "$path" "$dir/lib/libvulkan.so.1"; fi
    git describe --always --dirty --exclude='*' >"$dir/COMMIT" || echo unknown >"$dir/COMMIT"
    cp scripts/bench_gpu.sh "$dir/"
    tar -czf "$dir.tar.gz" -C "$(dirname "$dir")" "$(basename "$dir")"
    say "built in $dir: $(ls "$dir" | tr '\n' ' ')and $dir.tar.gz, $(du -h "$dir.tar.gz" | cut -f 1)"
}

libraries() { PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true; }

# Where the loader or the driver's manifest is not where the loader looks, it is told.
find_vulkan() {
    local manifest
    if ! libraries | grep -qF libvulkan.so.1 && [ -e "$dir/lib/libvulkan.so.1" ]; then
        export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$dir/lib
    fi
    manifest=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
    if [ -z "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ] && [ -e "$manifest" ] &&
        ! [ -e /usr/share/vulkan/icd.d/nvidia_icd.json ] && ! [ -e /etc/vulkan/icd.d/nvidia_icd.json ]; then
        export VK_DRIVER_FILES=$manifest VK_ICD_FILENAMES=$manifest
    fi
}

# Sets `title` and `command` of a section.
describe() {
    local peak
    # The peak that was measured, for the shares of it.
    peak=$(sed -n 's/^ *f32 FMA peak *\([0-9.]*\) GFLOP.*/\1/p' "$results" 2>/dev/null | tail -n 1) || true
    # shellcheck disable=SC2206
    local peers=("$dir/peers" --place gpu ${peak:+--peak "$peak"} ${PEERS_ARGS-})
    # shellcheck disable=SC2206
    case $1 in
        peaks) title="What the device can reach" command=("$dir/peak" --bench) ;;
        forward | train | epoch | step) title="Beside other libraries: $1" command=("${peers[@]}" --mode "$1") ;;
        profile) title="Where the time goes" command=("$dir/lstm" --bench profile) ;;
        strategies) title="Which strategy is the fastest" command=("$dir/xtask" strategies "$WGPU_LSTM_DEVICE" --print) ;;
        layer-forward) title="The layer, forward" command=("$dir/lstm" --bench forward/ --noplot) ;;
        layer-train) title="The layer, a step of training" command=("$dir/lstm" --bench train/ --noplot) ;;
        stepper) title="The stepper" command=("$dir/lstm" --bench step/ --noplot) ;;
        lengths) title="Rows of different lengths" command=("$dir/lstm" --bench lengths/ --noplot) ;;
        startup) title="From the start to the first prediction" command=("$dir/lstm" --bench startup) ;;
        fit) title="How the cost grows" command=("$dir/lstm" --bench fit) ;;
        cpu) title="Beside other libraries: CPU" command=("$dir/peers" --place cpu ${PEERS_ARGS-}) ;;
        deepbench | flashrnn) title="Beside other libraries: $1" command=("${peers[@]}" --set "$1") ;;
        *) fail "no section $1; there are $SECTIONS, deepbench and flashrnn" ;;
    esac
}

# Runs `command` for so many seconds at most; a signal to this script ends it.
child=
limited() {
    local seconds=$1
    if command -v timeout >/dev/null; then
        timeout -k 5 "$seconds" "${command[@]}" &
    else
        "${command[@]}" &
    fi
    child=$!
    wait "$child"
}

# Adds a section to the results, also if it fails or hangs. The comment behind it says that it is there.
section() {
    local name=$1 seconds=$section_limit start=$SECONDS status=0 text=yes filter
    describe "$name"
    if [ "$limit" -gt 0 ] && [ $((limit - SECONDS)) -lt "$seconds" ]; then seconds=$((limit - SECONDS)); fi
    [ "$seconds" -gt 5 ] || return 1
    say "$name, at most $seconds s"
    # One that was killed may have left its text open.
    if [ $(($(grep -c '^```' "$results") % 2)) = 1 ]; then printf '```\n\nStopped from outside.\n' >>"$results"; fi
    if [ "${command[0]}" = "$dir/peers" ]; then text=; fi
    printf '\n## %s\n' "$title" >>"$results"
    if [ -n "$text" ]; then
        printf '\n```text\n' >>"$results"
        limited "$seconds" >>"$results" 2>&1 || status=$?
        printf '```\n' >>"$results"
    else
        # It is Markdown, with a title of its own.
        exec 3> >(sed -u '/^# /d' >>"$results")
        filter=$!
        limited "$seconds" >&3 3>&- || status=$?
        exec 3>&-
        wait "$filter" || true
    fi
    case $status in
        0) ;;
        124 | 137) printf '\nStopped after %s s.\n' "$seconds" >>"$results" ;;
        *) printf '\nEnded with %s.\n' "$status" >>"$results" ;;
    esac
    say "$name: $((SECONDS - start)) s, ended with $status"
    # The next run tries again what had less than its time.
    case $status in 124 | 137) [ "$seconds" -ge "$section_limit" ] || return 1 ;; esac
    printf '\n<!-- section %s: %s -->\n' "$name" "$status" >>"$results"
}

header() {
    printf '# wgpu-lstm on a GPU\n\n- date: %s\n- commit: %s\n' "$(date -u +%F)" "$(cat "$dir/COMMIT" 2>/dev/null || echo unknown)"
    printf -- '- system: %s, %s\n' "$(uname -srm)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)"
    printf -- '- device: %s\n' "$device"
    if command -v nvidia-smi >/dev/null; then
        nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit,memory.total --format=csv,noheader | sed 's/^/- nvidia-smi: /' || true
    fi
}

run() {
    local name dir results limit=0 section_limit=240 device scratch ended="done"
    dir=$(cd "$(dirname "$0")" && pwd)
    export WGPU_LSTM_DEVICE=${WGPU_LSTM_DEVICE:-gpu}
    while [ $# -gt 0 ]; do
        case $1 in
            --device) WGPU_LSTM_DEVICE=${2:?a name} ;;
            --limit) limit=${2:?seconds} ;;
            --section-limit) section_limit=${2:?seconds} ;;
            -*) usage ;;
            *) break ;;
        esac
        shift 2
    done
    results=${1:-$dir/RESULTS.md}
    shift $(($# > 0 ? 1 : 0))
    mkdir -p "$(dirname "$results")"
    results=$(cd "$(dirname "$results")" && pwd)/$(basename "$results")
    for name in peers lstm peak xtask; do
        [ -x "$dir/$name" ] || fail "no $dir/$name: build it with scripts/bench_gpu.sh --build DIR"
    done
    for name in "$@"; do describe "$name"; done
    find_vulkan
    device=$("$dir/peak" --device) || fail "no device: see above; --device NAME or a driver helps"
    say "$device; results go to $results"
    case $device in *"(Gl, "*) say "This is OpenGL: no Vulkan driver or loader was found." ;; esac
    [ -s "$results" ] || header >"$results"
    # Criterion writes its samples where it runs.
    scratch=$(mktemp -d 2>/dev/null) || scratch=$(mktemp -d "$results.XXXXXX")
    # shellcheck disable=SC2064
    trap "rm -rf '$scratch'" EXIT
    trap 'kill "$child" 2>/dev/null; exit 143' TERM INT HUP
    cd "$scratch"
    if [ $# -gt 0 ]; then
        for name in "$@"; do section "$name" || break; done
    else
        for name in $SECTIONS; do
            grep -q "^<!-- section $name: " "$results" && continue
            section "$name" || { ended="no time is left: the same command goes on with $name"; break; }
        done
    fi
    say "$ended: $results"
}

usage() {
    sed -n '2,/^set /{s/^# \{0,1\}//p}' "$0"
    exit 1
}

case ${1-} in
    --build) build "${2:?where to? scripts/bench_gpu.sh --build DIR}" ;;
    *) run "$@" ;;
esac
