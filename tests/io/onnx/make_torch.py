"""Writes `torch.bin`: models that PyTorch's two exporters wrote, with ONNX Runtime's outputs.

python make_torch.py, with torch 2.15, onnx, onnxscript and onnxruntime 1.32.
"""
import io
import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from records import record
from torch import nn

warnings.filterwarnings("ignore")


class Recurrent(nn.Module):
    """A recurrent layer, whose states are inputs or zeros."""

    def __init__(self, layer, states=0):
        super().__init__()
        self.layer, self.states = layer, states

    def forward(self, x, *states):
        given = None if not states else (states if len(states) > 1 else states[0])
        y, last = self.layer(x, given)
        return (y, *last) if isinstance(last, tuple) else (y, last)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        self.lstm = nn.LSTM(4, 5, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 3)

    def forward(self, tokens):
        return self.head(self.lstm(self.embedding(tokens))[0])


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 6, num_layers=2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2))

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return torch.softmax(self.head(h[-1]), dim=1)


class Last(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 6, batch_first=True)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 1)

    def forward(self, x):
        return torch.sigmoid(self.head(self.norm(self.lstm(x)[0][:, -1])))


class Convolved(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(3, 6, 5, stride=2, padding=2), nn.BatchNorm1d(6), nn.GELU(),
            nn.Conv1d(6, 4, 3, dilation=2, groups=2), nn.LeakyReLU(0.1), nn.MaxPool1d(2, padding=1),
        )
        self.lstm = nn.LSTM(4, 5, batch_first=True)

    def forward(self, x):
        y = self.lstm(self.conv(x.transpose(1, 2)).transpose(1, 2))[0]
        return y.mean(dim=1), y.max(dim=1).values


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(3, 6, 5, stride=2, padding=2), nn.BatchNorm1d(6), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(6, 4, 3, dilation=2, groups=2), nn.LeakyReLU(0.1),
        )
        self.rnn = nn.RNN(4, 5, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 2, bias=False)

    def forward(self, x):
        return self.head(self.rnn(self.conv(x.transpose(1, 2)).transpose(1, 2))[0].mean(dim=1))


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, bidirectional=True)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths)
        y, (h, _) = self.lstm(packed)
        return nn.utils.rnn.pad_packed_sequence(y)[0], h


class Unsorted(nn.Module):
    """Rows that come in any order of their lengths, for which the exporter sorts them and sorts them back."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, lengths):
        first = self.layer.batch_first
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=False)
        y, last = self.layer(packed)
        y = nn.utils.rnn.pad_packed_sequence(y, batch_first=first)[0]
        return (y, *last) if isinstance(last, tuple) else (y, last)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.score = nn.Linear(4, 1)

    def forward(self, x, mask):
        y = self.lstm(x)[0]
        score = self.score(y).squeeze(-1).masked_fill(mask, float("-inf"))
        return torch.bmm(torch.softmax(score, 1).unsqueeze(1), y).squeeze(1)


def options():
    yield "lstm", Recurrent(nn.LSTM(3, 4)), [(7, 2, 3)]
    yield "lstm_batch_first", Recurrent(nn.LSTM(3, 4, batch_first=True)), [(2, 7, 3)]
    yield "lstm_both", Recurrent(nn.LSTM(3, 4, bidirectional=True)), [(7, 2, 3)]
    yield "lstm_stacked_both", Recurrent(nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True)), [(2, 7, 3)]
    yield "lstm_no_bias", Recurrent(nn.LSTM(3, 4, bias=False)), [(7, 2, 3)]
    yield "lstm_states", Recurrent(nn.LSTM(3, 4, 2)), [(7, 2, 3), (2, 2, 4), (2, 2, 4)]
    yield "rnn", Recurrent(nn.RNN(3, 4, bidirectional=True)), [(7, 2, 3)]
    yield "rnn_relu_states", Recurrent(nn.RNN(3, 4, nonlinearity="relu")), [(7, 2, 3), (1, 2, 4)]
    yield "gru", Recurrent(nn.GRU(3, 4, bidirectional=True)), [(7, 2, 3)]
    yield "gru_states", Recurrent(nn.GRU(3, 4, 2, batch_first=True)), [(2, 7, 3), (2, 2, 4)]
    yield "tagger", Tagger(), [np.arange(10).reshape(2, 5)]
    yield "classifier", Classifier(), [(2, 7, 3)]
    yield "last", Last(), [(2, 7, 3)]
    yield "convolved", Convolved(), [(2, 40, 3)]
    yield "pooled", Pooled(), [(2, 40, 3)]
    yield "packed", Packed(), [(6, 3, 3), np.array([6, 4, 1])]
    yield "attention", Attention(), [(2, 5, 3), np.array([[0, 0, 1, 0, 0], [0, 0, 0, 1, 1]]) == 1]
    lengths = np.array([3, 6, 1, 4])
    yield "unsorted", Unsorted(nn.LSTM(3, 4, batch_first=True)), [(4, 6, 3), lengths]
    yield "unsorted_both", Unsorted(nn.LSTM(3, 4, 2, bidirectional=True)), [(6, 4, 3), lengths]
    yield "unsorted_gru", Unsorted(nn.GRU(3, 4, batch_first=True)), [(4, 6, 3), lengths]


def export(model, inputs, dynamo, opset):
    names = [f"x{i}" for i in range(len(inputs))]
    if not dynamo:
        buffer = io.BytesIO()
        axes = {name: list(range(min(x.dim(), 2))) for name, x in zip(names, inputs)}
        torch.onnx.export(model, tuple(inputs), buffer, dynamo=False, opset_version=opset, input_names=names, dynamic_axes=axes)
        return buffer.getvalue()
    program = torch.onnx.export(model, tuple(inputs), dynamo=True, opset_version=opset, input_names=names, verbose=False)
    return program.model_proto.SerializeToString()


def stripped(model):
    """Without the texts for people, and the shapes in between, that exporters leave."""
    model = onnx.load_from_string(model)
    del model.graph.value_info[:]
    model.doc_string = ""

    def strip(graph):
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    strip(attribute.g)

    strip(model.graph)
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    return model.SerializeToString()


torch.manual_seed(5)
file = b""
session_options = onnxruntime.SessionOptions()
session_options.log_severity_level = 3
for name, model, shapes in options():
    model.eval()
    inputs = [torch.randn(s) if isinstance(s, tuple) else torch.from_numpy(s) for s in shapes]
    for dynamo, opset in [(False, 9), (False, 17), (True, 18)]:
        label = f"{name}_{'dynamo' if dynamo else opset}"
        try:
            data = stripped(export(model, inputs, dynamo, opset))
        except Exception as error:
            print(label, "is not exported:", str(error).splitlines()[0][:90])
            continue
        session = onnxruntime.InferenceSession(data, session_options, providers=["CPUExecutionProvider"])
        names = [i.name for i in session.get_inputs()]
        values = [x.numpy() for x in inputs][: len(names)]
        outputs = session.run(None, dict(zip(names, values)))
        file += record(label, data, list(zip(names, values)), list(zip([o.name for o in session.get_outputs()], outputs)))
        print(label, len(data))
pathlib.Path(__file__).with_name("torch.bin").write_bytes(file)
print(len(file), "bytes")
