"""Makes the files beside it by PyTorch, and reads what the tests wrote for it.

    python make_files.py               # the files
    python make_files.py check FOLDER  # what `files_for_pytorch` (modules.rs) wrote into the folder
    python make_files.py large FILE    # a state dict of 200 MB, for `a_large_file_is_not_in_memory_twice`
"""

import argparse
import collections
import json
import pathlib
import sys
import zipfile

import torch
from safetensors.torch import load_file, save_file
from torch import nn

HERE = pathlib.Path(__file__).parent


def modules():
    """One module of each kind, in all options of its weights."""
    return {
        "lstm": nn.LSTM(3, 5),
        "lstm_stacked": nn.LSTM(3, 4, num_layers=3),
        "lstm_both": nn.LSTM(3, 4, num_layers=2, bidirectional=True),
        "lstm_no_bias": nn.LSTM(3, 5, num_layers=2, bias=False),
        "lstm_projection": nn.LSTM(3, 5, proj_size=2),
        "lstm_all": nn.LSTM(3, 5, num_layers=2, bias=False, bidirectional=True, proj_size=2),
        "lstm_cell": nn.LSTMCell(3, 5),
        "lstm_cell_no_bias": nn.LSTMCell(3, 5, bias=False),
        "rnn": nn.RNN(3, 5, num_layers=2, bidirectional=True),
        "rnn_relu": nn.RNN(3, 5, nonlinearity="relu"),
        "rnn_no_bias": nn.RNN(3, 5, bias=False),
        "rnn_cell": nn.RNNCell(3, 5),
        "gru": nn.GRU(3, 5),
        "linear": nn.Linear(3, 4),
        "linear_no_bias": nn.Linear(3, 4, bias=False),
        "embedding": nn.Embedding(7, 3),
        "layer_norm": nn.LayerNorm(3),
        "conv": nn.Conv1d(3, 4, 2),
        "conv_no_bias": nn.Conv1d(4, 6, 3, groups=2, bias=False),
        "batch_norm": nn.BatchNorm1d(3),
    }


def outputs(module, x):
    """What a module makes of rows of frames `[B,T,F]` or tokens `[B,T]`."""
    if isinstance(module, nn.RNNBase):
        module.batch_first = True
        return module(x)[0]
    if isinstance(module, nn.RNNCellBase):
        state, all_h = None, []
        for frame in x.unbind(1):
            state = module(frame, state)
            all_h.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(all_h, 1)
    if isinstance(module, (nn.Conv1d, nn.BatchNorm1d)):
        return module(x.transpose(1, 2)).transpose(1, 2)
    return module(x)


