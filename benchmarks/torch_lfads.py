"""LFADS by lfads-torch, read as a library from a clone of its repository.

Needs numpy, torch, pytorch-lightning and torchmetrics only, so that it can run in a separate environment. The
training loop is a plain loop, because the clone's trainer and schedule need old packages, Lightning 1.6 and torch
1.13. Model, loss, ramps and augmentation are the clone's own code.
"""

from __future__ import annotations

import copy
import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

SETTINGS: dict[str, Any] = {
    # Sizes: those of examples/lorenz.py.
    "fac_dim": 20,
    "gen_dim": 128,
    "ic_dim": 64,
    "ic_enc_dim": 64,
    # Where its own searches start, or the middle of their ranges, on a log scale for penalties.
    "lr_init": 4e-3,
    "cd_rate": 0.5,
    "dropout_rate": 0.3,
    "kl_ic_scale": 3e-5,
    "l2_gen_scale": 1e-2,
    # Shared by all of its configurations, except for the schedule: a plateau rule that only some use.
    "lr_decay": 0.95,
    "lr_patience": 6,
    "lr_stop": 1e-5,
    "loss_scale": 1e4,
    "kl_increase_epoch": 80,
    "l2_increase_epoch": 80,
    "ic_prior_variance": 0.1,
    "gradient_clip": 200.0,
    "batch_size": 64,
    "stop_patience": 200,
}
"""Settings by the names of lfads-torch. Its reconstruction is a mean over bins and neurons, so `kl_ic_scale` is the
weight of the evidence bound at 1 / (bins x neurons): 3.3e-4 for 100 bins of 30 neurons."""
SAMPLES = 64
"""Posterior samples that factors are averaged over."""


def load(repository: Path) -> SimpleNamespace:
    """Imports torch and the needed modules from a clone of github.com/arsedler9/lfads-torch.

    Raises:
        ImportError: torch, pytorch-lightning or torchmetrics is not installed.
        ValueError: The repository is not there.
    """
    if not (repository / "lfads_torch" / "model.py").is_file():
        raise ValueError(
            f"{str(repository)!r} holds no lfads_torch/model.py. "
            "Give a clone: `git clone https://github.com/arsedler9/lfads-torch`."
        )
    if str(repository) not in sys.path:
        sys.path.insert(0, str(repository))
    names = {
        "torch": "torch",
        "model": "lfads_torch.model",
        "tuples": "lfads_torch.tuples",
        "augmentations": "lfads_torch.modules.augmentations",
        "priors": "lfads_torch.modules.priors",
        "readout": "lfads_torch.modules.readin_readout",
        "recons": "lfads_torch.modules.recons",
    }
    try:
        return SimpleNamespace(**{short: importlib.import_module(name) for short, name in names.items()})
    except ImportError as error:
        raise ImportError(
            f"lfads-torch needs torch, pytorch-lightning and torchmetrics, and {error.name!r} is not installed. "
            "Run `pip install torch pytorch-lightning torchmetrics h5py`, in a separate environment if need be."
        ) from error


def fit_lfads_torch(
    library: SimpleNamespace, train: np.ndarray, valid: np.ndarray, *, epochs: int, seed: int, settings: dict[str, Any]
) -> Any:
    """Trains LFADS by lfads-torch and returns the model of the lowest smoothed validation reconstruction.

    Args:
        library: What `load` returns.
        train: Counts, shape (trial, time, neuron).
        valid: Counts of the validation trials, which set the learning rate, the end and the model that is kept.
        epochs: Number of epochs at most.
        seed: Of the start, the order of trials and all noise.
        settings: Values for all keys of `SETTINGS`.
    """
    torch = library.torch
    torch.manual_seed(seed)
    model = build(library, train.shape[1], train.shape[2], settings)
    optimizer = model.configure_optimizers()
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        factor=settings["lr_decay"],
        patience=settings["lr_patience"],
        threshold=0.0,
        min_lr=settings["lr_stop"],
    )
    ramp = max(settings["kl_increase_epoch"], settings["l2_increase_epoch"])
    lowest, best, best_epoch = np.inf, copy.deepcopy(model.state_dict()), 0
    for model.epoch in range(epochs):
        _train_epoch(library, model, optimizer, train, settings)
        error = _validate(library, model, valid, settings["batch_size"])
        schedule.step(error)
        if error < lowest:
            lowest, best, best_epoch = error, copy.deepcopy(model.state_dict()), model.epoch
        if model.epoch % 10 == 0:
            print(f"epoch {model.epoch + 1}: validation reconstruction {error:.5f}, lowest {lowest:.5f}", flush=True)
        # As in its configurations, training never stops before the ramps end.
        if model.epoch >= ramp and model.epoch - best_epoch >= settings["stop_patience"]:
            break
    model.load_state_dict(best)
    return model


