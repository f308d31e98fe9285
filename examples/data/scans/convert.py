"""Makes slices.npz of the template MNI152 and its maps of grey and white matter, as the package nilearn 0.14.1 has
them.

    python convert.py FOLDER    (with mni_icbm152_{t1,gm,wm}_tal_nlin_sym_09a_converted.nii.gz)

Eight voxels become one of 2 mm. What is light enough to be in the head is cerebrospinal fluid, grey or white matter,
whichever has the largest share; the rest is the background.
"""

import gzip
import sys
from pathlib import Path

import numpy as np


def volume(name):
    path = Path(sys.argv[1]) / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    data = gzip.open(path).read()
    shape = np.frombuffer(data[42:48], "<i2")  # [x,y,z], x first in memory
    voxels = np.frombuffer(data, np.uint8, shape.prod(), 352).reshape(shape, order="F")
    voxels = voxels[:196, :232, :188].astype(float)
    return voxels.reshape(98, 2, 116, 2, 94, 2).mean((1, 3, 5))[12:86, 12:104]


t1, grey, white = volume("t1"), volume("gm"), volume("wm")
tissue = 1 + np.argmax([255 - grey - white, grey, white], axis=0)
tissue[t1 <= 20] = 0
arrays = {}
# The slices to test on are 6 mm and more from those to train on.
for part, heights in {"train": range(12, 47, 2), "test": range(49, 72, 2)}.items():
    # As they are looked at: a row from left to right, the face at the top.
    for name, voxels in {"x": t1, "y": tissue}.items():
        slices = [voxels[:, ::-1, height].T for height in heights]
        arrays[f"{part}_{name}"] = np.rint(slices).astype(np.uint8)
np.savez_compressed(Path(__file__).parent / "slices.npz", **arrays)
