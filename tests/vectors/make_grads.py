"""Makes grads.safetensors beside it with PyTorch: see README.md.

    python make_grads.py
"""

import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

SHAPES = [(5, 7), (5,), (3, 4, 2)]


def rand(*shape):
    return torch.randn(*shape).float().double()


def clipping(out):
    gradients = [rand(*shape) for shape in SHAPES]
    for i, gradient in enumerate(gradients):
        out[f"gradient_{i}"] = gradient
    kinds = {
        "value": lambda p: torch.nn.utils.clip_grad_value_(p, 0.5),
        "norm": lambda p: [torch.nn.utils.clip_grad_norm_([p], 1.5) for p in p],
        "global": lambda p: torch.nn.utils.clip_grad_norm_(p, 1.5),
        "loose": lambda p: torch.nn.utils.clip_grad_norm_(p, 100.0),
    }
    for name, clip in kinds.items():
        parameters = [torch.nn.Parameter(g.clone()) for g in gradients]
        for p, g in zip(parameters, gradients):
            p.grad = g.clone()
        total = clip(parameters)
        for i, p in enumerate(parameters):
            out[f"{name}_{i}"] = p.grad
        if name == "global":
            out["total"] = total


def averages(out):
    steps = 6
    for i in range(steps):
        for j, shape in enumerate(SHAPES):
            out[f"weights_{i}_{j}"] = rand(*shape)
    for name, options in {"ema": {"multi_avg_fn": get_ema_multi_avg_fn(0.8)}, "swa": {}}.items():
        module = torch.nn.Module()
        module.p = torch.nn.ParameterList([torch.zeros(s, dtype=torch.double) for s in SHAPES])
        average = AveragedModel(module, **options)
        for i in range(steps):
            with torch.no_grad():
                for j, p in enumerate(module.p):
                    p.copy_(out[f"weights_{i}_{j}"])
            average.update_parameters(module)
        for j, p in enumerate(average.module.p):
            out[f"{name}_{j}"] = p


if __name__ == "__main__":
    torch.manual_seed(7)
    out = {}
    clipping(out)
    averages(out)
    out = {k: v.detach().numpy().astype(np.float32).reshape(-1) for k, v in out.items()}
    save_file(out, pathlib.Path(__file__).parent / "grads.safetensors")
    print("PyTorch", torch.__version__)
