"""Sets and judges the thresholds of `lfadsx/thresholds.py` on healthy and on broken models, one JSON line for each.

    python -m benchmarks.diagnostics --healthy 40 --broken 40
    python -m benchmarks.diagnostics --healthy 8 --broken 8 --first-seed 1000
    python -m benchmarks.diagnostics --summary

Seeds below 1000 judge; seeds from 1000 on are those that thresholds are set with. Broken models come in the kinds of
`BROKEN`, in turn; each must be found by its name. A healthy model must have no warning. A line has the findings and,
under `values`, the measured value of every check whether it is a finding or not. Lines that the file holds are skipped.
The summary has false alarms and misses of both sets of seeds.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from flax import nnx

import lfadsx
from lfadsx import thresholds
from lfadsx.cli.terminal import use_compilation_cache
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation import format_table
from lfadsx.findings import Finding
from lfadsx.training.training_findings import training_findings

FILE = Path("benchmarks/results/diagnostics.jsonl")
FIRST_TO_SET = 1000
"""Seeds from here on set thresholds; smaller ones judge them."""
N_TRIALS, N_BINS, N_NEURONS = 240, 24, 24
SIZES = dict(factors=4, generator_dim=24, ic_dim=4, ic_encoder_dim=16, input_encoder_dim=16, controller_dim=16)
TRAINING = dict(epochs=200, batch_size=32, learning_rate=1e-2, kl_ramp_epochs=20, l2_ramp_epochs=20, validate_every=2)
LAX: dict[str, float] = {
    "LEAST_KL_IC": np.inf,
    "LEAST_KL_INPUTS": np.inf,
    "MOST_PASSED_THROUGH": -np.inf,
    "MOST_ODD_UNITS": -np.inf,
    "LEAST_SLOPE": np.inf,
    "MOST_DISPERSION": -np.inf,
    "MOST_INFORMATION_LEFT": -np.inf,
    "LEAST_SHOWN": np.inf,
    "MOST_LEAKAGE": -np.inf,
    "MOST_ALONE": np.inf,
    "LEAST_HELD": -np.inf,
    "MOST_AUTONOMY_GAP": -np.inf,
    "MOST_RISE": -np.inf,
    "MOST_RISE_OF_NOISE": -np.inf,
}
"""Thresholds with which every check reports its value."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A way in which a model is broken.

    Attributes:
        finding: Name of the finding that must be there.
        inputs: If True, the data have inputs and the model infers them.
        sizes: Sizes of the model other than `SIZES`.
        training: Settings other than `TRAINING`.
        break_data: Changes the counts, shape (trial, time, neuron), with a random generator.
        break_model: Changes the trained model in place.
    """

    finding: str
    inputs: bool = False
    sizes: dict[str, Any] = dataclasses.field(default_factory=dict)
    training: dict[str, Any] = dataclasses.field(default_factory=dict)
    trials: int = N_TRIALS
    break_data: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None
    break_model: Callable[[lfadsx.LFADS], None] | None = None


def kill_units(model: lfadsx.LFADS) -> None:
    """Cuts half of the generator's units off from everything, so that they stay at 0."""
    generator = model.decoder.generator
    n, half = generator.n_units, slice(generator.n_units // 2)
    for param in (generator.start.weight, generator.start.bias):
        param[...] = param[...].at[..., half].set(0.0)
    new = slice(2 * n, 2 * n + n // 2)
    for param in (generator.gru.w_hidden, generator.gru.w_live, generator.gru.bias):
        if param is not None:
            param[...] = param[...].at[..., new].set(0.0)


def saturate_units(model: lfadsx.LFADS) -> None:
    """Makes each unit of the generator drive itself so strongly that it stays where it starts, at -1 or 1."""
    generator = model.decoder.generator
    n = generator.n_units
    generator.gru.w_hidden[...] = generator.gru.w_hidden[...].at[:, 2 * n :].set(20.0 * np.eye(n))


def silence_factors(model: lfadsx.LFADS, factor: float = 0.0) -> None:
    """Multiplies the read-out's weights, by default by 0."""
    for readout in model.readout.values():
        for weight in readout.weight.values():
            weight[...] = weight[...] * factor


def exaggerate(model: lfadsx.LFADS) -> None:
    """Makes log rates vary far more than they should."""
    silence_factors(model, 2.5)


def overdisperse(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts with the same mean whose variance is about twice as large."""
    return rng.poisson(counts * rng.gamma(0.6, 1 / 0.6, counts.shape))


NO_NOISE = dict(dropout_rate=0.0, cd_rate=0.0, kl_ic_scale=1e-4, kl_co_scale=1e-4)
BROKEN = {
    "collapsed initial condition": Kind("collapsed latents", training=dict(kl_ic_scale=50.0, kl_ramp_epochs=1)),
    "collapsed inputs": Kind("collapsed latents", inputs=True, training=dict(kl_co_scale=50.0, kl_ramp_epochs=1)),
    "pass-through": Kind("pass-through", inputs=True, sizes=dict(inferred_inputs=12, factors=12), training=NO_NOISE),
    "dead units": Kind("dead units", break_model=kill_units),
    "saturated units": Kind("saturated units", break_model=saturate_units),
    "flat rates": Kind("flat rates", break_model=silence_factors),
    "superfluous factors": Kind("superfluous factors", sizes=dict(factors=24)),
    "overdispersed counts": Kind("overdispersed counts", break_data=overdisperse),
    "information left": Kind("information left", sizes=dict(factors=1)),
    "learning rate": Kind("learning rate too high", training=dict(learning_rate=0.3)),
    "ramps": Kind("no selected model", training=dict(epochs=20, kl_ramp_epochs=60)),
    "overconfident rates": Kind("overconfident rates", break_model=exaggerate),
}
"""Kinds of broken models, and settings that break them."""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--healthy", type=int, default=0, help="number of healthy models")
    parser.add_argument("--broken", type=int, default=0, help="number of broken models")
    parser.add_argument("--first-seed", type=int, default=0, help=f"from {FIRST_TO_SET} on to set thresholds")
    parser.add_argument("--file", type=Path, default=FILE)
    parser.add_argument("--summary", action="store_true", help="print false alarms and misses; trains nothing")
    options = parser.parse_args()
    use_compilation_cache()
    done = {(line["kind"], line["seed"]) for line in lines(options.file)}
    kinds = list(BROKEN)
    seeds = range(options.first_seed, options.first_seed + options.healthy)
    jobs = [("healthy, inputs" if seed % 2 else "healthy", seed) for seed in seeds]
    jobs += [(kinds[i % len(kinds)], options.first_seed + i) for i in range(options.broken)]
    for kind, seed in () if options.summary else jobs:
        if (kind, seed) in done:
            continue
        line = {"kind": kind, "seed": seed} | tried(kind, seed)
        options.file.parent.mkdir(parents=True, exist_ok=True)
        with options.file.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
    print(format_table(summary(options.file)))


def lines(file: Path) -> Iterator[dict[str, Any]]:
    """Returns the lines of a file that exists."""
    if file.is_file():
        yield from map(json.loads, file.read_text().splitlines())


def tried(name: str, seed: int) -> dict[str, Any]:
    """Trains one model and returns its findings and all measured values."""
    kind = BROKEN.get(name, Kind("", inputs="inputs" in name))
    began = time.monotonic()
    data = simulate(seed, kind)
    sizes = SIZES | {"inferred_inputs": 1 if kind.inputs else 0} | kind.sizes
    variant = "inferred_input" if kind.inputs else "autonomous"
    model = lfadsx.build(data, lfadsx.ModelConfig(variant=variant, **sizes), rngs=nnx.Rngs(seed))
    settings = TRAINING | kind.training
    run = lfadsx.fit(model, data, progress=False, seed=seed, **settings)
    if kind.break_model is not None:
        kind.break_model(run.model)
    how = dict(n_samples=16, baselines={})
    score = lfadsx.evaluate(run.model, data, **how)
    with lax_thresholds():
        hyper = lfadsx.HyperParams(
            **{k: v for k, v in settings.items() if k in lfadsx.HyperParams.__dataclass_fields__}
        )
        facts = dict(reason=run.reason, best_epoch=run.best_epoch, skipped_steps=run.skipped_steps)
        config = lfadsx.TrainConfig(epochs=settings["epochs"])
        measured = [*training_findings(run.history, **facts, hyper=hyper, config=config, n_bins=N_BINS)]
        measured += lfadsx.evaluate(run.model, data, **how).findings
    found = (*run.findings, *score.findings)
    return {
        "expected": kind.finding,
        "findings": [[finding.level, finding.name, finding.where] for finding in found],
        "values": {f"{one.name} {one.where}".strip(): _value(one) for one in measured}
        | {"information left": score.detail["information_left"]},
        "masked_bps": round(score.scores["masked_bps"] or 0.0, 4),
        "seconds": round(time.monotonic() - began, 1),
    }


def _value(finding: Finding) -> float | None:
    return None if finding.value is None else round(float(finding.value), 5)


@contextlib.contextmanager
def lax_thresholds() -> Iterator[None]:
    """Makes every check report its value."""
    with contextlib.ExitStack() as stack:
        for name, value in LAX.items():
            stack.enter_context(mock.patch.object(thresholds, name, value))
        yield


def simulate(seed: int, kind: Kind) -> Dataset:
    """Returns counts of neurons that follow two damped oscillations from random starts, kicked if there are inputs."""
    rng = np.random.default_rng(seed)
    n = kind.trials + 80
    angle = np.array([0.35, 0.15])
    turn = 0.97 * np.kron(np.diag(np.cos(angle)), np.eye(2))
    turn += 0.97 * np.kron(np.diag(np.sin(angle)), np.array([[0.0, -1.0], [1.0, 0.0]]))
    state, path = rng.standard_normal((n, 4)), []
    kicks = np.zeros((n, N_BINS, 1))
    if kind.inputs:
        kicks[np.arange(n), rng.integers(4, N_BINS - 4, n), 0] = 2.5 * rng.choice([-1.0, 1.0], n)
    into = rng.standard_normal(4) / 2
    for t in range(N_BINS):
        state = state @ turn.T + kicks[:, t] * into * 2
        path.append(state)
    rates = np.exp(-0.2 + np.stack(path, 1) @ rng.normal(0, 0.35, (4, N_NEURONS)))
    counts = rng.poisson(np.minimum(rates, 15.0))
    if kind.break_data is not None:
        counts = kind.break_data(counts, rng)
    split = np.repeat(["train", "valid", "test"], [kind.trials, 40, 40])
    return lfadsx.from_arrays(counts, split=split, held_out=4, bin_width=0.02)


def summary(file: Path) -> list[dict[str, Any]]:
    """Returns false alarms and misses by kind, for the seeds that set thresholds and those that judge them."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for line in lines(file):
        role = "sets" if line["seed"] >= FIRST_TO_SET else "judges"
        names = {name for _, name, _ in line["findings"]}
        wrong = line["expected"] not in names
        if not line["expected"]:
            wrong = any(level != "note" for level, _, _ in line["findings"])
        for kind in (line["kind"], "all broken" if line["expected"] else "all healthy"):
            row = rows.setdefault((role, kind), {"kind": f"{role}: {kind}", "models": 0, "wrong": 0})
            row["models"] += 1
            row["wrong"] += wrong
    return [row | {"share": row["wrong"] / row["models"]} for _, row in sorted(rows.items())]


if __name__ == "__main__":
    main()
