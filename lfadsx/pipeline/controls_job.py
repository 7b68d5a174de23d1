"""The job that checks a model on data with a known answer: what it must not find there."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from flax import nnx
from jax.sharding import Mesh

from lfadsx.config import HyperParams, ModelConfig, TrainConfig
from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import split_name
from lfadsx.errors import LfadsxError
from lfadsx.evaluation.baselines import condition_average, time_course
from lfadsx.evaluation.controls import decoded_conditions, drawn_from_averages, shuffled_trials, single_trial_share
from lfadsx.evaluation.statistics import Score
from lfadsx.evaluation.task import has_sklearn
from lfadsx.files import plain, write_json
from lfadsx.findings import Finding
from lfadsx.inference import infer
from lfadsx.models import builders
from lfadsx.models.lfads import LFADS
from lfadsx.parallel import all_data
from lfadsx.pipeline.outcome import Outcome, folder_for, stopped
from lfadsx.pipeline.scoring import evaluate
from lfadsx.processes import on_first
from lfadsx.results.posterior import Posterior
from lfadsx.settings import JobSettings
from lfadsx.settings_for_data import with_suited
from lfadsx.training import AbstractCallback, FitResult, fit

log = logging.getLogger("lfadsx")

MOST_LEAD = 0.2
"""Largest share of the recording's lead over the averages that may remain when spikes are exchanged."""
MOST_SINGLE_TRIAL = 0.1
"""Largest share of single-trial variance in rates inferred from spikes that differ by chance only."""
MOST_KL = 0.1
"""Largest KL of the inferred inputs where no input acts, in nats per bin."""

Trained = dict[str, tuple[Dataset, LFADS, dict[str, Posterior]]]
"""By name of the data: data set, model, posteriors of the training and the scored trials."""


@dataclasses.dataclass(frozen=True)
class Control:
    """One control: what it gave and what it should give.

    Attributes:
        control: The data, and what is measured on them.
        gave: The measured value, in words.
        should: The value that it should have, in words.
        passed: Whether it has; None for a value that only serves as a reference.
        value: The measured value.
        limit: The value that it is compared with; None without a limit.
    """

    control: str
    gave: str
    should: str
    passed: bool | None
    value: float
    limit: float | None


