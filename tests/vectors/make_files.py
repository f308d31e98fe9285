"""Files as numpy, pandas and scikit-learn write and read them, for tests/data."""

import io
import json
import zipfile

import numpy as np
import pandas as pd
from numpy.lib import format as npy
from sklearn.feature_extraction.text import CountVectorizer

numbers = np.random.default_rng(18)

# Arrays: every kind of number in one archive, as numpy.savez stores it; a packed one; the format's versions.
kinds = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
arrays, expected = {}, {}
for kind in kinds:
    for order in "<>":
        for layout in "CF":
            if kind[0] == "f":
                values = numbers.normal(size=(5, 3, 2)) * 100
            elif kind == "?":
                values = numbers.integers(0, 2, size=(5, 3, 2))
            else:
                info = np.iinfo(kind)
                values = numbers.integers(info.min, info.max, size=(5, 3, 2), dtype=kind, endpoint=True)
            name = f"{'b1' if kind == '?' else kind}{'big' if order == '>' else ''}{layout}"
            arrays[name] = np.array(values, dtype=order + kind, order=layout)
            expected[name] = arrays[name].astype(np.float32).ravel(order="C").tolist()
arrays["f8edge"] = np.array([[0.1, 1e300, -0.0, 2**24 + 1, np.nan, np.inf]])
expected["f8edge"] = [0.1, "inf", 0.0, 2**24, "nan", "inf"]
np.savez("arrays.npz", **arrays)
with open("arrays.json", "w") as file:
    json.dump(expected, file)
x = numbers.normal(size=(5, 3, 2)).astype(np.float32)
np.savez_compressed("arrays_packed.npz", x=x, y=np.array([3, 0, 1, 2, 2]))
for version in [(1, 0), (2, 0), (3, 0)]:
    with open(f"array_{version[0]}.npy", "wb") as file:
        npy.write_array(file, np.arange(6.0).reshape(2, 3), version=version)
np.save("array_objects.npy", np.array([{"a": 1}, None], dtype=object))

# A table that pandas reads: what is missing, what is quoted, what a policy makes of it.
text = """time,temp,wind,"sky, seen",id
9:00,1.5,3,clear,b
10:00,,4,"rain, ""heavy\""",b

11:00,NA,-5e-1,None,a
12:00,2.25,nan,"two
lines",b
13:00,null,6,clear,a
14:00,+7.125,.5,rain,a
"""
with open("table.csv", "w") as file:
    file.write(text)
table = pd.read_csv("table.csv")


def listed(frame):
    return [[None if pd.isna(v) else v for v in row] for row in frame[["temp", "wind"]].values.tolist()]


with open("table.json", "w") as file:
    json.dump(
        {
            "names": list(table.columns),
            "numbers": listed(table),
            "sky": pd.read_csv("table.csv", keep_default_na=False)["sky, seen"].tolist(),
            "dropna": listed(table.dropna(subset=["temp", "wind"])),
            "ffill": listed(table.ffill()),
            "fillna": listed(table.fillna({"temp": 0.5, "wind": 0.5})),
            "groups": {name: listed(rows) for name, rows in table.groupby("id", sort=False)},
            "missing": sorted(pd._libs.parsers.STR_NA_VALUES),
        },
        file,
        indent=1,
    )

# Counts of words and characters. scikit-learn's own words have two letters at least; these have one.
texts = [
    "The cat saw the dog; the dog ran.",
    "Ein Straßenbahnfahrer sah DREI Hunde, zwei Katzen und 12 Vögel!",
    "Кошка спит. Собака не спит, кошка ест?",
    "Ο ΣΟΦΟΣ σκύλος — «ο σκύλος» τρέχει…",
    "snake_case words stay whole: snake_case (twice)",
    "a b A c B a",
    "",
]
vocabularies = {"texts": texts}
for name, options in {
    "words": {"token_pattern": r"(?u)\b\w+\b"},
    "characters": {"analyzer": "char", "lowercase": False},
}.items():
    counter = CountVectorizer(**options)
    counts = np.asarray(counter.fit_transform(texts).sum(axis=0))[0]
    counts = [(token, int(counts[place])) for token, place in counter.vocabulary_.items()]
    vocabularies[name] = sorted(counts, key=lambda count: (-count[1], count[0]))
    analyse = counter.build_analyzer()
    vocabularies[name + "_tokens"] = [analyse(text) for text in texts]
with open("vocabulary.json", "w") as file:
    json.dump(vocabularies, file, ensure_ascii=False, indent=1)

# Packed arrays that lie: of each the shape in its header, and the values that are behind it.

with zipfile.ZipFile("arrays_hostile.npz", "w", zipfile.ZIP_DEFLATED) as archive:
    for name, shape, values in [
        ("longer", (2,), bytes(4 << 20)),
        ("shorter", (1000,), bytes(8)),
        ("huge", (1 << 35,), bytes(8)),
        ("uncountable", (1 << 62, 1 << 62), bytes(8)),
    ]:
        head = io.BytesIO()
        npy.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
        archive.writestr(f"{name}.npy", head.getvalue() + values)
    archive.writestr("text.npy", "no array")
    archive.writestr("readme.txt", "no array")
