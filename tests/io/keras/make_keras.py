"""Makes the files beside it, models that Keras saved and what they compute, which tests/io/keras/ reads.

    KERAS_BACKEND=torch python make_keras.py

The numbers are random; the files are under this project's licence. Each `.keras` file is packed again, since its HDF5 is mostly empty for models as small as these.
"""

import json
import os
import pathlib
import zipfile

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from keras import layers as L
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent / "files"
RNG = np.random.default_rng(5)
VECTORS = {}


def fill(model):
    """Weights that differ everywhere; variances stay positive."""
    for w in model.weights:
        if "seed" in w.path:
            continue
        values = RNG.normal(size=w.shape) * 0.4
        w.assign(np.abs(values) + 0.5 if "variance" in w.path else values)


def pack(path):
    with zipfile.ZipFile(path) as old:
        parts = [(i.filename, old.read(i)) for i in old.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        for name, data in parts:
            new.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)


def case(name, model, x, endings=(".keras",), weights=True):
    if weights:
        fill(model)
    VECTORS[f"x.{name}"] = np.asarray(x, np.float32)
    VECTORS[f"y.{name}"] = np.asarray(model.predict(x, verbose=0), np.float32)
    for ending in endings:
        path = HERE / (name + ending)
        if ending == ".weights.h5":
            model.save_weights(path)
        else:
            model.save(path)
        if ending == ".keras" and len(endings) < 3:
            pack(path)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def tokens():
    x = RNG.integers(1, 9, size=(4, 6))
    x[1, 4:], x[2, 2:] = 0, 0
    x[3, 2] = 0
    return x


def sequential(*all, **named):
    return keras.Sequential(list(all), **named)


def main():
    HERE.mkdir(exist_ok=True)
    case(
        "lstm",
        sequential(
            keras.Input((6, 3)),
            L.LSTM(4, return_sequences=True, dropout=0.1, recurrent_dropout=0.2, kernel_regularizer="l2",
                   recurrent_regularizer=keras.regularizers.L1L2(1e-3, 1e-2), bias_regularizer="l1",
                   activity_regularizer=keras.regularizers.L1(1e-3),
                   kernel_constraint=keras.constraints.MaxNorm(3.0),
                   recurrent_constraint=keras.constraints.MaxNorm(2.0)),
            L.Dropout(0.3),
            L.LSTM(3, return_sequences=True, use_bias=False, unit_forget_bias=False, activation="relu",
                   recurrent_activation="hard_sigmoid", trainable=False),
            L.LSTM(5, go_backwards=True, activation="softsign", recurrent_activation="tanh"),
            L.Dense(3, activation="softmax", kernel_regularizer="l1", activity_regularizer="l2",
                    kernel_constraint="max_norm", use_bias=False),
        ),
        normal(3, 6, 3),
        (".keras", ".h5", ".weights.h5"),
    )
    case(
        "gates",
        sequential(
            keras.Input((4, 2)),
            L.LSTM(2, return_sequences=True, activation="elu", recurrent_activation="softplus"),
            L.LSTM(2, return_sequences=True, activation="linear"),
            L.SimpleRNN(3, return_sequences=True, activation="leaky_relu"),
            L.SimpleRNN(3, activation="hard_sigmoid", go_backwards=True, use_bias=False),
        ),
        normal(2, 4, 2),
    )
    case(
        "both",
        sequential(
            keras.Input((5, 2)),
            L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode="concat"),
            L.Bidirectional(L.LSTM(2, return_sequences=True, dropout=0.1), merge_mode="sum"),
            L.Bidirectional(L.SimpleRNN(2, return_sequences=True), merge_mode="ave"),
            L.Bidirectional(L.LSTM(3), merge_mode="mul"),
        ),
        normal(3, 5, 2),
        (".keras", ".h5"),
    )
    i = keras.Input((6,), name="input")
    e = L.Embedding(9, 3, mask_zero=True)(i)
    a = L.LSTM(3, return_sequences=True, zero_output_for_mask=True)(e)
    b = L.SpatialDropout1D(0.2)(L.Concatenate()([e, a]))
    c = L.Bidirectional(L.LSTM(2, return_sequences=True))(b)
    d = L.TimeDistributed(L.Dense(2, activation="relu"))(c)
    o = L.Dense(1, activation="sigmoid")(L.GlobalAveragePooling1D()(L.LSTM(4, return_sequences=True)(d)))
    case("mask_zero", keras.Model(i, o), tokens(), (".keras", ".h5"))
    x = normal(3, 5, 2)
    x[1, 3:], x[2, 1] = -1, -1
    case(
        "masking",
        sequential(
            keras.Input((5, 2)), L.Masking(-1.0), L.SimpleRNN(3, return_sequences=True, activation="relu"),
            L.LayerNormalization(), L.TimeDistributed(L.LayerNormalization(epsilon=0.1)),
            L.LSTM(2, return_sequences=True), L.LSTM(3, go_backwards=True),
        ),
        x,
    )
    case(
        "conv",
        sequential(
            keras.Input((11, 2)),
            L.Conv1D(4, 3, padding="same", activation="relu"),
            L.BatchNormalization(),
            L.MaxPooling1D(2),
            L.Conv1D(6, 2, padding="causal", dilation_rate=2, groups=2, use_bias=False),
            L.AveragePooling1D(3, strides=2, padding="same"),
            L.Conv1D(3, 2, strides=1, activation="tanh"),
            L.Flatten(),
            L.BatchNormalization(epsilon=0.01),
            L.Dense(2, activation="elu"),
        ),
        normal(3, 11, 2),
    )
    case(
        "repeat",
        sequential(
            keras.Input((None, 2)), L.LSTM(3), L.RepeatVector(4), L.LSTM(3, return_sequences=True),
            L.TimeDistributed(L.Dense(2)), L.Activation("softplus"),
        ),
        normal(2, 5, 2),
    )
    i = keras.Input((7, 3), name="input")
    a = L.LSTM(3, return_sequences=True, name="a")(i)
    b = L.Dense(3, activation="tanh", name="b")(i)
    c = L.Add(name="c")([i, a, b])
    d = L.Multiply(name="d")([a, c])
    e = L.Concatenate(name="e")([L.Conv1D(2, 3, padding="same", name="conv")(d), c, i])
    f = L.GlobalMaxPooling1D(name="f")(L.Activation("linear", name="nothing")(e))
    case("graph", keras.Model(i, L.Dense(2, name="out")(f)), normal(2, 7, 3), (".keras", ".h5"))
    names = ["elu", "selu", "gelu", "silu", "softplus", "softsign", "leaky_relu", "exponential", "relu6", "mish",
             "hard_sigmoid", "hard_silu"]
    case(
        "activations",
        sequential(
            keras.Input((3, 4)), *[L.Dense(4, activation=n) for n in names], L.ReLU(6.0), L.LeakyReLU(0.1),
            L.ReLU(negative_slope=0.2), L.Dense(4), L.ELU(0.7), L.Softmax(), L.Activation("tanh"),
        ),
        normal(2, 3, 4),
    )
    case("rows", sequential(keras.Input((5,)), L.Dense(4, activation="relu"), L.Dropout(0.5), L.Dense(2)), normal(6, 5))
    # A shape that no layer says, and weights alone whose classes repeat.
    model = sequential(L.LSTM(3, return_sequences=True), L.LSTM(2, return_sequences=True),
                       L.Bidirectional(L.SimpleRNN(2)), L.Dense(3), L.LayerNormalization(), L.Dense(1))
    model.build((None, 4, 2))
    case("weights", model, normal(3, 4, 2), (".weights.h5", ".keras"))
    training()
    for dtype in ["float16", "bfloat16", "float64"]:
        keras.config.set_floatx(dtype)
        model = sequential(keras.Input((3, 2)), L.Dense(2))
        fill(model)
        model.save(HERE / f"{dtype}.keras")
        pack(HERE / f"{dtype}.keras")
        keras.config.set_floatx("float32")
        for number, w in enumerate(model.get_weights()):
            VECTORS[f"{dtype}.{number}"] = np.asarray(w).astype(np.float32)
    # Models among the layers of a model.
    i = keras.Input((5, 3), name="inner_input")
    residual = keras.Model(i, L.Add()([i, L.Dense(3, activation="tanh", name="dense")(i)]), name="residual")
    inner = sequential(keras.Input((5, 3)), L.LSTM(3, return_sequences=True), L.BatchNormalization(), name="inner")
    model = sequential(
        keras.Input((5, 3)), L.Dense(3, name="dense"), sequential(keras.Input((5, 3)), inner, L.LSTM(3, return_sequences=True)),
        residual, L.LSTM(2), L.Dense(2),
    )
    case("nested", model, normal(3, 5, 3), (".keras", ".h5"))
    i = keras.Input((4,))
    rows = sequential(keras.Input((4,)), L.Dense(3, activation="relu"))
    decoder = sequential(keras.Input((3,)), L.RepeatVector(3), L.LSTM(2, return_sequences=True))
    case("nested_rows", keras.Model(i, decoder(rows(i))), normal(2, 4))
    refused()
    save_file({n: np.ascontiguousarray(v) for n, v in VECTORS.items()}, HERE / "keras.safetensors")


