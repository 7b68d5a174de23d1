"""The verdict on the scores in two or three sentences, findings, and notes on scores that are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lfadsx.data.condition_labels import has_label
from lfadsx.evaluation.comparison import RECONSTRUCTION, Comparison
from lfadsx.evaluation.statistics import Score, minus, resample
from lfadsx.evaluation.task import Task, has_sklearn
from lfadsx.findings import Finding
from lfadsx.thresholds import COPYING, LEAST_RECONSTRUCTION

_OF_HIDDEN = ("co", "masked", "fp")
"""Prefixes of the measures of entries that the encoder did not see, the most important first."""


def verdict(found: Comparison) -> str:
    """Returns two or three sentences on the scores, one per line."""
    judged = _judged(found)
    sentences = [_against_best(found, measure) for measure in judged[:2]]
    reconstruction = next((name for name in RECONSTRUCTION if name in found.scores), None)
    if judged:
        by = f"Judge by {', '.join(judged)}: the encoder did not see these entries."
        sentences.append(by + (f" {reconstruction} rewards copying the data." if reconstruction else ""))
    elif reconstruction:
        sentences.append(
            f"There is only {reconstruction}, which rewards copying the data. Hold out channels, or infer with hidden "
            "entries, for a measure to judge by."
        )
    return "\n".join(sentences)


def findings_of(task: Task, found: Comparison) -> list[Finding]:
    """Returns findings on copying, and on a model that is worse than the condition average."""
    both = (_copying(task, found), _worse_than_average(task, found))
    return [finding for finding in both if finding is not None]


def levels_note(levels: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """Returns a sentence that divides the first judged score into the level of trials and the course within them."""
    for measure, of in levels.items():
        said = [f"{name} {part['level']:z.3f} + {part['within']:z.3f}" for name, part in of.items()]
        return [f"{measure} as level of each trial + course within trials: {', '.join(said)}."]
    return []


def targets_note(r2: Mapping[str, Mapping[str, float | None]], seen: Sequence[str]) -> list[str]:
    """Returns a sentence with R2 of other target groups, and one about those that the encoders `seen`."""
    known = {group: next((value for value in of.values() if value is not None), None) for group, of in r2.items()}
    said = [f"{group} {value:z.3f}" for group, value in known.items() if value is not None]
    copied = [group for group in known if group in seen]
    notes = [f"R2 of other target groups: {', '.join(said)}."] if said else []
    if copied:
        notes.append(
            f"The encoders see {' and '.join(copied)}, so this R2 rewards copying. "
            f'lfadsx.masked_rates(model, data, group="{copied[0]}") predicts hidden entries.'
        )
    return notes


def notes_of(task: Task, *, has_train: bool, negative: bool) -> list[str]:
    """Returns a sentence on each score that is left out, and why.

    Args:
        task: The scored trials.
        has_train: True if there is a posterior of the training trials.
        negative: True if the data are counts and the model's rates fall below 0.
    """
    notes, split, train, name = [], task.split, task.dataset.train, task.split_name
    if name != "test":
        notes.append(f"The {name} trials scored here were used in training or in the choice of settings.")
    if negative:
        notes.append("The data are counts, but the model's rates fall below 0. They are scored by R2 instead of bits.")
    needs_train = train.behaviour is not None or train.true_inputs is not None
    if needs_train and not has_train:
        notes.append("Behaviour and inputs are not scored: both need the posterior of the training trials.")
    measures = {"behaviour": "velocity_r2", "condition": "psth_r2", "truth": "rates_r2", "true_inputs": "inputs_r2"}
    for field, measure in measures.items():
        in_split, in_train = getattr(split, field) is not None, getattr(train, field) is not None
        if in_train and not in_split:
            notes.append(f"{measure} is left out: the training trials have {field!r}, but the {name} trials do not.")
        elif in_split and not in_train and field != "truth":
            missing = "The condition average" if field == "condition" else measure
            notes.append(f"{missing} is left out: the {name} trials have {field!r}, but the training trials do not.")
    if split.condition is not None and (n := np.count_nonzero(~has_label(split.condition))):
        notes.append(
            f"{n} of {split.n_trials} {name} trials have no condition. PSTH scores leave them out; the condition "
            "average predicts them by the time course."
        )
    if train.condition is not None and (n := np.count_nonzero(~has_label(train.condition))):
        notes.append(f"{n} of {train.n_trials} training trials have no condition. Condition averages leave them out.")
    if split.interval is not None and task.dataset.bin_width is None:
        notes.append("timing_r is left out: intervals in seconds need the width of the bins, which is unknown.")
    if not has_sklearn():
        notes.append('Decoding is left out: it needs `pip install "lfadsx[plot]"`.')
    return notes


def _judged(found: Comparison) -> list[str]:
    """Returns the model's measures of entries that the encoder did not see, the most important first."""
    own = [name for name, of in found.scores.items() if found.models[0] in of]
    return [name for start in _OF_HIDDEN for name in own if name.startswith(f"{start}_")]


def _against_best(found: Comparison, measure: str) -> str:
    own = found.scores[measure][found.models[0]]
    if measure not in found.differences:
        return f"{measure} is {own}."
    difference = found.differences[measure]
    word = "better than" if difference.low > 0 else "not clearly different from"
    word = "worse than" if difference.high < 0 else word
    return f"{measure} is {own}, {word} the best baseline ({found.rivals[measure]}): {_interval(difference)}."


def _interval(difference: Score) -> str:
    return f"{difference.value:+z.3f}, 95 % interval {difference.low:z.3f} to {difference.high:z.3f}"


def _copying(task: Task, found: Comparison) -> Finding | None:
    """Returns a finding if reconstruction far exceeds scores of unseen entries, which a baseline predicts better."""
    seen, model = RECONSTRUCTION[0 if task.spikes else 1], found.models[0]
    predicted = {name: found.scores[name][model].value for name in _judged(found) if not name.startswith("fp")}
    if not predicted or model not in found.scores.get(seen, {}):
        return None
    copied, best = found.scores[seen][model].value, max(predicted.values())
    beaten = [found.differences[m].value < 0 if m in found.differences else predicted[m] <= 0 for m in predicted]
    if copied < LEAST_RECONSTRUCTION or copied <= COPYING * best or not all(beaten):
        return None
    rival = "a baseline" if found.rivals else "the mean"
    others = " and ".join(f"{name} only {value:z.3f}" for name, value in predicted.items())
    sentence = f"The model copies the data: {seen} is {copied:z.3f}, {others}; {rival} predicts those better."
    remedy = "Set cd_pass_rate=0, raise cd_rate (coordinated dropout) or the KL scales, or lower the number of factors "
    remedy += "and inputs."
    return Finding("warning", "copying", copied, COPYING * max(best, 0.0), task.split_name, sentence, remedy)


def _worse_than_average(task: Task, found: Comparison) -> Finding | None:
    """Returns a finding if the mean over trials of a condition predicts single trials better than the model."""
    average = found.statistics.get("condition average", {})
    measure = next((name for name in _judged(found) if name in average), None)
    if measure is None:
        return None
    lead = minus(found.statistics[found.models[0]][measure], average[measure])
    difference = resample(lead, task.split.n_trials, seed=task.seed)
    if not difference.high < 0:
        return None
    return Finding(
        level="warning",
        name="worse than the condition average",
        value=difference.value,
        threshold=0.0,
        where=task.split_name,
        sentence=f"The average of a condition predicts its trials better than the model ({measure}): "
        f"{_interval(difference)}.",
        remedy="Train longer, check the learning curve, or search hyperparameters (`sweep`, `fit --population`).",
    )
