"""Writes `nodes.bin`: the tests of operators that ONNX has, those of them that are small, and an operator or two of
older opsets with ONNX Runtime's outputs. With --all FILE it writes every test of ONNX that holds numbers.

python make_nodes.py, with onnx 1.23 and onnxruntime 1.32.
"""
import collections
import pathlib
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.backend.test.case.node import collect_testcases
from records import record

warnings.filterwarnings("ignore")

# What is not there by intent, and what is computed in more bits than the test asks for.
NOT = ["_expanded", "fp16", "float16", "training", "blocked", "int16", "with_argmax", "scan_sum", "3D", "maxpool_2d_uint8", "ceil_last"]
OPS = """Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast CastLike Ceil Celu
Clip Concat Constant ConstantOfShape Conv Cos Cosh CumSum DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal
Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool
Greater GreaterOrEqual HardSigmoid HardSwish Identity If InstanceNormalization IsInf IsNaN LSTM LayerNormalization
LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization MatMul MatMulInteger Max MaxPool Mean Min Mish Mod Mul
Neg NonZero Not OneHot Or PRelu Pad Pow QLinearMatMul QuantizeLinear RNN Range Reciprocal ReduceL1 ReduceL2
ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape
ReverseSequence Round Scan ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax
Softplus Softsign Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Where
Xor""".split()


def cases():
    for case in collect_testcases(None):
        model = case.model
        if model is None or not model.opset_import or not case.data_sets:
            continue
        inputs, outputs = case.data_sets[0]
        arrays = [*inputs, *outputs]
        if not all(isinstance(v, np.ndarray) or np.isscalar(v) for v in arrays):
            continue
        names = [i.name for i in model.graph.input]
        if len(names) != len(inputs) or any(np.asarray(v).dtype.kind not in "fiub" for v in arrays):
            continue
        outputs = list(zip([o.name for o in model.graph.output], outputs))
        yield case.name, model, record(case.name, model.SerializeToString(), list(zip(names, inputs)), outputs)


def older():
    """Operators whose attributes became inputs, or whose meaning changed."""
    x = np.linspace(-2, 2, 24, dtype=np.float32).reshape(2, 3, 4)
    rows = [
        ("Squeeze", 11, x[:, :1], dict(axes=[1])), ("Unsqueeze", 11, x, dict(axes=[0, 4])),
        ("Slice", 9, x, dict(starts=[0, -3], ends=[2, 3], axes=[1, 2])), ("Clip", 6, x, dict(min=-1.0, max=0.5)),
        ("Softmax", 11, x, dict(axis=1)), ("Softmax", 11, x, {}), ("LogSoftmax", 11, x, dict(axis=2)),
        ("Pad", 2, x, dict(pads=[0, 1, 0, 0, 0, 2], value=1.5)), ("Pad", 2, x, dict(pads=[0, 0, 2, 0, 0, 1], mode="reflect")),
        ("Split", 11, x, dict(axis=2, split=[1, 3])), ("ReduceSum", 11, x, dict(axes=[1], keepdims=0)),
        ("ReduceMean", 13, x, dict(axes=[-1])), ("TopK", 9, x, dict(axis=2, k=2)), ("Dropout", 7, x, dict(ratio=0.3)),
        ("Flatten", 9, x, dict(axis=2)),
    ]
    for op, opset, value, attributes in rows:
        count = 2 if op in ("Split", "TopK") else 1
        names = [f"y{i}" for i in range(count)]
        inputs = ["x"] if op != "TopK" else ["x", "k"]
        initializers = []
        if op == "TopK":
            attributes = dict(axis=2)
            opset, initializers = 10, [helper.make_tensor("k", TensorProto.INT64, [1], [2])]
        node = helper.make_node(op, inputs, names, **attributes)
        graph = helper.make_graph(
            [node], op, [helper.make_tensor_value_info("x", TensorProto.FLOAT, value.shape)],
            [helper.make_empty_tensor_value_info(name) for name in names], initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
        model = onnx.shape_inference.infer_shapes(model)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        outputs = list(zip(names, session.run(None, {"x": value})))
        yield record(f"{op.lower()}_of_opset_{opset}", model.SerializeToString(), [("x", value)], outputs)


if sys.argv[1:2] == ["--all"]:
    pathlib.Path(sys.argv[2]).write_bytes(b"".join(data for _, _, data in cases()))
    sys.exit()
by_op = collections.defaultdict(list)
for name, model, data in cases():
    ops = {node.op_type for node in model.graph.node}
    if len(ops) == 1 and ops <= set(OPS) and not any(part in name for part in NOT):
        by_op[ops.pop()].append((len(data), name, data))
file = b""
for op in OPS:
    small = sorted(by_op[op])
    # Those of many options have more of them, and Slice has none that is small.
    limit, most = (3500, 7) if op in ("Loop", "Scan", "If", "Conv", "AveragePool", "MaxPool") else (1100, 5)
    limit = 5000 if op == "Slice" else limit
    small = [data for size, _, data in small if size < limit]
    kept = small[:: max(1, len(small) // most)][:most]
    if not kept:
        print("none of", op)
    file += b"".join(kept)
file += b"".join(older())
pathlib.Path(__file__).with_name("nodes.bin").write_bytes(file)
print(len(file), "bytes")
