"""Makes the ctc_*.safetensors files beside it: losses by PyTorch, alignments by torchaudio, beam searches by
TensorFlow. Each part needs its own library alone: see README.md.

    python make_ctc.py losses align beam
"""

import pathlib
import sys

import numpy as np
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent


def array(v):
    v = v.detach().cpu().numpy() if hasattr(v, "detach") else v
    return np.ascontiguousarray(v, dtype=np.float32).reshape(-1)


def save(name, tensors):
    save_file({k: array(v) for k, v in tensors.items()}, HERE / f"ctc_{name}.safetensors")


def losses():
    """Every reduction, with rows that no path fits: too few frames, and a class that is ruled out."""
    import torch
    from torch.nn import functional as F

    torch.manual_seed(71)
    blank = 2
    lengths = [9, 3, 8, 9, 4, 9]
    labels = [[1, 1, 0, 4], [0, 0, 1], [], [3, 0, 3], [4, 0, 0], [4, 4]]
    x = torch.randn(6, 9, 5).float().double()
    x[3, :, 3] = -torch.inf
    out = {"x": x, "lengths": lengths}
    for reduction in ["none", "sum", "mean"]:
        for zero in [False, True]:
            logits = x.clone().requires_grad_()
            loss = F.ctc_loss(
                logits.log_softmax(-1).transpose(0, 1),
                torch.tensor([label for row in labels for label in row]),
                torch.tensor(lengths),
                torch.tensor([len(row) for row in labels]),
                blank=blank,
                reduction=reduction,
                zero_infinity=zero,
            )
            # Another gradient for each row's loss.
            d = torch.arange(1, 7).double() / 4 if reduction == "none" else torch.tensor(1.5).double()
            loss.backward(d)
            name = f"{reduction}_{'zero' if zero else 'inf'}"
            out |= {name: loss, f"d_{name}": logits.grad}
    # What PyTorch gives for a sequence without frames.
    for row in [[], [1]]:
        lp = torch.randn(2, 1, 3).log_softmax(-1).requires_grad_()
        loss = F.ctc_loss(lp, torch.tensor([row]).long(), torch.tensor([0]), torch.tensor([len(row)]), reduction="sum")
        loss.backward()
        print("no frames", row, loss.item(), lp.grad.flatten().tolist())
    save("losses", out)


def align():
    """Likeliest paths for given labels."""
    import torch
    import torchaudio.functional as A

    torch.manual_seed(72)
    cases = [
        (6, 4, 0, [1, 2, 3], 1.0),
        (12, 5, 4, [0, 0, 2, 2], 2.0),
        (5, 3, 1, [2, 2, 0], 1.0),  # four frames are the fewest
        (40, 9, 0, [3, 3, 1, 8, 8, 8, 2, 5, 4, 1], 3.0),
        (90, 30, 0, [7, 7, 12, 29, 1, 1, 1, 20, 3, 15, 2, 2, 9, 11, 11, 4, 6, 28, 13, 5], 4.0),
    ]
    out = {"cases": len(cases)}
    for i, (t, c, blank, labels, spread) in enumerate(cases):
        logits = (spread * torch.randn(1, t, c)).float()
        path, scores = A.forced_align(logits.log_softmax(-1), torch.tensor([labels]), blank=blank)
        spans = A.merge_tokens(path[0], scores[0], blank=blank)
        out |= {
            f"{i}_dims": np.array([t, c, blank]),
            f"{i}_labels": np.array(labels),
            f"{i}_logits": logits,
            f"{i}_path": path,
            f"{i}_scores": scores,
            f"{i}_spans": np.array([[s.token, s.start, s.end, s.score] for s in spans]),
        }
    save("align", out)


def beam():
    """The best prefixes of wide beams and of narrow ones; TensorFlow's blank is the last class. Labels are
    padded with -1. At the edge of a narrow beam TensorFlow may lose some paths of a prefix that is pushed out
    and comes back: its probability is then less than by the definition, which these cases agree with."""
    import tensorflow as tf

    r = np.random.default_rng(73)
    cases = [(1, 5, 3, 300, 8, 1.0), (3, 12, 5, 1000, 5, 1.0), (2, 30, 8, 5, 3, 2.0), (2, 60, 20, 10, 4, 4.0)]
    out = {"cases": len(cases)}
    for i, (b, t, c, width, top, spread) in enumerate(cases):
        logits = (spread * r.standard_normal((b, t, c))).astype(np.float32)
        lengths = np.array([t, t - 3, 1][:b])
        x = tf.transpose(tf.constant(logits), [1, 0, 2])
        found, log_probabilities = tf.nn.ctc_beam_search_decoder(x, lengths, width, top)
        dense = [tf.sparse.to_dense(f, default_value=-1).numpy() for f in found]
        dense = [np.pad(f, [(0, 0), (0, t - f.shape[1])], constant_values=-1) for f in dense]
        greedy, path = tf.nn.ctc_greedy_decoder(tf.nn.log_softmax(x), lengths)
        greedy = tf.sparse.to_dense(greedy[0], default_value=-1).numpy()
        out |= {
            f"{i}_dims": np.array([b, t, c, width, top]),
            f"{i}_logits": logits,
            f"{i}_lengths": lengths,
            f"{i}_labels": np.stack(dense, 1),  # [B,top,T]
            f"{i}_log_probabilities": log_probabilities.numpy(),
            f"{i}_greedy": np.pad(greedy, [(0, 0), (0, t - greedy.shape[1])], constant_values=-1),
            f"{i}_greedy_log_probabilities": -path.numpy(),
        }
    save("beam", out)


if __name__ == "__main__":
    for part in sys.argv[1:]:
        {"losses": losses, "align": align, "beam": beam}[part]()
