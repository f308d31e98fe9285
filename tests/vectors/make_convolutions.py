"""Layers around an LSTM that models of PyTorch and Keras have: inputs, parameters, outputs and gradients.

Run with KERAS_BACKEND=torch; writes convolutions.safetensors. Values are channels last, as here.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras
import numpy as np
import torch
from safetensors.numpy import save_file

torch.manual_seed(3)
rng = np.random.default_rng(5)
out = {}


def put(name, value):
    value = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    out[name] = np.ascontiguousarray(value, dtype=np.float32)


def last(x):
    return x.transpose(1, 2)


# name: channels in and out, kernel, stride, dilation, groups, padding, timesteps
CONVS = {
    "plain": (3, 4, 3, 1, 1, 1, 0, 7),
    "strided": (3, 4, 4, 3, 1, 1, 2, 11),
    "dilated": (2, 6, 3, 1, 2, 2, 3, 9),
    "depthwise": (5, 5, 3, 2, 1, 5, 1, 8),
    "short": (3, 4, 3, 1, 1, 1, 1, 1),
}
for name, (c, o, k, s, d, g, p, t) in CONVS.items():
    layer = torch.nn.Conv1d(c, o, k, stride=s, padding=p, dilation=d, groups=g)
    x = torch.randn(2, t, c, requires_grad=True)
    y = last(layer(last(x)))
    d_y = torch.randn_like(y)
    (y * d_y).sum().backward()
    put(f"{name}.x", x), put(f"{name}.y", y), put(f"{name}.d_y", d_y), put(f"{name}.d_x", x.grad)
    put(f"{name}.weight", layer.weight), put(f"{name}.d_weight", layer.weight.grad)
    put(f"{name}.bias", layer.bias), put(f"{name}.d_bias", layer.bias.grad)

# Keras: name: kernel, stride, dilation, padding, activation
KERAS = {
    "same": (4, 2, 1, "same", "gelu"),
    "same_dilated": (3, 1, 2, "same", "selu"),
    "causal": (3, 1, 2, "causal", "relu"),
}
for name, (k, s, d, padding, activation) in KERAS.items():
    layer = keras.layers.Conv1D(
        4, k, strides=s, dilation_rate=d, padding=padding, activation=activation
    )
    x = rng.normal(size=(2, 9, 3)).astype(np.float32)
    put(f"keras_{name}.x", x), put(f"keras_{name}.y", layer(x))
    kernel, bias = layer.get_weights()
    put(f"keras_{name}.weight", kernel.transpose(2, 1, 0)), put(f"keras_{name}.bias", bias)

pools = {
    "max": lambda x: torch.nn.functional.max_pool1d(x, 3, 2, 1),
    "average": lambda x: torch.nn.functional.avg_pool1d(x, 3, 2, 1),
    "average_without": lambda x: torch.nn.functional.avg_pool1d(x, 3, 2, 1, count_include_pad=False),
}
x = torch.randn(2, 8, 3, requires_grad=True)
put("pool.x", x)
for name, pool in pools.items():
    y = last(pool(last(x)))
    d_y = torch.randn_like(y)
    x.grad = None
    (y * d_y).sum().backward()
    put(f"pool_{name}.y", y), put(f"pool_{name}.d_y", d_y), put(f"pool_{name}.d_x", x.grad)
for name, layer in {
    "max": keras.layers.MaxPooling1D(3, 2, padding="same"),
    "average": keras.layers.AveragePooling1D(3, 2, padding="same"),
}.items():
    put(f"pool_keras_{name}.y", layer(x.detach()))

norm = torch.nn.BatchNorm1d(3, eps=1e-3).eval()
with torch.no_grad():
    for value in (norm.weight, norm.bias, norm.running_mean):
        value.copy_(torch.randn(3))
    norm.running_var.copy_(torch.rand(3) + 0.2)
x.grad = None
y = last(norm(last(x)))
d_y = torch.randn_like(y)
(y * d_y).sum().backward()
put("norm.y", y), put("norm.d_y", d_y), put("norm.d_x", x.grad)
put("norm.weight", norm.weight), put("norm.d_weight", norm.weight.grad)
put("norm.bias", norm.bias), put("norm.d_bias", norm.bias.grad)
put("norm.running_mean", norm.running_mean), put("norm.running_var", norm.running_var)

samples = torch.randn(2, 40)
put("stft.x", samples)
window = torch.hann_window(16)
found = torch.stft(samples, 16, 5, window=window, center=False, return_complex=True).abs()
put("stft.y", last(found))
found = torch.stft(samples, 16, 5, window=window, center=True, return_complex=True).abs()
put("stft.centered", last(found))

F = torch.nn.functional
v = torch.tensor(
    np.concatenate([np.linspace(-9, 9, 73), [-60.0, 60.0, -3.0, 3.0, 6.0, 1e-4, -1e-4]]),
    dtype=torch.float32,
    requires_grad=True,
)
put("act.x", v)
TORCH = {
    "elu": lambda x: F.elu(x, 0.7),
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "softplus": lambda x: F.softplus(x, threshold=100.0),
    "softsign": F.softsign,
    "hard_sigmoid": F.hardsigmoid,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "relu6": F.relu6,
    "hard_silu": F.hardswish,
    "mish": F.mish,
    "thresholded_relu": lambda x: F.threshold(x, 0.5, 0.0),
}
for name, f in TORCH.items():
    v.grad = None
    y = f(v)
    y.sum().backward()
    put(f"act.{name}", y), put(f"act.d_{name}", v.grad)
K = keras.activations
for name, f in {
    "elu": lambda x: K.elu(x, 0.7), "selu": K.selu, "gelu": lambda x: K.gelu(x, approximate=False),
    "gelu_tanh": lambda x: K.gelu(x, approximate=True), "silu": K.silu, "softplus": K.softplus,
    "softsign": K.softsign, "hard_sigmoid": K.hard_sigmoid, "hard_silu": K.hard_silu,
    "mish": K.mish, "leaky_relu": lambda x: K.leaky_relu(x, 0.2), "relu6": K.relu6,
}.items():
    difference = np.abs(f(v.detach()).numpy() - out[f"act.{name}"]).max()
    assert difference < 1e-5, (name, difference)

# textgenrnn's AttentionWeightedAverage, with a mask.
x = rng.normal(size=(2, 5, 3))
w = rng.normal(size=3)
mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 1, 0]])
logits = x @ w
weights = np.exp(logits - logits.max(-1, keepdims=True)) * mask
weights /= weights.sum(-1, keepdims=True)
put("attention.x", x), put("attention.weight", w), put("attention.mask", mask)
put("attention.y", (x * weights[..., None]).sum(1))

# Masking, an LSTM and a dense layer.
x = rng.normal(size=(2, 6, 2)).astype(np.float32)
x[0, 2] = x[1, 0] = x[1, 5] = -1.0
model = keras.Sequential([keras.layers.Masking(-1.0), keras.layers.LSTM(3)])
put("masking.x", x), put("masking.y", model(x))
kernel, recurrent, bias = model.layers[1].get_weights()
put("masking.weight_ih", kernel.T), put("masking.weight_hh", recurrent.T), put("masking.bias", bias)

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "convolutions.safetensors")
save_file(out, path)
