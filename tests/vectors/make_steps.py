"""Makes the steps_*.safetensors files beside it with Keras, PyTorch and ONNX Runtime: what layers make of steps
and rows that do not count, and plain recurrent layers in all forms. See README.md.

    KERAS_BACKEND=torch python make_steps.py
"""

import os
import pathlib

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import onnxruntime
import torch
from keras import layers
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
    save_file({k: array(v) for k, v in tensors.items()}, HERE / f"steps_{name}.safetensors")


def turned(v):
    return v.T if v.ndim == 2 else v


def weights_of(layer, prefix, names, suffix=""):
    """Weights and gradients under our names: Keras' matrices are [in, out]."""
    out = {}
    for key, variable in zip(names, layer.weights):
        table = key == "weight" and prefix == "embedding"
        of = (lambda v: v) if table else turned
        out[f"{prefix}.{key}{suffix}"] = of(variable.value)
        if variable.value.grad is not None:
            out[f"d.{prefix}.{key}{suffix}"] = of(variable.value.grad)
    return out


RECURRENT = ["weight_ih_l0", "weight_hh_l0", "bias_l0"]


def masked_dense():
    """Masking, LSTM, two Dense, and a loss over the steps that count."""
    b, t, i = 3, 6, 4
    values = torch.randn(b, t, i)
    mask = torch.rand(b, t) > 0.35
    mask[1, 4:] = False
    x = torch.where(mask[..., None], values, torch.zeros(())).requires_grad_()
    lstm = layers.LSTM(5, return_sequences=True, bias_initializer="uniform")
    one = layers.Dense(3, activation="tanh", bias_initializer="uniform")
    two = layers.Dense(2, use_bias=False)
    masked = layers.Masking(0.0)(x)
    h = lstm(masked)
    hidden = one(h)
    y = two(hidden)
    target = torch.randn(b, t, 2)
    loss = keras.losses.MeanSquaredError()(target, y)
    loss.backward()
    out = {"sizes": np.array([b, t, i]), "x": x, "mask": mask, "h": h, "hidden": hidden, "y": y}
    out |= {"target": target, "loss": loss, "d_x": x.grad}
    out |= weights_of(lstm, "lstm", RECURRENT) | weights_of(one, "dense", ["weight", "bias"])
    save("masked_dense", out | weights_of(two, "dense_1", ["weight"]))


def mask_zero(name, make):
    """Tokens of which 0 is left out."""
    tokens = np.array([[3, 0, 5, 1, 0], [2, 2, 0, 0, 0], [4, 1, 3, 5, 2], [0, 0, 2, 1, 4]])
    table = layers.Embedding(6, 3, mask_zero=True)
    parts, run, frames = make()
    y = run(table(tokens))
    target = torch.randn(*y.shape)
    loss = keras.losses.MeanSquaredError()(target, y)
    loss.backward()
    out = {"tokens": tokens, "y": y, "target": target, "loss": loss}
    out |= weights_of(table, "embedding", ["weight"])
    for layer, prefix, names, suffix in parts:
        out |= weights_of(layer, prefix, names, suffix)
    save(f"mask_zero_{name}", out)


def tagger():
    lstm, dense = layers.LSTM(4, return_sequences=True), layers.Dense(2, bias_initializer="uniform")
    parts = [(lstm, "lstm", RECURRENT, ""), (dense, "dense", ["weight", "bias"], "")]
    return parts, lambda x: dense(lstm(x)), True


def classifier():
    both = layers.Bidirectional(layers.LSTM(4))
    dense = layers.Dense(2, bias_initializer="uniform")
    parts = [(both.forward_layer, "lstm", RECURRENT, ""), (both.backward_layer, "lstm", RECURRENT, "_reverse")]
    return parts + [(dense, "dense", ["weight", "bias"], "")], lambda x: dense(both(x)), False


