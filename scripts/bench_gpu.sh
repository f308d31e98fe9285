#!/usr/bin/env bash
# The library's tests and all benchmarks on a machine with a GPU, from programs that were built elsewhere.
# That machine needs a Vulkan driver, and for cuDNN a python3 that has torch; nothing else.
#
#   scripts/bench_gpu.sh --build DIR     builds the programs into DIR, with this script, and DIR.tar.gz
#   DIR/bench_gpu.sh [OPTIONS] [RESULTS.md [SECTION...]]      runs them there (default: DIR/RESULTS.md)
#   scripts/bench_gpu.sh --record RESULTS.md [FILE]      writes the card's section of FILE from what came of
#                       it (default: docs/measured/RESULTS.md), in the place of what is there of this card
#
#   --device NAME       part of an adapter's name, or `software` (default: the first hardware GPU)
#   --limit S           stops after so many seconds in all
#   --section-limit S   stops a section after so many seconds and goes on (default: 240)
#
# Sections, the most important first: suite (the tests) peaks forward train epoch step strategies profile
# deepbench-256 deepbench-512 deepbench-1024 deepbench-1536 deepbench-2048 flashrnn (public shapes)
# layer-forward layer-train stepper lengths startup fit cpu. By its name alone: deepbench-4096. Results are
# added to RESULTS.md line by line. The same command once more goes on where it was stopped; a section that
# is named runs again. Where no command may take more than ten minutes: `--limit 570`, and again.
#
# Before each case a card is kept busy for some tenths of a second: one that was idle runs slowly at first.
#
# PEERS_ARGS adds options for the comparison (see `DIR/peers --help`), such as `--rounds 3`; LSTM_SHAPES
# chooses the shapes of the library's own benchmark; SUITE_ARGS adds options for the tests, such as a part of
# their names, of which WGPU_LSTM_TEST_QUICK=0 runs all cases. WEBGPU=none builds without ONNX Runtime's WebGPU
# provider, which --build gets with python3's pip, for machines that have the same version of Python.
set -euo pipefail

SECTIONS="suite peaks forward train epoch step strategies profile deepbench-256 deepbench-512 deepbench-1024 \
deepbench-1536 deepbench-2048 flashrnn layer-forward layer-train stepper lengths startup fit cpu"

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
    cargo build --locked --release --manifest-path benches/peers/Cargo.toml --features "${PEERS_FEATURES-burn,candle,rten,tract}"
    cp "${CARGO_TARGET_DIR:-benches/peers/target}/release/peers" "$dir/"
    say "building the benchmarks"
    cargo build --locked --release --package wgpu-lstm --package xtask --bench lstm --bench peak --bin xtask \
        --message-format=json-render-diagnostics | sed -n 's|.*"executable":"\([^"]*\)".*|\1|p' |
        while read -r path; do
            bench=$(basename "$path")
            cp "$path" "$dir/${bench%-*}"
        done
    say "building the tests"
    path=$(cargo test --locked --lib --no-run --message-format=json-render-diagnostics |
        sed -n 's|.*"executable":"\([^"]*\)".*|\1|p' | tail -n 1)
    cp "$path" "$dir/suite"
    # Symbols are nine tenths of it.
    if command -v strip >/dev/null; then strip "$dir/peers" "$dir/lstm" "$dir/peak" "$dir/xtask" "$dir/suite"; fi
    webgpu "$dir/onnxruntime-webgpu"
    # For machines that have a driver and no loader.
    path=$(libraries | sed -n 's|.*libvulkan\.so\.1 .*x86-64.* => ||p' | head -n 1)
    if [ -n "$path" ]; then mkdir -p "$dir/lib" && cp -L "$path" "$dir/lib/libvulkan.so.1"; fi
    git describe --always --dirty --exclude='*' >"$dir/COMMIT" || echo unknown >"$dir/COMMIT"
    cp scripts/bench_gpu.sh "$dir/"
    tar -czf "$dir.tar.gz" -C "$(dirname "$dir")" "$(basename "$dir")"
    say "built in $dir: $(ls "$dir" | tr '\n' ' ')and $dir.tar.gz, $(du -h "$dir.tar.gz" | cut -f 1)"
}

# ONNX Runtime's WebGPU provider, in a folder of its own: its package replaces that of the CPU's.
webgpu() {
    rm -rf "$1"
    [ "${WEBGPU-}" != none ] || return 0
    say "fetching onnxruntime-webgpu"
    python3 -m pip install --quiet --disable-pip-version-check --target "$1" onnxruntime-webgpu onnx || {
        say "no onnxruntime-webgpu: the comparison goes without"
        rm -rf "$1"
    }
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
    # Public shapes are many.
    local few=(--rounds 3 --patience 2)
    # shellcheck disable=SC2206
    case $1 in
        suite) title="The library's tests" command=("$dir/bench_gpu.sh" --suite) ;;
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
        deepbench-*) title="Beside other libraries: $1" command=("${peers[@]}" "${few[@]}" --set deepbench --only "H${1#*-} ") ;;
        flashrnn) title="Beside other libraries: $1" command=("${peers[@]}" "${few[@]}" --set flashrnn) ;;
        *) fail "no section $1; there are $SECTIONS" ;;
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

