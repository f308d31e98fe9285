#!/usr/bin/env bash
# Fuzzes one reader of files: scripts/fuzz.sh TARGET [SECONDS] [options of libFuzzer]
#
# TARGET is a file of fuzz/targets; without one they are listed. It begins with tests/io/corpus/TARGET, which
# real writers made, and keeps what it finds in fuzz/corpus/TARGET. What crashes lies in fuzz/artifacts/TARGET:
# mend the reader, and copy the file to tests/io/corpus/TARGET as bad-NAME, which `cargo test` then replays.
#
# It needs nightly Rust and cargo-fuzz (cargo install --locked cargo-fuzz). The readers are safe Rust, so no
# sanitizer is there by default, which makes it several times faster; SANITIZER=address takes one for the
# dependencies' sake.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
    sed -n '2,4s/^# \{0,1\}//p' "$0"
    ls fuzz/targets | sed 's/\.rs$//'
    exit 2
fi
target=$1
seconds=${2:-60}
shift $(($# > 1 ? 2 : 1))
seeds=tests/io/corpus/$target
mkdir -p "fuzz/corpus/$target"
# Readers of files write the bytes to one: in memory, where there is such a folder.
[ -d /dev/shm ] && export TMPDIR=/dev/shm
exec cargo +nightly fuzz run --sanitizer "${SANITIZER:-none}" "$target" "fuzz/corpus/$target" "$seeds" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=32768 -use_value_profile=0 "$@"
