"""Makes voices.npz: the ten digits by voices that are not in the training.

    python convert.py .../asterisk/sounds/en_US_f_Allison/digits

The folder is that of the Debian package asterisk-core-sounds-en-wav 1.6.1; `flite` 2.2 speaks the rest.
"""

import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

RATE = 8000
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
FLITE = ["rms", "slt", "awb", "kal16"]


def read(path):
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
        return resample_poly(samples, RATE, file.getframerate())


def cut(samples):
    """From the first to the last hundredth of a second that is less than 40 dB below the loudest."""
    pieces = samples[: len(samples) // 80 * 80].reshape(-1, 80)
    loud = np.sqrt((pieces**2).mean(1))
    heard = np.flatnonzero(loud > loud.max() / 100)
    return samples[heard[0] * 80 : (heard[-1] + 1) * 80]


def spoken(voice, word):
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["flite", "-voice", voice, "-t", word, "-o", file.name], check=True)
        return read(file.name)


sounds = [read(Path(sys.argv[1]) / f"{digit}.wav") for digit in range(10)]
sounds += [spoken(voice, word) for voice in FLITE for word in WORDS]
sounds = [cut(samples) for samples in sounds]
np.savez_compressed(
    Path(__file__).parent / "voices.npz",
    sounds=np.rint(np.concatenate(sounds)).astype(np.int16),
    lengths=np.array([len(samples) for samples in sounds], np.int32),
)
