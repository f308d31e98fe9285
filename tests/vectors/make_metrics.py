"""Metrics by scikit-learn, and by their definitions where it has none."""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from sklearn import metrics as sk

HERE = Path(__file__).parent
rng = np.random.default_rng(7)
out = {}

# Frames of sequences of these lengths, and a weight for each sequence.
LENGTHS = [7, 1, 4, 9, 2, 5, 3, 8, 6]
SAMPLES = [1.0, 0.5, 2.0, 0.0, 1.25, 3.0, 0.75, 1.0, 0.25]
N = sum(LENGTHS)
FRAMES = np.repeat(SAMPLES, LENGTHS)
IGNORED = 7


def put(name, values):
    out[name] = np.asarray(values, dtype=np.float32).reshape(-1)


def f32(x):
    return x.astype(np.float32).astype(np.float64)


def counts(name, y, said, w, classes):
    for average in ["macro", "micro"]:
        own = {"average": average, "zero_division": 0, "sample_weight": w}
        put(f"{name}_precision_{average}", sk.precision_score(y, said, **own))
        put(f"{name}_recall_{average}", sk.recall_score(y, said, **own))
        put(f"{name}_f1_{average}", sk.f1_score(y, said, **own))
    own = {"average": None, "labels": list(range(classes)), "zero_division": 0, "sample_weight": w}
    put(f"{name}_precision_each", sk.precision_score(y, said, **own))
    put(f"{name}_recall_each", sk.recall_score(y, said, **own))
    put(f"{name}_f1_each", sk.f1_score(y, said, **own))


def of_classes(name, logits, labels, w):
    """Without the rows of weight 0, which scikit-learn takes for classes that occur."""
    on = w > 0
    logits, labels, w = logits[on], labels[on], w[on]
    classes = logits.shape[1]
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    said = logits.argmax(1)
    put(f"{name}_accuracy", sk.accuracy_score(labels, said, sample_weight=w))
    order = np.argsort(-logits, axis=1, kind="stable")
    for k in [2, 3]:
        hits = (order[:, :k] == labels[:, None]).any(1)
        put(f"{name}_top_{k}", np.average(hits, weights=w))
    counts(name, labels, said, w, classes)
    # tn / (tn + fp) of each class against the others; averages are over those that are labels or answers.
    cells = sk.multilabel_confusion_matrix(labels, said, labels=range(classes), sample_weight=w)
    tn, negative = cells[:, 0, 0], cells[:, 0].sum(1)
    put(f"{name}_specificity_each", tn / negative)
    there = np.isin(range(classes), np.union1d(labels, said))
    put(f"{name}_specificity_macro", (tn / negative)[there].mean())
    put(f"{name}_specificity_micro", tn[there].sum() / negative[there].sum())
    put(f"{name}_mcc", sk.matthews_corrcoef(labels, said, sample_weight=w))
    loss = sk.log_loss(labels, p, sample_weight=w, labels=range(classes))
    put(f"{name}_log_loss", loss)
    put(f"{name}_perplexity", np.exp(loss))
    put(f"{name}_matrix", sk.confusion_matrix(labels, said, labels=range(classes), sample_weight=w))
    which = [1] if classes == 2 else range(classes)
    areas = [sk.roc_auc_score(labels == c, p[:, c], sample_weight=w) for c in which if (labels == c).any()]
    put(f"{name}_roc_auc", np.mean(areas))
    areas = [sk.average_precision_score(labels == c, p[:, c], sample_weight=w) for c in which]
    put(f"{name}_average_precision", np.mean(areas))


