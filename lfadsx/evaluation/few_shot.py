"""Few-shot co-smoothing: how well a few trials tell how neurons that the model never saw depend on its factors."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from lfadsx.errors import LfadsxError
from lfadsx.evaluation.baselines.poisson_fit import PoissonFit
from lfadsx.evaluation.baselines.session_data import Part, mean_value, part_of, seen_bins
from lfadsx.evaluation.baselines.spike_regression import HIGHEST_RATE
from lfadsx.evaluation.comparison import format_table
from lfadsx.evaluation.measures import bits
from lfadsx.evaluation.metrics import nll_per_trial
from lfadsx.evaluation.statistics import N_RESAMPLES, Score, drawn, score_of
from lfadsx.evaluation.task import Task
from lfadsx.files import plain
from lfadsx.progress import steps

PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 3e-2, 1e-2, 3e-3, 1e-3)
"""L2 penalties that cross-validation chooses among, the strongest first, so that each search starts near its end."""

FOLDS = 5
"""Folds of the cross-validation; with fewer trials each is a fold."""

Features = Mapping[str, Float[np.ndarray, "trial time feature"]]
"""Features of the training trials ("train") and of the scored split, by its name."""


@dataclasses.dataclass(frozen=True, repr=False)
class FewShot:
    """Scores of few-shot read-outs; as text a table.

    Attributes:
        split: Name of the scored split.
        unseen: By session, the names of the neurons that the model never saw.
        scores: By number of trials and features ("lfads": the model's factors), bits per spike, mean over draws of the
            trials. Errors and intervals are over scored trials and draws.
        differences: By number of trials, factors minus smoothed spikes, on the same trials and draws.
        draws: By number of trials and features, bits per spike of each draw.
    """

    split: str
    unseen: dict[str, tuple[str, ...]]
    scores: dict[int, dict[str, Score]]
    differences: dict[int, Score]
    draws: dict[int, dict[str, list[float]]]

    def to_dict(self) -> dict[str, Any]:
        """Returns all numbers, ready for JSON."""
        return plain(dataclasses.asdict(self))

    def __repr__(self) -> str:
        """Returns the table: a row for each number of trials."""
        n = sum(map(len, self.unseen.values()))
        rows = [
            {"trials": str(k), **{name: str(score) for name, score in of.items()}, "difference": _words(difference)}
            for (k, of), difference in zip(self.scores.items(), self.differences.values(), strict=True)
        ]
        return f"Few-shot bits per spike of {n} unseen neurons, {self.split} trials\n{format_table(rows)}"


def score_few_shot(
    task: Task,
    features: Mapping[str, Features],
    unseen: Bool[np.ndarray, "session channel"],
    *,
    k: Sequence[int],
    n_draws: int,
    n_bootstrap: int = N_RESAMPLES,
) -> FewShot:
    """Fits read-outs of unseen neurons to a few training trials, and scores them on other trials.

    For each draw, k training trials of each session are taken at random; those of a smaller k are among those of a
    larger one. `log rate = a + b . features` is fitted to all unseen neurons by Poisson regression with an L2 penalty
    on b, which cross-validation over the k trials chooses.

    Args:
        task: The data with all neurons, and the trials to score.
        features: By name, features of the training trials and of the scored trials; the first is the model.
        unseen: True for the neurons that the features do not know.
        k: Numbers of training trials, at least 2 each.
        n_draws: Number of draws of these trials.
        n_bootstrap: Number of resamples behind errors and intervals.

    Raises:
        LfadsxError: If a number of trials is out of range, no neuron is unseen, or the unseen neurons never fire.
    """
    _check(task, unseen, k, n_draws)
    mask = task.scored & seen_bins(task.split) & unseen[task.split.session][:, None]
    values: dict[int, dict[str, np.ndarray]] = {n: {} for n in k}
    for n, (name, own) in steps(list(itertools.product(k, features.items())), "few-shot read-outs"):
        of_draws = []
        for draw in range(n_draws):
            statistic = bits(task, _predicted(task, own, unseen, n, draw), mask)
            if statistic is None:
                raise LfadsxError(f"The unseen neurons must fire in the {task.split_name} trials. Choose others.")
            of_draws.append(drawn(statistic, task.split.n_trials, n=n_bootstrap, seed=task.seed))
        values[n][name] = np.stack(of_draws)
    model, rival = list(features)[:2]
    names = task.dataset.channel_names()
    return FewShot(
        split=task.split_name,
        unseen={
            session.name: tuple(np.array(names[session.name])[np.flatnonzero(row)].tolist())
            for session, row in zip(task.dataset.sessions, unseen, strict=True)
        },
        scores={n: {name: _score(each, task.seed) for name, each in of.items()} for n, of in values.items()},
        differences={n: _score(of[model] - of[rival], task.seed) for n, of in values.items()},
        draws={n: {name: each[:, 0].tolist() for name, each in of.items()} for n, of in values.items()},
    )


def _check(task: Task, unseen: np.ndarray, k: Sequence[int], n_draws: int) -> None:
    fewest = min(np.count_nonzero(task.dataset.train.session == i) for i in range(len(task.dataset.sessions)))
    wrong = [n for n in k if not 2 <= n <= fewest]
    if wrong or not k:
        raise LfadsxError(
            f"`k` must hold numbers of training trials from 2 to {fewest}, got {wrong[0] if wrong else 'none'}."
        )
    if n_draws < 1:
        raise LfadsxError(f"`n_draws` must be at least 1, got {n_draws}.")
    if not unseen.any():
        raise LfadsxError("`unseen` must name at least one neuron that the model never saw, got none.")
    if not task.dataset.is_counts():
        raise LfadsxError("Few-shot read-outs must predict counts, but the data are real numbers. Give spikes.")


def _predicted(task: Task, features: Features, unseen: np.ndarray, k: int, draw: int) -> np.ndarray:
    """Returns the rates of unseen neurons from read-outs of k training trials of each session; NaN elsewhere."""
    data, found = task.dataset, np.full(task.values.shape, np.nan)
    for index in range(len(data.sessions)):
        train, part = part_of(data, data.train, index), part_of(data, task.split, index)
        channels = np.flatnonzero(unseen[index][: train.n_channels])
        if not len(channels) or not len(part.trials):
            continue
        chosen = np.random.default_rng([draw, index]).permutation(len(train.trials))[:k]
        few = _Trials.of(train.only(chosen), channels, features["train"])
        new = _Trials.of(part, channels, features[task.split_name])
        found[np.ix_(part.trials, np.arange(new.counts.shape[1]), channels)] = few.read_out().rates(new.features)
    return found


@dataclasses.dataclass(frozen=True)
class _Trials:
    """Features and counts of some trials within the encoder's window; `scored` is False outside of it."""

    features: np.ndarray
    counts: np.ndarray
    scored: np.ndarray

    @classmethod
    def of(cls, part: Part, channels: np.ndarray, features: np.ndarray) -> _Trials:
        n = part.in_encoder.shape[1]
        scored = part.scored[:, :n, channels] & part.in_encoder[:, :, None]
        # Padding has no factors.
        own = np.where(part.in_encoder[:, :, None], features[part.trials][:, :n], 0.0)
        return cls(own, part.values[:, :n, channels], scored)

    def only(self, chosen: np.ndarray) -> _Trials:
        return _Trials(self.features[chosen], self.counts[chosen], self.scored[chosen])

    def read_out(self) -> _ReadOut:
        """Returns the read-out whose penalty predicts trials best that it was not fitted to."""
        fold = np.arange(len(self.counts)) % min(FOLDS, len(self.counts))
        parts = [(self.only(fold != number), self.only(fold == number)) for number in np.unique(fold)]
        lowest, n_best = np.inf, 1
        # From the strongest penalty on, until a weaker one is worse: weak penalties take most of the time.
        for n, read_outs in enumerate(zip(*(train.fitted() for train, _ in parts), strict=True), 1):
            loss = sum(read_out.nll(tested) for read_out, (_, tested) in zip(read_outs, parts, strict=True))
            if not loss < lowest:
                break
            lowest, n_best = loss, n
        *_, best = itertools.islice(self.fitted(), n_best)
        return best

    def fitted(self) -> Iterator[_ReadOut]:
        """Yields the read-outs of all neurons, one for each penalty."""
        inside = self.scored.any(2)
        features, counts, scored = self.features[inside], self.counts[inside], self.scored[inside]
        centre, spread = features.mean(0), features.std(0)
        scale = np.where(spread > 0, spread, np.inf)
        mean = mean_value(self.counts, self.scored, is_counts=True)
        highest = HIGHEST_RATE * np.where(scored, counts, 0).max(0, initial=1)
        fires = np.where(scored, counts, 0).any(0)
        weights, intercept = np.zeros((features.shape[1], len(mean))), np.log(mean)
        fit = PoissonFit((features - centre) / scale, counts[:, fires], scored[:, fires]) if fires.any() else None
        for penalty in PENALTIES:
            if fit is not None:
                weights, intercept = weights.copy(), intercept.copy()
                weights[:, fires], intercept[fires] = fit.fit(penalty)
            yield _ReadOut(centre, scale, weights, intercept, highest)


@dataclasses.dataclass(frozen=True)
class _ReadOut:
    """Poisson regressions of all neurons; those without spikes have their mean rate."""

    centre: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    highest: np.ndarray

    def rates(self, features: np.ndarray) -> np.ndarray:
        """Returns counts per bin, limited as the rates of the Poisson regression are."""
        log_rate = (features - self.centre) / self.scale @ self.weights + self.intercept
        with np.errstate(over="ignore"):  # infinity is limited, too
            return np.clip(np.exp(log_rate), np.finfo(np.float32).tiny, self.highest)

    def nll(self, trials: _Trials) -> float:
        """Returns the negative log likelihood of the counts of trials, in nats."""
        return float(nll_per_trial(self.rates(trials.features), trials.counts, trials.scored).sum())


def _score(values: np.ndarray, seed: int) -> Score:
    """Returns the mean over draws (first axis) with its interval over trials (second axis) and draws."""
    n_draws, n = values.shape
    chosen = np.random.default_rng(seed).integers(n_draws, size=(n_draws, n))
    chosen[:, 0] = np.arange(n_draws)
    return score_of(np.take_along_axis(values, chosen, 0).mean(0))


def _words(score: Score) -> str:
    return f"{score.value:+z.3f} [{score.low:z.3f}, {score.high:z.3f}]"
