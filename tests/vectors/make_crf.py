"""Makes crf.safetensors beside it: losses, gradients, marginals and best paths by pytorch-crf, in double precision.

    pip install torch safetensors pytorch-crf
    python make_crf.py

pytorch-crf has no constraints: a forbidden transition is one of -1e4 there, whose e^x is 0 in double precision.
"""

import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file
from torchcrf import CRF

HERE = pathlib.Path(__file__).parent
B, T, K = 5, 9, 5
LENGTHS = [9, 1, 6, 9, 4]
# O, B-X, I-X, B-Y, I-Y.
BIO = [(0, 2), (0, 4), (1, 4), (2, 4), (3, 2), (4, 2)]
STARTS = [2, 4]


def single(x):
    """Numbers that a 32-bit float holds."""
    return x.float().double()


def case(name, x, tags, values, forbidden):
    out = {}
    mask = torch.arange(T)[None] < torch.tensor(LENGTHS)[:, None]
    crf = CRF(K, batch_first=True).double()
    with torch.no_grad():
        for parameter, value in zip([crf.transitions, crf.start_transitions, crf.end_transitions], values):
            parameter.copy_(value)
        if forbidden:
            for i, j in BIO:
                crf.transitions[i, j] = -1e4
            for j in STARTS:
                crf.start_transitions[j] = -1e4
    e = x.clone().requires_grad_()
    out["each"] = -crf(e, tags, mask=mask, reduction="none")
    loss = -crf(e, tags, mask=mask, reduction="token_mean")
    loss.backward()
    out["loss"] = loss
    out["d_x"] = e.grad
    for n in ["transitions", "start_transitions", "end_transitions"]:
        out["d_" + n] = getattr(crf, n).grad.clone()
    # The marginals are the gradient of the logarithm of the sum over all paths.
    e = x.clone().requires_grad_()
    crf._compute_normalizer(e.transpose(0, 1), mask.transpose(0, 1)).sum().backward()
    out["marginals"] = e.grad
    paths = crf.decode(x, mask=mask)
    out["paths"] = torch.tensor([path + [0] * (T - len(path)) for path in paths])
    padded = out["paths"].clone()
    out["scores"] = crf._compute_score(x.transpose(0, 1), padded.transpose(0, 1), mask.transpose(0, 1))
    return {f"{name}.{k}": v for k, v in out.items()}


torch.manual_seed(91)
x = single(2 * torch.randn(B, T, K))
values = [single(torch.randn(K, K)), single(torch.randn(K)), single(torch.randn(K))]
tags = torch.randint(0, K, (B, T))
bio = torch.tensor(
    [
        [1, 2, 2, 0, 3, 4, 1, 2, 3],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
        [3, 3, 4, 4, 1, 0, 0, 0, 0],
        [0, 0, 1, 1, 2, 3, 0, 0, 1],
        [1, 2, 3, 4, 0, 0, 0, 0, 0],
    ]
)
out = {"x": x, "lengths": torch.tensor(LENGTHS), "tags": tags, "bio_tags": bio}
out |= dict(zip(["transitions", "start_transitions", "end_transitions"], values))
out |= case("plain", x, tags, values, False)
out |= case("bio", x, bio, values, True)


def array(v):
    return np.ascontiguousarray(v.detach().numpy(), dtype=np.float32).reshape(-1)


save_file({k: array(v) for k, v in out.items()}, HERE / "crf.safetensors")
