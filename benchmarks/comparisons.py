"""Benchmarks that compare models: stitched and single-session models, and models with and without labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from example_tools.quick_settings import shorter
from flax import nnx
from scipy import stats

import lfadsx
from benchmarks.settings import Settings
from lfadsx import align
from lfadsx.data.dataset import Dataset
from lfadsx.data.splits import choose
from lfadsx.evaluation import Score, ratio, resample
from lfadsx.evaluation.metrics import r2_of_trials, r2_per_trial, r2_pooled
from lfadsx.inference import infer_trials
from lfadsx.results.labels import Labels
from lfadsx.training import FitResult

Train = Callable[..., FitResult]
"""Function that trains settings on data in a run folder with a seed, optionally from a given model."""

SHARES = {1.0: 1.0, 0.05: 0.25}
"""Share of the training trials, and share of the steps for it. With few trials, as many steps would overfit."""
SAMPLES = 64
"""Posterior samples of rates and of the bound."""


def stitching(
    settings: Settings, data: Dataset, folder: Path, split: str, seeds: Sequence[int], train: Train
) -> list[dict[str, Any]]:
    """Returns R2 of each session's rates from one stitched model and from single-session models, with equal updates.

    All models take the same number of steps. In each step a single-session model sees as many trials of its session as
    the stitched model on average. With few trials the number of steps is reduced, and the alignment of the stitched
    model is computed from these trials only.

    Args:
        settings: Settings of the stitched model.
        data: All sessions.
        folder: Where run folders go.
        split: Name of the split that is scored.
        seeds: Model seeds.
        train: Trains a model.
    """
    lines = []
    for share, steps in SHARES.items():
        part = _share(data, share)
        for seed in seeds:
            out = folder / f"share{share:g}_seed{seed}"
            stitched = train(_with_steps(settings, data, part, settings, steps), part, out / "stitched", seed).model
            rates = infer_trials(stitched, Labels.of(data), data.splits[split], SAMPLES, 0).rates[data.input_group]
            for number, session in enumerate(data.sessions):
                single = _session(part, number)
                one = _with_batch(settings, round(settings.train.batch_size / len(data.sessions)))
                one = _with_steps(one, data, single, settings, steps)
                own = train(one, single, out / session.name, seed).model
                own_posterior = infer_trials(own, Labels.of(single), single.splits[split], SAMPLES, 0)
                own_rates = own_posterior.rates[data.input_group]
                rows = data.splits[split].session == number
                truth, n = single.splits[split].truth, session.n_targets[data.input_group]
                lines.append(
                    {"session": session.name, "share": share, "seed": seed}
                    | _compared("stitched", "single", rates[rows][:, :, :n], own_rates, truth)
                )
    return lines


def new_session(
    settings: Settings, data: Dataset, folder: Path, split: str, seeds: Sequence[int], train: Train
) -> list[dict[str, Any]]:
    """Returns R2 of each session's rates from a model of all sessions, and from a model that got the session later.

    Each session is left out of one training. The session then gets a new read-in and read-out with random weights,
    without an alignment. Only these are trained on its trials; the dynamics come from the other sessions.

    Args:
        settings: Settings of all trainings.
        data: All sessions.
        folder: Where run folders go.
        split: Name of the split that is scored.
        seeds: Model seeds.
        train: Trains a model.
    """
    lines = []
    for seed in seeds:
        joint = train(settings, align(data, data.sessions[0].n_components), folder / f"joint_seed{seed}", seed).model
        rates = infer_trials(joint, Labels.of(data), data.splits[split], SAMPLES, 0).rates[data.input_group]
        for number, session in enumerate(data.sessions):
            out = folder / f"{session.name}_seed{seed}"
            others = align(_without(data, number), session.n_components)
            trained = train(settings, others, out / "others", seed).model
            own = _unaligned(_session(data, number))
            start = lfadsx.with_sessions(trained, own, rngs=nnx.Rngs(seed))
            added = train(_maps_only(settings, session.name), own, out / "added", seed, model=start).model
            own_rates = infer_trials(added, Labels.of(own), own.splits[split], SAMPLES, 0).rates[data.input_group]
            rows = data.splits[split].session == number
            truth, n = own.splits[split].truth, session.n_targets[data.input_group]
            found = _compared("added", "joint", own_rates, rates[rows][:, :, :n], truth)
            share = {"share_of_joint": found["added_r2"] / found["joint_r2"]}
            lines.append({"session": session.name, "seed": seed} | found | share)
    return lines


def labels(
    settings: Settings, data: Dataset, folder: Path, split: str, seeds: Sequence[int], train: Train
) -> list[dict[str, Any]]:
    """Returns the bound with the label as known input, without it, and with labels shuffled over trials.

    A model without labels has labels that are all 0. So the three models of a seed have the same structure, initial
    weights and order of trials. Random labels carry no information but may still change the training. So the
    information in a label is the difference between right and random labels. Intervals of a seed are over trials;
    seeds vary more, so the last line has the mean over seeds with its interval over seeds.

    Args:
        settings: Settings of the model with the label.
        data: The data with labels as known inputs.
        folder: Where run folders go.
        split: Name of the split that is scored.
        seeds: Model seeds.
        train: Trains a model.
    """
    random = np.random.default_rng(0)
    jobs = {
        "with": data,
        "without": _relabelled(data, np.zeros_like),
        "shuffled": _relabelled(data, random.permutation),
    }
    lines, means = [], {name: [] for name in jobs}
    for seed in seeds:
        bounds = {}
        for name, own in jobs.items():
            model = train(settings, own, folder / f"{name}_seed{seed}", seed).model
            bounds[name] = lfadsx.bounds(model, own, split, n_samples=SAMPLES).importance_weighted
            means[name].append(bounds[name].mean())
        lines.append({"seed": seed} | _gains(bounds, _over_trials))
    if len(seeds) > 1:
        lines.append({"seed": "mean"} | _gains({name: np.array(own) for name, own in means.items()}, _over_seeds))
    return lines


def _gains(bounds: dict[str, np.ndarray], interval: Callable[[np.ndarray], Score]) -> dict[str, float]:
    """Mean bounds in nats per trial, and their paired differences with an interval over trials or over seeds."""
    line = {f"{name}_nats": float(values.mean()) for name, values in bounds.items()}
    for one, other in (("with", "without"), ("shuffled", "without"), ("with", "shuffled")):
        line |= _named(f"{one}_minus_{other}_nats", interval(bounds[one] - bounds[other]))
    return line


def _compared(one: str, other: str, rates: np.ndarray, others: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """R2 of two models' rates, pooled and per trial, and the paired difference of R2 per trial."""
    lead = np.nanmean(r2_of_trials(rates, truth) - r2_of_trials(others, truth), 1)
    line = {}
    for name, values in ((one, rates), (other, others)):
        line |= {f"{name}_r2": r2_per_trial(values, truth), f"{name}_r2_pooled": r2_pooled(values, truth)}
    return line | _named("difference_r2", _over_trials(lead))


