"""Scalers, splits and weights by scikit-learn, and sequences cut by Keras."""

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from safetensors.numpy import save_file
from sklearn import model_selection as ms
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

HERE = Path(__file__).parent
rng = np.random.default_rng(18)
out = {}


def put(name, values):
    out[name] = np.asarray(values, dtype=np.float32).reshape(-1)


def scalers():
    # A plain column, one far from 0, one that is the same everywhere, one that differs once by one ulp, one
    # of a tiny extent, one of a single outlier.
    n = 37
    x = np.empty((n, 6), dtype=np.float32)
    x[:, 0] = rng.normal(size=n)
    x[:, 1] = 1e4 + rng.normal(size=n)
    x[:, 2] = 0.1
    x[:, 3] = 1e7
    x[5, 3] += 1
    x[:, 4] = 1e-16 * rng.random(n)
    x[:, 5] = 3
    x[7, 5] = 1e6
    wide = x.astype(np.float64)
    put("x", x)
    for name, scaler in [
        ("standard", StandardScaler()),
        ("min_max", MinMaxScaler()),
        ("range", MinMaxScaler(feature_range=(-1, 2))),
    ]:
        # Fitted on a part alone.
        scaler.fit(wide[:30])
        y = scaler.transform(wide)
        put(name, y)
        put(f"{name}_back", scaler.inverse_transform(y.astype(np.float32).astype(np.float64)))
        if name == "standard":
            put("mean", scaler.mean_)
            put("scale", scaler.scale_)
        else:
            put(f"{name}_low", scaler.data_min_)
            put(f"{name}_high", scaler.data_max_)


def fold_of(splitter, n, **what):
    folds = np.full(n, -1)
    for number, (train, test) in enumerate(splitter.split(np.zeros(n), **what)):
        assert (np.sort(np.concatenate([train, test])) == np.arange(n)).all()
        folds[test] = number
    return folds


def folds():
    for n, k in [(5, 2), (5, 5), (7, 3), (10, 4), (23, 6), (24, 6)]:
        put(f"k_fold_{n}_{k}", fold_of(ms.KFold(k), n))
    for case, (n, k) in enumerate([(12, 2), (30, 3), (31, 4), (60, 5), (61, 7)]):
        # The first label that appears is not the least; one class is rare.
        labels = np.concatenate([[2, 0], rng.choice(4, n - 2, p=[0.5, 0.3, 0.15, 0.05])])
        put(f"labels_{case}", labels)
        put(f"stratified_{case}", fold_of(ms.StratifiedKFold(k), n, y=labels))
        # Groups of equal sizes, too.
        groups = rng.integers(0, 2 * k + case, n)
        put(f"groups_{case}", groups)
        put(f"group_folds_{case}", fold_of(ms.GroupKFold(k), n, groups=groups))
        put(f"case_{case}", [n, k])


def forward():
    cases = [
        (6, 5, None, 0, None),
        (23, 4, None, 0, None),
        (23, 4, 2, 3, None),
        (23, 3, 5, 0, 4),
        (50, 7, 4, 2, 10),
    ]
    rows = []
    for case, (n, splits, size, gap, most) in enumerate(cases):
        rows.append([n, splits, size or 0, gap, most or 0])
        splitter = ms.TimeSeriesSplit(splits, test_size=size, gap=gap, max_train_size=most)
        parts = list(splitter.split(np.zeros(n)))
        put(f"forward_{case}", [[a[0], a[-1] + 1, b[0], b[-1] + 1] for a, b in parts])
    put("forward_cases", rows)


def weights():
    labels = np.array([0, 0, 2, 1, 0, 0, 2, 0, 0, 1, 0, 2, 0])
    put("imbalanced", labels)
    put("class_weights", compute_class_weight("balanced", classes=np.arange(3), y=labels))
    put("sample_weights", compute_sample_weight("balanced", labels))
    # Shares without ties, so that nothing is drawn.
    y = np.repeat([0, 1, 2, 3], [53, 29, 11, 7])
    put("stratify", y)
    for share in [0.1, 0.25, 0.33, 0.5]:
        train, test = ms.train_test_split(np.arange(100), test_size=share, stratify=y, random_state=0)
        put(f"test_counts_{share}", np.bincount(y[test], minlength=4))
    sizes = []
    for n in [3, 7, 10, 99, 1000]:
        for share in [0.05, 0.1, 0.2, 0.3, 0.33, 0.5]:
            train, test = ms.train_test_split(np.arange(n), test_size=share, random_state=0)
            sizes.append([n, share, len(test)])
    put("sizes", sizes)


def cut():
    rows = [[1, 2, 3, 4, 5], [6], [7, 8, 9]]
    for name in ["pre", "post"]:
        put(f"cut_{name}", keras.utils.pad_sequences(rows, maxlen=3, truncating=name, padding="post"))


scalers()
folds()
forward()
weights()
cut()
save_file(out, HERE / "data.safetensors")
