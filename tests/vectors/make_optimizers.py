"""Makes optimizer_rules.safetensors beside it with PyTorch, and with Keras what PyTorch lacks: see README.md.

    KERAS_BACKEND=torch python make_optimizers.py
"""

import pathlib

import keras
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
STEPS, KEPT = 20, (0, 4, 5, 19)
O = torch.optim

# By the names in tests/optimizers/rules.rs.
KINDS = {
    "sgd": lambda p: O.SGD(p, lr=0.1),
    "sgd_decay": lambda p: O.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "sgd_nesterov_decay": lambda p: O.SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.1),
    "adam": lambda p: O.Adam(p, lr=0.01),
    "adam_coupled": lambda p: O.Adam(p, lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1),
    "adam_amsgrad": lambda p: O.Adam(p, lr=0.01, betas=(0.9, 0.9), amsgrad=True),
    "adamw": lambda p: O.AdamW(p, lr=0.01),
    "adamw_amsgrad": lambda p: O.AdamW(p, lr=0.01, betas=(0.9, 0.9), weight_decay=0.1, amsgrad=True),
    "adamax": lambda p: O.Adamax(p),
    "adamax_decay": lambda p: O.Adamax(p, lr=0.05, betas=(0.8, 0.9), eps=1e-4, weight_decay=0.1),
    "nadam": lambda p: O.NAdam(p),
    "nadam_decay": lambda p: O.NAdam(p, lr=0.01, weight_decay=0.1, momentum_decay=0.5),
    "nadam_decoupled": lambda p: O.NAdam(
        p, lr=0.01, betas=(0.8, 0.9), weight_decay=0.1, decoupled_weight_decay=True
    ),
    "radam": lambda p: O.RAdam(p),
    "radam_decay": lambda p: O.RAdam(p, lr=0.01, betas=(0.8, 0.9), eps=1e-4, weight_decay=0.1),
    "radam_decoupled": lambda p: O.RAdam(p, lr=0.01, weight_decay=0.1, decoupled_weight_decay=True),
    "rms_prop": lambda p: O.RMSprop(p),
    "rms_prop_momentum": lambda p: O.RMSprop(p, lr=0.02, alpha=0.9, momentum=0.8, weight_decay=0.1),
    "rms_prop_centered": lambda p: O.RMSprop(p, lr=0.02, alpha=0.9, eps=1e-4, centered=True),
    "rms_prop_both": lambda p: O.RMSprop(p, lr=0.01, alpha=0.9, momentum=0.8, centered=True),
    "adagrad": lambda p: O.Adagrad(p),
    "adagrad_options": lambda p: O.Adagrad(
        p, lr=0.1, lr_decay=0.05, weight_decay=0.1, initial_accumulator_value=0.1, eps=1e-5
    ),
    "adadelta": lambda p: O.Adadelta(p),
    "adadelta_options": lambda p: O.Adadelta(p, lr=0.5, rho=0.8, eps=1e-4, weight_decay=0.1),
}
KERAS = {
    "lion": lambda: keras.optimizers.Lion(learning_rate=0.01),
    "lion_options": lambda: keras.optimizers.Lion(learning_rate=0.01, beta_1=0.8, beta_2=0.9, weight_decay=0.1),
}


def main():
    torch.manual_seed(3)
    keras.config.set_floatx("float64")
    start = torch.randn(32).float().double()
    gradients = torch.randn(STEPS, 32).float().double()
    out = {"start": start, "gradients": gradients}
    for name, make in KINDS.items():
        p = start.clone().requires_grad_()
        optimizer = make([p])
        for step in range(STEPS):
            p.grad = gradients[step].clone()
            optimizer.step()
            if step in KEPT:
                out[f"{name}_{step}"] = p.detach().clone()
    for name, make in KERAS.items():
        p = keras.Variable(start.numpy(), dtype="float64")
        optimizer = make()
        for step in range(STEPS):
            optimizer.apply([gradients[step]], [p])
            if step in KEPT:
                out[f"{name}_{step}"] = torch.as_tensor(keras.ops.convert_to_numpy(p).copy())
    out = {k: v.float().reshape(-1).contiguous() for k, v in out.items()}
    save_file(out, HERE / "optimizer_rules.safetensors")
    print("PyTorch", torch.__version__, "Keras", keras.__version__)


if __name__ == "__main__":
    main()