def factors_of(library: SimpleNamespace, model: Any, counts: np.ndarray, n_samples: int = SAMPLES) -> np.ndarray:
    """Returns the factors, mean over posterior samples, shape (trial, time, factor), for counts of a split."""
    model.eval()
    parts = []
    with library.torch.no_grad():
        for start in range(0, len(counts), 256):
            batch = _batch(library, counts[start : start + 256])
            parts.append(sum(model.predict_step(batch, 0)[0].factors for _ in range(n_samples)) / n_samples)
    return np.concatenate([part.numpy() for part in parts])


def version_of(repository: Path) -> str:
    """Returns the commit of the clone, or "unknown"."""
    command = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def build(library: SimpleNamespace, n_bins: int, n_neurons: int, settings: dict[str, Any], **changes: Any) -> Any:
    """Returns an untrained model that runs outside Lightning's trainer, without a controller unless changes give one.

    Args:
        library: What `load` returns.
        n_bins: Number of bins.
        n_neurons: Number of neurons.
        settings: Values for all keys of `SETTINGS`.
        **changes: Arguments of the model other than those that follow from these.
    """

    class Standalone(library.model.LFADS):
        epoch = 0

        @property
        def current_epoch(self) -> int:  # usually set by the trainer; ramps depend on it
            return self.epoch

        def log(self, *args: Any, **kwargs: Any) -> None:
            """Logs nothing: there is no trainer to log to."""

        log_dict = log

    modules, stack = library.torch.nn.ModuleList, library.augmentations.AugmentationStack
    dropout = library.augmentations.CoordinatedDropout(settings["cd_rate"], cd_pass_rate=0.0, ic_enc_seq_len=0)
    own = ("fac_dim", "gen_dim", "ic_dim", "ic_enc_dim", "dropout_rate", "loss_scale", "lr_init", "lr_stop", "lr_decay")
    own += ("lr_patience", "kl_ic_scale", "l2_gen_scale", "kl_increase_epoch", "l2_increase_epoch")
    arguments = dict(
        encod_data_dim=n_neurons,
        encod_seq_len=n_bins,
        recon_seq_len=n_bins,
        ext_input_dim=0,
        ic_enc_seq_len=0,
        # All three must be 0 together so that widths fit.
        ci_enc_dim=0,
        con_dim=0,
        co_dim=0,
        ci_lag=1,
        readin=modules([library.torch.nn.Identity()]),
        readout=modules([library.readout.FanInLinear(settings["fac_dim"], n_neurons)]),
        reconstruction=modules([library.recons.Poisson()]),
        recon_reduce_mean=True,
        variational=True,
        ic_prior=library.priors.MultivariateNormal(0.0, settings["ic_prior_variance"], settings["ic_dim"]),
        co_prior=library.priors.Null(),
        ic_post_var_min=1e-4,
        cell_clip=5.0,
        train_aug_stack=stack([dropout], [0], [0]),
        infer_aug_stack=stack(),
        lr_scheduler=False,  # our plateau rule: the original uses an argument that torch has removed
        lr_adam_beta1=0.9,
        lr_adam_beta2=0.999,
        lr_adam_epsilon=1e-8,
        weight_decay=0.0,
        l2_start_epoch=0,
        kl_start_epoch=0,
        l2_ic_enc_scale=0.0,
        l2_ci_enc_scale=0.0,
        l2_con_scale=0.0,
        kl_co_scale=0.0,
        **{name: settings[name] for name in own},
    )
    return Standalone(**(arguments | changes))


def _train_epoch(
    library: SimpleNamespace, model: Any, optimizer: Any, train: np.ndarray, settings: dict[str, Any]
) -> None:
    """Takes a step for each full batch of trials in random order."""
    model.train()
    order = library.torch.randperm(len(train)).numpy()
    size = min(settings["batch_size"], len(train))
    for start in range(0, len(train) - size + 1, size):
        optimizer.zero_grad()
        model.training_step(_batch(library, train[order[start : start + size]]), 0).backward()
        library.torch.nn.utils.clip_grad_norm_(model.parameters(), settings["gradient_clip"])
        optimizer.step()


def _validate(library: SimpleNamespace, model: Any, valid: np.ndarray, size: int) -> float:
    """Returns the reconstruction cost of validation trials, smoothed over epochs by the model's own metric."""
    model.eval()
    with library.torch.no_grad():
        for start in range(0, len(valid), size):
            model.validation_step(_batch(library, valid[start : start + size]), 0)
        error = float(model.valid_recon_smth.compute())
    model.valid_recon_smth.reset()
    return error


def _batch(library: SimpleNamespace, counts: np.ndarray) -> dict[int, tuple[Any, tuple]]:
    """A batch of the single session; unused fields are empty."""
    torch = library.torch
    data = torch.as_tensor(counts, dtype=torch.float32)
    none = torch.zeros(len(counts), 0, 0)
    inputs = torch.zeros(*counts.shape[:2], 0)
    return {0: (library.tuples.SessionBatch(data, data, inputs, none, none), ())}
