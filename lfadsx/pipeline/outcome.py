"""What the jobs on a run folder share: what they return, how they score."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jax.sharding import Mesh

from lfadsx.data.dataset import Dataset
from lfadsx.errors import DataError
from lfadsx.evaluation import Evaluation, score_posteriors
from lfadsx.inference import masked_rates
from lfadsx.inference.bounds import Bounds
from lfadsx.models.lfads import LFADS
from lfadsx.results.posterior import Posterior
from lfadsx.training import FitResult
from lfadsx.training.run_folder import RunInfo


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a job returns.

    Attributes:
        evaluation: Scores and table; None when training was interrupted.
        result: What `fit` returned; None for jobs without training.
        files: Files written.
        warnings: What went wrong without stopping the job.
        seconds: Time spent.
        bounds: Bounds of the evidence by name of the split, where asked for.
    """

    evaluation: Evaluation | None
    result: FitResult | None
    files: list[Path]
    warnings: list[str]
    seconds: float
    bounds: dict[str, Bounds] = dataclasses.field(default_factory=dict)


def scored_split(data: Dataset) -> str:
    """Returns the split that a run is scored on: test where there is one, else valid."""
    return "valid" if data.test is None else "test"


def check_bin_width(info: RunInfo, bin_width: float | None) -> None:
    """Raises DataError if data have another bin width than the model was trained with."""
    trained = info.bin_width
    if trained is not None and bin_width is not None and not np.isclose(trained, bin_width, rtol=1e-6):
        raise DataError(
            f"The data have bins of {bin_width} s, the model was trained with bins of {trained} s. Bin the data as "
            "those were, or train a model on these."
        )


def score(
    model: LFADS,
    data: Dataset,
    split: str,
    posteriors: dict[str, Posterior],
    seed: int,
    *,
    mesh: Mesh | None = None,
) -> Evaluation:
    """Scores posterior averages of a split, those of hidden entries included."""
    return score_posteriors(data, posteriors, masked_rates(model, data, split, seed=seed, mesh=mesh), split=split)
