"""Lets `cargo test` write models with random options as ONNX, and checks that onnx takes them and that ONNX Runtime
computes what the engine does: sequences, rows of different lengths, and frame by frame.

    python tests/io/onnx/export_check.py [MODELS] [-- CARGO OPTIONS]

Needs onnx, onnxruntime and numpy.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

ROOT = pathlib.Path(__file__).parents[3]
BOUND = 1e-5
OPTIONS = ["--no-default-features", "--features", "keras,onnx,pytorch"]


def write(folder, count, options):
    env = os.environ | {"WGPU_LSTM_ONNX_MODELS": str(folder), "WGPU_LSTM_ONNX_COUNT": str(count)}
    test = ["--test", "io", "onnx_export::models_of_all_options"]
    subprocess.run(["cargo", "test", "-q", *options, *test], cwd=ROOT, env=env, check=True)


def session(path):
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def array(case, rows):
    """Rows of some length each, with values behind their ends that nothing may look at."""
    features, tokens = case["features"], case["tokens"]
    # A window behind a mask sees all frames, and so their number.
    steps = max(len(row) for row in rows) // features + (case["form"] == "lengths" and case["longer"])
    x = np.full((len(rows), steps * features), -1 if tokens else 7.5, np.int64 if tokens else np.float32)
    for to, row in zip(x, rows):
        to[: len(row)] = row
    return x if tokens else x.reshape(len(rows), steps, features)


def error(found, right):
    found, right = np.asarray(found, np.float64).ravel(), np.asarray(right, np.float64).ravel()
    assert found.shape == right.shape, f"{found.shape} values, expected {right.shape}"
    return float(np.max(np.abs(found - right) / (1 + np.abs(right)), initial=0))


def sequences(case, run):
    x = array(case, case["rows"])
    feed = {"input": x}
    if case["form"] == "lengths":
        lengths = [len(row) // case["features"] for row in case["rows"]]
        feed["lengths"] = np.array(lengths, np.int64)
    (y,) = run.run(["output"], feed)
    worst = 0
    for found, right in zip(y, case["values"]):
        # What is behind a row's end means nothing; a model that sets its timesteps gives them all.
        count = len(right) // y.shape[-1]
        worst = max(worst, error(found if y.ndim == 2 else found[:count], right))
    return worst


def steps(case, run):
    x = array(case, case["rows"])
    states = json.loads(run.get_modelmeta().custom_metadata_map["wgpu_lstm.states"])
    now = {s["name"]: np.zeros((len(x), s["size"]), np.float32) for s in states}
    names = [s["name"] for s in states]
    worst = 0
    for t in range(x.shape[1]):
        feed = {"input": x[:, t]} | {f"{name}_in": now[name] for name in names}
        y, *after = run.run(["output"] + [f"{name}_out" for name in names], feed)
        now = dict(zip(names, after))
        for found, right in zip(y, case["values"]):
            if right[t] is not None:
                worst = max(worst, error(found, right[t]))
    return worst


def main():
    arguments = sys.argv[1:]
    options = OPTIONS
    if "--" in arguments:
        at = arguments.index("--")
        arguments, options = arguments[:at], arguments[at + 1 :]
    count = int(arguments[0]) if arguments else 400
    failed, worst, forms = [], 0, collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(os.environ.get("KEEP_MODELS", folder))
        folder.mkdir(exist_ok=True)
        write(folder, count, options)
        for case in json.loads((folder / "cases.json").read_text()):
            try:
                run = session(folder / case["file"])
                found = (steps if case["form"] == "step" else sequences)(case, run)
            except Exception as problem:
                failed.append((case, str(problem)))
                continue
            if not found <= BOUND:
                failed.append((case, f"off by {found:.2g}"))
                continue
            worst = max(worst, found)
            forms[case["form"]] += 1
    for case, problem in failed[:20]:
        print(case["file"], problem, case["about"], sep="\n")
    print(f"{count} models: {dict(forms)} files agree to {worst:.2g}; {len(failed)} do not")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