def controls(
    data: Dataset,
    out: str | Path | None = None,
    *,
    model: ModelConfig | None = None,
    parts: Mapping[str, Any] | None = None,
    hyper: HyperParams | None = None,
    config: TrainConfig | None = None,
    mesh: Mesh | None = None,
    n_samples: int = 64,
    callbacks: Sequence[AbstractCallback] = (),
    progress: bool = True,
    **settings: Unpack[JobSettings],
) -> Outcome:
    """Trains a model on the data and on two sets made of them, and says whether it finds only what is there.

    | data | must not find |
    |---|---|
    | spikes exchanged between trials of a condition, for each neuron by itself | more than the averages |
    | spikes drawn from the averages of conditions | single-trial variance, or inferred inputs |
    | the data, with shuffled conditions | conditions |

    The folder then holds `controls.json` and the three runs `recording`, `exchanged` and `drawn`. Calling it again with
    the same settings resumes them.

    Example:
        ```python
        print(lfadsx.controls(data, "runs/controls"))
        ```

    Args:
        data: The data set.
        out: The folder; by default a temporary one that is deleted at the end.
        model: Architecture.
        parts: Your own parts by the name of their seam, as in `lfadsx.build`.
        hyper: Hyperparameters. By default as in `fit`, as is `config`.
        config: Run settings; `seed` also seeds the sets that are made.
        mesh: Devices to spread the trials over.
        n_samples: Posterior samples of the averages.
        callbacks: Called after every epoch.
        progress: If True, a progress bar is shown.
        settings: Fields of `ModelConfig`, `HyperParams` and `TrainConfig` by name.

    Returns:
        A table in `text`, a row for each control in `rows`, and a finding for each control that failed.

    Raises:
        RunError: If the folder cannot be written or holds runs with other settings.
        LfadsxError: If a setting is unknown or out of range, the encoders are to see further target groups, or the data
            do not fit the model or have too few trials of one condition and length.
    """
    began = time.monotonic()
    numbers, run, sizes = with_suited("controls", data, settings, hyper, config, model or ModelConfig())
    if others := [group for group in sizes.encoder_groups if group != data.input_group]:
        raise LfadsxError(
            f"`encoder_groups` must be the input group alone for controls, got {', '.join(others)}, too: what is "
            "known of the made spikes would not hold for encoders that see recorded data beside them. Leave it out."
        )
    made = {
        "recording": data,
        "exchanged": shuffled_trials(data, run.seed),
        "drawn": drawn_from_averages(data, run.seed),
    }
    split, trained, result = split_name(data.splits), {}, None
    with folder_for(out) as folder:
        for number, (name, own) in enumerate(made.items(), 1):
            log.info("Training %d of %d: %s.", number, len(made), name)
            built = builders.build(own, sizes, rngs=nnx.Rngs(run.seed), **dict(parts or {}))
            how: dict[str, Any] = dict(hyper=numbers, config=run, mesh=mesh, callbacks=callbacks, progress=progress)
            result = fit(built, own, out=folder / name, **how)
            if result.reason == "interrupted":
                return stopped(result, began)
            how = dict(n_samples=n_samples, seed=run.seed, mesh=all_data(mesh))
            inferring = functools.partial(_inferred, result.model, own, split, **how)
            trained[name] = own, result.model, on_first(inferring, {})
        written = folder / "controls.json" if out is not None else None
        judging = functools.partial(_judged, trained, split, run.seed, all_data(mesh), written, result, began)
        return on_first(judging, Outcome(result=result, seconds=time.monotonic() - began))


def _inferred(model: LFADS, data: Dataset, split: str, **how: Any) -> dict[str, Posterior]:
    return {of: infer(model, data, of, **how) for of in dict.fromkeys(("train", split))}


def _judged(
    trained: Trained,
    split: str,
    seed: int,
    mesh: Mesh | None,
    file: Path | None,
    result: FitResult | None,
    began: float,
) -> Outcome:
    """Measures all controls, and writes them into a file if one is given."""
    rows = _rows(trained, split, seed, mesh)
    summary = {"split": split, "controls": [dataclasses.asdict(row) for row in rows]}
    files = [] if file is None else [write_json(file, plain(summary))]
    return _outcome(rows, split, files, summary, result, time.monotonic() - began)


def _outcome(
    rows: list[Control],
    split: str,
    files: list[Path],
    summary: dict[str, Any],
    result: FitResult | None,
    seconds: float,
) -> Outcome:
    words = {True: "passed", False: "FAILED", None: "reference"}
    shown = [
        f"{words[row.passed]:10} {row.control}\n{'':10} gave {row.gave}\n{'':10} should be {row.should}" for row in rows
    ]
    failed = [row for row in rows if row.passed is False]
    judged = sum(row.passed is not None for row in rows)
    closing = f"{judged - len(failed)} of {judged} controls gave what they should."
    findings = [
        Finding(
            "warning",
            "control failed",
            row.value,
            row.limit,
            split,
            f"{row.control}: {row.gave}, should be {row.should}.",
            "Do not interpret this part of the model; try cd_pass_rate=0, higher KL scales, a higher cd_rate or fewer "
            "inputs.",
        )
        for row in failed
    ]
    return Outcome(
        text="\n".join([f"{split} trials", *shown, closing]),
        result=result,
        rows=[dataclasses.asdict(row) for row in rows],
        files=files,
        findings=tuple(findings),
        summary=summary,
        seconds=seconds,
    )


