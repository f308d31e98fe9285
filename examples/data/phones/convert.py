"""Makes phones.npz and phones.txt of the voice kal_diphone, as the Debian package festvox-kallpc16k 2.4 has it.

    python convert.py .../kal_diphone/group/kallpc16k.group

The file begins with a line for each pair of phones: its name, where its track and its sound are, and the first frame
of the second phone. A track has a text for a header, then for each frame the time, a flag, the power and 16
coefficients of linear prediction, as 32-bit floats.
"""

import sys
from pathlib import Path

import numpy as np

END = b"EST_Header_End\n"
CEPSTRA = 12


def header(data, at):
    end = data.index(END, at)
    lines = data[at:end].decode().splitlines()[1:]
    fields = dict(line.split(None, 1) for line in lines if line)
    return fields, end + len(END)


def features(frames):
    """The power's logarithm, and the cepstrum of the filter that the coefficients are."""
    a, c = frames[:, 3:].astype(float), np.zeros((len(frames), CEPSTRA))
    for n in range(CEPSTRA):
        c[:, n] = a[:, n] + sum((k + 1) / (n + 1) * c[:, k] * a[:, n - k - 1] for k in range(n))
    return np.hstack([np.log(frames[:, 2:3].astype(float)), c])


data = Path(sys.argv[1]).read_bytes()
fields, at = header(data, 0)
index = []
for _ in range(int(fields["NumEntries"])):
    end = data.index(b"\n", at)
    index.append(data[at:end].decode().split())
    at = end + 1
x, pairs, lengths, middles = [], [], [], []
for name, track, _, middle in index:
    fields, start = header(data, at + int(track))
    frames, channels = int(fields["NumFrames"]), int(fields["NumChannels"]) + 2
    values = np.frombuffer(data, "<f4", frames * channels, start).reshape(frames, channels)
    x.append(features(values))
    pairs.append([phone.strip("_") for phone in name.split("-")])
    lengths.append(frames)
    middles.append(min(int(middle), frames))
names = sorted({phone for pair in pairs for phone in pair})
folder = Path(__file__).parent
(folder / "phones.txt").write_text("\n".join(names) + "\n")
np.savez_compressed(
    folder / "phones.npz",
    x=np.rint(np.vstack(x) * 1000).astype(np.int16),
    pairs=np.array([[names.index(phone) for phone in pair] for pair in pairs], np.uint8),
    lengths=np.array(lengths, np.uint8),
    middles=np.array(middles, np.uint8),
)
