"""Loads with Keras what `tests/io/keras/` wrote, and compares what it computes.

    WGPU_LSTM_KERAS_OUT=FOLDER cargo test --features keras,onnx,pytorch --test io keras
    KERAS_BACKEND=torch python check_keras.py FOLDER
"""

import os
import pathlib
import sys

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from safetensors.numpy import load_file

folder = pathlib.Path(sys.argv[1])
files = sorted(folder.glob("*.keras"))
assert files, f"no files in {folder}"
worst = 0.0
for path in files:
    data = load_file(path.with_suffix(".safetensors"))
    model = keras.saving.load_model(path)
    weights = path.with_suffix(".weights.h5")

    def check(what):
        global worst
        found = model.predict(data["x"], verbose=0)
        off = np.abs(found - data["y"]).max() / np.abs(data["y"]).max()
        worst = max(worst, off)
        print(f"{path.name} {what}: off by {off:.1e}")
        assert found.shape == data["y"].shape and off < 1e-5, (path, found, data["y"])

    check("as a whole")
    for w in model.weights:
        if "seed" not in w.path:
            w.assign(np.zeros(w.shape))
    model.load_weights(weights)
    check("by its weights")
    # And it trains.
    model.compile("sgd", "mse")
    model.train_on_batch(data["x"], np.zeros_like(data["y"]))
print(f"{len(files)} models, off by at most {worst:.1e}")
