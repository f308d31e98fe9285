"""Makes the variant_*.safetensors files beside it with PyTorch, Keras and ONNX Runtime: see README.md.

    KERAS_BACKEND=torch python make_variants.py
"""

import os
import pathlib

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper
from safetensors.numpy import save_file
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

HERE = pathlib.Path(__file__).parent


def array(v):
    if isinstance(v, torch.Tensor):
        v = v.detach().cpu().numpy()
    return np.ascontiguousarray(v, dtype=np.float32).reshape(-1)


def save(name, tensors):
    save_file({k: array(v) for k, v in tensors.items()}, HERE / f"variant_{name}.safetensors")


def rand(*shape):
    return torch.randn(*shape).float().double().requires_grad_()


def pytorch(name, b, t, i, h, layers=1, both=False, bias=True, proj=0, lengths=None):
    layer = nn.LSTM(i, h, layers, bias=bias, batch_first=True, bidirectional=both, proj_size=proj).double()
    with torch.no_grad():
        for key, p in layer.named_parameters():
            p.copy_(p.float())
            if key.startswith("bias_hh"):
                p.zero_()
    x, d = rand(b, t, i), 2 if both else 1
    if lengths:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, (h_n, c_n) = layer(packed)
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=t)
    else:
        y, (h_n, c_n) = layer(x)
    d_y, d_h, d_c = rand(*y.shape), rand(*h_n.shape), rand(*c_n.shape)
    ((y * d_y).sum() + (h_n * d_h).sum() + (c_n * d_c).sum()).backward()
    out = {"sizes": torch.tensor([b, t, i, h, layers, d, int(bias), proj]), "x": x, "y": y, "h_n": h_n, "c_n": c_n}
    out |= {"lengths": torch.tensor(lengths or [t] * b), "d_y": d_y, "d_h_n": d_h, "d_c_n": d_c, "d_x": x.grad}
    for key, p in layer.named_parameters():
        if not key.startswith("bias_hh"):
            key = key.replace("bias_ih", "bias")
            out |= {key: p, f"d_{key}": p.grad}
    save(f"pytorch_{name}", out)


def keras_merge(mode, b, t, i, h):
    inner = keras.layers.LSTM(h, return_sequences=True, bias_initializer="uniform")
    layer = keras.layers.Bidirectional(inner, merge_mode=mode)
    x = torch.randn(b, t, i, requires_grad=True)
    mask = torch.rand(b, t) > 0.3
    mask[:, 0] = True
    y = layer(x, mask=mask)
    d_y = torch.randn(*y.shape)
    (y * d_y).sum().backward()
    out = {"sizes": np.array([b, t, i, h]), "x": x, "mask": mask, "y": y, "d_y": d_y, "d_x": x.grad}
    # Keras: [I,4H], gates i, f, c, o.
    names = ["weight_ih_l0", "weight_hh_l0", "bias_l0"]
    for suffix, one in [("", layer.forward_layer), ("_reverse", layer.backward_layer)]:
        for key, variable in zip(names, one.weights):
            value, grad = variable.value, variable.value.grad
            out |= {key + suffix: value.T if value.ndim == 2 else value}
            out |= {f"d_{key}{suffix}": grad.T if grad.ndim == 2 else grad}
    save(f"keras_{mode}", out)


def keras_cell(name, b, t, i, h, masked=False, **options):
    layer = keras.layers.LSTM(h, return_sequences=True, bias_initializer="uniform", **options)
    x = torch.randn(b, t, i, requires_grad=True)
    mask = torch.rand(b, t) > 0.4 if masked else torch.ones(b, t) > 0
    y = layer(x, mask=mask)
    d_y = torch.randn(*y.shape)
    (y * d_y).sum().backward()
    out = {"sizes": np.array([b, t, i, h]), "x": x, "y": y, "d_y": d_y, "d_x": x.grad}
    if masked:
        out["mask"] = mask
    for key, variable in zip(["weight_ih_l0", "weight_hh_l0", "bias_l0"], layer.weights):
        value, grad = variable.value, variable.value.grad
        out |= {key: value.T if value.ndim == 2 else value, f"d_{key}": grad.T if grad.ndim == 2 else grad}
    save(f"keras_{name}", out)


