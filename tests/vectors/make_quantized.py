"""Operators on 8-bit integers as ONNX Runtime computes them: quantized.safetensors.

    python make_quantized.py     (onnx, onnxruntime, numpy, safetensors)
"""

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper
from safetensors.numpy import save_file

random = np.random.default_rng(7)
tensors = {}
TYPES = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.int8): TensorProto.INT8,
    np.dtype(np.int32): TensorProto.INT32,
}


def run(name, op, inputs, outputs, domain="", constants=(), **attributes):
    """Runs an operator, and keeps its inputs and outputs. Those in `constants` must be initialisers."""
    given = {key: value for key, value in inputs.items() if value is not None}
    names = [key if value is not None else "" for key, value in inputs.items()]
    node = helper.make_node(op, names, outputs, domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info(k, TYPES[v.dtype], v.shape)
            for k, v in given.items()
            if k not in constants
        ],
        [helper.make_empty_tensor_value_info(o) for o in outputs if o],
        [onnx.numpy_helper.from_array(v, k) for k, v in given.items() if k in constants],
    )
    opset = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    found = session.run(None, {k: v for k, v in given.items() if k not in constants})
    for key, value in [*given.items(), *zip(filter(None, outputs), found)]:
        tensors[f"{name}/{key}"] = np.ascontiguousarray(value)


def floats(*shape):
    return random.standard_normal(shape).astype(np.float32)


def bytes_of(kind, *shape):
    info = np.iinfo(kind)
    values = random.integers(info.min, info.max, shape, endpoint=True).astype(kind)
    values.reshape(-1)[: min(2, values.size)] = [info.min, info.max][: min(2, values.size)]
    return values


for n, x in enumerate(
    [
        floats(31),
        np.abs(floats(4)) + 1,
        -np.abs(floats(127)),
        np.zeros(3, np.float32),
        np.array([0.5, 1.5, 2.5, 255.0, 0.0], np.float32),
    ]
):
    run(f"dynamic/{n}", "DynamicQuantizeLinear", {"x": x}, ["y", "scale", "zero"])

x = floats(3, 5, 2) * 20
for kind in [np.uint8, np.int8]:
    one = bytes_of(kind, 1)[0]
    scale, zero = np.array(0.05, np.float32), np.array(one, kind)
    run(f"quantize/{np.dtype(kind)}_one", "QuantizeLinear", {"x": x, "scale": scale, "zero": zero}, ["y"])
    scale = (np.abs(floats(5)) / 8 + 0.01).astype(np.float32)
    zero = bytes_of(kind, 5)
    run(f"quantize/{np.dtype(kind)}_axis", "QuantizeLinear", {"x": x, "scale": scale, "zero": zero}, ["y"], axis=1)
    run(
        f"dequantize/{np.dtype(kind)}_axis",
        "DequantizeLinear",
        {"x": bytes_of(kind, 3, 5, 2), "scale": scale, "zero": zero},
        ["y"],
        axis=1,
    )

for n, (m, k, columns, a, b, za, zb) in enumerate(
    [
        (1, 1, 1, np.uint8, np.int8, 0, 0),
        (3, 31, 17, np.uint8, np.int8, 1, 0),
        (4, 64, 33, np.uint8, np.uint8, 1, 1),
        (5, 127, 3, np.int8, np.int8, 1, 1),
        (2, 4, 16, np.uint8, np.uint8, 1, 3),
        (2, 130, 65, np.uint8, np.int8, 1, 3),
    ]
):
    zero_a = None if za == 0 else bytes_of(a, 1)[0].reshape(())
    zero_b = {0: None, 1: bytes_of(b, 2)[1].reshape(()), 3: bytes_of(b, columns)}[zb]
    inputs = {"a": bytes_of(a, m, k), "b": bytes_of(b, k, columns), "za": zero_a, "zb": zero_b}
    run(f"matmul/{n}", "MatMulInteger", inputs, ["y"], constants=("b", "zb", "za"))

