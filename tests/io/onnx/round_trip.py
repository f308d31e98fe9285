"""Models of PyTorch and Keras with many options, taken in by the tool, written as ONNX, and run in ONNX Runtime against
the library that they came from: over whole sequences and, where a model has one, step by step. What the tool computes
of its own ONNX file is compared, too.

    python tests/io/onnx/round_trip.py [TOOL]

Builds the tool if none is named. Needs torch, keras, safetensors, onnx, onnxruntime and numpy.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
from export_check import session
from keras import layers as L
from safetensors.torch import save_file
from torch import nn

ROOT = pathlib.Path(__file__).parents[3]
BOUND = 1e-5
random = np.random.default_rng(11)
X = random.standard_normal((3, 8, 5)).astype(np.float32)
TOKENS = np.array([[1, 2, 3, 4, 0, 0], [5, 1, 7, 2, 3, 8], [4, 4, 6, 0, 0, 0]])


class Chain(nn.Module):
    """Modules one after another; `last` leaves the last timestep of what the last recurrence gives."""

    def __init__(self, last=False, **parts):
        super().__init__()
        self.last = last
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x):
        parts = list(self.children())
        recurrent = [at for at, part in enumerate(parts) if isinstance(part, nn.RNNBase)]
        for at, part in enumerate(parts):
            if not isinstance(part, nn.RNNBase):
                x = part(x)
                continue
            y, state = part(x)
            x = y
            if self.last and at == recurrent[-1]:
                h = state[0] if isinstance(state, tuple) else state
                x = torch.cat([h[-2], h[-1]], -1) if part.bidirectional else h[-1]
        return x


def torch_models():
    """A state dict does not say that an RNN is one of relu, so there is none here."""
    lstm = lambda i, h, **options: nn.LSTM(i, h, batch_first=True, **options)
    yield "lstm", Chain(lstm=lstm(5, 7), head=nn.Linear(7, 3)), X
    yield "lstm_last", Chain(last=True, lstm=lstm(5, 7), head=nn.Linear(7, 3)), X
    yield "stacked", Chain(lstm=lstm(5, 6, num_layers=3), head=nn.Linear(6, 2)), X
    yield "both_ways", Chain(lstm=lstm(5, 6, num_layers=2, bidirectional=True), head=nn.Linear(12, 2)), X
    yield "both_ways_last", Chain(last=True, lstm=lstm(5, 6, bidirectional=True), head=nn.Linear(12, 2)), X
    yield "no_bias", Chain(last=True, lstm=lstm(5, 6, bias=False), head=nn.Linear(6, 2, bias=False)), X
    yield "projected", Chain(lstm=lstm(5, 8, proj_size=3), head=nn.Linear(3, 2)), X
    yield "projected_stack", Chain(last=True, lstm=lstm(5, 8, proj_size=3, num_layers=2), head=nn.Linear(3, 2)), X
    yield "tanh", Chain(rnn=nn.RNN(5, 7, batch_first=True), head=nn.Linear(7, 3)), X
    yield "tanh_last", Chain(last=True, rnn=nn.RNN(5, 7, bias=False, batch_first=True), head=nn.Linear(7, 3)), X
    yield "two_kinds", Chain(lstm=lstm(5, 6), rnn=nn.RNN(6, 4, batch_first=True), head=nn.Linear(4, 2)), X
    yield "tokens", Chain(table=nn.Embedding(9, 4), lstm=lstm(4, 5), norm=nn.LayerNorm(5), head=nn.Linear(5, 2)), TOKENS
    yield "normal", Chain(before=nn.LayerNorm(5), lstm=lstm(5, 6), after=nn.LayerNorm(6)), X
    yield "one_unit", Chain(lstm=lstm(5, 1), head=nn.Linear(1, 1)), X


def keras_models():
    rows = lambda *layers: keras.Sequential([keras.Input((None, 5)), *layers])
    tokens = lambda *layers: keras.Sequential([keras.Input((None,)), *layers])
    yield "lstm", rows(L.LSTM(7), L.Dense(3, activation="softmax")), X
    yield "gates", rows(L.LSTM(6, activation="relu", recurrent_activation="hard_sigmoid", return_sequences=True)), X
    yield "no_bias", rows(L.LSTM(6, use_bias=False, go_backwards=True), L.Dense(2, use_bias=False)), X
    for mode in ["concat", "sum", "mul", "ave"]:
        yield f"both_{mode}", rows(L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode=mode), L.Dense(2)), X
    yield "rnn", rows(L.SimpleRNN(6, activation="relu", return_sequences=True), L.SimpleRNN(3)), X
    yield "tokens", tokens(L.Embedding(9, 4, mask_zero=True), L.LSTM(5, return_sequences=True), L.LSTM(4), L.Dense(2)), TOKENS
    masked = np.where(random.random((3, 8, 1)) < 0.4, -1, X).astype(np.float32)
    yield "masked", rows(L.Masking(-1.0), L.LSTM(5, return_sequences=True), L.TimeDistributed(L.Dense(3))), masked
    yield "convolved", rows(L.Conv1D(6, 3, padding="same", strides=2, activation="relu"), L.MaxPooling1D(2), L.LSTM(4)), X
    yield "causal", rows(L.Conv1D(6, 3, padding="causal", dilation_rate=2), L.LSTM(4, return_sequences=True)), X
    yield "normal", rows(L.LSTM(5, return_sequences=True), L.BatchNormalization(), L.LayerNormalization(), L.GlobalAveragePooling1D()), X
    # Padding of averages is none of the numbers that Keras counts, but for this backend.
    yield "pooled", rows(L.Dense(4), L.AveragePooling1D(3, strides=2), L.GlobalMaxPooling1D(), L.Dense(1, activation="sigmoid")), X
    x = keras.Input((None, 5))
    a = L.LSTM(6, return_sequences=True)(x)
    joined = L.Concatenate()([L.Add()([a, L.Dense(6)(x)]), x])
    yield "branches", keras.Model(x, L.Dense(2)(L.LSTM(3)(joined))), X


class Tool:
    def __init__(self, path):
        self.path = path

    def __call__(self, *arguments):
        environment = os.environ | {"WGPU_LSTM_DEVICE": "cpu"}
        done = subprocess.run([self.path, *map(str, arguments)], capture_output=True, text=True, env=environment)
        return None if done.returncode == 0 else (done.stdout + done.stderr).strip()


def off(found, right):
    assert found.shape == right.shape, f"{found.shape}, expected {right.shape}"
    return float(np.max(np.abs(found - right) / (1 + np.abs(right))))


def given(run, x):
    return x.astype(np.int64 if "int" in run.get_inputs()[0].type else np.float32)


def of_sequences(path, x):
    run = session(path)
    return run.run(None, {run.get_inputs()[0].name: given(run, x)})[0]


def of_steps(path, x):
    """The outputs of all frames, or of the last one."""
    run = session(path)
    first, *states = run.get_inputs()
    now = {state.name: np.zeros((len(x), state.shape[1]), np.float32) for state in states}
    names, outputs = [output.name for output in run.get_outputs()], []
    for t in range(x.shape[1]):
        found = dict(zip(names, run.run(None, {first.name: given(run, x[:, t])} | now)))
        outputs.append(found[names[0]])
        now = {name: found[name.removesuffix("_in") + "_out"] for name in now}
    return np.stack(outputs, 1)


def check(tool, source, x, right, options, folder):
    """The worst error of a model, and the ways that it was run."""
    graph, step = folder / "model.onnx", folder / "step.onnx"
    problem = tool("convert", source, graph, *options)
    assert problem is None, problem
    errors = {"sequences": off(of_sequences(graph, x), right)}
    np.save(folder / "x.npy", x.astype(np.float32))
    problem = tool("run", graph, "--input", folder / "x.npy", "--output", folder / "y.npy")
    assert problem is None, problem
    errors["by the tool"] = off(np.load(folder / "y.npy"), right)
    # Layers that see all frames at once have no steps, which the tool says.
    problem = tool("convert", source, step, "--to", "onnx-step", *options)
    if problem is None:
        found = of_steps(step, x)
        errors["steps"] = off(found if right.ndim == 3 else found[:, -1], right)
    else:
        assert "stateful_step" in problem, problem
    return errors


def main():
    if len(sys.argv) > 1:
        tool = Tool(pathlib.Path(sys.argv[1]).resolve())
    else:
        subprocess.run(["cargo", "build", "-q", "-p", "wgpu-lstm-cli"], cwd=ROOT, check=True)
        tool = Tool(pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "wgpu-lstm")
    torch.manual_seed(3)
    torch.set_num_threads(1)
    failed, worst, count = 0, 0.0, 0

    def one(name, source, x, right, options, folder):
        nonlocal failed, worst, count
        count += 1
        try:
            errors = check(tool, source, x, right, options, folder)
        except Exception as problem:
            failed += 1
            print(f"{name}: {problem}")
            return
        failed += max(errors.values()) > BOUND
        worst = max(worst, *errors.values())
        print(f"{name}: " + ", ".join(f"{way} {error:.1e}" for way, error in errors.items()))

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, model, x in torch_models():
            with torch.no_grad():
                right = model.eval()(torch.from_numpy(x)).numpy()
            source = folder / ("model.pt" if count % 2 else "model.safetensors")
            state = {key: value.contiguous() for key, value in model.state_dict().items()}
            torch.save(state, source) if count % 2 else save_file(state, source)
            options = ["--modules", ",".join(name for name, _ in model.named_children())]
            one(f"torch {name}", source, x, right, options + [] if model.last else options + ["--sequences"], folder)
        for name, model, x in keras_models():
            values = [random.standard_normal(w.shape) * 0.5 for w in model.weights]
            model.set_weights([np.abs(v) + 0.2 if "variance" in w.path else v for v, w in zip(values, model.weights)])
            model.save(folder / "model.keras")
            right = np.asarray(model.predict(x, verbose=0))
            one(f"keras {name}", folder / "model.keras", x, right, [], folder)
    print(f"{count} models, off by at most {worst:.1e}; {failed} fail")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