def classes():
    # One decimal: there are ties. Class 3 is never said, 4 is neither said nor there.
    logits = f32(np.round(rng.normal(size=(N, 5)), 1))
    logits[:, 3] -= 5
    logits[:, 4] -= 7
    logits = f32(logits)
    labels = np.where(rng.random(N) < 0.6, logits.argmax(1), rng.integers(0, 4, N))
    ignored = rng.random(N) < 0.2
    put("multi_x", logits)
    put("multi_labels", labels)
    put("multi_ignoring", np.where(ignored, IGNORED, labels))
    of_classes("multi_plain", logits, labels, np.ones(N))
    of_classes("multi_weighted", logits, labels, FRAMES * ~ignored)
    logits = f32(np.round(rng.normal(size=(N, 2)), 1))
    labels = np.where(rng.random(N) < 0.5, logits.argmax(1), rng.integers(0, 2, N))
    put("two_x", logits)
    put("two_labels", labels)
    of_classes("two_plain", logits, labels, np.ones(N))


def binary(name, x, y, w):
    p = 1 / (1 + np.exp(-x))
    each = w[:, None]
    put(f"{name}_accuracy", np.average((x > 0) == (y > 0.5), weights=np.broadcast_to(each, x.shape)))
    put(f"{name}_at_30", np.average((p > 0.3) == (y > 0.5), weights=np.broadcast_to(each, x.shape)))
    losses = [sk.log_loss(y[:, j], p[:, j], sample_weight=w, labels=[0, 1]) for j in range(x.shape[1])]
    put(f"{name}_log_loss", np.mean(losses))
    if x.shape[1] == 1:
        said = (x[:, 0] > 0).astype(int)
        put(f"{name}_mcc", sk.matthews_corrcoef(y[:, 0], said, sample_weight=w))
        counts(name, y[:, 0], said, w, 2)
    else:
        counts(name, y, (x > 0).astype(int), w, x.shape[1])
    put(f"{name}_roc_auc", sk.roc_auc_score(y, x, average="macro", sample_weight=w))
    put(f"{name}_average_precision", sk.average_precision_score(y, x, average="macro", sample_weight=w))


def binaries():
    for name, width in [("one", 1), ("labels", 3)]:
        x = f32(np.round(rng.normal(size=(N, width)), 1))
        y = (x + rng.normal(size=x.shape) > 0.4).astype(int)
        put(f"{name}_x", x)
        put(f"{name}_y", y)
        binary(f"{name}_plain", x, y, np.ones(N))
        binary(f"{name}_weighted", x, y, FRAMES)


def regression(name, x, y, w):
    own = {"sample_weight": w}
    put(f"{name}_mae", sk.mean_absolute_error(y, x, **own))
    put(f"{name}_mse", sk.mean_squared_error(y, x, **own))
    put(f"{name}_rmse", np.sqrt(sk.mean_squared_error(y, x, **own)))
    put(f"{name}_mape", sk.mean_absolute_percentage_error(y, x, **own))
    size = np.abs(x) + np.abs(y)
    share = np.where(size == 0, 0, 2 * np.abs(x - y) / np.where(size == 0, 1, size))
    put(f"{name}_smape", np.average(share.mean(1), weights=w))
    put(f"{name}_r2", sk.r2_score(y, x, **own))
    put(f"{name}_pinball", sk.mean_pinball_loss(y, x, alpha=0.9, **own))


def numbers():
    # The second column is far from 0, which a difference of sums of squares would not survive.
    y = f32(np.stack([rng.normal(size=N), 1000 + rng.normal(size=N)], 1))
    x = f32(y + rng.normal(size=y.shape) * 0.5)
    x[3, 0] = y[3, 0] = 0
    put("numbers_x", x)
    put("numbers_y", y)
    regression("numbers_plain", x, y, np.ones(N))
    regression("numbers_weighted", x, y, FRAMES)
    levels = [0.1, 0.5, 0.9]
    y = f32(rng.normal(size=N))
    x = f32(np.stack([rng.normal(size=N) * 0.3 + shift for shift in [-1.3, 0, 1.3]], 1))
    x[2, 2] = y[2]
    put("quantiles_x", x)
    put("quantiles_y", y)
    for name, w in [("plain", np.ones(N)), ("weighted", FRAMES)]:
        losses = [sk.mean_pinball_loss(y, x[:, j], alpha=q, sample_weight=w) for j, q in enumerate(levels)]
        put(f"quantiles_{name}_crps", 2 * np.mean(losses))
        within = (x[:, 0] <= y) & (y <= x[:, 2])
        put(f"quantiles_{name}_coverage", np.average(within, weights=w))


