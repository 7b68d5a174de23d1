"""Scores of a new session by its number of calibration trials, one JSON line for each training.

    python -m benchmarks.calibration_trials golub --seeds 0 1 2
    python -m benchmarks.calibration_trials --trials 16 64 --quick
    python -m benchmarks.calibration_trials --summary

A model is trained on the old sessions of a set. The new session then has k trials, a fifth of which validate. They are
used in three ways: `maps`, where only new maps are trained (`lfadsx.with_sessions`); `whole`, where the whole model
trains on from there; and `scratch`, a model that never saw another session. Scores are bits per spike of neurons of the
new session that no encoder sees, in trials that no training saw, and R2 of the rates where they are known. Lines that
the file holds are skipped; models of the old sessions are kept in --out. --summary prints, by number of trials, means
over seeds and the lead of `maps` over `scratch` with its 95 % interval over trials, paired.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

import lfadsx
from benchmarks.data_sets import RECORDINGS
from benchmarks.defaults import co_smoothing, lines
from benchmarks.settings import _load, settings_of, simulated
from lfadsx.cli.terminal import use_compilation_cache, use_devices
from lfadsx.data.dataset import Dataset
from lfadsx.data.fold_datasets import hide_neurons
from lfadsx.data.splits import choose
from lfadsx.evaluation import format_table, mean_of, minus, ratio, resample

FILE = Path("benchmarks/results/calibration_trials.jsonl")
TRIALS = (16, 32, 64, 128)
WAYS = ("maps", "whole", "scratch")
SMALL = dict(factors=8, generator_dim=32, ic_dim=16, ic_encoder_dim=24, input_encoder_dim=24, controller_dim=24)
"""Sizes of the models: k trials cannot train larger ones."""
QUICK = dict(epochs=2, kl_ramp_epochs=1, l2_ramp_epochs=1)

Sessions = tuple[Dataset, Dataset]
"""The old sessions, and the new one."""


def multisession(folder: Path, quick: bool) -> Sessions:
    """Simulates sessions with different neurons of one network; the last one is new."""
    settings, quick_data = settings_of("chaotic_rnn_multisession"), _load("chaotic_rnn_multisession").QUICK_DATA
    if quick:
        settings = dataclasses.replace(settings, changes=settings.changes | quick_data)
    _, data = simulated(settings, folder / ("quick" if quick else "full"))
    sessions = tuple(dataclasses.replace(of, alignment=None, alignment_bias=None) for of in data.sessions)
    data, last = dataclasses.replace(data, sessions=sessions), len(sessions) - 1
    return data.select(trials=lambda of: of.session < last), data.select(trials=lambda of: of.session == last)


def golub(folder: Path, quick: bool) -> Sessions:
    """Reads a brain-machine interface; every second trial with every second unit is the new session."""
    with np.load(RECORDINGS / "golub_bmi_24unit" / "golub_bmi.npz") as file:
        spikes = np.split(file["spikes_concat"], np.cumsum(file["lengths"])[:-1])
    return _halves([of.astype(np.uint8) for of in spikes])


def steinmetz(folder: Path, quick: bool) -> Sessions:
    """Reads a session of many areas; every second trial with every second neuron is the new session."""
    with np.load(RECORDINGS / "steinmetz_areas" / "session13_Lederberg_2017-12-06.npz") as file:
        spikes = file["spikes"]
    return _halves(list(spikes[:, :, spikes.mean((0, 1)) > 0.02]))


def _halves(trials: Sequence[np.ndarray]) -> Sessions:
    """Returns two sessions that share neither trials nor neurons."""
    halves = [
        lfadsx.from_arrays([of[:, i::2] for of in trials[i::2]], valid_fraction=0.15, test_fraction=0.3, session=name)
        for i, name in enumerate(("old", "new"))
    ]
    return halves[0], halves[1]


SETS: dict[str, Callable[[Path, bool], Sessions]] = {
    "golub": golub,
    "multisession": multisession,
    "steinmetz": steinmetz,
}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help=f"names of sets ({', '.join(SETS)}); by default all")
    parser.add_argument("--trials", nargs="+", type=int, default=TRIALS, help="numbers of calibration trials")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--quick", action="store_true", help="two epochs of everything, to check that it works")
    parser.add_argument("--file", type=Path, default=FILE)
    parser.add_argument("--out", type=Path, default=Path("runs/calibration_trials"))
    parser.add_argument("--summary", action="store_true", help="print the table; trains nothing")
    options = parser.parse_args()
    if not options.summary:
        use_compilation_cache()
        use_devices(1)
        for name in options.sets or SETS:
            run_set(name, options)
    print(format_table(summary(options.file, options.quick)))


def run_set(name: str, options: argparse.Namespace) -> None:
    """Trains all models of a set that the file does not hold."""
    done, old, new = {key(line) for line in lines(options.file)}, None, None
    for seed in options.seeds:
        asked = [{"set": name, "k": k, "way": way, "seed": seed, "quick": options.quick} for k in options.trials
                 for way in options.ways]  # fmt: skip
        asked = [line for line in asked if key(line) not in done]
        if not asked:
            continue
        if old is None or new is None:
            old, new = SETS[name](options.out / "data" / name, options.quick)
            new = hidden(new)
        trained = old_model(old, options.out / f"{name}_seed{seed}{'_quick' * options.quick}", seed, options.quick)
        for line in asked:
            if line["k"] > new.train.n_trials:
                continue
            line |= calibrated(trained, few(new, line["k"], seed), line["way"], seed, options.quick)
            options.file.parent.mkdir(parents=True, exist_ok=True)
            with options.file.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps({name: value for name, value in line.items() if name != "terms"}), flush=True)


def key(line: dict[str, Any]) -> tuple[Any, ...]:
    """Returns what tells one training from another."""
    return tuple(line[name] for name in ("set", "k", "way", "seed", "quick"))


def hidden(data: Dataset) -> Dataset:
    """Returns the data with every fifth neuron held out."""
    mask = np.zeros((len(data.sessions), data.train.encoder_input.shape[2]), bool)
    mask[:, ::5] = True
    return hide_neurons(data, mask)


def few(data: Dataset, k: int, seed: int) -> Dataset:
    """Returns the data with k of the training trials, a fifth of them for validation, and all trials of the test."""
    rows = np.random.default_rng(seed).permutation(data.train.n_trials)[:k]
    n_valid = max(1, k // 5)
    test = data.valid if data.test is None else data.test
    train, valid = (choose(data.train, part) for part in (rows[n_valid:], rows[:n_valid]))
    return dataclasses.replace(data, train=train, valid=valid, test=test)


def old_model(data: Dataset, out: Path, seed: int, quick: bool) -> lfadsx.LFADS:
    """Trains a model on the old sessions, or takes the one that is there."""
    return lfadsx.fit(fresh(data, seed), data, out=out, seed=seed, progress=False, **(QUICK if quick else {})).model


def fresh(data: Dataset, seed: int) -> lfadsx.LFADS:
    """Returns a new model."""
    return lfadsx.build(data, lfadsx.ModelConfig(**SMALL, inferred_inputs=1, readin="linear"), rngs=nnx.Rngs(seed))


def calibrated(old: lfadsx.LFADS, data: Dataset, way: str, seed: int, quick: bool) -> dict[str, Any]:
    """Trains on the calibration trials and returns the scores."""
    began, settings = time.monotonic(), dict(QUICK if quick else {})
    model = fresh(data, seed) if way == "scratch" else lfadsx.with_sessions(old, data, rngs=nnx.Rngs(seed))
    if way == "maps":
        settings |= dict(train=lfadsx.session_patterns([data.sessions[0].name]), kl_ramp_epochs=0, l2_ramp_epochs=0)
    run = lfadsx.fit(model, data, seed=seed, progress=False, **settings)
    found, terms = co_smoothing(run.model, data, "test", None)
    return {**found, "best_epoch": run.best_epoch, "seconds": round(time.monotonic() - began, 1), "terms": terms}


def summary(file: Path, quick: bool) -> list[dict[str, Any]]:
    """Returns a row for each set and number of trials."""
    found: dict[tuple[str, int], dict[str, list[dict[str, Any]]]] = {}
    for line in lines(file):
        if line["quick"] == quick:
            found.setdefault((line["set"], line["k"]), {}).setdefault(line["way"], []).append(line)
    rows = []
    for (name, k), ways in sorted(found.items()):
        row: dict[str, Any] = {"set": name, "trials": str(k)}
        row |= {way: float(np.mean([of["co_bps"] for of in ways[way]])) if way in ways else None for way in WAYS}
        if "maps" in ways and "scratch" in ways:
            maps, scratch = (mean_of([_statistic(of) for of in ways[way]]) for way in ("maps", "scratch"))
            lead = resample(minus(maps, scratch), len(ways["maps"][0]["terms"]["saved"]), n=2000)
            row["maps - scratch"] = f"{lead.value:+z.4f} [{lead.low:+z.4f}, {lead.high:+z.4f}]"
        rows.append(row | {"seeds": str(len(next(iter(ways.values()))))})
    return rows


def _statistic(line: dict[str, Any]) -> Any:
    return ratio(*map(np.array, line["terms"].values()))


if __name__ == "__main__":
    main()
