"""All scores of one split together: model and baselines by the same rules, with the noise of each figure.

`evaluate` decides which trials, bins and neurons a score is about; `lfadsx.metrics` computes it.

| measure        | neurons                                   | bins                                     |
|----------------|-------------------------------------------|------------------------------------------|
| bits_per_spike | that the encoder sees                     | that the encoder sees (reconstruction)   |
| co_bps         | held out                                  | that the encoder sees                    |
| masked_bps     | of entries hidden from the encoder        | of entries hidden from the encoder       |
| fp_bps         | all                                       | beyond the encoder's: forward prediction |
| velocity_r2    | all: behaviour decoded from log rates     | that the encoder sees                    |
| psth_r2        | all: R2 of each, mean                     | all                                      |
| rates_r2       | all: squared correlation per trial, mean  | all                                      |
| inputs_r2      | none: squared correlation of each input   | that the encoder sees                    |

`bits_per_spike` is reported, never a target: a model that copies spikes scores high.

With several sessions, nulls, baselines, PSTHs and decoders belong to one session each; bits per spike are
pooled over sessions, PSTH R2 is a mean over all neurons, velocity R2 over sessions weighted by trials.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeGuard

import numpy as np
from jaxtyping import Bool, Float

from lfadsx import metrics
from lfadsx.baselines import (
    condition_average,
    fit_baselines,
    held_out_channels,
    mean_rate,
    scored_mask,
    smoothed_spikes,
)
from lfadsx.types import Dataset, Posterior, Session, Split

BITS = ("bits_per_spike", "co_bps", "masked_bps", "fp_bps")
"""Measures in bits per spike; they exist for spike counts only."""

MEASURES = (*BITS, "velocity_r2", "psth_r2", "rates_r2", "inputs_r2")
"""All measures, in the order of the table and of the closing line."""

PSTH_KERNEL_SECONDS = 0.05
"""Standard deviation of the Gaussian that smooths PSTHs of counts when the bin width is known."""

PSTH_KERNEL_BINS = 2.0
"""The same, in bins, when the bin width is unknown."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores of one split.

    Attributes:
        scores: The closing line: `split`, the name of the scored split, and the model's figure for each of
            `MEASURES`, None where a measure does not apply.
        detail: What stands beside these figures, ready for JSON: `nulls` (bits per spike against three null
            models), `per_neuron`, `silent` (neurons left out, by name), `n_spikes`, `difference` (model minus
            best baseline with the 95 % interval over trials), `velocity`, `psth`, `rates`, `inputs`,
            `targets_r2`, and `notes`, sentences on what was left out.
        table: One row for the model and one for each baseline: `model`, its name, and each of `MEASURES`.
        aligned_inputs: Inferred inputs in the coordinates of the true ones, shape (trial, time, true_input),
            or None.
    """

    scores: dict[str, Any]
    detail: dict[str, Any]
    table: list[dict[str, Any]]
    aligned_inputs: np.ndarray | None = None


def evaluate(
    dataset: Dataset,
    split_name: str,
    posteriors: Mapping[str, Posterior],
    masked: (
        tuple[Float[np.ndarray, "trial time target_channel"], Bool[np.ndarray, "trial time target_channel"]] | None
    ) = None,
    *,
    likelihood: Literal["poisson", "gaussian"] = "poisson",
    baselines: Mapping[str, Float[np.ndarray, "trial time target_channel"]] | None = None,
    psth_kernel_bins: float | None = None,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """Scores a model and its baselines on one split, by one protocol.

    Args:
        dataset: The data set; regressions, alignments and baselines are fitted on its training trials.
        split_name: The split to score: "test", or "valid" where there is none.
        posteriors: What inference returned, by split: the scored split, and "train", without which behaviour
            and inputs are not scored.
        masked: Rates of the scored split that were inferred while entries were hidden from the encoder, in
            counts per bin, and True for the hidden entries; both of shape (trial, time, target_channel).
        likelihood: "poisson" for spike counts. Anything else has no bits per spike and no baselines; R2 of
            the targets is in the detail and in the table instead.
        baselines: What `fit_baselines` returned for this split, so that many models share one fit; an empty
            dictionary for none. Fitted here when None.
        psth_kernel_bins: Standard deviation in bins of the Gaussian that smooths PSTHs of counts; when None,
            50 ms, or 2 bins if the bin width is unknown.
        n_bootstrap: Number of resamples behind the interval.
        seed: Seed of resamples, random halves and shuffles.

    Raises:
        ValueError: The split or its posterior is missing, the two have different trials, or a scored rate is
            NaN.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.data.chaotic_rnn(conditions=2, duration=0.1)
        >>> model = lfadsx.autonomous(data, generator_dim=8, rngs=nnx.Rngs(0))
        >>> posteriors = {name: lfadsx.posterior_mean(model, data, name) for name in ("train", "valid")}
        >>> evaluation = evaluate(data, "valid", posteriors)
        >>> [row["model"] for row in evaluation.table]
        ['lfads', 'time course', 'condition average', 'smoothed spikes']
    """
    split = _find(dataset, split_name, posteriors)
    regions = _regions(dataset, split, masked)
    task = _Task(dataset, split, regions, _kernel(dataset, psth_kernel_bins), likelihood == "poisson", seed)
    model = _model(task, posteriors, split_name, masked)
    rivals = _rivals(task, baselines) if task.spikes else []
    found = [_measure(task, candidate) for candidate in (model, *rivals)]
    inputs, aligned = _inputs(task, posteriors, split_name)
    targets_r2 = _targets_r2(task, posteriors[split_name], masked)
    table = [
        _row(candidate.name, of_candidate) for candidate, of_candidate in zip([model, *rivals], found, strict=True)
    ]
    table[0]["inputs_r2"] = inputs.get("r2")
    if not task.spikes:
        table[0] |= {f"{part}_r2": r2 for part, r2 in targets_r2[dataset.input_group].items()}
    table = _plain(table)
    detail = {
        **_bits_detail(task, model, found[0]["bits"]),
        "difference": _differences(task, [model, *rivals], table, n_bootstrap),
        "velocity": found[0]["velocity"],
        "psth": found[0]["psth"] | _ceiling(task),
        "rates": found[0]["rates"] | _floors(task),
        "inputs": inputs,
        "targets_r2": targets_r2,
        "notes": _notes(dataset, split_name, posteriors),
    }
    scores = {"split": split_name, **{measure: table[0][measure] for measure in MEASURES}}
    return Evaluation(scores, _plain(detail), table, aligned)


def format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Text of a table with aligned columns: names to the left, numbers to the right, a dash for None.

    Columns without any number are left out.

    Args:
        rows: One mapping per row with the same keys; the first key names the row.

    Returns:
        The lines, joined, without a trailing newline.

    Example:
        >>> rows = [{"model": "lfads", "co_bps": 0.1257}, {"model": "time course", "co_bps": None}]
        >>> format_table(rows).splitlines()
        ['model        co_bps', 'lfads         0.126', 'time course       -']
    """
    names = list(dict.fromkeys(key for row in rows for key in row))
    names = names[:1] + [name for name in names[1:] if any(row.get(name) is not None for row in rows)]
    lines = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[j]) for line in lines) for j in range(len(names))]
    aligned = [
        [
            cell.rjust(width) if j else cell.ljust(width)
            for j, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in aligned)


# What is scored


@dataclasses.dataclass(frozen=True)
class _Task:
    """The scored trials, and for each measure in bits per spike the scored entries."""

    dataset: Dataset
    split: Split
    regions: dict[str, np.ndarray]
    kernel_bins: float
    spikes: bool
    seed: int

    @property
    def counts(self) -> np.ndarray:
        return self.split.targets[self.dataset.input_group]

    @property
    def scored(self) -> np.ndarray:
        return scored_mask(self.split, self.dataset)

    def sessions(self) -> Iterator[tuple[Session, np.ndarray, int]]:
        """Each session with scored trials, its trials, and its number of neurons."""
        for index, session in enumerate(self.dataset.sessions):
            trials = np.flatnonzero(self.split.session == index)
            if len(trials):
                yield session, trials, session.n_targets[self.dataset.input_group]


@dataclasses.dataclass(frozen=True)
class _Candidate:
    """Rates of one row of the table: seeing all, not seeing the hidden entries, of the training trials."""

    name: str
    rates: np.ndarray
    masked_rates: np.ndarray | None = None
    train_rates: np.ndarray | None = None

    def rates_for(self, measure: str) -> np.ndarray | None:
        return self.masked_rates if measure == "masked_bps" else self.rates


def _find(dataset: Dataset, split_name: str, posteriors: Mapping[str, Posterior]) -> Split:
    """The scored split, after a check that the posteriors belong to the data."""
    if split_name not in dataset.splits or split_name not in posteriors:
        raise ValueError(
            f"Scoring the split {split_name!r} needs its data and its posterior, but there are data of "
            f"{sorted(dataset.splits)} and posteriors of {sorted(posteriors)}. Name a split that is in both."
        )
    for name in sorted({split_name, "train"} & set(posteriors)):
        split, posterior = dataset.splits[name], posteriors[name]
        rates, counts = posterior.rates[dataset.input_group], split.targets[dataset.input_group]
        agree = np.array_equal(posterior.trial_id, split.trial_id)
        if rates.shape != counts.shape or not agree:
            raise ValueError(
                f"The posterior of {name!r} has rates of shape {rates.shape} and the data have shape "
                f"{counts.shape}; their trial ids {'agree' if agree else 'differ'}. Infer the rates of this "
                "very split and keep its order."
            )
        _check_finite(rates, scored_mask(split, dataset), f"rates of {name!r}")
    return dataset.splits[split_name]


def _check_finite(rates: np.ndarray, scored: np.ndarray, what: str) -> None:
    n_bad = np.count_nonzero(scored & ~np.isfinite(rates))
    if n_bad:
        raise ValueError(
            f"{n_bad} of {np.count_nonzero(scored)} {what} are NaN or infinite where the data exist. "
            "Check that training stayed finite and that the rates belong to these data."
        )


def _regions(dataset: Dataset, split: Split, masked: tuple[np.ndarray, np.ndarray] | None) -> dict[str, np.ndarray]:
    """True for the entries that each measure in bits per spike is about."""
    scored = scored_mask(split, dataset)
    held_out = held_out_channels(dataset)[split.session][:, None, :]
    seen = _seen(split)[:, :, None]
    hidden = np.zeros_like(scored)
    if masked is not None:
        rates, hidden = masked
        if rates.shape != scored.shape or hidden.shape != scored.shape:
            raise ValueError(
                f"masked has rates of shape {rates.shape} and a mask of shape {hidden.shape}, but the "
                f"targets have shape {scored.shape}. Give both in the coordinates of the targets."
            )
        _check_finite(rates, scored & hidden, "rates of hidden entries")
    return {
        "bits_per_spike": scored & seen & ~held_out,
        "co_bps": scored & seen & held_out,
        "masked_bps": scored & seen & hidden,
        "fp_bps": scored & ~seen,
    }


def _seen(split: Split) -> np.ndarray:
    """True for bins that the encoder sees, shape (trial, time)."""
    return np.arange(split.n_bins) < split.encoder_length[:, None]


def _kernel(dataset: Dataset, given: float | None) -> float:
    if given is not None:
        return given
    return PSTH_KERNEL_BINS if dataset.bin_width is None else PSTH_KERNEL_SECONDS / dataset.bin_width


def _has_sklearn() -> bool:
    return importlib.util.find_spec("sklearn") is not None


def _notes(dataset: Dataset, split_name: str, posteriors: Mapping[str, Posterior]) -> list[str]:
    """What a reader of the figures must know, one sentence each."""
    notes = []
    if split_name != "test":
        notes.append(f"The {split_name} trials scored here took part in training or in the choice of settings.")
    needs_train = dataset.train.behaviour is not None or dataset.train.true_inputs is not None
    if needs_train and "train" not in posteriors:
        notes.append("Behaviour and inputs are not scored: that needs the posterior of the training trials.")
    if not _has_sklearn():
        notes.append('Decoding and Poisson regression are left out: they need pip install "lfadsx[plot]".')
    return notes


# Rows of the table


def _model(
    task: _Task,
    posteriors: Mapping[str, Posterior],
    split_name: str,
    masked: tuple[np.ndarray, np.ndarray] | None,
) -> _Candidate:
    group, train = task.dataset.input_group, posteriors.get("train")
    return _Candidate(
        "lfads",
        posteriors[split_name].rates[group],
        None if masked is None else masked[0],
        None if train is None else train.rates[group],
    )


def _rivals(task: _Task, baselines: Mapping[str, np.ndarray] | None) -> list[_Candidate]:
    dataset, split = task.dataset, task.split
    if baselines is None:
        baselines = fit_baselines(dataset, split, regression=_has_sklearn())
    rivals = []
    for name, rates in baselines.items():
        masked_rates = train_rates = None
        if name == "smoothed spikes":
            masked_rates = smoothed_spikes(dataset, split, own_bin=False)
            train_rates = None if split.behaviour is None else smoothed_spikes(dataset, dataset.train)
        elif name in ("time course", "condition average"):
            # These never see a scored trial, so hiding some of its entries changes nothing.
            masked_rates = rates
        rivals.append(_Candidate(name, rates, masked_rates, train_rates))
    return rivals


def _measure(task: _Task, candidate: _Candidate) -> dict[str, dict[str, Any]]:
    """Everything that is computed alike for the model and its baselines."""
    return {
        "bits": {measure: _bits(task, candidate, measure) for measure in BITS if task.spikes},
        "velocity": _velocity(task, candidate),
        "psth": _psth(task, candidate.rates),
        "rates": _truth(task, candidate.rates),
    }


def _row(name: str, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"model": name, **dict.fromkeys(MEASURES)}
    row |= {measure: _pooled(by_session) for measure, by_session in found["bits"].items()}
    return row | {f"{part}_r2": found[part].get("r2") for part in ("velocity", "psth", "rates")}


def _says(rates: np.ndarray | None, mask: np.ndarray) -> TypeGuard[np.ndarray]:
    """Whether there are entries to score and rates for all: baselines are NaN where they say nothing."""
    return rates is not None and bool(mask.any()) and not np.isnan(rates[mask]).any()


# Bits per spike


def _bits(
    task: _Task, candidate: _Candidate, measure: str, null: np.ndarray | None = None
) -> dict[str, metrics.BitsPerSpike]:
    """Bits per spike of each session, by its name."""
    rates, mask = candidate.rates_for(measure), task.regions[measure]
    if not _says(rates, mask):
        return {}
    return {
        session.name: metrics.bits_per_spike(
            rates[trials, :, :n],
            task.counts[trials, :, :n],
            mask=mask[trials, :, :n],
            null_rates=None if null is None else null[trials, :, :n],
        )
        for session, trials, n in task.sessions()
    }


def _pooled(by_session: Mapping[str, metrics.BitsPerSpike]) -> float | None:
    """Bits per spike of all sessions: the mean over sessions, weighted by spikes."""
    known = [bits for bits in by_session.values() if bits.n_spikes]
    n_spikes = sum(bits.n_spikes for bits in known)
    return sum(bits.value * bits.n_spikes for bits in known) / n_spikes if n_spikes else None


def _bits_detail(
    task: _Task, model: _Candidate, found: Mapping[str, Mapping[str, metrics.BitsPerSpike]]
) -> dict[str, Any]:
    """Bits against three nulls, for each neuron, and the neurons and spikes that went in."""
    found = {measure: by_session for measure, by_session in found.items() if by_session}
    names = {session.name: session.channel_names or tuple(map(str, range(n))) for session, _, n in task.sessions()}
    nulls: dict[str, np.ndarray | None] = {}
    if found:
        nulls = {"scored mean": None, "training mean": mean_rate(task.dataset, task.split)}
        if task.split.condition is not None and task.dataset.train.condition is not None:
            nulls["condition average"] = condition_average(task.dataset, task.split)
    return {
        "nulls": {
            measure: {name: _pooled(_bits(task, model, measure, null)) for name, null in nulls.items()}
            for measure in found
        },
        "per_neuron": {m: {s: bits.per_neuron for s, bits in found[m].items()} for m in found},
        "silent": {m: {s: [names[s][c] for c in bits.silent] for s, bits in found[m].items()} for m in found},
        "n_spikes": {m: sum(bits.n_spikes for bits in found[m].values()) for m in found},
    }


def _differences(
    task: _Task, candidates: Sequence[_Candidate], table: Sequence[Mapping[str, Any]], n_bootstrap: int
) -> dict[str, dict[str, Any]]:
    """Model minus best baseline in bits per spike, paired by trial; reconstruction is no contest."""
    differences = {}
    for measure in BITS[1:]:
        rivals = [i for i in range(1, len(table)) if table[i][measure] is not None]
        if table[0][measure] is None or not rivals or task.split.n_trials < 2:
            continue
        best = max(rivals, key=lambda i: table[i][measure])
        mask = _firing(task, measure)
        rates = [candidates[i].rates_for(measure) for i in (0, best)]
        model, rival = (metrics.nll_per_trial(of, task.counts, mask) for of in rates if of is not None)
        spikes = np.where(mask, task.counts, 0).sum((1, 2))
        interval = metrics.bootstrap_interval(rival - model, spikes, n=n_bootstrap, seed=task.seed)
        differences[measure] = {"baseline": table[best]["model"], **dataclasses.asdict(interval)}
    return differences


def _firing(task: _Task, measure: str) -> np.ndarray:
    """The scored entries of a measure without those of neurons that are silent in them."""
    mask = task.regions[measure].copy()
    spikes = np.where(mask, task.counts, 0)
    for _, trials, _ in task.sessions():
        mask[trials] &= spikes[trials].any((0, 1))
    return mask


# Behaviour and condition averages


def _velocity(task: _Task, candidate: _Candidate) -> dict[str, Any]:
    """R2 of behaviour decoded session by session, averaged with the number of scored trials as weight."""
    dataset, split, train = task.dataset, task.split, task.dataset.train
    if candidate.train_rates is None or split.behaviour is None or train.behaviour is None or not _has_sklearn():
        return {}
    lag = _lag_bins(dataset)
    found = {}
    for session, trials, n in task.sessions():
        train_trials = np.flatnonzero(train.session == dataset.sessions.index(session))
        known = ~np.isnan(candidate.rates[trials, :, :n]).all((0, 1))
        if np.isnan(split.behaviour[trials]).all() or np.isnan(train.behaviour[train_trials]).all():
            continue
        found[session.name] = (
            len(trials),
            metrics.velocity_decoding(
                _features(task, candidate.train_rates[train_trials, :, :n][:, :, known]),
                train.behaviour[train_trials],
                _features(task, candidate.rates[trials, :, :n][:, :, known]),
                split.behaviour[trials],
                lag_bins=lag,
                train_length=train.encoder_length[train_trials],
                length=split.encoder_length[trials],
            ),
        )
    if not found:
        return {}
    return {
        "r2": np.average([d.r2 for _, d in found.values()], weights=[n for n, _ in found.values()]),
        "r2_per_dimension": {name: decoding.r2_per_dimension for name, (_, decoding) in found.items()},
        "penalty": {name: decoding.penalty for name, (_, decoding) in found.items()},
        "behaviour": dataset.behaviour_name,
        "lag_seconds": dataset.behaviour_lag,
        "lag_bins": lag,
    }


def _lag_bins(dataset: Dataset) -> int:
    if dataset.behaviour_lag and dataset.bin_width is None:
        raise ValueError(
            f"Behaviour lags by {dataset.behaviour_lag:g} s, but the width of the bins is unknown. "
            "Give the data set its bin width."
        )
    return round(dataset.behaviour_lag / dataset.bin_width) if dataset.bin_width else 0


def _features(task: _Task, rates: np.ndarray) -> np.ndarray:
    """Log rates, which behaviour is decoded from; values themselves where the data are no spikes."""
    return np.log(np.maximum(rates, np.finfo(np.float32).tiny)) if task.spikes else rates


def _psth(task: _Task, rates: np.ndarray) -> dict[str, Any]:
    """PSTH R2: mean over all neurons of all sessions."""
    condition = task.split.condition
    if condition is None or not _says(rates, task.scored):
        return {}
    per_neuron = {
        session.name: metrics.psth_r2(
            rates[trials, :, :n],
            task.counts[trials, :, :n],
            condition[trials],
            kernel_bins=task.kernel_bins,
            mask=task.scored[trials, :, :n],
        ).per_neuron
        for session, trials, n in task.sessions()
    }
    return {
        "r2": _mean(np.concatenate(list(per_neuron.values()))),
        "per_neuron": per_neuron,
        "kernel_bins": task.kernel_bins,
    }


def _ceiling(task: _Task) -> dict[str, float]:
    """What noise leaves of PSTH R2, from random halves of the scored trials; means over all neurons."""
    condition = task.split.condition
    if condition is None or not task.scored.any():
        return {}
    found = [
        metrics.psth_ceiling(
            task.counts[trials, :, :n],
            condition[trials],
            kernel_bins=task.kernel_bins,
            mask=task.scored[trials, :, :n],
            seed=task.seed,
        )
        for _, trials, n in task.sessions()
    ]
    ceiling = _mean(np.concatenate([of_session.per_neuron for of_session in found]))
    return {"ceiling": ceiling, "split_halves": _mean(np.array([of_session.halves for of_session in found]))}


# Truth


def _truth(task: _Task, rates: np.ndarray) -> dict[str, Any]:
    """R2 of rates against the truth; without a unit of the truth only what is blind to scale."""
    truth, unit = _true_rates(task), task.dataset.truth_unit
    if truth is None or not _says(rates, task.scored):
        return {}
    pooled = _r2_pooled(task, rates, truth, task.scored) if unit in ("counts per bin", "Hz") else None
    return {"r2": metrics.r2_per_trial(rates, truth, task.scored), "r2_pooled": pooled, "truth_unit": unit}


def _true_rates(task: _Task) -> np.ndarray | None:
    """The true rates in counts per bin, or as they are when they have no unit."""
    truth, dataset = task.split.truth, task.dataset
    if truth is None or dataset.truth_unit != "Hz":
        return truth
    if dataset.bin_width is None:
        raise ValueError(
            "The true rates are in Hz, but the width of the bins is unknown. Give the data set its bin width."
        )
    return truth * dataset.bin_width


def _floors(task: _Task) -> dict[str, Any]:
    """Floors of the squared correlation, averaged over sessions with the number of trials as weight."""
    truth = task.split.truth
    if truth is None:
        return {}
    floors, weights = [], []
    for _, trials, n in task.sessions():
        if len(trials) >= 2:
            floors.append(metrics.r2_floors(truth[trials, :, :n], task.scored[trials, :, :n], seed=task.seed))
            weights.append(len(trials) * n)
    return _mean_floors(floors, weights)


def _mean_floors(floors: Sequence[metrics.R2Floors], weights: Sequence[float]) -> dict[str, Any]:
    if not floors:
        return {}
    values = np.array([[floor.shuffled, floor.ramp] for floor in floors])
    shuffled, ramp = np.average(values, axis=0, weights=weights)
    return {"floor_shuffled": shuffled, "floor_ramp": ramp}


def _inputs(
    task: _Task, posteriors: Mapping[str, Posterior], split_name: str
) -> tuple[dict[str, Any], np.ndarray | None]:
    """R2 of the inferred inputs in bins that the encoder sees, and the inputs aligned to the truth."""
    inferred, truth = posteriors[split_name].inputs, task.split.true_inputs
    train, train_truth = posteriors.get("train"), task.dataset.train.true_inputs
    if inferred is None or truth is None or train is None or train.inputs is None or train_truth is None:
        return {}, None
    train_inputs = np.where(_seen(task.dataset.train)[:, :, None], train.inputs, np.nan)
    aligned = metrics.align(inferred, fit_on=(train_inputs, train_truth))
    seen = np.broadcast_to(_seen(task.split)[:, :, None], truth.shape)
    _check_finite(aligned, seen & ~np.isnan(truth), "aligned inputs")
    found = {
        "r2": metrics.r2_per_trial(aligned, truth, seen),
        "r2_pooled": metrics.r2_pooled(aligned, truth, seen),
    }
    if task.split.n_trials < 2:
        return found, aligned
    return found | _mean_floors([metrics.r2_floors(truth, seen, seed=task.seed)], [1.0]), aligned


def _targets_r2(
    task: _Task, posterior: Posterior, masked: tuple[np.ndarray, np.ndarray] | None
) -> dict[str, dict[str, float]]:
    """Pooled R2 of the expected data, for groups that are no spikes of the encoder."""
    found: dict[str, dict[str, float]] = {}
    seen = _seen(task.split)[:, :, None]
    for group, data in task.split.targets.items():
        rates, scored = posterior.rates[group], scored_mask(task.split, task.dataset, group)
        parts = {"seen": (rates, scored & seen), "forward": (rates, scored & ~seen)}
        if group == task.dataset.input_group:
            if task.spikes:
                continue
            names = {"held_in": "bits_per_spike", "held_out": "co_bps", "forward": "fp_bps"}
            parts = {part: (rates, task.regions[measure]) for part, measure in names.items()}
            if masked is not None:
                parts["masked"] = masked[0], task.regions["masked_bps"]
        found[group] = {
            part: _r2_pooled(task, estimate, data, mask) for part, (estimate, mask) in parts.items() if mask.any()
        }
    return found


def _r2_pooled(task: _Task, estimate: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Pooled R2 with each session's own mean of every channel as the reference."""
    offset = np.zeros((task.split.n_trials, 1, truth.shape[2]))
    for _, trials, _ in task.sessions():
        entries = np.maximum(mask[trials].sum((0, 1)), 1)
        offset[trials] = np.where(mask[trials], truth[trials], 0).sum((0, 1), dtype=float) / entries
    return metrics.r2_pooled(estimate - offset, truth - offset, mask)


# Plain values


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else np.nan


def _plain(value: Any) -> Any:
    """The value in types that JSON has; NaN becomes None."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
