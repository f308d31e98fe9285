"""Makes tunes.txt of melodies.txt: four voices by simple rules.

    python harmonise.py

Each beat gets a triad of C major, or the chord on G with its seventh, and each voice a note of it, so that a sum of
penalties is least: for notes of the melody that are not in the chord, for successions that are rare, for leaps, for
fifths and octaves in parallel. Below the soprano, nothing moves within a beat.
"""

from itertools import product
from pathlib import Path

DEGREES = [0, 2, 4, 5, 7, 9, 11]
# Root, third, fifth and seventh; the classes of the bass.
CHORDS = {
    "I": ((0, 4, 7), (0, 4)),
    "ii": ((2, 5, 9), (2, 5)),
    "IV": ((5, 9, 0), (5, 9)),
    "V": ((7, 11, 2), (7, 11)),
    "V7": ((7, 11, 2, 5), (7, 11)),
    "vi": ((9, 0, 4), (9,)),
}
# What a chord may lead to, the likeliest first.
NEXT = {
    "I": ["IV", "V", "vi", "ii", "V7"],
    "ii": ["V", "V7"],
    "IV": ["V", "I", "ii", "V7"],
    "V": ["I", "V7", "vi"],
    "V7": ["I", "vi"],
    "vi": ["ii", "IV", "V"],
}
BASS, TENOR, ALTO = range(41, 61), range(50, 68), range(55, 75)
KEPT = 60


def melody(line):
    """The notes of a line, each with its length in halves of a beat."""
    notes = []
    for token in line.split():
        raised, rest = token[0] == "#", token.lstrip("#")
        pitch = DEGREES[int(rest[0]) - 1] + raised + 12 * (rest.count("'") - rest.count(","))
        length = 1 if "/" in rest else 2 + rest.count(".") + 2 * rest.count("_")
        notes.append((pitch, length))
    tonic = 72 if max(pitch for pitch, _ in notes) <= 7 else 60
    return [(tonic + pitch, length) for pitch, length in notes]


def voicings(soprano):
    """All ways to put chords below a note, with what each costs by itself."""
    for name, (tones, basses) in CHORDS.items():
        foreign = soprano % 12 not in tones
        for bass, tenor, alto in product(BASS, TENOR, ALTO):
            if not bass <= tenor <= alto <= soprano or alto - tenor > 12 or soprano - alto > 12:
                continue
            if bass % 12 not in basses or tenor % 12 not in tones or alto % 12 not in tones:
                continue
            classes = [note % 12 for note in (bass, tenor, alto, soprano)]
            # Root and third are needed; the leading note stands once.
            if tones[0] not in classes or tones[1] not in classes or classes.count(11) > 1:
                continue
            cost = 4 * foreign + (bass % 12 != tones[0]) + (tones[2] not in classes)
            yield cost + 0.1 * (alto - tenor) / 4, name, (bass, tenor, alto, soprano)


def step(before, after):
    """What it costs to go from one chord to the next."""
    (name, notes), (next_name, next_notes) = before, after
    if name == next_name:
        cost = 0.6
    elif next_name in NEXT[name]:
        cost = 0.25 * NEXT[name].index(next_name)
    else:
        cost = 4
    moves = [b - a for a, b in zip(notes, next_notes)]
    cost += 0.08 * abs(moves[0]) + 0.2 * abs(moves[1]) + 0.2 * abs(moves[2])
    for low in range(4):
        for high in range(low + 1, 4):
            interval = (notes[high] - notes[low]) % 12
            parallel = moves[low] == moves[high] != 0
            cost += 5 * (parallel and interval in (0, 7))
    return cost


def extended(paths, cost, name, notes):
    """The cheapest way to a chord, from those to the chord before it."""
    ways = ((total + cost + step(path[-1], (name, notes)), path) for total, path in paths)
    total, path = min(ways, key=lambda way: way[0])
    return total, path + [(name, notes)]


def harmonise(notes):
    """The frames of a tune, two a beat."""
    soprano = [pitch for pitch, length in notes for _ in range(length)]
    soprano += soprano[-1:] * (len(soprano) % 2)
    beats = soprano[::2]
    paths = []
    for beat, pitch in enumerate(beats):
        last = beat >= len(beats) - 1
        ways = [way for way in voicings(pitch) if not (last or beat == 0) or way[1] == "I"]
        ways = ways or list(voicings(pitch))
        if beat == 0:
            paths = [(cost, [(name, notes)]) for cost, name, notes in ways]
        else:
            paths = [extended(paths, *way) for way in ways]
        paths = sorted(paths, key=lambda path: path[0])[:KEPT]
    _, chords = min(paths, key=lambda path: path[0])
    return [(note, *chords[i // 2][1][2::-1]) for i, note in enumerate(soprano)]


if __name__ == "__main__":
    folder = Path(__file__).parent
    lines = [line for line in (folder / "melodies.txt").read_text().splitlines() if line[0] != "#"]
    text = ""
    for title, line in zip(lines[::2], lines[1::2], strict=True):
        frames = harmonise(melody(line))
        text += f"# {title[2:]}\n" + "".join(" ".join(map(str, frame)) + "\n" for frame in frames)
    (folder / "tunes.txt").write_text(text)