for n, (kind, each) in enumerate([(np.uint8, False), (np.int8, True)]):
    columns = 7
    run(
        f"qlinear/{n}",
        "QLinearMatMul",
        {
            "a": bytes_of(kind, 3, 31),
            "a_scale": np.array(0.02, np.float32),
            "a_zero": bytes_of(kind, 1)[0].reshape(()),
            "b": bytes_of(np.int8, 31, columns),
            "b_scale": (np.abs(floats(columns)) / 99 + 0.001) if each else np.array(0.011, np.float32),
            "b_zero": np.zeros(columns if each else (), np.int8),
            "y_scale": np.array(0.7, np.float32),
            "y_zero": np.array(3, kind),
        },
        ["y"],
        constants=("b", "b_scale", "b_zero", "a_scale", "a_zero", "y_scale", "y_zero"),
    )

for n, (t, b, i, h, d, kind, each, zero, states, lengths) in enumerate(
    [
        (1, 1, 1, 1, 1, np.int8, False, False, False, False),
        (5, 1, 3, 17, 1, np.int8, False, False, True, False),
        (4, 1, 31, 16, 2, np.uint8, False, True, False, False),
        (6, 1, 5, 33, 2, np.int8, True, False, True, False),
        (3, 3, 4, 20, 1, np.int8, False, False, True, False),
        (7, 1, 64, 64, 2, np.uint8, False, True, True, False),
        (6, 2, 4, 12, 2, np.int8, False, False, False, True),
    ]
):
    direction = ["forward", "bidirectional"][d - 1]
    if n == 4:
        direction = "reverse"
    scale = lambda: (np.abs(floats(d, 4 * h)) / 400 + 0.002) if each else np.abs(floats(d)) / 400 + 0.002
    zeros = lambda: bytes_of(kind, d) if zero else (np.zeros((d, 4 * h) if each else d, kind))
    inputs = {
        "X": floats(t, b, i),
        "W": bytes_of(kind, d, i, 4 * h),
        "R": bytes_of(kind, d, h, 4 * h),
        "B": floats(d, 8 * h),
        "sequence_lens": np.array([t, t - 2], np.int32) if lengths else None,
        "initial_h": np.tanh(floats(d, b, h)) if states else None,
        "initial_c": floats(d, b, h) if states else None,
        "P": None,
        "W_scale": scale().astype(np.float32),
        "W_zero": zeros(),
        "R_scale": scale().astype(np.float32),
        "R_zero": zeros(),
    }
    run(
        f"lstm/{n}_{direction}",
        "DynamicQuantizeLSTM",
        inputs,
        ["Y", "Y_h", "Y_c"],
        domain="com.microsoft",
        constants=("W", "R", "B", "W_scale", "W_zero", "R_scale", "R_zero"),
        direction=direction,
        hidden_size=h,
    )

# Rows that end apart, frames behind the longest row, and units enough that threads share them. Without Y, rows that have
# ended count in the range of h as long as the others run.
t, b, i, h = 9, 4, 3, 130
shared = {
    "X": floats(t, b, i),
    "W": bytes_of(np.int8, 1, i, 4 * h),
    "R": bytes_of(np.int8, 1, h, 4 * h),
    "B": floats(1, 8 * h),
    "sequence_lens": np.array([2, 7, 4, 1], np.int32),
    "initial_h": np.tanh(floats(1, b, h)) * 3,
    "initial_c": floats(1, b, h),
    "P": None,
    "W_scale": np.full(1, 0.004, np.float32),
    "W_zero": np.zeros(1, np.int8),
    "R_scale": np.full(1, 0.0008, np.float32),
    "R_zero": np.zeros(1, np.int8),
}
shared["X"][7:] *= 9
for name, outputs in [("apart", ["Y", "Y_h", "Y_c"]), ("last", ["", "Y_h", "Y_c"])]:
    run(
        f"lstm/{name}_forward",
        "DynamicQuantizeLSTM",
        shared,
        outputs,
        domain="com.microsoft",
        constants=("W", "R", "B", "W_scale", "W_zero", "R_scale", "R_zero"),
        hidden_size=h,
    )

save_file(tensors, "quantized.safetensors")
