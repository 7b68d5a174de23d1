"""Trains lfads-torch on a recording with held-out neurons; the peer of `benchmarks.time_to_quality`.

    python -m benchmarks.torch_quality FILE --repository CLONE --seed 0 --out rates.npz

Runs in a separate environment, without lfadsx. Sizes, batch and the weights of the KLs are the defaults of lfadsx,
converted to the scale of lfads-torch; the plateau schedule and the model that is kept are its own. Writes rates of the
test trials (counts per bin) and seconds of training.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np

from benchmarks.torch_lfads import SETTINGS, build, load

SIZES = {"fac_dim": 32, "gen_dim": 128, "ic_dim": 64, "ic_enc_dim": 64, "ci_enc_dim": 64, "con_dim": 64, "co_dim": 4}
KL = 0.04
"""Weight of both KLs for a loss that is summed over bins and neurons."""
SAMPLES = 64


def main() -> None:
    """Trains and writes rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--repository", type=Path, required=True, help="clone of lfads-torch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=160)
    parser.add_argument("--ramp", type=int, default=40, help="epochs over which the weights of the KLs rise")
    parser.add_argument("--patience", type=int, default=40, help="epochs without a better score after which it stops")
    parser.add_argument("--cd-rate", type=float, default=0.3)
    parser.add_argument("--dropout-rate", type=float, default=0.2)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    library = load(options.repository)
    library.torch.manual_seed(options.seed)
    with h5py.File(options.file) as file:
        data = {split: (file[f"{split}_encod_data"][:], file[f"{split}_recon_data"][:]) for split in
                ("train", "valid", "test")}  # fmt: skip
    model = model_of(library, *data["train"], options)
    began = time.monotonic()
    best_epoch = train(library, model, data, options)
    seconds = time.monotonic() - began
    np.savez(options.out, rates=rates_of(library, model, data["test"]))
    print(json.dumps({"seconds": round(seconds, 1), "best_epoch": best_epoch, "out": str(options.out)}))


def model_of(library: SimpleNamespace, seen: np.ndarray, recon: np.ndarray, options: argparse.Namespace) -> Any:
    """Returns an untrained model with a controller."""
    n_bins, n_seen, n_recon = recon.shape[1], seen.shape[2], recon.shape[2]
    own = {name: SIZES[name] for name in ("fac_dim", "gen_dim", "ic_dim", "ic_enc_dim")}
    ramps = {"kl_increase_epoch": options.ramp, "l2_increase_epoch": options.ramp, "l2_gen_scale": 0.0}
    rates = {"cd_rate": options.cd_rate, "dropout_rate": options.dropout_rate}
    settings = SETTINGS | own | ramps | rates | {"kl_ic_scale": KL / (n_bins * n_recon)}
    return build(
        library,
        n_bins,
        n_seen,
        settings,
        ci_enc_dim=SIZES["ci_enc_dim"],
        con_dim=SIZES["con_dim"],
        co_dim=SIZES["co_dim"],
        co_prior=library.priors.AutoregressiveMultivariateNormal(10.0, 0.1, SIZES["co_dim"]),
        kl_co_scale=KL / (n_bins * n_recon),
        readout=library.torch.nn.ModuleList([library.readout.FanInLinear(SIZES["fac_dim"], n_recon)]),
    )


def train(library: SimpleNamespace, model: Any, data: dict[str, Any], options: argparse.Namespace) -> int:
    """Trains in place until the validation reconstruction of seen neurons stalls; returns the kept epoch."""
    torch = library.torch
    optimizer = torch.optim.Adam(model.parameters(), lr=SETTINGS["lr_init"])
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.95, patience=6, threshold=0.0, min_lr=SETTINGS["lr_stop"]
    )
    lowest, best, best_epoch = np.inf, copy.deepcopy(model.state_dict()), 0
    for model.epoch in range(options.epochs):
        model.train()
        order = torch.randperm(len(data["train"][0])).numpy()
        for start in range(0, len(order) - 63, 64):
            rows = order[start : start + 64]
            optimizer.zero_grad()
            model.training_step(batch_of(library, *(of[rows] for of in data["train"])), 0).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["gradient_clip"])
            optimizer.step()
        model.eval()
        with torch.no_grad():
            model.validation_step(batch_of(library, *data["valid"]), 0)
            error = float(model.valid_recon_smth.compute())
        model.valid_recon_smth.reset()
        schedule.step(error)
        if error < lowest and model.epoch >= options.ramp:
            lowest, best, best_epoch = error, copy.deepcopy(model.state_dict()), model.epoch
        if model.epoch >= options.ramp and model.epoch - best_epoch >= options.patience:
            break
    model.load_state_dict(best)
    return best_epoch


def rates_of(library: SimpleNamespace, model: Any, split: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Returns the rates, mean over posterior samples, shape (trial, time, neuron)."""
    model.eval()
    with library.torch.no_grad():
        batch = batch_of(library, *split)
        total = sum(model.predict_step(batch, 0)[0].output_params for _ in range(SAMPLES))
    return (total / SAMPLES).numpy()


def batch_of(library: SimpleNamespace, seen: np.ndarray, recon: np.ndarray) -> dict[int, Any]:
    """Returns a batch of the single session."""
    torch = library.torch
    none, inputs = torch.zeros(len(seen), 0, 0), torch.zeros(*recon.shape[:2], 0)
    arrays = (torch.as_tensor(of, dtype=torch.float32) for of in (seen, recon))
    return {0: (library.tuples.SessionBatch(*arrays, inputs, none, none), ())}


if __name__ == "__main__":
    main()
