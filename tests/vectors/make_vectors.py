"""Makes the .safetensors files beside it with PyTorch: see README.md.

    python make_vectors.py
"""

import pathlib

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

HERE = pathlib.Path(__file__).parent


def rand(*shape):
    """Numbers that a 32-bit float holds, in 64 bits: all computation is in double precision."""
    return torch.randn(*shape).float().double().requires_grad_()


def save(name, tensors):
    out = {k: torch.as_tensor(v).detach().float().reshape(-1).contiguous() for k, v in tensors.items()}
    save_file(out, HERE / f"{name}.safetensors")


def lstm(name, b, t, i, h, lengths=None, state=False):
    layer = nn.LSTM(i, h, batch_first=True).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(p.float())
        layer.bias_hh_l0.zero_()
    x = rand(b, t, i)
    h_0, c_0 = (rand(b, h) if state else torch.zeros(b, h).double().requires_grad_() for _ in "hc")
    inputs, states = x, (h_0[None], c_0[None])
    if lengths:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, (h_n, c_n) = layer(packed, states)
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=t)
    else:
        y, (h_n, c_n) = layer(inputs, states)
    d_y, d_h_n, d_c_n = rand(b, t, h), rand(b, h), rand(b, h)
    ((y * d_y).sum() + (h_n[0] * d_h_n).sum() + (c_n[0] * d_c_n).sum()).backward()
    save(
        f"lstm_{name}",
        {
            "sizes": torch.tensor([b, t, i, h]),
            "lengths": torch.tensor(lengths or [t] * b),
            "x": x,
            "weight_ih": layer.weight_ih_l0,
            "weight_hh": layer.weight_hh_l0,
            "bias": layer.bias_ih_l0,
            "h_0": h_0,
            "c_0": c_0,
            "y": y,
            "h_n": h_n,
            "c_n": c_n,
            "d_y": d_y,
            "d_h_n": d_h_n,
            "d_c_n": d_c_n,
            "d_x": x.grad,
            "d_weight_ih": layer.weight_ih_l0.grad,
            "d_weight_hh": layer.weight_hh_l0.grad,
            "d_bias": layer.bias_ih_l0.grad,
            "d_h_0": h_0.grad,
            "d_c_0": c_0.grad,
        },
    )


def dense():
    x, weight, bias, d_y = rand(5, 7), rand(3, 7), rand(3), rand(5, 3)
    out = {"x": x, "weight": weight, "bias": bias, "d_y": d_y}
    acts = {
        "linear": lambda z: z,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": torch.relu,
        "softmax": lambda z: torch.softmax(z, -1),
    }
    for name, act in acts.items():
        y = act(F.linear(x, weight, bias))
        d_x, d_weight, d_bias = torch.autograd.grad((y * d_y).sum(), (x, weight, bias))
        out |= {f"y_{name}": y, f"d_x_{name}": d_x}
        out |= {f"d_weight_{name}": d_weight, f"d_bias_{name}": d_bias}
    save("dense", out)


def losses():
    weights = torch.tensor([0.5, 1.0, 0.0, 2.0, 1.5, 0.25]).double()
    x, labels = rand(6, 4), torch.tensor([0, 3, 1, 1, 2, 0])
    targets, bits = rand(6, 4).detach(), torch.randint(0, 2, (6, 4)).double()
    out = {"x": x, "weights": weights, "labels": labels, "targets": targets, "bits": bits}
    rows = {
        "cross_entropy": F.cross_entropy(x, labels, reduction="none"),
        "binary_cross_entropy": F.binary_cross_entropy_with_logits(x, bits, reduction="none").mean(-1),
        "mean_squared_error": F.mse_loss(x, targets, reduction="none").mean(-1),
    }
    for name, row in rows.items():
        for suffix, loss in [("", row.mean()), ("_weighted", (weights * row).sum() / weights.sum())]:
            (gradient,) = torch.autograd.grad(loss, x, retain_graph=True)
            out |= {name + suffix: loss, f"d_{name}{suffix}": gradient}
    save("losses", out)


def optimizers():
    start, gradients = rand(8, 4).detach(), [rand(8, 4).detach() for _ in range(5)]
    out = {"start": start} | {f"gradient_{i}": g for i, g in enumerate(gradients)}
    kinds = {
        "adam": lambda p: torch.optim.Adam([p], lr=0.01),
        "adamw": lambda p: torch.optim.AdamW([p], lr=0.01, weight_decay=0.1),
        "sgd": lambda p: torch.optim.SGD([p], lr=0.1),
        "momentum": lambda p: torch.optim.SGD([p], lr=0.1, momentum=0.9),
        "nesterov": lambda p: torch.optim.SGD([p], lr=0.1, momentum=0.9, nesterov=True),
    }
    for name, make in kinds.items():
        p = start.clone().requires_grad_()
        optimizer = make(p)
        for i, gradient in enumerate(gradients):
            p.grad = gradient.clone()
            optimizer.step()
            out[f"{name}_{i}"] = p.detach().clone()
    save("optimizers", out)


if __name__ == "__main__":
    torch.manual_seed(1)
    lstm("plain", 3, 5, 4, 7)
    lstm("one", 1, 1, 1, 1)
    lstm("lengths", 4, 6, 5, 8, lengths=[6, 1, 4, 3])
    lstm("odd", 2, 17, 5, 13)
    lstm("state", 3, 4, 3, 5, lengths=[4, 2, 4], state=True)
    dense()
    losses()
    optimizers()
    print("PyTorch", torch.__version__)
