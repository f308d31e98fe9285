"""Models with inputs and the outputs that they must have, in one file.

Records one after the other, numbers in little endian: the name; the model; the inputs; the outputs. A text or the
bytes of a model come behind their length (u32), tensors behind their number (u8): name, type (u8: 1 f32, 7 any
integers as i64, 9 booleans), number of axes (u8), sizes (u32), numbers.
"""
import struct

import numpy as np


def piece(data):
    return struct.pack("<I", len(data)) + data


def tensor(name, value):
    value = np.asarray(value)
    if value.dtype == np.bool_:
        kind, data = 9, value.astype("u1")
    elif np.issubdtype(value.dtype, np.integer):
        kind, data = 7, value.astype("<i8")
    else:
        kind, data = 1, value.astype("<f4")
    head = struct.pack("<BB", kind, value.ndim) + struct.pack(f"<{value.ndim}I", *value.shape)
    return piece(name.encode()) + head + data.tobytes()


def record(name, model, inputs, outputs):
    """The record of a model; inputs and outputs are pairs of a name and an array."""
    parts = [piece(name.encode()), piece(model)]
    for tensors in (inputs, outputs):
        parts.append(struct.pack("<B", len(tensors)))
        parts += [tensor(name, value) for name, value in tensors]
    return b"".join(parts)
