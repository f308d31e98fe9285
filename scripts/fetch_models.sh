#!/usr/bin/env bash
# Fetches published models that tests compare with, into $WGPU_LSTM_MODELS, or target/models if that is not set; each
# file by its checksum. Needs Python with pip, and unzip.
#
#   scripts/fetch_models.sh [NAME...]    all of them, or those that are named
set -euo pipefail

cd "$(dirname "$0")/.."
MODELS=${WGPU_LSTM_MODELS:-target/models}
mkdir -p "$MODELS"
TEMP=$(mktemp -d)
trap 'rm -rf "$TEMP"' EXIT

# Whether a file is there and whole: checked NAME SHA256
checked() {
    [ -f "$MODELS/$1" ] && echo "$2  $MODELS/$1" | sha256sum --check --status
}

# Keeps a file if it is whole: keep PATH NAME SHA256
keep() {
    if ! echo "$3  $1" | sha256sum --check --status; then
        echo "$2: another file than expected" >&2
        exit 1
    fi
    mv "$1" "$MODELS/$2"
}

# MIT, Max Woolf.
textgenrnn() {
    local weights=6a89ca4235ed9f00be7b2acd65d5fe4a099967d676bfe20afb696106286ffbca
    local vocabulary=f9c6c0db9b07fb57da023d32df66e16a488d086c138e15706307bb5177c2be74
    checked textgenrnn_weights.hdf5 $weights && checked textgenrnn_vocab.json $vocabulary && return
    python3 -m pip download --quiet --no-deps --no-binary :all: --dest "$TEMP" textgenrnn==2.0.0
    tar -xzf "$TEMP/textgenrnn-2.0.0.tar.gz" -C "$TEMP"
    keep "$TEMP/textgenrnn-2.0.0/textgenrnn/textgenrnn_weights.hdf5" textgenrnn_weights.hdf5 $weights
    keep "$TEMP/textgenrnn-2.0.0/textgenrnn/textgenrnn_vocab.json" textgenrnn_vocab.json $vocabulary
}

# The files of a wheel, which pip compares with the checksums of its index: wheel PACKAGE VERSION FILE...
wheel() {
    local package=$1 version=$2 file missing=
    shift 2
    for file; do [ -e "$MODELS/$(basename "$file")" ] || missing=1; done
    [ -n "$missing" ] || return 0
    python3 -m pip download --quiet --no-deps --dest "$TEMP" "$package==$version"
    for file; do unzip -q -o -j "$TEMP/$package"-*.whl "$file" -d "$MODELS"; done
}

# MIT.
silero_vad() {
    wheel silero_vad 6.2.3 silero_vad/data/silero_vad.onnx silero_vad/data/silero_vad_half.onnx \
        silero_vad/data/silero_vad_16k_op15.onnx silero_vad/data/silero_vad_16k_sequence.onnx \
        silero_vad/data/silero_vad_op18_ifless.onnx
}

# CC-BY-4.0.
dksplit() {
    wheel dksplit 1.0.2 dksplit/models/dksplit-int8.onnx
}

ALL="textgenrnn silero_vad dksplit"
for name in ${@:-$ALL}; do
    case " $ALL " in
        *" $name "*) echo "$name"; "$name" ;;
        *) echo "$name: none of $ALL" >&2; exit 1 ;;
    esac
done
