"""Makes own.txt, which the program `music` takes instead of tunes.txt, of music in four voices.

    pip install music21
    python convert.py tune.mid other.mxl ...
    python convert.py bach

Of each file that music21 reads, the first four parts, brought to C major or A minor: a line for each half of a beat. A
rest takes the note before. `bach` takes the chorales that music21 has; whether they may be passed on is not clear, so
they are not here.
"""

import sys
from pathlib import Path

from music21 import converter, corpus, pitch


def frames(score):
    """Four notes for each half of a quarter."""
    key = score.analyze("key")
    home = pitch.Pitch("C" if key.mode == "major" else "A")
    up = (home.midi - key.tonic.midi + 6) % 12 - 6
    voices = []
    for part in list(score.parts)[:4]:
        line = []
        for note in part.flatten().notes:
            begin, end = (round(2 * float(t)) for t in (note.offset, note.offset + note.quarterLength))
            number = max(p.midi for p in note.pitches) + up
            # What a rest leaves open, and what lies before the first note, is filled.
            line += [line[-1] if line else number] * (begin - len(line))
            line[begin:] = [number] * max(end - begin, 0)
        voices.append(line)
    return list(zip(*voices)) if len(voices) == 4 else []


if sys.argv[1:] == ["bach"]:
    paths = [path for path in corpus.getComposer("bach") if path.suffix == ".mxl"]
else:
    paths = [Path(name) for name in sys.argv[1:]]
with open(Path(__file__).parent / "own.txt", "w") as file:
    for path in paths:
        score = converter.parse(path)
        tune = frames(score) if len(score.parts) == 4 else []
        print(path.name, len(tune) or "is left out: it has not four voices")
        if tune:
            file.write(f"# {path.name}\n")
            file.writelines(" ".join(map(str, notes)) + "\n" for notes in tune)