def pooled():
    pool, dense = layers.GlobalAveragePooling1D(), layers.Dense(2, bias_initializer="uniform")
    return [(dense, "dense", ["weight", "bias"], "")], lambda x: dense(pool(x)), False


def keras_recurrent(name, make, prefix, masked=True, state=False, last=False):
    """One direction of Keras' LSTM or SimpleRNN."""
    b, t, i, h = 3, 6, 3, 4
    layer = make(h, return_sequences=not last)
    x = torch.randn(b, t, i, requires_grad=True)
    mask = torch.rand(b, t) > 0.4 if masked else torch.ones(b, t) > 0
    mask[0, 0], mask[1, -1] = not masked, not masked
    first = [torch.randn(b, h) for _ in range(2 if prefix == "lstm" else 1)] if state else None
    y = layer(x, mask=mask, initial_state=first)
    d_y = torch.randn(*y.shape)
    (y * d_y).sum().backward()
    out = {"sizes": np.array([b, t, i, h]), "x": x, "mask": mask, "y": y, "d_y": d_y, "d_x": x.grad}
    for key, value in zip(["h_0", "c_0"], first or []):
        out[key] = value
    save(name, out | weights_of(layer, prefix, RECURRENT))


def keras_rnn_both(mode):
    b, t, i, h = 3, 6, 4, 5
    inner = layers.SimpleRNN(h, return_sequences=True, bias_initializer="uniform")
    layer = layers.Bidirectional(inner, merge_mode=mode)
    x = torch.randn(b, t, i, requires_grad=True)
    mask = torch.rand(b, t) > 0.3
    mask[:, 0] = True
    y = layer(x, mask=mask)
    d_y = torch.randn(*y.shape)
    (y * d_y).sum().backward()
    out = {"sizes": np.array([b, t, i, h]), "x": x, "mask": mask, "y": y, "d_y": d_y, "d_x": x.grad}
    out |= weights_of(layer.forward_layer, "rnn", RECURRENT)
    save(f"rnn_{mode}", out | weights_of(layer.backward_layer, "rnn", RECURRENT, "_reverse"))


def torch_rnn(name, b, t, i, h, count=1, both=False, bias=True, lengths=None, nonlinearity="tanh"):
    layer = nn.RNN(i, h, count, nonlinearity, bias=bias, batch_first=True, bidirectional=both).double()
    with torch.no_grad():
        for key, p in layer.named_parameters():
            p.copy_(p.float())
            if key.startswith("bias_hh"):
                p.zero_()
    d = 2 if both else 1
    rand = lambda *shape: torch.randn(*shape).float().double().requires_grad_()
    x, h_0 = rand(b, t, i), rand(count * d, b, h)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False) if lengths else x
    y, h_n = layer(packed, h_0)
    if lengths:
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=t)
    d_y, d_h = rand(*y.shape), rand(*h_n.shape)
    ((y * d_y).sum() + (h_n * d_h).sum()).backward()
    out = {"sizes": torch.tensor([b, t, i, h, count, d]), "lengths": torch.tensor(lengths or [t] * b)}
    out |= {"x": x, "h_0": h_0, "y": y, "h_n": h_n, "d_y": d_y, "d_h_n": d_h, "d_x": x.grad, "d_h_0": h_0.grad}
    for key, p in layer.named_parameters():
        if not key.startswith("bias_hh"):
            key = key.replace("bias_ih", "bias")
            out |= {f"rnn.{key}": p, f"d.rnn.{key}": p.grad}
    save(f"rnn_torch_{name}", out)


