"""Negative log likelihoods of targets, and their gradients by the outputs that have the parameters: makes
likelihoods.safetensors with PyTorch's distributions in double precision and, where counts or degrees of freedom are
large, with mpmath.

    python make_likelihoods.py
"""

from pathlib import Path

import mpmath as mp
import numpy as np
import torch
from safetensors.numpy import save_file
from torch import distributions as D
from torch.nn.functional import softplus

HERE = Path(__file__).parent
rng = np.random.default_rng(22)
mp.mp.dps = 60
out = {}


def f32(x):
    return np.asarray(x, dtype=np.float32).astype(np.float64)


def put(name, values):
    out[name] = np.asarray(values, dtype=np.float32).reshape(-1)


def positive(x):
    return softplus(x) + np.float64(np.float32(1e-6))


def note(name, x, y, log_prob):
    """Of outputs x [n,P] and targets y [n,D]."""
    x, y = f32(x), f32(y)
    raw = torch.tensor(x, requires_grad=True)
    losses = -log_prob(raw, torch.tensor(y))
    losses.sum().backward()
    assert losses.isfinite().all() and raw.grad.isfinite().all(), name
    put(f"{name}_x", x)
    put(f"{name}_y", y)
    put(name, losses.detach().numpy())
    put(f"d_{name}", raw.grad.numpy())


def normal():
    x, y = rng.normal(size=(40, 2)) * 2, rng.normal(size=(40, 1)) * 3
    x[0], y[0] = (0.0, -30.0), 0.5  # a scale of 1e-6
    x[1], y[1] = (1e4, 90.0), -1e4
    x[2], y[2] = (3.0, -12.0), 3.0
    note("normal", x, y, lambda x, y: D.Normal(x[:, 0], positive(x[:, 1])).log_prob(y[:, 0]))


def student():
    x, y = rng.normal(size=(40, 3)) * 2, rng.normal(size=(40, 1)) * 3
    x[:, 2] = rng.uniform(-8, 40, size=40)
    x[0], y[0] = (0.0, -30.0, -30.0), 0.5
    x[1], y[1] = (1.0, 0.3, 3.0), 1e15
    x[2], y[2] = (0.0, 0.5, 900.0), 1.5

    def log_prob(x, y):
        return D.StudentT(2 + positive(x[:, 2]), x[:, 0], positive(x[:, 1])).log_prob(y[:, 0])

    note("student_t", x, y, log_prob)


def student_by_mpmath(x, y):
    """So many degrees of freedom that the distribution is nearly normal."""
    place, scale, raw = [mp.mpf(float(v)) for v in x]
    y = mp.mpf(float(y))
    floor = mp.mpf(float(np.float32(1e-6)))
    plus = lambda v: mp.log1p(mp.exp(v)) + floor

    def loss(place, scale, raw):
        s, nu = plus(scale), 2 + plus(raw)
        z = (y - place) / s
        return (mp.loggamma(nu / 2) - mp.loggamma((nu + 1) / 2) + mp.log(nu * mp.pi) / 2 + mp.log(s)
                + (nu + 1) / 2 * mp.log1p(z * z / nu))

    args = (place, scale, raw)
    slopes = [mp.diff(loss, args, tuple(int(i == j) for i in range(3))) for j in range(3)]
    return loss(*args), slopes


def large_student():
    x = f32([(0.5, 0.0, 1e4), (0.0, 1.0, 1e6), (0.0, 0.2, 300.0), (1.0, -2.0, 30.0)])
    y = f32([1.0, -4.0, 9.0, 1.4])
    found = [student_by_mpmath(x, y) for x, y in zip(x, y)]
    put("student_t_large_x", x)
    put("student_t_large_y", y)
    put("student_t_large", [float(loss) for loss, _ in found])
    put("d_student_t_large", [[float(s) for s in slopes] for _, slopes in found])


def count_by_mpmath(x, k):
    floor = mp.mpf(float(np.float32(1e-6)))
    raw, k = [mp.mpf(float(v)) for v in x], mp.mpf(float(k))
    mean, shape = [mp.log1p(mp.exp(v)) + floor for v in raw]
    slopes = [1 / (1 + mp.exp(-v)) for v in raw]
    r = 1 / shape
    log_p = (mp.loggamma(k + r) - mp.loggamma(r) - mp.loggamma(k + 1) - r * mp.log1p(shape * mean)
             + k * mp.log(shape * mean / (1 + shape * mean)))
    by_r = mp.digamma(k + r) - mp.digamma(r) - mp.log1p(mean / r) + (mean - k) / (r + mean)
    by_mean = (k - mean) / (mean * (1 + shape * mean))
    return -log_p, [-by_mean * slopes[0], by_r * r * r * slopes[1]]


