"""`few_shot` and its job: few-shot co-smoothing of neurons that a model never saw."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from flax import nnx
from jax.sharding import Mesh

from lfadsx.data.choices import Choice, chosen
from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.data.split_names import ALL, split_name
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.baselines.averages import smooth_trials
from lfadsx.evaluation.baselines.session_data import mean_value, part_of
from lfadsx.evaluation.few_shot import FewShot, score_few_shot
from lfadsx.evaluation.task import Task
from lfadsx.inference import infer
from lfadsx.models.lfads import LFADS
from lfadsx.pipeline.outcome import Outcome
from lfadsx.pipeline.scoring import check_bin_width, matched
from lfadsx.training.run_folder import RunFolder, Which

K = (8, 32, 128)
"""Numbers of training trials, where there are as many."""


def few_shot(
    model: LFADS,
    data: Dataset,
    unseen: Choice | Mapping[str, Choice],
    *,
    k: Sequence[int] | None = None,
    n_draws: int = 5,
    split: str | None = None,
    n_samples: int = 64,
    seed: int = 0,
    mesh: Mesh | None = None,
) -> FewShot:
    """Scores read-outs of neurons that the model never saw, fitted to a few trials (few-shot co-smoothing).

    The factors of k training trials are inferred from the neurons that the model knows. Poisson regression from these
    factors predicts the unseen neurons, and `co_bps` scores the prediction on other trials. Among models with the same
    co-smoothing those with fewer superfluous dimensions need fewer trials. Read-outs from smoothed spikes of the
    neurons that the encoder sees stand beside, fitted in the same way.

    Source: Dabholkar & Barak 2025, PLOS Computational Biology (pcbi.1013789).

    Example:
        >>> import lfadsx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=4, duration=0.1)
        >>> known = data.select(neurons=range(40))
        >>> model = lfadsx.autonomous(known, generator_dim=8, factors=4, seed=0)
        >>> found = lfadsx.few_shot(model, data, range(40, 50), k=[4, 8], n_draws=2, n_samples=2)
        >>> list(found.scores), list(found.scores[4])
        ([4, 8], ['lfads', 'smoothed spikes'])

    Args:
        model: A model of the data without the unseen neurons, `data.select(neurons=...)`.
        data: The data with all neurons, the same trials.
        unseen: Channels of the input group that the model never saw: indices, a boolean mask or names. With several
            sessions: a dict by session name.
        k: Numbers of training trials of each session, from 2; by default those of 8, 32, 128 that exist.
        n_draws: Number of random draws of these trials.
        split: The split to score; by default test if there is one, else valid.
        n_samples: Posterior samples per trial that the factors are averaged over; 0 pushes the posterior means through.
        seed: Seed of the samples and of the resampled trials.
        mesh: Devices to spread the trials over, on its axis `data`.

    Raises:
        LfadsxError: If the data without the unseen neurons do not fit the model, or a number is out of range.
    """
    split = split_name(data.splits, split)
    if split == ALL:
        raise LfadsxError(f"`split` must be one of {', '.join(map(repr, data.splits))}, got 'all'.")
    masks = _masks(data, unseen)
    known = data.select(neurons={name: ~mask for name, mask in masks.items()})
    names = dict.fromkeys(("train", split))
    factors = {name: infer(model, known, name, n_samples=n_samples, seed=seed, mesh=mesh).factors for name in names}
    task = Task(data, split, seed=seed)
    smoothed = {name: _smoothed(known, known.splits[name], task.kernel_bins) for name in names}
    width, n_train = task.values.shape[2], min(np.bincount(data.train.session))
    rows = np.stack([np.pad(mask, (0, width - len(mask))) for mask in masks.values()])
    k = tuple(n for n in K if n <= n_train) if k is None else tuple(k)
    return score_few_shot(task, {"lfads": factors, "smoothed spikes": smoothed}, rows, k=k, n_draws=n_draws)


def few_shot_run(
    run: str | Path,
    data: Dataset,
    unseen: Choice | Mapping[str, Choice] | None = None,
    *,
    which: Which = "best",
    k: Sequence[int] | None = None,
    n_draws: int = 5,
    split: str | None = None,
    n_samples: int = 64,
    seed: int = 0,
    mesh: Mesh | None = None,
    parts: Iterable[type[nnx.Module]] = (),
) -> Outcome:
    """Scores few-shot read-outs with a run's model.

    `unseen` are by default the neurons whose names the run does not know. `which` and `parts` are as in `lfadsx.load`,
    the other arguments as in `lfadsx.few_shot`.

    Raises:
        RunError: If the folder holds no run.
        LfadsxError: If the unseen neurons cannot be told by their names, or as in `lfadsx.few_shot`.
    """
    began, folder = time.monotonic(), RunFolder(run)
    info = folder.info
    check_bin_width(info, data.bin_width)
    data, model = matched(info, data, folder.load(which=which, parts=parts))
    unseen = _unknown_names(info.sessions, data) if unseen is None else unseen
    how = dict(k=k, n_draws=n_draws, split=split, n_samples=n_samples, seed=seed, mesh=mesh)
    found = few_shot(model, data, unseen, **how)  # pyright: ignore[reportArgumentType]
    seconds = time.monotonic() - began
    return Outcome(text=repr(found), findings=data.findings, summary=found.to_dict(), seconds=seconds)


def _masks(data: Dataset, unseen: Choice | Mapping[str, Choice]) -> dict[str, np.ndarray]:
    """Returns, by session, True for the channels that the model never saw."""
    names = [session.name for session in data.sessions]
    if not isinstance(unseen, Mapping):
        if len(names) > 1:
            raise LfadsxError(
                f"`unseen` must be a dict by session, such as {{{names[0]!r}: [0, 1]}}, because the data have "
                f"{len(names)} sessions."
            )
        unseen = {names[0]: unseen}
    found = {}
    for session in data.sessions:
        n, labels = session.n_targets[data.input_group], session.channel_names.get(data.input_group, ())
        choice = unseen.get(session.name, [])
        found[session.name] = chosen(choice, n, f"`unseen` of {session.name!r}", "channels", labels)
    return found


def _unknown_names(known: Sequence[Session], data: Dataset) -> dict[str, np.ndarray]:
    """Returns, by session, True for the channels of the data whose names a run does not have."""
    group, of_run, found = data.input_group, {session.name: session for session in known}, {}
    for session in data.sessions:
        own, theirs = [of.channel_names.get(group, ()) for of in (session, of_run[session.name])]
        if not own or not theirs:
            raise LfadsxError(
                f"The unseen neurons of session {session.name!r} must be given, because the channels of the run or of "
                "the file have no names. Use --unseen, or `unseen=` in Python."
            )
        found[session.name] = np.array([name not in theirs for name in own])
    return found


def _smoothed(data: Dataset, split: Split, width: float) -> np.ndarray:
    """Returns the smoothed spikes that the encoder sees, shape (trial, encoder_time, channel); 0 in the padding."""
    found, n_bins = np.zeros(split.encoder_input.shape), split.encoder_input.shape[1]
    for index, session in enumerate(data.sessions):
        part, train = part_of(data, split, index), part_of(data, data.train, index)
        mean = mean_value(train.encoder_input, train.seen, is_counts=True)
        found[part.trials, :, : session.n_channels] = smooth_trials(part, mean, width, 1.0, n_bins)
    return found
