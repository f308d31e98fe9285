"""Makes weights.safetensors, tokens.txt and cases.json of the crates icu_segmenter_data and icu_segmenter 2.4.0.

    python3 convert.py ICU_SEGMENTER_DATA ICU_SEGMENTER      the folders of their sources; needs numpy and safetensors
"""

import ast
import json
import re
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

data, tests = map(Path, sys.argv[1:])
text = (data / "data/segmenter_lstm_auto_v1.rs.data").read_text()
# The fourth of Burmese, Khmer, Lao, Thai: byte strings as Rust writes them, with the shapes before them.
thai = text.split("LstmDataFloat32::from_parts_unchecked(")[4]
strings = [ast.literal_eval(s) for s in re.findall(r'b"(?:[^"\\]|\\.)*"', thai)]
shapes = [[int(n[:-3]) for n in s.split(", ")] for s in re.findall(r"Matrix\d::from_parts_unchecked\(\[([^]]*)\]", thai)]
keys, values, matrices = strings[0], strings[1], strings[2:]

# A list of strings: how many, where each but the first begins, then all of them.
count = int.from_bytes(keys[:2], "little")
starts = [0] + [int.from_bytes(keys[2 * i : 2 * i + 2], "little") for i in range(1, count)]
all_keys = keys[2 * count :]
keys = [all_keys[a:b].decode() for a, b in zip(starts, starts[1:] + [len(all_keys)])]
ids = np.frombuffer(values, "<u2").tolist()
assert sorted(ids) == list(range(count)) and all(len(key) == 1 for key in keys)
tokens = "".join(key for _, key in sorted(zip(ids, keys)))

embedding, w, u, b, w_back, u_back, b_back, out, out_bias = (
    np.frombuffer(m, "<f4").reshape(shape) for m, shape in zip(matrices, shapes)
)
rows = lambda m: np.ascontiguousarray(m.reshape(-1, m.shape[-1]))  # the gates i, f, g, o, one below the other
tensors = {
    "embedding.weight": embedding,
    "lstm.weight_ih_l0": rows(w),
    "lstm.weight_hh_l0": rows(u),
    "lstm.bias_ih_l0": b.reshape(-1),
    "lstm.bias_hh_l0": np.zeros(b.size, "f"),
    "lstm.weight_ih_l0_reverse": rows(w_back),
    "lstm.weight_hh_l0_reverse": rows(u_back),
    "lstm.bias_ih_l0_reverse": b_back.reshape(-1),
    "lstm.bias_hh_l0_reverse": np.zeros(b.size, "f"),
    "head.weight": np.ascontiguousarray(np.concatenate(list(out), axis=1)),
    "head.bias": out_bias,
}
here = Path(__file__).parent
save_file({name: np.ascontiguousarray(t) for name, t in tensors.items()}, here / "weights.safetensors")
(here / "tokens.txt").write_text(tokens)
cases = json.loads((tests / "tests/testdata/test_text_codepoints.json").read_text())["testcases"]
cases = [[case["unseg"], case["expected_bies"]] for case in cases]
(here / "cases.json").write_text(json.dumps(cases, ensure_ascii=False, indent=0) + "\n")