def onnx(name, b, t, i, h, d=1, peepholes=False, lengths=None, **attributes):
    rng = np.random.default_rng(len(name))
    draw = lambda *shape: rng.uniform(-0.7, 0.7, shape).astype(np.float32)
    feeds = {"X": draw(t, b, i) * 2, "W": draw(d, 4 * h, i), "R": draw(d, 4 * h, h), "B": draw(d, 8 * h)}
    feeds["sequence_lens"] = np.array(lengths or [t] * b, dtype=np.int32)
    feeds |= {"initial_h": draw(d, b, h), "initial_c": draw(d, b, h)}
    if peepholes:
        feeds["P"] = draw(d, 3 * h)
    order = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
    node = helper.make_node(
        "LSTM", [k if k in feeds else "" for k in order], ["Y", "Y_h", "Y_c"], hidden_size=h, **attributes
    )
    kind = lambda k: TensorProto.INT32 if k == "sequence_lens" else TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info(k, kind(k), v.shape) for k, v in feeds.items()]
    outputs = [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in ["Y", "Y_h", "Y_c"]]
    model = helper.make_model(helper.make_graph([node], "g", inputs, outputs), opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 9
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y, h_n, c_n = session.run(None, feeds)
    out = {"sizes": np.array([b, t, i, h, d]), "lengths": feeds["sequence_lens"]}
    out |= {"x": feeds["X"].transpose(1, 0, 2), "y": y.transpose(2, 0, 1, 3), "h_n": h_n, "c_n": c_n}
    # ONNX: gates i, o, f, c; peepholes i, o, f; two biases.
    gates = lambda m: m.reshape(4, h, -1)[[0, 2, 3, 1]]
    for n, suffix in enumerate(["", "_reverse"][:d]):
        out |= {f"weight_ih_l0{suffix}": gates(feeds["W"][n]), f"weight_hh_l0{suffix}": gates(feeds["R"][n])}
        out |= {f"bias_l0{suffix}": gates(feeds["B"][n][: 4 * h] + feeds["B"][n][4 * h :])}
        out |= {f"h_0{suffix}": feeds["initial_h"][n], f"c_0{suffix}": feeds["initial_c"][n]}
        if peepholes:
            out[f"peephole_l0{suffix}"] = feeds["P"][n].reshape(3, h)[[0, 2, 1]]
    save(f"onnx_{name}", out)


torch.manual_seed(5)
keras.utils.set_random_seed(5)
pytorch("stacked", 3, 5, 4, 6, layers=3)
pytorch("both", 3, 4, 2, 5, layers=2, both=True)
pytorch("both_lengths", 4, 6, 3, 5, layers=2, both=True, lengths=[2, 6, 1, 4])
pytorch("no_bias", 2, 3, 4, 3, bias=False)
pytorch("projection", 3, 5, 4, 7, layers=2, proj=3)
pytorch("projection_both", 3, 4, 2, 6, both=True, proj=2, lengths=[4, 1, 3])
for mode in ["concat", "sum", "ave", "mul"]:
    keras_merge(mode, 3, 6, 4, 5)
keras_cell("hard_sigmoid", 3, 4, 2, 5, recurrent_activation="hard_sigmoid")
keras_cell("relu", 3, 4, 2, 5, activation="relu")
keras_cell("backwards", 3, 4, 2, 5, go_backwards=True)
onnx("peepholes", 3, 4, 2, 5, peepholes=True)
onnx("peepholes_both", 3, 4, 2, 5, d=2, peepholes=True, direction="bidirectional")
onnx("lengths_both", 4, 5, 2, 3, d=2, lengths=[5, 2, 1, 4], direction="bidirectional")
onnx("reverse", 3, 4, 2, 5, direction="reverse")
onnx("input_forget", 3, 4, 2, 5, input_forget=1)
onnx("clip", 3, 4, 2, 5, clip=0.3)
acts = {
    "hard_sigmoid": (["HardSigmoid", "Tanh", "Tanh"], {"activation_alpha": [0.2], "activation_beta": [0.5]}),
    "relu": (["Sigmoid", "Relu", "Relu"], {}),
    "leaky_relu": (["Sigmoid", "LeakyRelu", "Tanh"], {"activation_alpha": [0.1]}),
    "scaled_tanh": (["Sigmoid", "ScaledTanh", "Tanh"], {"activation_alpha": [1.5], "activation_beta": [0.7]}),
    "elu": (["Sigmoid", "Elu", "Tanh"], {"activation_alpha": [0.8]}),
    "softsign": (["Sigmoid", "Softsign", "Softsign"], {}),
    "softplus": (["Sigmoid", "Softplus", "Tanh"], {}),
    "thresholded_relu": (["Sigmoid", "ThresholdedRelu", "Tanh"], {"activation_alpha": [0.2]}),
    "affine": (["Sigmoid", "Affine", "Tanh"], {"activation_alpha": [0.5], "activation_beta": [0.1]}),
}
for name, (activations, parameters) in acts.items():
    onnx(name, 3, 4, 2, 5, activations=activations, **parameters)
keras_cell("mask", 3, 7, 2, 5, masked=True)