def counts():
    x = f32(np.stack([rng.uniform(-4, 30, 40), rng.uniform(-12, 3, 40)], 1))
    y = f32(rng.negative_binomial(1, 0.08, size=40))
    y[:4] = 0
    huge = f32([(1e6, -30.0), (1e6, -30.0), (1e6, -1.0), (50.0, -30.0), (50.0, -14.0), (-30.0, 0.0), (-30.0, -30.0),
                (-30.0, 0.5), (5.0, 60.0), (1e9, 0.0), (2000.0, -7.0), (1e4, -20.0), (3.0, -9.0)])
    k = f32([999000, 1001000, 3, 50, 20, 0, 0, 4, 7, 2e9, 2100, 9900, 8000])
    x, y = np.concatenate([x, huge]), np.concatenate([y, k])
    found = [count_by_mpmath(x, k) for x, k in zip(x, y)]
    # PyTorch says the same where it has the digits for it.
    t = torch.tensor(x[:40])
    mean, shape = positive(t[:, 0]), positive(t[:, 1])
    torchs = D.NegativeBinomial(1 / shape, logits=torch.log(shape * mean)).log_prob(torch.tensor(y[:40]))
    own = np.array([float(loss) for loss, _ in found])
    np.testing.assert_allclose(own[:40], -torchs.numpy(), rtol=1e-8)
    put("counts_x", x)
    put("counts_y", y)
    put("counts", own)
    put("d_counts", [[float(s) for s in slopes] for _, slopes in found])


def mixture(name, n, components, targets):
    x = rng.normal(size=(n, components * (1 + 2 * targets)))
    y = rng.normal(size=(n, targets)) * 2
    y[0] = 300.0
    x[1, :components] = 80 * rng.normal(size=components)

    def log_prob(x, y):
        logits, rest = x[:, :components], x[:, components:]
        means, scales = rest.reshape(n, 2, components, targets).unbind(1)
        of = D.Independent(D.Normal(means, positive(scales)), 1)
        return D.MixtureSameFamily(D.Categorical(logits=logits), of).log_prob(y)

    note(name, x, y, log_prob)


def strokes(n, components):
    x = rng.normal(size=(n, 6 * components + 1))
    y = rng.normal(size=(n, 3)) * 2
    y[:, 2] = rng.integers(0, 2, n)
    x[0, 5 * components : 6 * components] = (9.0, -9.0, 2.0)
    x[1, -1], y[1, 2] = 40.0, 0

    def log_prob(x, y):
        k = components
        means, scales = x[:, k : 3 * k].reshape(n, k, 2), positive(x[:, 3 * k : 5 * k].reshape(n, k, 2))
        r = 0.9999 * torch.tanh(x[:, 5 * k : 6 * k])
        a, b = scales.unbind(2)
        covariance = torch.stack([a * a, r * a * b, r * a * b, b * b], 2).reshape(n, k, 2, 2)
        of = D.MultivariateNormal(means, covariance)
        moves = D.MixtureSameFamily(D.Categorical(logits=x[:, :k]), of).log_prob(y[:, :2])
        return moves + D.Bernoulli(logits=x[:, -1]).log_prob(y[:, 2])

    note("strokes", x, y, log_prob)


def quantiles():
    """What scipy says of the quantiles, the means and the intervals of some outputs."""
    from scipy import stats

    levels = f32([0.025, 0.3, 0.5, 0.9, 0.999])
    plus = lambda v: np.logaddexp(0, v) + np.float64(np.float32(1e-6))
    x = f32(np.stack([rng.normal(size=8) * 3, rng.normal(size=8), rng.uniform(-3, 60, 8)], 1))
    put("levels", levels)
    put("quantiles_x", x)
    put("quantiles_normal", [stats.norm.ppf(levels, m, plus(s)) for m, s, _ in x])
    put("quantiles_student_t", [stats.t.ppf(levels, 2 + plus(n), m, plus(s)) for m, s, n in x])
    x = f32(np.stack([rng.uniform(-2, 400, 8), rng.uniform(-6, 2, 8)], 1))
    mean, shape = plus(x.T)
    put("quantiles_counts_x", x)
    put("quantiles_counts", [stats.nbinom.ppf(levels, 1 / a, 1 / (1 + a * m)) for m, a in zip(mean, shape)])


normal()
student()
large_student()
counts()
mixture("mixture", 12, 3, 2)
mixture("mixture_one", 9, 4, 1)
strokes(12, 3)
quantiles()
save_file(out, HERE / "likelihoods.safetensors")
for name, values in out.items():
    print(name, len(values), values[:3])
