"""Losses against probabilities, with weights of classes, of several quantiles, and metrics at a threshold:
makes targets.safetensors with PyTorch, Keras and scikit-learn.

    KERAS_BACKEND=torch python make_targets.py
"""

from pathlib import Path

import keras
import numpy as np
import torch
from safetensors.numpy import save_file
from sklearn import metrics as sk
from torch.nn import functional as F

HERE = Path(__file__).parent
rng = np.random.default_rng(11)
out = {}


def put(name, values):
    out[name] = np.asarray(values, dtype=np.float32).reshape(-1)


def f32(x):
    return np.asarray(x, dtype=np.float32).astype(np.float64)


def note(name, x, loss):
    x.grad = None
    loss.backward()
    put(name, loss.item())
    put(f"d_{name}", x.grad.numpy())


def soft():
    x = torch.tensor(f32(rng.normal(size=(6, 5))), requires_grad=True)
    y = torch.tensor(f32(rng.dirichlet(np.ones(5), size=6)))
    y[1] = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0])
    classes = torch.tensor(f32([0.5, 2.0, 1.0, 0.25, 1.5]))
    put("x", x.detach())
    put("y", y)
    put("classes", classes)
    note("soft", x, F.cross_entropy(x, y))
    note("soft_smoothed", x, F.cross_entropy(x, y, label_smoothing=0.1))
    note("soft_weighted", x, F.cross_entropy(x, y, weight=classes))
    note("soft_all", x, F.cross_entropy(x, y, weight=classes, label_smoothing=0.2))
    for name, s in [("keras", 0.0), ("keras_smoothed", 0.1)]:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=s)
        put(name, loss(y.numpy(), x.detach().numpy()))


def binary():
    x = torch.tensor(f32(rng.normal(size=(6, 3)) * 2), requires_grad=True)
    y = torch.tensor((rng.random((6, 3)) < 0.4).astype(np.float64))
    y[0, 0] = 0.25
    pos = torch.tensor(f32([3.0, 0.5, 7.0]))
    put("binary_x", x.detach())
    put("binary_y", y)
    put("pos", pos)
    note("binary_pos", x, F.binary_cross_entropy_with_logits(x, y, pos_weight=pos))
    # Keras' class_weight of a model that gives what it gets, over a batch.
    one_x = f32(rng.normal(size=(8, 1)))
    one_y = (rng.random((8, 1)) < 0.4).astype(np.float32)
    model = keras.Sequential([keras.layers.Identity()])
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=loss)
    put("one_x", one_x)
    put("one_y", one_y)
    weighted = model.train_on_batch(one_x.astype(np.float32), one_y, class_weight={0: 0.75, 1: 4.0})
    put("one_weighted", weighted)


def quantiles():
    levels = [0.1, 0.5, 0.8]
    x = torch.tensor(f32(rng.normal(size=(7, 6))), requires_grad=True)
    y = torch.tensor(f32(rng.normal(size=(7, 2))))
    w = f32([1.0, 0.5, 2.0, 0.0, 1.25, 3.0, 0.75])
    put("quantiles_x", x.detach())
    put("quantiles_y", y)
    put("quantiles_w", w)
    e = y[:, :, None] - x.view(7, 2, 3)
    q = torch.tensor(np.asarray(levels, dtype=np.float32).astype(np.float64))
    note("quantiles", x, torch.maximum(q * e, (q - 1) * e).mean())
    xs, ys = x.detach().numpy().reshape(7, 2, 3), y.numpy()
    for name, w in [("plain", np.ones(7)), ("weighted", w)]:
        pinball = [sk.mean_pinball_loss(ys, xs[:, :, j], alpha=q, sample_weight=w) for j, q in enumerate(levels)]
        put(f"{name}_pinball", pinball[2])
        put(f"{name}_crps", 2 * np.mean(pinball))
        within = (xs[:, :, 0] <= ys) & (ys <= xs[:, :, 2])
        put(f"{name}_coverage", np.average(within.mean(1), weights=w))
        put(f"{name}_width", np.average((xs[:, :, 2] - xs[:, :, 0]).mean(1), weights=w))
        own = {"sample_weight": w}
        put(f"{name}_mae", sk.mean_absolute_error(ys, xs[:, :, 1], **own))
        put(f"{name}_rmse", np.sqrt(sk.mean_squared_error(ys, xs[:, :, 1], **own)))
        put(f"{name}_r2", sk.r2_score(ys, xs[:, :, 1], **own))


def thresholds():
    n, w = 40, None
    y = rng.random(n) < 0.2
    x = f32(np.round(rng.normal(size=n) - 1.0 + 1.5 * y, 1))
    p = 1 / (1 + np.exp(-x))
    put("rare_x", x)
    put("rare_y", y)
    for name, t in [("30", 0.3), ("70", 0.7)]:
        said = p > t
        put(f"rare_accuracy_{name}", sk.accuracy_score(y, said))
        put(f"rare_precision_{name}", sk.precision_score(y, said, zero_division=0))
        put(f"rare_recall_{name}", sk.recall_score(y, said))
        put(f"rare_f1_{name}", sk.f1_score(y, said))
        put(f"rare_macro_{name}", sk.f1_score(y, said, average="macro"))
        put(f"rare_mcc_{name}", sk.matthews_corrcoef(y, said))
        put(f"rare_said_{name}", said)
    weights = f32(rng.random(n) + 0.25)
    put("rare_w", weights)
    for name, w in [("plain", None), ("weighted", weights)]:
        precision, recall, at = sk.precision_recall_curve(y, p, sample_weight=w)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-30)
        put(f"rare_best_{name}", f1.max())
        # The lowest score that is still yes, of thresholds that are as good the highest.
        put(f"rare_least_{name}", at[np.flatnonzero(f1[:-1] > f1.max() - 1e-12).max()])


soft()
binary()
quantiles()
thresholds()
save_file(out, HERE / "targets.safetensors")
