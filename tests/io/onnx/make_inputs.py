"""Graphs whose inputs are of several types, or have a value in the file: tests/io/onnx/inputs/. Needs onnx.

    python3 make_inputs.py
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).parent / "inputs"


def write(name, nodes, inputs, outputs, constants=()):
    info = lambda values: [helper.make_tensor_value_info(*value) for value in values]
    graph = helper.make_graph(nodes, name, info(inputs), info(outputs), constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, FOLDER / f"{name}.onnx")


AXES = ["b", "t"]
same = [("ids", TensorProto.INT64), ("small", TensorProto.INT32), ("flags", TensorProto.BOOL), ("x", TensorProto.FLOAT)]
write(
    "types",
    [helper.make_node("Identity", [name], [f"{name}_out"]) for name, _ in same],
    [(name, kind, AXES) for name, kind in same],
    [(f"{name}_out", kind, AXES) for name, kind in same],
)
write(
    "default",
    [helper.make_node("Add", ["x", "offset"], ["sum"]), helper.make_node("Sub", ["x", "offset"], ["difference"])],
    [("x", TensorProto.FLOAT, AXES), ("offset", TensorProto.FLOAT, [2])],
    [("sum", TensorProto.FLOAT, AXES), ("difference", TensorProto.FLOAT, AXES)],
    [numpy_helper.from_array(np.array([1, 2], np.float32), "offset")],
)
evil = "x\x1b[31m\nerror: \u009b2J"
write("names", [helper.make_node("Identity", [evil], ["y\u202e"])], [(evil, TensorProto.FLOAT, ["\x07b"])], [("y\u202e", TensorProto.FLOAT, None)])
