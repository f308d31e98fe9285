"""Makes weights.safetensors of silero_vad_16k_op15.onnx, of the package silero-vad 6.2.3: the package's own
silero_vad_16k.safetensors has the weights of an earlier version.

    python3 convert.py silero_vad_16k_op15.onnx      needs onnx and safetensors
"""

import sys
from pathlib import Path

import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

NAMES = {
    "stft_conv.weight": "stft.forward_basis_buffer",
    **{f"conv{n + 1}.{kind}": f"encoder.{n}.reparam_conv.{kind}" for n in range(4) for kind in ("weight", "bias")},
    **{f"lstm_cell.{name}": f"decoder.rnn.{name}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
    **{f"final_conv.{kind}": f"decoder.decoder.2.{kind}" for kind in ("weight", "bias")},
}

graph = onnx.load(sys.argv[1]).graph
tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
save_file({name: tensors[f"model.{of}"] for name, of in NAMES.items()}, Path(__file__).parent / "weights.safetensors")
