"""Prints after how many epochs Keras' EarlyStopping stops: tests/callbacks/stopping.rs has the numbers."""

import os

os.environ["KERAS_BACKEND"] = "torch"
import keras

LOSSES = [0.9, 0.7, 0.8, 0.65, 0.66, 0.64, 0.7, 0.71, 0.5, 0.6, 0.61, 0.62]
for name, options in {
    "plain": {},
    "patience": {"patience": 2},
    "min_delta": {"patience": 2, "min_delta": 0.1},
    "baseline": {"patience": 2, "baseline": 0.655},
    "start": {"patience": 1, "start_from_epoch": 3},
    "max": {"patience": 1, "mode": "max"},
    "never": {"patience": 9},
}.items():
    options = {"mode": "min"} | options
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", **options)
    stop.set_model(model)
    model.stop_training = False
    stop.on_train_begin()
    epochs = 0
    for epoch, loss in enumerate(LOSSES):
        stop.on_epoch_end(epoch, {"val_loss": loss})
        epochs += 1
        if model.stop_training:
            break
    print(name, epochs)
