"""Writes the small files of corpus/ that other libraries write: arrays, tables, state dicts, models.

    python tests/io/make_corpus.py    # numpy, pandas, torch, safetensors, h5py, keras, onnx, onnxscript

`cargo test --test io write_our_own -- --ignored` writes those of this crate. Names that begin with bad- were
found by fuzzing, and are nobody's output.
"""
import io
import os
import pathlib
import tempfile
import warnings

os.environ["KERAS_BACKEND"] = "torch"
warnings.filterwarnings("ignore")
import numpy as np
import pandas as pd
import torch
from safetensors.torch import save as save_safetensors

ROOT = pathlib.Path(__file__).parent
CORPUS = ROOT / "corpus"
torch.manual_seed(0)


def write(name, content):
    path = CORPUS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    print(f"{path.stat().st_size:6} {name}")


def to_bytes(save, *arguments, **options):
    buffer = io.BytesIO()
    save(buffer, *arguments, **options)
    return buffer.getvalue()


def arrays():
    values = np.arange(6.0, dtype="f4").reshape(2, 3)
    write("npy/f4.npy", to_bytes(np.save, values))
    write("npy/f8_fortran.npy", to_bytes(np.save, np.asfortranarray(values.astype(">f8"))))
    write("npy/i8_scalar.npy", to_bytes(np.save, np.int64(7)))
    write("npy/bool_empty.npy", to_bytes(np.save, np.zeros((3, 0), dtype=bool)))
    write("npz/stored.npz", to_bytes(np.savez, x=values, y=np.uint8([1, 2])))
    write("npz/packed.npz", to_bytes(np.savez_compressed, x=values.astype("f2"), y=np.zeros(99)))
    table = pd.DataFrame({"t": [0.5, None, 2.0], "name": ["a", 'b "c", d', "é\nf"], "n": [1, 2, 3]})
    write("csv/pandas.csv", table.to_csv(index=False).encode())
    write("csv/crlf.csv", b"\xef\xbb\xbfx,y\r\n1,-2e3\r\nnan,inf\r\n\r\n")
    vectors = ROOT.parent / "vectors"
    write("tokenizer/bpe.json", (vectors / "tokenizer.json").read_bytes())


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(3, 2)
        self.lstm = torch.nn.LSTM(2, 1, batch_first=True)
        self.head = torch.nn.Linear(1, 1)

    def forward(self, x):
        return self.head(self.lstm(self.embed(x))[0])


def state_dicts():
    model = Model()
    state = model.state_dict()
    legacy = {"_use_new_zipfile_serialization": False}
    write("state_dict/small.safetensors", save_safetensors(state))
    halves = {"a": torch.ones(2, 1, dtype=torch.float16), "b": torch.ones(3, dtype=torch.bfloat16)}
    write("state_dict/halves.safetensors", save_safetensors(halves))
    write("zip_pt/small.pt", to_bytes(lambda f: torch.save(torch.nn.Linear(2, 1).state_dict(), f)))
    shared = torch.arange(6.0).reshape(2, 3)
    more = {"epoch": 3, "model": {"x": shared.T, "y": shared[1]}, "list": [torch.ones(1, dtype=torch.int64)]}
    write("zip_pt/checkpoint.pt", to_bytes(lambda f: torch.save(more, f)))
    linear = torch.nn.Linear(1, 1, bias=False).eval()
    script = torch.jit.script(linear)
    write("zip_pt/script.pt", to_bytes(lambda f: torch.jit.save(script, f)))
    write("legacy_pt/small.pth", to_bytes(lambda f: torch.save(torch.nn.Linear(2, 1).state_dict(), f, **legacy)))
    write("legacy_pt/checkpoint.pth", to_bytes(lambda f: torch.save(more, f, **legacy)))
    optimizer = torch.optim.Adam(linear.parameters())
    linear(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    trained = {"state": linear.state_dict(), "optimizer": optimizer.state_dict(), "best": 0.5, "tag": ("a", None)}
    write("legacy_pt/optimizer.pth", to_bytes(lambda f: torch.save(trained, f, pickle_protocol=4, **legacy)))


def onnx_graphs():
    import onnx

    lstm = torch.nn.LSTM(2, 1, batch_first=True)
    x = torch.zeros(1, 3, 2)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "m.onnx"
        for name, new in [("torch_old", False), ("torch_new", True)]:
            class Head(torch.nn.Module):
                def __init__(self):
                    super().__init__()
                    self.lstm, self.head = lstm, torch.nn.Linear(1, 2)

                def forward(self, x):
                    return torch.softmax(self.head(self.lstm(x)[0][:, -1]), -1)

            axes = {} if new else {"dynamic_axes": {"x": {0: "b", 1: "t"}}}
            torch.onnx.export(Head().eval(), (x,), str(path), input_names=["x"], dynamo=new, **axes)
            graph = onnx.load(str(path))
            for node in graph.graph.node:
                node.ClearField("doc_string")
                del node.metadata_props[:]
            write(f"onnx/{name}.onnx", graph.SerializeToString())


def keras_models():
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    lstm = keras.Sequential([layers.Input((None, 1)), layers.LSTM(1), layers.Dense(1)])
    rnn = keras.Sequential([layers.Input((None, 1)), layers.SimpleRNN(1)])
    with tempfile.TemporaryDirectory() as folder:
        for place, name, model in [("keras", "small.keras", lstm), ("hdf5", "legacy.h5", rnn)]:
            path = pathlib.Path(folder) / name
            model.save(path)
            write(f"{place}/{name}", path.read_bytes())


if __name__ == "__main__":
    arrays()
    state_dicts()
    onnx_graphs()
    keras_models()
