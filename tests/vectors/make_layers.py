"""Makes the layer_*.safetensors and onnx_node_*.safetensors files beside it with PyTorch and the
node tests of the onnx package: see README.md.

    python make_layers.py
"""

import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

HERE = pathlib.Path(__file__).parent


def array(v):
    if isinstance(v, torch.Tensor):
        v = v.detach().cpu().numpy()
    return np.ascontiguousarray(v, dtype=np.float32).reshape(-1)


def save(name, tensors):
    save_file({k: array(v) for k, v in tensors.items()}, HERE / f"layer_{name}.safetensors")


def rand(*shape):
    return torch.randn(*shape).float().double().requires_grad_()


def losses():
    x, y = rand(6, 5), rand(6, 5).detach()
    out = {"x": x, "y": y}

    def note(name, loss):
        x.grad = None
        loss.backward()
        out[name], out[f"d_{name}"] = loss, x.grad.clone()

    note("mae", F.l1_loss(x, y))
    note("huber", F.huber_loss(x, y, delta=0.7))
    e = y - x
    note("quantile", torch.maximum(0.8 * e, -0.2 * e).mean())
    labels = torch.tensor([0, 3, 2, 4, 1, 3])
    classes = torch.tensor([0.5, 2.0, 1.0, 0.25, 1.5]).double()
    out |= {"labels": labels, "classes": classes}
    note("ignored", F.cross_entropy(x, labels, ignore_index=3))
    note("smoothed", F.cross_entropy(x, labels, label_smoothing=0.1))
    note("weighted", F.cross_entropy(x, labels, weight=classes))
    note("all", F.cross_entropy(x, labels, weight=classes, ignore_index=3, label_smoothing=0.2))
    save("losses", out)


def ctc():
    x = rand(4, 9, 5)
    lengths = [9, 7, 4, 9]
    labels = [[1, 2, 2], [3], [], [4, 1, 3, 4]]
    loss = F.ctc_loss(
        x.log_softmax(-1).transpose(0, 1),
        torch.tensor([label for row in labels for label in row]),
        torch.tensor(lengths),
        torch.tensor([len(row) for row in labels]),
    )
    loss.backward()
    save("ctc", {"x": x, "loss": loss, "d_x": x.grad})


def norm_and_embedding():
    x, d = rand(3, 4, 7), rand(3, 4, 7)
    layer = nn.LayerNorm(7).double()
    with torch.no_grad():
        layer.weight.copy_(rand(7)), layer.bias.copy_(rand(7))
    y = layer(x)
    (y * d).sum().backward()
    out = {"x": x, "weight": layer.weight, "bias": layer.bias, "y": y, "d_y": d, "d_x": x.grad}
    save("norm", out | {"d_weight": layer.weight.grad, "d_bias": layer.bias.grad})
    ids = torch.tensor([[3, 0, 5, 3, 3], [1, 3, 0, 0, 5]])
    table, d = rand(6, 3), rand(2, 5, 3)
    y = F.embedding(ids, table, padding_idx=0)
    (y * d).sum().backward()
    save("embedding", {"ids": ids, "weight": table, "y": y, "d_y": d, "d_weight": table.grad})


def attention(name, score):
    b, u, t, q, k, v, units = 2, 3, 5, 4, 6, 3, 7
    query, keys, values = rand(b, u, q), rand(b, t, k), rand(b, t, v)
    lengths = torch.tensor([5, 3])
    params = {}
    if score == "dot":
        query = rand(b, u, k)
        scores = query @ keys.transpose(1, 2)
    elif score == "general":
        params = {"weight": rand(k, q)}
        scores = query @ params["weight"].T @ keys.transpose(1, 2)
    else:
        params = {"query_weight": rand(units, q), "key_weight": rand(units, k), "score": rand(units)}
        mixed = (query @ params["query_weight"].T)[:, :, None] + (keys @ params["key_weight"].T)[:, None]
        scores = mixed.tanh() @ params["score"]
    mask = torch.arange(t)[None, None] >= lengths[:, None, None]
    weights = scores.masked_fill(mask, -torch.inf).softmax(-1)
    context = weights @ values
    d = rand(*context.shape)
    (context * d).sum().backward()
    out = {"query": query, "keys": keys, "values": values, "weights": weights, "context": context}
    out |= {"d_context": d, "d_query": query.grad, "d_keys": keys.grad, "d_values": values.grad}
    for key, p in params.items():
        out |= {key: p, f"d_{key}": p.grad}
    save(f"attention_{name}", out)


