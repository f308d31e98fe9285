"""ONNX Runtime's DynamicQuantizeLSTM, one row: microseconds a timestep of a sequence, and of steps one by one.

    python quantized.py     (onnx, onnxruntime, numpy)
"""

import time

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

random = np.random.default_rng(1)


def session(size, threads, op):
    weights = {
        "W": random.integers(-127, 127, (1, size, 4 * size)).astype(np.int8),
        "R": random.integers(-127, 127, (1, size, 4 * size)).astype(np.int8),
        "B": np.zeros((1, 8 * size), np.float32),
        "s": np.full(1, 0.0005, np.float32),
        "z": np.zeros(1, np.int8),
    }
    names = ["X", "W", "R", "B", "", "h0", "c0", "", "s", "z", "s", "z"]
    if op == "LSTM":
        weights = {k: weights[k] for k in "WRB"}
        weights |= {k: (weights[k] * 0.0005).transpose(0, 2, 1).astype(np.float32).copy() for k in "WR"}
        names = names[:7]
    node = helper.make_node(
        op, names, ["Y", "Yh", "Yc"], domain="com.microsoft" if op != "LSTM" else "", hidden_size=size
    )
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "g",
        [
            value("X", TensorProto.FLOAT, ["T", 1, size]),
            value("h0", TensorProto.FLOAT, [1, 1, size]),
            value("c0", TensorProto.FLOAT, [1, 1, size]),
        ],
        [helper.make_empty_tensor_value_info(name) for name in ["Y", "Yh", "Yc"]],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


for size in [256, 512, 1024]:
    for threads in [1, 2]:
        for op in ["LSTM", "DynamicQuantizeLSTM"]:
            run = session(size, threads, op).run
            x = np.sin(np.arange(100 * size, dtype=np.float32) * 0.37).reshape(100, 1, size)
            h = np.zeros((1, 1, size), np.float32)
            least = [np.inf, np.inf]
            for _ in range(12):
                began = time.perf_counter()
                run(None, {"X": x, "h0": h, "c0": h})
                least[0] = min(least[0], time.perf_counter() - began)
                began = time.perf_counter()
                state = (h, h)
                for _ in range(100):
                    _, *state = run(None, {"X": x[:1], "h0": state[0], "c0": state[1]})
                least[1] = min(least[1], time.perf_counter() - began)
            sequence, step = [t * 1e4 for t in least]
            print(f"H {size}, {threads} threads, {op}: sequence {sequence:.1f} us, step by step {step:.1f}", flush=True)
