"""Makes words.txt of the verses in the Debian package `sword-text-web` 426.0: `apt-get download sword-text-web`, unpack
it by `dpkg -x`, `pip install pysword==0.2.8`, then

    python3 convert.py usr/share/sword

A line is a verse, cut into words and punctuation marks, without quotation marks; an empty line is the end of a chapter.
"""

import re
import sys
from pathlib import Path

from pysword.modules import SwordModules

modules = SwordModules(sys.argv[1])
modules.parse_modules()
bible = modules.get_bible_from_module("engWEB2015eb")
books = bible.get_structure().get_books()["ot"]
lines = []
for book in books:
    if book.name in ["Genesis", "Exodus", "Judges", "Ruth", "I Samuel", "II Samuel"]:
        for chapter, verses in enumerate(book.chapter_lengths, 1):
            for verse in range(1, verses + 1):
                text = bible.get(books=[book.name], chapters=[chapter], verses=[verse], clean=False)
                text = re.sub("<(note|title).*?</\\1>", " ", text, flags=re.DOTALL)
                text = re.sub("<[^>]*>", "", text)
                words = re.findall(r"[^\W_]+(?:[’-][^\W_]+)*’?(?=\s|\W|$)|[.,;:?!—]", text)
                # The apostrophe at the end of a word is nearly always a quotation mark.
                words = [word.rstrip("’") for word in words]
                if words:
                    lines.append(" ".join(words) + "\n")
            lines.append("\n")
Path(__file__).with_name("words.txt").write_text("".join(lines), "utf-8")
