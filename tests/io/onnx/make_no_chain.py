"""Graphs that look like chains of layers and are none: tests/io/onnx/no_chain/. Needs onnx.

    python3 make_no_chain.py
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

random = np.random.default_rng(1)
FOLDER = Path(__file__).parent / "no_chain"


def values(*shape):
    return random.standard_normal(shape).astype(np.float32)


def write(name, nodes, constants, output):
    tensors = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", "t", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, output)
    graph = helper.make_graph([helper.make_node(*node[:3], **node[3]) for node in nodes], name, [x], [y], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, FOLDER / f"{name}.onnx")


last = ("Gather", ["x", "last"], ["h"], {"axis": 1})
# h W + h is no dense layer.
residual = [last, ("Gemm", ["h", "w", "h"], ["y"], {})]
write("residual", residual, {"last": np.int64(-1), "w": values(3, 3)}, ["b", 3])
# The seventh step is not the last one.
write("step", [("Gather", ["x", "six"], ["y"], {"axis": 1})], {"six": np.int64(6)}, ["b", 3])
# As many numbers as units, but along time.
along = [("MatMul", ["x", "w"], ["h"], {}), ("Add", ["h", "along"], ["y"], {})]
write("along", along, {"w": values(3, 7), "along": values(7, 1)}, ["b", "t", 7])
norm = [("LayerNormalization", ["x", "scale"], ["normal", "y"], {"axis": -1})]
write("mean", norm, {"scale": values(3)}, ["b", "t", 1])
write("features", [("Transpose", ["x"], ["y"], {"perm": [0, 2, 1]})], {}, ["b", 3, "t"])
whole = [("Cast", ["x"], ["i"], {"to": TensorProto.INT64}), ("Cast", ["i"], ["f"], {"to": TensorProto.FLOAT})]
whole += [("MatMul", ["f", "w"], ["y"], {})]
write("whole", whole, {"w": values(3, 2)}, ["b", "t", 2])