def training():
    """A model that is compiled and trained for an epoch, and what it is after that."""
    model = sequential(
        keras.Input((5,)), L.Embedding(9, 4), L.LSTM(5, kernel_regularizer=keras.regularizers.L2(1e-3)),
        L.Dense(1, activation="sigmoid"),
    )
    fill(model)
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    x, y = RNG.integers(0, 9, size=(24, 5)), RNG.integers(0, 2, size=(24, 1))
    model.save(HERE / "training.keras")
    pack(HERE / "training.keras")
    losses = [float(model.train_on_batch(x[at:at + 4], y[at:at + 4], return_dict=True)["loss"]) for at in range(0, 24, 4)]
    VECTORS["x.training"], VECTORS["t.training"] = x.astype(np.float32), y.astype(np.float32)
    VECTORS["losses.training"] = np.asarray(losses, np.float32)
    VECTORS["y.training"] = model.predict(x, verbose=0)


def refused():
    """Models that cannot be had, as the JSON of their archives."""
    bad = {
        "go_backwards": L.LSTM(2, return_sequences=True, go_backwards=True),
        "class": L.GaussianNoise(0.1),
        "axis": L.LayerNormalization(axis=1),
        "center": L.BatchNormalization(center=False),
        "kernel_constraint": L.LSTM(2, kernel_constraint="non_neg"),
        "return_state": L.Bidirectional(L.LSTM(2, return_state=True)),
        "merge_mode": L.Bidirectional(L.LSTM(2), merge_mode=None),
    }
    models = {}
    for option, layer in bad.items():
        config = {"name": "sequential", "layers": [
            keras.saving.serialize_keras_object(L.InputLayer((4, 2))), keras.saving.serialize_keras_object(layer),
        ]}
        models[option] = {"class_name": "Sequential", "config": config}
    (HERE / "refused.json").write_text(json.dumps(models))


main()