# The library's tests on the device: how many passed, which failed and how, and which had not ended when the
# time was over. Those of the repository itself are left out.
suite() {
    local dir log stopped= status=0 seen failed name
    dir=$(cd "$(dirname "$0")" && pwd)
    log=$(mktemp)
    # shellcheck disable=SC2064
    trap "rm -f '$log' '$log.all'" EXIT
    trap 'stopped=yes' TERM INT
    # shellcheck disable=SC2206
    local args=(--skip shaders_folder ${SUITE_ARGS-})
    "$dir/suite" "${args[@]}" --list 2>/dev/null | sed -n 's/: test$//p' | sort >"$log.all"
    export WGPU_LSTM_TEST_QUICK=${WGPU_LSTM_TEST_QUICK-1}
    "$dir/suite" "${args[@]}" --test-threads 4 --nocapture >"$log" 2>&1 &
    wait $! || status=$?
    seen=$(sed -nE 's/.*test ([^ ]+)( - should panic)? \.\.\. (ok|FAILED|ignored).*/\1 \3/p' "$log" | sort -u)
    failed=$(sed -n 's/ FAILED$//p' <<<"$seen")
    count() { grep -c "$1" <<<"$seen" || true; }
    printf '%s tests: %s passed, %s failed, %s ignored' "$(grep -c . "$log.all")" \
        "$(count ' ok$')" "$(count ' FAILED$')" "$(count ' ignored$')"
    printf '%s\n' "${stopped:+; then the time was over}"
    for name in $failed; do
        printf '\nFAILED %s\n' "$name"
        grep -aF -A 4 "thread '$name'" "$log" | grep -av '^test ' | head -n 12 || true
    done
    if [ -n "$stopped" ] || [ "$(grep -c . <<<"$seen")" -lt "$(grep -c . "$log.all")" ]; then
        printf '\nnot ended:\n'
        sed 's/ [A-Za-z]*$//' <<<"$seen" | sort | comm -13 - "$log.all" | sed 's/^/  /'
        # What ended the process, such as a driver.
        [ -n "$stopped" ] || tail -n 3 "$log"
    fi
    sed -nE 's/^not reached: .*: ([a-z0-9]+)$/\1/p' "$log" | sort | uniq -c |
        sed -E 's/^ *([0-9]+) (.*)/not reached for want of \2: \1/'
    [ -z "$stopped" ] || exit 124
    exit "$status"
}

# A section about a card, of what a run wrote: what it holds for, and every table beside other libraries.
card() {
    awk '
        FNR == 1 { part = "header" }
        /^## / { part = "other"; table = 0 }
        /^## Beside other libraries: / { part = "peers"; name = substr($0, 28); said = 0; next }
        /^## The library.s tests/ { part = "suite" }
        /^<!-- / || /^```/ { next }
        part == "header" && /^- / { print }
        part == "suite" && /^[0-9]+ tests/ { print "- of the library\047s " $0 }
        part == "suite" && /^FAILED / { print "  - failed: " $2 }
        /f32 FMA peak/ { sub(/^ */, ""); print "- " $0 }
        part == "peers" && /^- ([0-9]+ rounds|forward:|not measured:)/ && !($0 in told) { told[$0]; print; next }
        part == "peers" && (/^\|/ || /^\([0-9]+\)/ || /^(Stopped|Ended)/) {
            if (!said) { printf "\n### %s\n\n", name; said = 1 }
            if (/^[^|]/) print ""
            print
        }
    ' "$1"
}

# Puts that section into a file, in the place of what is there of the same card.
record() {
    local results=$1 file=${2-} name old
    [ -s "$results" ] || fail "no results in $results"
    name=$(sed -n 's/^- device: \(.*\) ([^()]*, .*).*/\1/p' "$results" | head -n 1)
    [ -n "$name" ] || fail "$results says no device"
    if [ -z "$file" ]; then
        grep -q '^- device: .*software true' "$results" && fail "$name is no card: name a file to record it there"
        file=$(dirname "$0")/../docs/measured/RESULTS.md
    fi
    old=$(cat "$file" 2>/dev/null || true)
    {
        # All but the section of this card, which ends with the next one.
        awk -v title="## On a card: $name" '
            /^## / { mine = $0 == title }
            !mine { print }
        ' <<<"$old" | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
        printf '\n## On a card: %s\n\nWhat `scripts/bench_gpu.sh` measured there and recorded; its head says how.\n\n' "$name"
        card "$results"
    } >"$file.new"
    mv "$file.new" "$file"
    say "recorded in $file: $name"
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
    for name in peers lstm peak xtask suite; do
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
    --suite) suite ;;
    --record) record "${2:?RESULTS.md of a run}" "${3-}" ;;
    --build) build "${2:?where to? scripts/bench_gpu.sh --build DIR}" ;;
    *) run "$@" ;;
esac
