"""The protocol: the scores of a model and its baselines, the figures beside them, and the verdict."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.baselines.session_data import Rates
from lfadsx.evaluation.candidates import baseline_candidates, model_candidate, with_behaviour
from lfadsx.evaluation.comparison import N_RESAMPLES_PSTH, Comparison, compare_candidates, format_table
from lfadsx.evaluation.details import details
from lfadsx.evaluation.diagnostics import diagnose
from lfadsx.evaluation.recoverable_information import information_left
from lfadsx.evaluation.statistics import Score, Statistic, minus, resample
from lfadsx.evaluation.task import MEASURES, R2, Task, check_masked, check_posteriors, has_bits
from lfadsx.evaluation.verdict import findings_of, levels_note, notes_of, targets_note, verdict
from lfadsx.files import plain
from lfadsx.findings import Finding, attempt
from lfadsx.results.posterior import Posterior

LINES = 20
"""Most lines of an evaluation as text."""


@dataclasses.dataclass(frozen=True, repr=False)
class Evaluation:
    """Scores of one split; as text the table, the verdict and the findings.

    Attributes:
        scores: The closing line: `split`, the name of the scored split, and the model's score for each of
            `MEASURES` (for real data those of `R2`, too), None where a measure does not apply.
        detail: Figures beside these scores, ready for JSON: `errors` (standard errors by row of the table),
            `difference` (model minus best baseline, paired by trial, with its standard error and 95 % interval),
            `nulls` (bits per spike against three null models), `per_neuron`, `per_neuron_of_baseline` (the same of the
            best baseline, with its name), `levels` (bits of each trial's level, and of the course within trials, by
            measure and model), `silent` (neurons left out, by name), `n_spikes`, `velocity`, `readout`, `psth`,
            `timing`, `rates`, `inputs`, `targets_r2` (other target groups), `targets_r2_without_inputs` (the same with
            inferred inputs set to 0), `information_left` (share of what smoothed spikes of
            the same trials tell that the rates leave out), `dynamics` (values of `lfadsx.dynamics.trust`, from
            `lfadsx.evaluate`), `verdict`, `findings`, and `notes` (sentences on scores that are left out).
        table: One row for the model and one for each baseline: `model`, its name, and each measure.
        verdict: Two or three sentences: the model against the best baseline, and the measures to judge by.
        findings: Oddities in the scores.
        aligned_inputs: Inferred inputs in the coordinates of the true ones, shape (trial, time, true_input),
            or None.
        decoded: Behaviour decoded from the model's rates, shape (trial, time, behaviour), NaN where it is missing; or
            None.
        comparison: The scores with their errors and statistics.
        trial_id: Ids of the scored trials, shape (trial,).
    """

    scores: dict[str, Any]
    detail: dict[str, Any]
    table: list[dict[str, Any]]
    verdict: str
    findings: tuple[Finding, ...]
    aligned_inputs: np.ndarray | None
    decoded: np.ndarray | None
    comparison: Comparison
    trial_id: np.ndarray

    @property
    def statistics(self) -> dict[str, Statistic]:
        """The model's measures as functions of trial weights."""
        return self.comparison.statistics[self.comparison.models[0]]

    def __repr__(self) -> str:
        """Returns the table with standard errors, the verdict and the findings, in at most 20 lines."""
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
    masked: tuple[Rates, Bool[np.ndarray, "trial time target_channel"]] | None = None,
    *,
    split: str | None = None,
    baselines: Mapping[str, Rates] | None = None,
    ablated: Posterior | None = None,
    psth_kernel_bins: float | None = None,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """Scores a model and its baselines on one split.

    Counts are scored in bits per spike, real data by R2, on the same entries. A baseline that fails is left out and
    becomes a finding.

    Args:
        data: The data set; regressions, alignments and baselines are fitted on its training trials.
        posteriors: Results of `lfadsx.infer` by split: the scored split, and "train", without which behaviour
            and inputs are not scored.
        masked: Rates of the scored split that were inferred while entries were hidden from the encoder, in the unit of
            the data, and True for the hidden entries; both of shape (trial, time, target_channel).
        split: The split to score; by default test if there is one, else valid.
        baselines: Result of `fit_baselines` for this split, so that many models share one fit; an empty dictionary for
            no baselines. Fitted here by default.
        ablated: Posterior of the scored split without inferred inputs, which scores what other target groups lose.
        psth_kernel_bins: Standard deviation in bins of the Gaussian that smooths PSTHs of the data; by default
            50 ms, or 2 bins if the bin width is unknown.
        n_bootstrap: Number of resamples of the trials behind errors and intervals.
        seed: Seed of resamples, random halves and shuffles.

    Raises:
        LfadsxError: If the split or its posterior is missing, the two have different trials, or a scored rate is
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
    best = {measure: next(rival for rival in rivals if rival.name == name) for measure, name in found.rivals.items()}
    detail = details(task, model, best, found.statistics["lfads"], posteriors[split], ablated)
    others = targets_note(detail["targets_r2"], posteriors[split].encoder_groups)
    detail |= {"notes": [*levels_note(detail["levels"]), *others, *notes]}
    telling = functools.partial(information_left, task, rates, masked_rates)
    left = attempt(failed, "check of the information left", "", telling) if spikes else None
    detail |= {"information_left": None if left is None else left.share}
    odd = attempt(failed, "diagnosis", "", lambda: diagnose(task, posteriors[split], masked_rates, left)) or []
    made = evaluation_of(task, found, split, measures, detail, (*odd, *failed))
    return dataclasses.replace(made, aligned_inputs=model.inputs, decoded=model.behaviour)


def evaluation_of(
    task: Task,
    found: Comparison,
    split: str,
    measures: Sequence[str],
    detail: Mapping[str, Any],
    others: Sequence[Finding] = (),
) -> Evaluation:
    """Returns a comparison with its table, its verdict and its findings.

    Args:
        task: The scored trials.
        found: The scores.
        split: Name of the scored trials.
        measures: Columns of the table.
        detail: Other figures beside the scores, at least `notes`.
        others: Findings beside those of the scores: about the model, and about baselines that are left out.
    """
    said, findings = verdict(found), (*findings_of(task, found), *others)
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
        decoded=None,
        comparison=found,
        trial_id=task.split.trial_id,
    )


def paired_difference(measure: str, a: Evaluation, b: Evaluation, *, n: int = 2000, seed: int = 0) -> Score:
    """Returns the score of model a minus the score of model b, paired by trial, with its interval over trials.

    Args:
        measure: Name of a measure that both have, such as "co_bps".
        a: Scores of one model.
        b: Scores of another model on the same trials.
        n: Number of resamples; at most 200 for PSTH R2.
        seed: Seed of the resamples.

    Raises:
        LfadsxError: If the two were scored on different trials, or one does not have the measure.
    """
    if not np.array_equal(a.trial_id, b.trial_id):
        raise LfadsxError(
            f"Both models must be scored on the same trials, but one was scored on {len(a.trial_id)} "
            f"{a.scores['split']} trials and the other on {len(b.trial_id)} {b.scores['split']} trials with other ids. "
            "Score both on the same split of the same data."
        )
    both = [name for name in a.statistics if name in b.statistics]
    if measure not in both:
        raise LfadsxError(f"`measure` must be one that both models have ({', '.join(both)}), got {measure!r}.")
    n = min(n, N_RESAMPLES_PSTH) if measure == "psth_r2" else n
    return resample(minus(a.statistics[measure], b.statistics[measure]), len(a.trial_id), n=n, seed=seed)


def _row(found: Comparison, name: str, measures: Sequence[str]) -> dict[str, float | None]:
    """Returns the values of all measures, None where one does not exist."""
    return {m: found.scores[m][name].value if name in found.scores.get(m, {}) else None for m in measures}
