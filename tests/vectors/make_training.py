"""Whole trainings by Keras and by PyTorch, from given weights, which tests/training_vectors.rs follows."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
from safetensors.numpy import save_file

N, T, F, H, BATCH, EPOCHS = 60, 7, 3, 8, 12, 5
VALIDATION = 12


def data(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, T, F)).astype(np.float32)
    y = (x[:, :, 0].sum(1) + 0.3 * rng.normal(size=N) > 0).astype(np.float32)[:, None]
    weights = {
        "lstm.weight_ih_l0": rng.normal(size=(4 * H, F)) * 0.5,
        "lstm.weight_hh_l0": rng.normal(size=(4 * H, H)) * 0.3,
        "lstm.bias_l0": rng.normal(size=4 * H) * 0.2,
        "dense.weight": rng.normal(size=(1, H)) * 0.7,
        "dense.bias": rng.normal(size=1) * 0.1,
    }
    return x, y, {name: w.astype(np.float32) for name, w in weights.items()}


def save(name, x, y, first, last, **measured):
    entries = {"x": x, "y": y}
    entries |= {f"first.{n}": w for n, w in first.items()}
    entries |= {f"last.{n}": w for n, w in last.items()}
    entries |= {n: np.asarray(v, np.float32) for n, v in measured.items()}
    save_file({n: np.ascontiguousarray(v) for n, v in entries.items()}, f"{name}.safetensors")


def keras_run():
    x, y, first = data(1)
    model = keras.Sequential(
        [keras.Input((T, F)), keras.layers.LSTM(H), keras.layers.Dense(1, activation="sigmoid")]
    )
    model.set_weights(
        [
            first["lstm.weight_ih_l0"].T,
            first["lstm.weight_hh_l0"].T,
            first["lstm.bias_l0"],
            first["dense.weight"].T,
            first["dense.bias"],
        ]
    )
    rates = []

    class Rates(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="val_loss", factor=0.5, patience=1, min_delta=0.02, cooldown=0, min_lr=0.01
    )
    model.compile(
        # Keras adds epsilon before the bias of the variance is corrected, PyTorch and the library after:
        # the same only if it is small against the gradients.
        optimizer=keras.optimizers.Adam(0.05, epsilon=1e-11, clipnorm=0.1),
        loss="binary_crossentropy",
        metrics=["accuracy", "auc", "mae"],
    )
    history = model.fit(
        x, y, epochs=EPOCHS, batch_size=BATCH, shuffle=False, validation_split=VALIDATION / N,
        callbacks=[plateau, Rates()], verbose=0,
    ).history
    w = model.get_weights()
    last = {
        "lstm.weight_ih_l0": w[0].T,
        "lstm.weight_hh_l0": w[1].T,
        "lstm.bias_l0": w[2],
        "dense.weight": w[3].T,
        "dense.bias": w[4],
    }
    assert len(set(rates)) > 1, rates
    save(
        "training_keras", x, y, first, last, rates=rates,
        **{n: history[n] for n in ["loss", "val_loss", "accuracy", "val_accuracy", "mae", "val_mae"]},
    )
    print("keras", history, rates)


def torch_run():
    x, y, first = data(2)
    lstm, dense = torch.nn.LSTM(F, H, batch_first=True), torch.nn.Linear(H, 1)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.tensor(first["lstm.weight_ih_l0"]))
        lstm.weight_hh_l0.copy_(torch.tensor(first["lstm.weight_hh_l0"]))
        lstm.bias_ih_l0.copy_(torch.tensor(first["lstm.bias_l0"]))
        lstm.bias_hh_l0.zero_()
        dense.weight.copy_(torch.tensor(first["dense.weight"]))
        dense.bias.copy_(torch.tensor(first["dense.bias"]))
    # The library has one bias, whose gradient moves it once.
    lstm.bias_hh_l0.requires_grad_(False)
    parameters = [p for m in (lstm, dense) for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.1)
    train = N - VALIDATION
    steps = EPOCHS * (train // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.05, total_steps=steps, cycle_momentum=False
    )
    loss_of = torch.nn.BCEWithLogitsLoss()
    xs, ys = torch.tensor(x), torch.tensor(y)
    run = lambda x: dense(lstm(x)[0][:, -1])
    measured = {n: [] for n in ["loss", "val_loss", "accuracy", "val_accuracy", "rates", "norms"]}
    right = lambda logits, y: ((logits > 0).float() == y).float().mean().item()
    for _ in range(EPOCHS):
        losses, hits = [], []
        for i in range(0, train, BATCH):
            optimizer.zero_grad()
            logits = run(xs[i : i + BATCH])
            loss = loss_of(logits, ys[i : i + BATCH])
            loss.backward()
            measured["norms"].append(torch.nn.utils.clip_grad_norm_(parameters, 0.1).item())
            measured["rates"].append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            hits.append(right(logits, ys[i : i + BATCH]))
        with torch.no_grad():
            logits = run(xs[train:])
            measured["val_loss"].append(loss_of(logits, ys[train:]).item())
            measured["val_accuracy"].append(right(logits, ys[train:]))
        measured["loss"].append(np.mean(losses))
        measured["accuracy"].append(np.mean(hits))
    last = {
        "lstm.weight_ih_l0": lstm.weight_ih_l0,
        "lstm.weight_hh_l0": lstm.weight_hh_l0,
        "lstm.bias_l0": lstm.bias_ih_l0,
        "dense.weight": dense.weight,
        "dense.bias": dense.bias,
    }
    last = {n: w.detach().numpy() for n, w in last.items()}
    save("training_torch", x, y, first, last, **measured)
    print("torch", measured)


keras_run()
torch_run()
