"""The protocol: which scores a model and its baselines get, what stands beside them, and what to think of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.candidates import baseline_candidates, model_candidate, with_behaviour
from lfadsx.evaluation.comparison import N_RESAMPLES_PSTH, Comparison, compare_candidates
from lfadsx.evaluation.details import details
from lfadsx.evaluation.score_table import format_table
from lfadsx.evaluation.statistics import Score, Statistic, minus, resample
from lfadsx.evaluation.task import MEASURES, R2, Posterior, Task, check_masked, check_posteriors, has_bits
from lfadsx.evaluation.verdict import findings_of, notes_of, verdict
from lfadsx.files import plain
from lfadsx.findings import Finding

LINES = 20
"""Most lines of an evaluation as text."""


@dataclasses.dataclass(frozen=True, repr=False)
class Evaluation:
    """Scores of one split; as text the table, the verdict and what looks odd.

    Attributes:
        scores: The closing line: `split`, the name of the scored split, and the model's figure for each of
            `MEASURES` (for real data those of `R2`, too), None where a measure does not apply.
        detail: What stands beside these figures, ready for JSON: `errors` (standard errors by row of the table),
            `difference` (model minus best baseline, paired by trial, with its standard error and 95 % interval),
            `nulls` (bits per spike against three null models), `per_neuron`, `silent` (neurons left out, by name),
            `n_spikes`, `velocity`, `psth`, `rates`, `inputs`, `targets_r2` (other target groups), `verdict`,
            `findings`, and `notes`, sentences on what was left out.
        table: One row for the model and one for each baseline: `model`, its name, and each measure.
        verdict: Two or three sentences: how much better than the best baseline, and which measures to judge by.
        findings: What looks odd in the scores.
        aligned_inputs: Inferred inputs in the coordinates of the true ones, shape (trial, time, true_input),
            or None.
        comparison: The scores with their errors and statistics.
        trial_id: Ids of the scored trials, shape (trial,).
    """

    scores: dict[str, Any]
    detail: dict[str, Any]
    table: list[dict[str, Any]]
    verdict: str
    findings: tuple[Finding, ...]
    aligned_inputs: np.ndarray | None
    comparison: Comparison
    trial_id: np.ndarray

    @property
    def statistics(self) -> dict[str, Statistic]:
        """The model's measures as functions of trial weights."""
        return self.comparison.statistics[self.comparison.models[0]]

    def __repr__(self) -> str:
        """Returns the table with standard errors, the verdict and what looks odd, in at most 20 lines."""
        cells = self.comparison.scores.items()
        rows = [
            {"model": name, **{measure: str(of[name]) if name in of else None for measure, of in cells}}
            for name in self.comparison.models
        ]
        said = [*self.verdict.splitlines(), *map(str, self.findings), *self.detail["notes"]]
        lines = [f"{self.scores['split']} trials", *format_table(rows).splitlines(), *said]
        return "\n".join(lines if len(lines) <= LINES else [*lines[: LINES - 1], "..."])