def _rows(trained: Trained, split: str, seed: int, mesh: Mesh | None) -> list[Control]:
    """Returns all controls that apply to the data."""
    measure, leads = "", {}
    for name in ("recording", "exchanged"):
        measure, leads[name] = _lead(*trained[name], split, seed, mesh)
    real, exchanged = leads["recording"], leads["exchanged"]
    limit = MOST_LEAD * max(real.value, 0.0)
    lead = f"{measure} over the averages of conditions"
    rows = [
        Control(f"recording: {lead}", _interval(real), "above 0, or the next row says nothing", None, real.value, None),
        Control(
            f"spikes exchanged: {lead}",
            _interval(exchanged),
            f"at most {limit:z.3f}, {MOST_LEAD:.0%} of the recording's, or not clearly above 0",
            exchanged.value <= limit or exchanged.low <= 0,
            exchanged.value,
            limit,
        ),
    ]
    shares = {name: single_trial_share(data.splits[split], posts[split]) for name, (data, _, posts) in trained.items()}
    rows.append(
        Control(
            "spikes drawn from averages: single-trial share of the variance of rates",
            f"{shares['drawn']:.3f} (recording: {shares['recording']:.3f})",
            f"near 0, at most {MOST_SINGLE_TRIAL}",
            shares["drawn"] <= MOST_SINGLE_TRIAL,
            shares["drawn"],
            MOST_SINGLE_TRIAL,
        )
    )
    kl = {name: _kl_per_bin(posts[split]) for name, (_, _, posts) in trained.items()}
    if kl["drawn"] is not None:
        rows.append(
            Control(
                "spikes drawn from averages: KL of the inferred inputs",
                f"{kl['drawn']:.3f} nats per bin (recording: {kl['recording']:.3f})",
                f"below {MOST_KL} nats per bin",
                kl["drawn"] < MOST_KL,
                kl["drawn"],
                MOST_KL,
            )
        )
    return rows + _decoding(trained["recording"][0], trained["recording"][2], split, seed)


def _lead(
    data: Dataset, model: LFADS, posteriors: dict[str, Posterior], split: str, seed: int, mesh: Mesh | None
) -> tuple[str, Score]:
    """Returns how much better than the averages of conditions the model predicts what its encoder did not see."""
    own = data.splits[split]
    known = own.condition is not None and data.train.condition is not None
    name = "condition average" if known else "time course"
    rates = (condition_average if known else time_course)(data, own)
    how: dict[str, Any] = dict(seed=seed, posteriors=posteriors, baselines={name: rates}, mesh=mesh)
    found = evaluate(model, data, split, **how).comparison.differences
    measure = next((m for m in ("co_bps", "co_r2", "masked_bps", "masked_r2") if m in found), None)
    if measure is None:
        raise LfadsxError("The controls need hidden entries to score, but none could be scored. Hold out neurons.")
    return measure, found[measure]


def _kl_per_bin(posterior: Posterior) -> float | None:
    """Returns the KL of all inferred inputs together, averaged over bins and trials; None without inputs."""
    kl = posterior.kl_inputs
    return None if kl is None or kl.shape[2] == 0 else float(np.nanmean(kl.sum(2)))


def _decoding(data: Dataset, posteriors: dict[str, Posterior], split: str, seed: int) -> list[Control]:
    """Returns the control of shuffled conditions; nothing without conditions or without scikit-learn."""
    if data.train.condition is None or data.splits[split].condition is None or not has_sklearn():
        return []
    true = decoded_conditions(data, posteriors["train"], posteriors[split], split)
    shuffled = decoded_conditions(data, posteriors["train"], posteriors[split], split, shuffle=True, seed=seed)
    return [
        Control(
            "recording, conditions shuffled: share of conditions decoded from factors",
            f"{shuffled.value:.3f} (true conditions: {true.value:.3f})",
            f"at chance, {shuffled.low:.3f} to {shuffled.high:.3f}",
            shuffled.value <= shuffled.high,
            shuffled.value,
            shuffled.high,
        )
    ]


def _interval(score: Score) -> str:
    return f"{score.value:+z.3f} [{score.low:+z.3f}, {score.high:+z.3f}]"
