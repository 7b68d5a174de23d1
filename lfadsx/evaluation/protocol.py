"""The protocol: which scores a model and its baselines get, and what stands beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from lfadsx.data.dataset import Dataset
from lfadsx.evaluation.bits_scores import bits_detail, differences, pooled, score_bits
from lfadsx.evaluation.candidates import Candidate, baseline_candidates, model_candidate
from lfadsx.evaluation.psth_scores import score_ceiling, score_psth
from lfadsx.evaluation.task import (
    BITS,
    MEASURES,
    PSTH_KERNEL_BINS,
    PSTH_KERNEL_SECONDS,
    Task,
    check_task,
    has_sklearn,
)
from lfadsx.evaluation.truth_scores import score_floors, score_inputs, score_rates, score_targets
from lfadsx.evaluation.velocity_scores import score_velocity
from lfadsx.inference.posterior import Posterior


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
        LfadsxError: The split or its posterior is missing, the two have different trials, or a scored rate is
            NaN.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
        >>> model = lfadsx.autonomous(data, generator_dim=8, rngs=nnx.Rngs(0))
        >>> posteriors = {name: lfadsx.infer(model, data, name, n_samples=0) for name in ("train", "valid")}
        >>> evaluation = evaluate(data, "valid", posteriors)
        >>> [row["model"] for row in evaluation.table]
        ['lfads', 'time course', 'condition average', 'smoothed spikes']
    """
    if psth_kernel_bins is None:
        width = dataset.bin_width
        psth_kernel_bins = PSTH_KERNEL_BINS if width is None else PSTH_KERNEL_SECONDS / width
    spikes = likelihood == "poisson"
    task = Task(dataset, split_name, posteriors, masked, spikes, psth_kernel_bins, seed)
    check_task(task)
    candidates = [model_candidate(task), *(baseline_candidates(task, baselines) if spikes else [])]
    found = [_measure(task, candidate) for candidate in candidates]
    inputs, aligned = score_inputs(task)
    targets_r2 = score_targets(task)
    table = [_row(candidate.name, of) for candidate, of in zip(candidates, found, strict=True)]
    table[0]["inputs_r2"] = inputs.get("r2")
    if not spikes:
        table[0] |= {f"{part}_r2": r2 for part, r2 in targets_r2[dataset.input_group].items()}
    table = _plain(table)
    detail = {
        **bits_detail(task, candidates[0], found[0]["bits"]),
        "difference": differences(task, candidates, table, n_bootstrap),
        "velocity": found[0]["velocity"],
        "psth": found[0]["psth"] | score_ceiling(task),
        "rates": found[0]["rates"] | score_floors(task),
        "inputs": inputs,
        "targets_r2": targets_r2,
        "notes": _notes(task),
    }
    scores = {"split": split_name, **{measure: table[0][measure] for measure in MEASURES}}
    return Evaluation(scores, _plain(detail), table, aligned)


def _measure(task: Task, candidate: Candidate) -> dict[str, dict[str, Any]]:
    """Everything that is computed alike for the model and its baselines."""
    return {
        "bits": {measure: score_bits(task, candidate, measure) for measure in BITS if task.spikes},
        "velocity": score_velocity(task, candidate),
        "psth": score_psth(task, candidate.rates),
        "rates": score_rates(task, candidate.rates),
    }


def _row(name: str, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One row of the table."""
    row: dict[str, Any] = {"model": name, **dict.fromkeys(MEASURES)}
    row |= {measure: pooled(by_session) for measure, by_session in found["bits"].items()}
    return row | {f"{part}_r2": found[part].get("r2") for part in ("velocity", "psth", "rates")}


def _notes(task: Task) -> list[str]:
    """What a reader of the figures must know, one sentence each."""
    notes, train = [], task.dataset.train
    if task.split_name != "test":
        notes.append(f"The {task.split_name} trials scored here took part in training or in the choice of settings.")
    needs_train = train.behaviour is not None or train.true_inputs is not None
    if needs_train and "train" not in task.posteriors:
        notes.append("Behaviour and inputs are not scored: that needs the posterior of the training trials.")
    if not has_sklearn():
        notes.append('Decoding and Poisson regression are left out: they need pip install "lfadsx[plot]".')
    return notes


def _plain(value: Any) -> Any:
    """The value in types that JSON has; NaN becomes None."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not np.isfinite(value) else value
