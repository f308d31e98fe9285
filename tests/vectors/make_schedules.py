"""Factors of the learning rate by torch.optim.lr_scheduler, in double precision: schedules.safetensors.

Of each schedule, the rate before each step; of ReduceLROnPlateau, losses and the rates after each.
"""

import math
import random
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.optim import lr_scheduler as lr


def rates(make, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return torch.tensor(found, dtype=torch.float32)


def one_cycle(total, **options):
    return lambda o: lr.OneCycleLR(o, 1.0, total_steps=total, cycle_momentum=False, **options)


def warm_up(steps, then):
    def make(o):
        first = lr.LinearLR(o, 1 / steps, total_iters=steps - 1)
        return lr.SequentialLR(o, [first, then(o)], [steps])

    return make


def plateau(losses, **options):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = lr.ReduceLROnPlateau(optimizer, **options)
    found = []
    for loss in losses:
        schedule.step(loss)
        found.append(optimizer.param_groups[0]["lr"])
    return torch.tensor(found, dtype=torch.float32)


tensors = {
    "constant": rates(lambda o: lr.ConstantLR(o, 1.0), 5),
    "step": rates(lambda o: lr.StepLR(o, 30, 0.3), 100),
    "exponential": rates(lambda o: lr.ExponentialLR(o, 0.9995), 1000),
    "polynomial": rates(lambda o: lr.PolynomialLR(o, 77, 2.5), 100),
    "cosine": rates(lambda o: lr.CosineAnnealingLR(o, 90, 0.02), 91),
    "restarts": rates(lambda o: lr.CosineAnnealingWarmRestarts(o, 13, 1, 0.1), 100),
    "restarts_growing": rates(lambda o: lr.CosineAnnealingWarmRestarts(o, 7, 3, 0.0), 300),
    "one_cycle": rates(one_cycle(101), 100),
    "one_cycle_linear": rates(
        one_cycle(64, pct_start=0.25, anneal_strategy="linear", div_factor=10.0), 63
    ),
    "one_cycle_three": rates(
        one_cycle(90, pct_start=0.4, three_phase=True, final_div_factor=50.0), 89
    ),
    "warm_up": rates(warm_up(20, lambda o: lr.ExponentialLR(o, 0.97)), 100),
    "inverse_square_root": rates(
        lambda o: lr.LambdaLR(o, lambda s: min((s + 1) / 40, math.sqrt(40 / (s + 1)))), 200
    ),
}

random.seed(3)
losses = torch.tensor([1 / (1 + 0.2 * (i % 17)) + random.random() * 0.1 for i in range(60)])
losses[20:40] = losses[19]
tensors["losses"] = losses
seen = losses.double().tolist()
tensors["plateau"] = plateau(seen, factor=0.5, patience=2, cooldown=1, min_lr=0.05)
tensors["plateau_max"] = plateau(seen, mode="max", factor=0.9, patience=1, threshold=0.01)
tensors["plateau_abs"] = plateau(
    seen, factor=0.3, patience=0, threshold=0.05, threshold_mode="abs", min_lr=1e-3
)
save_file(tensors, Path(__file__).parent / "schedules.safetensors")