def _over_trials(values: np.ndarray) -> Score:
    """The mean over trials with its bootstrap interval."""
    return resample(ratio(values, np.ones(len(values))), len(values), n=2000)


def _over_seeds(values: np.ndarray) -> Score:
    """The mean over few seeds with Student's interval."""
    mean, error = float(values.mean()), float(stats.sem(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return Score(mean, error, mean - half, mean + half)


def _named(name: str, interval: Score) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _share(data: Dataset, share: float) -> Dataset:
    """The data with a share of each session's training trials, even over conditions, and with their alignment."""
    train, rows = data.train, []
    for number in range(len(data.sessions)):
        own = np.random.default_rng(number).permutation(np.flatnonzero(train.session == number))
        # First a trial of every condition, then another one of each.
        order = np.argsort(_repeats(train.condition[own]), kind="stable")
        rows.append(own[order][: max(1, round(share * len(own)))])
    few = dataclasses.replace(data, train=choose(train, np.sort(np.concatenate(rows))))
    return align(few, data.sessions[0].n_components)


def _repeats(values: np.ndarray) -> np.ndarray:
    """Number of earlier occurrences of each value."""
    return np.array([np.count_nonzero(values[:index] == value) for index, value in enumerate(values)])


def _session(data: Dataset, number: int) -> Dataset:
    """One session as a data set."""
    return _only(data, [number])


def _without(data: Dataset, number: int) -> Dataset:
    """All sessions but one."""
    return _only(data, [other for other in range(len(data.sessions)) if other != number])


def _only(data: Dataset, numbers: Sequence[int]) -> Dataset:
    """Some sessions as a data set."""
    place = np.zeros(len(data.sessions), np.int32)
    place[numbers] = np.arange(len(numbers))
    own = {}
    for name, split in data.splits.items():
        chosen = choose(split, np.isin(split.session, numbers))
        own[name] = dataclasses.replace(chosen, session=place[chosen.session])
    return dataclasses.replace(data, sessions=tuple(data.sessions[number] for number in numbers), **own)


def _unaligned(data: Dataset) -> Dataset:
    """The data without the alignment in their files, which was computed from all sessions."""
    sessions = tuple(dataclasses.replace(s, alignment=None, alignment_bias=None) for s in data.sessions)
    return dataclasses.replace(data, sessions=sessions)


def _maps_only(settings: Settings, session: str) -> Settings:
    """Settings with which only the read-in and the read-out of a session train, twice as long as the whole model.

    An epoch of one session has a fifth of the steps of an epoch of five. Ramps are not needed.
    """
    patterns, epochs = lfadsx.session_patterns([session]), 2 * settings.train.epochs
    train = dataclasses.replace(settings.train, train=patterns, kl_ramp_epochs=0, epochs=epochs)
    return dataclasses.replace(settings, train=train)


def _with_batch(settings: Settings, batch_size: int) -> Settings:
    return dataclasses.replace(settings, train=dataclasses.replace(settings.train, batch_size=max(1, batch_size)))


def _with_steps(settings: Settings, whole: Dataset, part: Dataset, like: Settings, share: float) -> Settings:
    """Settings with the number of epochs that gives a share of the steps of a training on all data."""
    steps = share * like.train.epochs * -(-whole.train.n_trials // like.train.batch_size)
    epochs = max(1, round(steps / -(-part.train.n_trials // settings.train.batch_size)))
    every = max(1, round(settings.train.validate_every * epochs / settings.train.epochs))
    return dataclasses.replace(
        settings, train=dataclasses.replace(shorter(settings.train, epochs), validate_every=every)
    )


def _relabelled(data: Dataset, change: Callable[[np.ndarray], np.ndarray]) -> Dataset:
    """The data with other known inputs, shape (trial, time, known)."""
    own = {
        name: dataclasses.replace(split, known_inputs=change(split.known_inputs)) for name, split in data.splits.items()
    }
    return dataclasses.replace(data, **own)