def spread(module):
    """First values that differ from each other: a norm's are 1 and 0, PyTorch's others small."""
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if name == "running_var" else 0.5 * torch.randn_like(value))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        self.encoder = nn.LSTM(4, 5, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(10)
        self.head = nn.Linear(10, 2)

    def forward(self, tokens):
        y, _ = self.encoder(self.embedding(tokens))
        return self.head(self.norm(y))


def of_modules():
    torch.manual_seed(1)
    all_modules = nn.ModuleDict(modules()).eval()
    for module in all_modules.values():
        spread(module)
    state = all_modules.state_dict()
    torch.save(state, HERE / "modules.pt")
    torch.save(state, HERE / "modules_legacy.pth", _use_new_zipfile_serialization=False)
    save_file(dict(state), HERE / "modules.safetensors")
    with zipfile.ZipFile(HERE / "modules.pt") as old:
        with zipfile.ZipFile(HERE / "modules_packed.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
            for name in old.namelist():
                new.writestr(zipfile.ZipInfo(name), old.read(name), zipfile.ZIP_DEFLATED)
    expected = {}
    for name, module in all_modules.items():
        tokens = isinstance(module, nn.Embedding)
        size = 4 if name == "conv_no_bias" else 3
        x = torch.randint(0, 7, (2, 6)) if tokens else torch.randn(2, 6, size)
        with torch.no_grad():
            y = outputs(module.double(), x if tokens else x.double())
        expected |= {f"{name}.x": x.float(), f"{name}.y": y.float().contiguous()}
    save_file(expected, HERE / "modules_expected.safetensors")


def of_models():
    torch.manual_seed(2)
    model = Model().eval()
    optimizer = torch.optim.AdamW(model.parameters())
    tokens = torch.randint(0, 11, (3, 7))
    with torch.enable_grad():
        model(tokens).square().sum().backward()
    optimizer.step()
    shared = torch.nn.DataParallel(model).state_dict()
    compiled = collections.OrderedDict((f"_orig_mod.{k}", v) for k, v in model.state_dict().items())
    checkpoint = {
        "epoch": 3,
        "best": 0.25,
        "name": "a tagger – ü",
        "done": False,
        "nothing": None,
        "big": 1 << 70,
        "model": shared,
        "ema": [1, compiled],
        "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(lr=1e-3, layers=[1, 2], device=torch.device("cpu")),
        "history": collections.defaultdict(list, loss=[1.5, 0.5], steps=[10, -20, 3000000000]),
        "labels": {"b", "i"},
        "vocabulary": {"<pad>": 0, "<unk>": 1, 5: "five", (1, 2): b"bytes"},
        "dtype": torch.float16,
        "size": torch.Size([2, 3]),
        "rng": torch.get_rng_state()[:16].clone(),
    }
    for protocol in [2, 3, 4, 5]:
        name = f"checkpoint_{protocol}.pt"
        if protocol in (2, 5):
            torch.save(checkpoint, HERE / name, pickle_protocol=protocol)
        torch.save(checkpoint, HERE / f"checkpoint_{protocol}.pth", pickle_protocol=protocol,
                   _use_new_zipfile_serialization=False)
    torch.jit.script(model).save(HERE / "model_script.pt")
    torch.jit.trace(model, tokens).save(HERE / "model_trace.pt")
    with torch.no_grad():
        expected = {k: v.contiguous() for k, v in model.state_dict().items()}
        expected |= {"x": tokens.float(), "y": model.double()(tokens).float()}
    save_file(expected, HERE / "model_expected.safetensors")


def of_kinds():
    """Tensors of every type, and views of every sort, and what they hold."""
    torch.manual_seed(3)
    base = torch.randn(6, 4)
    numbers = torch.tensor([[1.0, -2.5, 0.0], [1e-3, 240.0, -7.0]])
    types = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    tensors = {name: numbers.abs().to(getattr(torch, name)) for name in types}
    tensors |= {
        "whole": base,
        "transposed": base.t(),
        "rows": base[2:5],
        "columns": base[:, 1:3],
        "every_other": base[::2, ::3],
        "permuted": torch.randn(2, 3, 4).permute(2, 0, 1),
        "transposed_half": base.half().t(),
        "expanded": torch.randn(3, 1).expand(3, 5),
        "scalar": torch.tensor(2.5),
        "one": torch.tensor([[[4.0]]]).expand(1, 1, 1),
        "empty": torch.empty(0, 3),
        "sparse_in_rows": torch.randn(60, 40)[::7, 39],
        "parameter": nn.Parameter(base[0]),
        "special": torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0]),
    }
    expected = {k: v.detach().float().contiguous().clone() for k, v in tensors.items()}
    save_file(expected, HERE / "kinds_expected.safetensors")
    others = {
        "sparse": torch.eye(3).to_sparse(),
        "quantized": torch.quantize_per_tensor(base, 0.1, 0, torch.qint8),
        "complex": torch.randn(3, dtype=torch.complex64),
        "uint16": torch.tensor([1, 2], dtype=torch.uint16),
        "float8": base.to(torch.float8_e4m3fn),
        "meta": torch.empty(3, device="meta"),
        "negative": torch.randn(3, dtype=torch.complex64).conj().imag,
    }
    torch.save(tensors | others, HERE / "kinds.pt")
    legacy = {k: v for k, v in others.items() if k not in ("meta", "negative")}
    torch.save(tensors | legacy, HERE / "kinds_legacy.pth", _use_new_zipfile_serialization=False)


def of_foreign():
    """Files that are to be refused, each with its reason in the test."""
    torch.manual_seed(4)
    torch.save(nn.Linear(2, 1), HERE / "whole_model.pt")
    small = nn.Linear(2, 1).state_dict()
    torch.save(small, HERE / "small.pt")
    torch.save(small, HERE / "small.pth", _use_new_zipfile_serialization=False)


def check(folder):
    """Loads each file strictly, and compares what PyTorch computes with what the engine did."""
    count = 0
    made = modules()
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        case = json.loads(path.read_text())
        state = load_file(path.with_suffix(".safetensors"))
        if path.stem == "model":
            module = Model()
            module.load_state_dict(state, strict=True)
        elif path.stem == "prefixed":
            module = made["lstm_both"]
            whole = nn.ModuleDict({"encoder": nn.ModuleDict({"rnn": module})})
            whole.load_state_dict(state, strict=True)
        else:
            module = made[path.stem]
            module.load_state_dict(state, strict=True)
        module.eval().double()
        tokens = isinstance(module, (nn.Embedding, Model))
        x = torch.tensor(case["x"], dtype=torch.int64 if tokens else torch.float64).reshape(case["x_shape"])
        with torch.no_grad():
            y = outputs(module, x)
        found = torch.tensor(case["y"], dtype=torch.float64).reshape(y.shape)
        error = ((found - y).abs().max() / y.abs().max()).item()
        print(f"{path.stem}: {error:.1e}")
        assert error < 1e-5, path
        count += 1
    assert count >= 15, count


if __name__ == "__main__":
    if sys.argv[1:2] == ["check"]:
        check(sys.argv[2])
    elif sys.argv[1:2] == ["large"]:
        torch.save(nn.LSTM(1536, 1536, num_layers=3, bias=False).state_dict(), sys.argv[2])
    else:
        torch.set_grad_enabled(False)
        of_modules()
        of_models()
        of_kinds()
        of_foreign()