def onnx_empty(name, lengths, direction, state=True):
    """Rows without a step, which ONNX allows."""
    b, t, i, h, d = len(lengths), 5, 2, 3, 2 if direction == "bidirectional" else 1
    rng = np.random.default_rng(len(name))
    draw = lambda *shape: rng.uniform(-0.7, 0.7, shape).astype(np.float32)
    feeds = {"X": draw(t, b, i) * 2, "W": draw(d, 4 * h, i), "R": draw(d, 4 * h, h), "B": draw(d, 8 * h)}
    feeds["sequence_lens"] = np.array(lengths, dtype=np.int32)
    if state:
        feeds |= {"initial_h": draw(d, b, h), "initial_c": draw(d, b, h)}
    order = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c"]
    node = helper.make_node(
        "LSTM", [k if k in feeds else "" for k in order], ["Y", "Y_h", "Y_c"], hidden_size=h, direction=direction
    )
    kind = lambda k: TensorProto.INT32 if k == "sequence_lens" else TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info(k, kind(k), v.shape) for k, v in feeds.items()]
    outputs = [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in ["Y", "Y_h", "Y_c"]]
    graph = helper.make_graph([node], "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 9
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y, h_n, c_n = session.run(None, feeds)
    out = {"sizes": np.array([b, t, i, h, d]), "lengths": feeds["sequence_lens"]}
    out |= {"x": feeds["X"].transpose(1, 0, 2), "y": y.transpose(2, 0, 1, 3), "h_n": h_n, "c_n": c_n}
    gates = lambda m: m.reshape(4, h, -1)[[0, 2, 3, 1]]
    for n, suffix in enumerate(["", "_reverse"][:d]):
        out |= {f"weight_ih_l0{suffix}": gates(feeds["W"][n]), f"weight_hh_l0{suffix}": gates(feeds["R"][n])}
        out |= {f"bias_l0{suffix}": gates(feeds["B"][n][: 4 * h] + feeds["B"][n][4 * h :])}
        if state:
            out |= {f"h_0{suffix}": feeds["initial_h"][n], f"c_0{suffix}": feeds["initial_c"][n]}
    print(name, lengths, "\nh_n", h_n, "\nc_n", c_n, "\nh_0", feeds.get("initial_h"), "\nc_0", feeds.get("initial_c"))
    print("y of empty rows", [np.abs(y[:, :, n]).max() for n, l in enumerate(lengths) if l == 0])
    save(f"onnx_{name}", out)


torch.manual_seed(7)
keras.utils.set_random_seed(7)
masked_dense()
for name, make in [("tagger", tagger), ("classifier", classifier), ("pooled", pooled)]:
    mask_zero(name, make)
lstm = lambda h, **o: layers.LSTM(h, bias_initializer="uniform", zero_output_for_mask=True, **o)
rnn = lambda h, **o: layers.SimpleRNN(h, bias_initializer="uniform", **o)
keras_recurrent("zero_lstm", lstm, "lstm", state=True)
keras_recurrent("zero_lstm_back", lambda h, **o: lstm(h, go_backwards=True, **o), "lstm", state=True)
keras_recurrent("zero_rnn", lambda h, **o: rnn(h, zero_output_for_mask=True, **o), "rnn", state=True)
keras_recurrent("rnn_back", lambda h, **o: rnn(h, go_backwards=True, **o), "rnn", state=True)
keras_recurrent("rnn_relu", lambda h, **o: rnn(h, activation="relu", **o), "rnn")
no_bias = lambda h, **o: layers.SimpleRNN(h, use_bias=False, **o)
keras_recurrent("rnn_no_bias", no_bias, "rnn", masked=False, last=True)
for mode in ["concat", "sum", "ave", "mul"]:
    keras_rnn_both(mode)
torch_rnn("both", 4, 6, 3, 5, count=2, both=True, lengths=[2, 6, 1, 4])
torch_rnn("stacked", 3, 5, 4, 6, count=3, nonlinearity="relu")
torch_rnn("no_bias", 3, 4, 2, 5, both=True, bias=False)
onnx_empty("empty", [3, 0, 5, 0], "forward")
onnx_empty("empty_reverse", [0, 4, 0, 1], "reverse")
onnx_empty("empty_both", [0, 5, 2, 0], "bidirectional")
onnx_empty("empty_zeros", [0, 5, 2, 0], "bidirectional", state=False)
onnx_empty("none_both", [0, 0], "bidirectional")