def score_posteriors(
    data: Dataset,
    posteriors: Mapping[str, Posterior],
    masked: (
        tuple[Float[np.ndarray, "trial time target_channel"], Bool[np.ndarray, "trial time target_channel"]] | None
    ) = None,
    *,
    split: str | None = None,
    baselines: Mapping[str, Float[np.ndarray, "trial time target_channel"]] | None = None,
    psth_kernel_bins: float | None = None,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """Scores a model and its baselines on one split, by one protocol.

    Counts are scored in bits per spike, real data by R2, on the same entries. A baseline that fails is left out and
    becomes a finding.

    Args:
        data: The data set; regressions, alignments and baselines are fitted on its training trials.
        posteriors: What inference returned, by split: the scored split, and "train", without which behaviour
            and inputs are not scored.
        masked: Rates of the scored split that were inferred while entries were hidden from the encoder, in the unit of
            the data, and True for the hidden entries; both of shape (trial, time, target_channel).
        split: The split to score; test where there is one, else valid.
        baselines: What `fit_baselines` returned for this split, so that many models share one fit; an empty
            dictionary for none. Fitted here when None.
        psth_kernel_bins: Standard deviation in bins of the Gaussian that smooths PSTHs of the data; when None,
            50 ms, or 2 bins if the bin width is unknown.
        n_bootstrap: Number of resamples of the trials behind errors and intervals.
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
        >>> found = lfadsx.evaluation.score_posteriors(data, posteriors, split="valid", n_bootstrap=100)
        >>> [row["model"] for row in found.table]
        ['lfads', 'time course', 'condition average', 'smoothed spikes']
    """
    split = split or ("valid" if data.test is None else "test")
    check_posteriors(data, split, posteriors)
    rates, (masked_rates, hidden) = posteriors[split].rates[data.input_group], masked or (None, None)
    if masked_rates is not None and hidden is not None:
        check_masked(data, split, masked_rates, hidden)
    spikes = has_bits(data, split, *(of for of in (rates, masked_rates) if of is not None))
    task = Task(data, split, hidden, spikes, psth_kernel_bins, seed)
    model = with_behaviour(task, model_candidate(task, posteriors, masked_rates))
    rivals, failed = baseline_candidates(task, baselines)
    found = compare_candidates(task, [model, *rivals], n=n_bootstrap)
    measures = MEASURES if spikes else (*MEASURES, *R2)
    notes = notes_of(task, has_train="train" in posteriors, negative=data.is_counts() and not spikes)
    detail = details(task, model, found.statistics["lfads"], posteriors[split]) | {"notes": notes}
    made = evaluation_of(task, found, split, measures, detail, failed)
    return dataclasses.replace(made, aligned_inputs=model.inputs)


def evaluation_of(
    task: Task,
    found: Comparison,
    split: str,
    measures: Sequence[str],
    detail: Mapping[str, Any],
    failed: Sequence[Finding] = (),
) -> Evaluation:
    """Returns a comparison with its table, its verdict and what looks odd.

    Args:
        task: What was scored.
        found: The scores.
        split: What the scored trials are called.
        measures: Columns of the table.
        detail: What else stands beside the scores, at least `notes`.
        failed: Findings about baselines that are left out.
    """
    said, findings = verdict(found), (*findings_of(task, found), *failed)
    errors = {
        name: {measure: of[name].error for measure, of in found.scores.items() if name in of} for name in found.models
    }
    difference = {
        measure: {"baseline": found.rivals[measure], **dataclasses.asdict(score)}
        for measure, score in found.differences.items()
    }
    detail = {"errors": errors, "difference": difference, **detail, "verdict": said.splitlines(), "findings": findings}
    return Evaluation(
        scores=plain({"split": split, **_row(found, found.models[0], measures)}),
        detail=plain(detail),
        table=plain([{"model": name, **_row(found, name, measures)} for name in found.models]),
        verdict=said,
        findings=findings,
        aligned_inputs=None,
        comparison=found,
        trial_id=task.split.trial_id,
    )


def paired_difference(measure: str, a: Evaluation, b: Evaluation, *, n: int = 2000, seed: int = 0) -> Score:
    """Returns how much better model a is than model b, paired by trial, with its interval over trials.

    Args:
        measure: Name of a measure that both have, such as "co_bps".
        a: Scores of one model.
        b: Scores of another one on the same trials.
        n: Number of resamples; at most 200 for PSTH R2.
        seed: Seed of the resamples.

    Raises:
        LfadsxError: The two were scored on different trials, or one does not have the measure.
    """
    if not np.array_equal(a.trial_id, b.trial_id):
        raise LfadsxError(
            f"Models are compared on the same trials, but one was scored on {len(a.trial_id)} {a.scores['split']} "
            f"trials and the other on {len(b.trial_id)} {b.scores['split']} trials with other ids. Score both on the "
            "same split of the same data."
        )
    both = [name for name in a.statistics if name in b.statistics]
    if measure not in both:
        raise LfadsxError(f"`measure` must be one that both models have ({', '.join(both)}), got {measure!r}.")
    n = min(n, N_RESAMPLES_PSTH) if measure == "psth_r2" else n
    return resample(minus(a.statistics[measure], b.statistics[measure]), len(a.trial_id), n=n, seed=seed)


def _row(found: Comparison, name: str, measures: Sequence[str]) -> dict[str, float | None]:
    """Values of all measures, None where one does not exist."""
    return {m: found.scores[m][name].value if name in found.scores.get(m, {}) else None for m in measures}