def distance(a, b):
    """By its definition: the shorter problems first, all of them kept."""
    table = {}
    for i in range(len(a) + 1):
        for j in range(len(b) + 1):
            if i == 0 or j == 0:
                table[i, j] = i + j
            else:
                table[i, j] = min(
                    table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a[i - 1] != b[j - 1])
                )
    return table[len(a), len(b)]


def bleu(found, expected, order=4):
    logs = 0
    for n in range(1, order + 1):
        right = total = 0
        for a, b in zip(found, expected):
            count = lambda s: Counter(tuple(s[i : i + n]) for i in range(len(s) - n + 1))
            right += (count(a) & count(b)).total()
            total += count(a).total()
        if right == 0:
            return 0.0
        logs += np.log(right / total)
    c, r = sum(map(len, found)), sum(map(len, expected))
    return np.exp(min(0, 1 - r / c) + logs / order)


TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def spans(tags):
    """As conlleval tells where a chunk begins and ends, by the tags on both sides."""
    result, start = set(), None
    pairs = [("O", "")] + [(t[0], t[2:]) for t in tags] + [("O", "")]
    for i in range(1, len(pairs)):
        (before, kind), (now, next_kind) = pairs[i - 1], pairs[i]
        if start is not None and (now in "BO" or kind != next_kind):
            result.add((start, i - 1, kind))
            start = None
        if now == "B" or (now == "I" and (before == "O" or kind != next_kind)):
            start = i - 1
    return result


def sequences():
    found = [rng.integers(0, 4, n) for n in [6, 9, 0, 12, 3, 7]]
    expected = [np.where(rng.random(len(s)) < 0.8, s, 3) for s in found]
    # Some lengths differ.
    expected[1] = expected[1][:5]
    expected[2] = np.array([1, 2])
    expected[5] = np.concatenate([expected[5], [2, 1]])
    for name, parts in [("found", found), ("expected", expected)]:
        put(f"tokens_{name}", np.concatenate(parts))
        put(f"tokens_{name}_lengths", [len(s) for s in parts])
    edits = [distance(list(a), list(b)) for a, b in zip(found, expected)]
    put("tokens_edits", edits)
    put("tokens_rate", sum(edits) / sum(map(len, expected)))
    put("tokens_bleu", bleu(found, expected))
    assert out["tokens_bleu"][0] > 0.1
    # As long as the sequences of the other cases.
    expected = [rng.integers(0, 5, n) for n in LENGTHS]
    found = [np.where(rng.random(len(s)) < 0.75, s, rng.integers(0, 5, len(s))) for s in expected]
    put("tags_found", np.concatenate(found))
    put("tags_expected", np.concatenate(expected))
    of = lambda s: spans([TAGS[t] for t in s])
    right = sum(len(of(a) & of(b)) for a, b in zip(found, expected))
    said, there = sum(len(of(a)) for a in found), sum(len(of(b)) for b in expected)
    put("tags_scores", [right / said, right / there, 2 * right / (said + there)])
    edits = [distance(list(a), list(b)) for a, b in zip(found, expected)]
    put("tags_edit_distance", np.mean(edits))
    put("tags_error_rate", sum(edits) / N)
    put("tags_bleu", bleu(found, expected))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    put("lengths", LENGTHS)
    put("samples", SAMPLES)
    classes()
    binaries()
    numbers()
    sequences()
    save_file(out, HERE / "metrics.safetensors")
    for key, value in out.items():
        if len(value) < 6:
            print(key, value)
