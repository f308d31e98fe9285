"""Makes japanese_vowels.bin and digits.bin, as README.md describes them.

Needs the packages aeon (it ships the vowels as .ts files), scikit-learn (the digits) and numpy:

    python convert.py
"""

import pathlib
import struct

import aeon.datasets
import numpy
from sklearn.datasets import load_digits

HERE = pathlib.Path(__file__).parent
VOWELS = pathlib.Path(aeon.datasets.__file__).parent / "data" / "JapaneseVowels"


def utterances(path):
    """(speaker, frames x features) of each line: dimensions part by ':', values by ','."""
    lines = path.read_text().splitlines()
    for line in lines[lines.index("@data") + 1 :]:
        *dimensions, label = line.split(":")
        values = numpy.array([[float(v) for v in d.split(",")] for d in dimensions], "<f4").T
        yield int(label) - 1, values[~numpy.isnan(values).any(axis=1)]


def vowels():
    train = list(utterances(VOWELS / "JapaneseVowels_TRAIN.ts"))
    test = list(utterances(VOWELS / "JapaneseVowels_TEST.ts"))
    out = struct.pack("<5I", 0x4C565041, len(train), len(test), 12, 9)
    for label, frames in train + test:
        assert frames.shape[1] == 12 and 7 <= len(frames) <= 29 and 0 <= label < 9
        out += struct.pack("<2I", label, len(frames)) + frames.tobytes()
    (HERE / "japanese_vowels.bin").write_bytes(out)


def digits():
    data = load_digits()
    out = struct.pack("<I", len(data.target))
    for pixels, label in zip(data.data.astype("u1"), data.target.astype("u1")):
        out += pixels.tobytes() + label.tobytes()
    (HERE / "digits.bin").write_bytes(out)


if __name__ == "__main__":
    vowels()
    digits()
