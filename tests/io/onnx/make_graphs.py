"""Writes `graphs.bin`: small graphs around operators that exporters' models have, with ONNX Runtime's outputs.

python make_graphs.py, with onnx 1.23 and onnxruntime 1.32.
"""
import pathlib

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from records import record

F, I, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
random = np.random.default_rng(3)
node = helper.make_node


def floats(*shape):
    return random.standard_normal(shape).astype(np.float32)


def ints(*values, dtype=np.int64):
    return np.array(values, dtype)


def typed(name, value, shape=None):
    kind = helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype)
    return helper.make_tensor_value_info(name, kind, np.asarray(value).shape if shape is None else shape)


def model(nodes, inputs, outputs, constants=(), opset=17):
    """`inputs`: values by name; `outputs`: names and types; `constants`: values by name."""
    ins = [typed(name, value, [None] * np.asarray(value).ndim) for name, value in inputs.items()]
    outs = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()]
    graph = helper.make_graph(nodes, "graph", ins, outs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def slices():
    """Of what was put together: a part of it, or not quite."""
    x, other = floats(2, 4), floats(1, 4)
    join = node("Concat", ["x", "other"], ["c"], axis=0)
    for name, start, end in [("last", -1, 2**31), ("none", -1, 0), ("one", 2, 3), ("before", -2, -1), ("past", -1, 2)]:
        cut = node("Slice", ["c", "s", "e", "a"], ["y"])
        constants = {"s": ints(start), "e": ints(end), "a": ints(0)}
        yield f"slice_{name}", model([join, cut], {"x": x, "other": other}, [("y", F)], constants), {"x": x, "other": other}
    one = {"x": floats(1, 4), "other": other}
    cut = node("Slice", ["c", "s", "e", "a"], ["y"])
    feed = one | {"a": ints(1)}
    yield "slice_of_an_axis", model([join, cut], feed, [("y", F)], {"s": ints(0), "e": ints(1)}), feed
    cut = node("Slice", ["c", "s", "e", "a", "t"], ["y"])
    feed = one | {"t": ints(-1)}
    constants = {"s": ints(0), "e": ints(1), "a": ints(0)}
    yield "slice_by_a_step", model([join, cut], feed, [("y", F)], constants), feed


def scatters():
    for dtype in [np.int64, np.int32, np.uint8]:
        x = np.arange(12).reshape(3, 4).astype(dtype)
        indices, updates = ints([2, 0, -1, 1], [0, 1, 0, 2]), ints([9, 3, 200, 1], [5, 6, 7, 8], dtype=dtype)
        kind = helper.np_dtype_to_tensor_dtype(x.dtype)
        for how in ["none"] if dtype != np.int64 else ["none", "add", "mul", "min", "max"]:
            put = node("ScatterElements", ["x", "i", "u"], ["y"], axis=0, reduction=how)
            feed = {"x": x, "i": indices, "u": updates}
            yield f"scatter_{how}_{np.dtype(dtype)}", model([put], feed, [("y", kind)], opset=18), feed
        put = node("ScatterND", ["x", "i", "u"], ["y"])
        feed = {"x": x, "i": ints([2], [0]), "u": updates}
        yield f"scatter_nd_{np.dtype(dtype)}", model([put], feed, [("y", kind)]), feed


def non_zero():
    for value in [np.float32(3), np.float32(0), np.bool_(True), np.int64(-2)]:
        feed = {"x": np.array(value)}
        yield f"non_zero_of_{value}_{value.dtype}", model([node("NonZero", ["x"], ["y"])], feed, [("y", I)]), feed


def no_rounds():
    x = floats(3)
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Identity", ["go"], ["on"]), node("Add", ["s", "s"], ["t"]), node("Identity", ["t"], ["z"]), node("Shape", ["t"], ["n"])],
        "body", [info("i", I, []), info("go", B, []), info("s", F, [3])],
        [info("on", B, []), info("t", F, [3]), info("z", F, [3]), info("n", I, [1])])
    for rounds in [0, 2]:
        loop = node("Loop", ["m", "", "x"], ["last", "all", "sizes"], body=body)
        feed = {"x": x, "m": np.int64(rounds)}
        yield f"loop_of_{rounds}", model([loop], feed, [("last", F), ("all", F), ("sizes", I)]), feed


def norms():
    x = floats(2, 3, 4)
    norm = node("LayerNormalization", ["x", "g", "b"], ["y"], axis=-1)
    yield "norm_of_one_scale", model([norm], {"x": x}, [("y", F)], {"g": floats(1), "b": floats(1)}), {"x": x}


file, count = b"", 0
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
for cases in [slices, scatters, non_zero, no_rounds, norms]:
    for name, graph, feed in cases():
        data = graph.SerializeToString()
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        outputs = session.run(None, {name: np.asarray(value) for name, value in feed.items()})
        print(name, [o.shape for o in outputs])
        names = [o.name for o in session.get_outputs()]
        file += record(name, data, list(feed.items()), list(zip(names, outputs)))
        count += 1
pathlib.Path(__file__).with_name("graphs.bin").write_bytes(file)
print(count, "graphs,", len(file), "bytes")