def recurrent(name, layer, b, t, i, lengths=None, proj=0):
    """A layer of PyTorch with an initial state."""
    layer = layer.double()
    with torch.no_grad():
        for key, p in layer.named_parameters():
            p.copy_(p.float())
            if key.startswith("bias_hh"):
                p.zero_()
    h, n = layer.hidden_size, layer.num_layers
    x, h_0 = rand(b, t, i), rand(n, b, proj or h)
    state = (h_0, c_0) = (h_0, rand(n, b, h))
    if isinstance(layer, nn.RNN):
        state = h_0
    packed = x
    if lengths:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, ends = layer(packed, state)
    if lengths:
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=t)
    ends = ends if isinstance(ends, tuple) else (ends,)
    d_y, d_ends = rand(*y.shape), [rand(*e.shape) for e in ends]
    ((y * d_y).sum() + sum((e * d).sum() for e, d in zip(ends, d_ends))).backward()
    out = {"x": x, "h_0": h_0, "y": y, "h_n": ends[0], "d_y": d_y, "d_h_n": d_ends[0], "d_x": x.grad}
    out |= {"d_h_0": h_0.grad, "lengths": torch.tensor(lengths or [t] * b)}
    if len(ends) > 1:
        out |= {"c_0": c_0, "c_n": ends[1], "d_c_n": d_ends[1], "d_c_0": c_0.grad}
    for key, p in layer.named_parameters():
        if not key.startswith("bias_hh"):
            key = key.replace("bias_ih", "bias")
            out |= {key: p, f"d_{key}": p.grad}
    save(name, out)


def normalised_lstm():
    """Ba et al. 2016, equations 20 to 22, step by step."""
    b, t, i, h = 3, 6, 4, 5
    x, lengths = rand(b, t, i), [6, 2, 5]
    p = {"weight_ih_l0": rand(4 * h, i), "weight_hh_l0": rand(4 * h, h), "bias_l0": rand(4 * h)}
    for key, size in [("ih", 4 * h), ("hh", 4 * h), ("c", h)]:
        p |= {f"norm_{key}_l0": rand(size)}
    p |= {"norm_c_bias_l0": rand(h)}
    h_t, c_t = h_0, c_0 = rand(b, h), rand(b, h)
    outputs = []
    for step in range(t):
        a = F.layer_norm(x[:, step] @ p["weight_ih_l0"].T, (4 * h,), p["norm_ih_l0"])
        a = a + F.layer_norm(h_t @ p["weight_hh_l0"].T, (4 * h,), p["norm_hh_l0"]) + p["bias_l0"]
        i_, f_, g_, o_ = a.chunk(4, -1)
        c_new = f_.sigmoid() * c_t + i_.sigmoid() * g_.tanh()
        normal = F.layer_norm(c_new, (h,), p["norm_c_l0"], p["norm_c_bias_l0"])
        h_new = o_.sigmoid() * normal.tanh()
        on = (torch.tensor(lengths) > step)[:, None]
        h_t, c_t = torch.where(on, h_new, h_t), torch.where(on, c_new, c_t)
        outputs.append(torch.where(on, h_new, 0.0))
    y = torch.stack(outputs, 1)
    d_y, d_h, d_c = rand(*y.shape), rand(b, h), rand(b, h)
    ((y * d_y).sum() + (h_t * d_h).sum() + (c_t * d_c).sum()).backward()
    out = {"x": x, "h_0": h_0, "c_0": c_0, "y": y, "h_n": h_t, "c_n": c_t, "lengths": torch.tensor(lengths)}
    out |= {"d_y": d_y, "d_h_n": d_h, "d_c_n": d_c, "d_x": x.grad, "d_h_0": h_0.grad, "d_c_0": c_0.grad}
    for key, v in p.items():
        out |= {key: v, f"d_{key}": v.grad}
    save("norm_lstm", out)


def onnx_nodes():
    """Every LSTM case of the onnx package's node tests: the node's attributes are in the metadata."""
    import onnx
    from onnx.backend.test.case.node import collect_testcases

    found = 0
    for case in collect_testcases("LSTM"):
        node = case.model.graph.node[0]
        (inputs, outputs), = case.data_sets
        out = {}
        names = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
        values = iter(inputs)
        for name, used in zip(names, node.input):
            if used:
                out[name] = array(next(values))
        shapes = ",".join(str(s) for v in inputs[:3] for s in v.shape)
        values = iter(outputs)
        for name, used in zip(["Y", "Y_h", "Y_c"], node.output):
            if used:
                out[name] = array(next(values))
        meta = {a.name: str(onnx.helper.get_attribute_value(a)) for a in node.attribute}
        save_file(out, HERE / f"onnx_node_{case.name.removeprefix('test_lstm_')}.safetensors", meta | {"shapes": shapes})
        print(case.name, meta, shapes)
        found += 1
    assert found


if __name__ == "__main__":
    torch.manual_seed(5)
    losses()
    ctc()
    norm_and_embedding()
    for kind in ["dot", "general", "additive"]:
        attention(kind, kind)
    recurrent("rnn", nn.RNN(3, 5, batch_first=True), 4, 6, 3, [6, 1, 4, 3])
    recurrent("projection_state", nn.LSTM(4, 6, 2, proj_size=3, batch_first=True), 3, 5, 4, [5, 2, 4], 3)
    normalised_lstm()
    onnx_nodes()
