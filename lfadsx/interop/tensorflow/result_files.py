"""Results in files of the TensorFlow LFADS, with its names and keys, one file for each session and split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lfadsx.config import HyperParams, TrainConfig
from lfadsx.data.dataset import Session
from lfadsx.data.hdf5_files import open_to_write, write_array
from lfadsx.distributions import GaussianPrior
from lfadsx.inference.bounds import Bounds
from lfadsx.models.lfads import LFADS
from lfadsx.objective import l2_penalty
from lfadsx.results.generated import Generated
from lfadsx.results.posterior import Posterior

AVERAGED, PUSHED = "posterior_sample_and_average", "posterior_push_mean"


def write_posterior_runs(
    folder: str | Path,
    model: LFADS,
    posteriors: Mapping[str, Posterior],
    bounds: Mapping[str, Bounds],
    *,
    sessions: Sequence[Session],
    hyper: HyperParams,
    config: TrainConfig,
    step: int,
) -> list[Path]:
    """Writes posterior averages as the TensorFlow LFADS does: `model_runs_<session>_<split>_<kind>`.

    The kind is posterior_sample_and_average, or posterior_push_mean for posteriors without samples. Keys and shapes are
    those of that program, in float64: `gen_ics`, `gen_states`, `factors`, `controller_outputs`, `output_dist_params`
    (rates in counts per bin; for Gaussian data means and, after them, variances), `prior_g0_mean`, `prior_g0_logvar`,
    `post_g0_mean`, `post_g0_logvar`, `costs`, `nll_bound_vaes`, `nll_bound_iwaes`, `train_steps`. Errors of that
    program are corrected: bounds and costs belong to single trials, the bounds have weight 1 for every term, and the
    importance-weighted bound also samples the initial condition. `costs` are the loss after all ramps.

    Args:
        folder: Folder of the files.
        model: The model.
        posteriors: Posterior averages by name of the split.
        bounds: Bounds of the evidence by name of the split.
        sessions: The sessions that `Posterior.session` counts.
        hyper: Weights of the terms of the loss.
        config: Settings of the run: `l2_normalize` and `reduction`.
        step: Number of steps that the model has trained.

    Raises:
        DataError: If a file cannot be written.
    """
    penalty = float(l2_penalty(model, hyper, config.l2_normalize))
    group, written = model.input_group, []
    for split, posterior in posteriors.items():
        found = bounds[split]
        reconstruction = found.terms["reconstruction"] / (found.n_scored if config.reduction == "mean" else 1)
        kl = hyper.kl_ic_scale * found.terms["kl_ic"] + hyper.kl_co_scale * found.terms["kl_inputs"]
        kl = kl + hyper.kl_bias_scale * found.terms.get("kl_bias", 0.0)
        arrays = _arrays(model, posterior) | {
            "costs": reconstruction + kl + hyper.co_corr_scale * found.terms["correlation"] + penalty,
            "nll_bound_vaes": -found.elbo,
            "nll_bound_iwaes": -found.importance_weighted,
            "train_steps": np.full(len(posterior.trial_id), step),
        }
        if posterior.inputs is not None:
            arrays["controller_outputs"] = posterior.inputs
        if isinstance(model.ic_prior, GaussianPrior):
            arrays |= {"post_g0_mean": posterior.ic_mean, "post_g0_logvar": 2.0 * np.log(posterior.ic_std)}
        kind = AVERAGED if posterior.n_samples else PUSHED
        for number in np.unique(posterior.session):
            session, rows = sessions[number], posterior.session == number
            own = {name: values[rows] for name, values in arrays.items()}
            own["output_dist_params"] = _output(posterior, group, np.s_[rows, :, : session.n_targets[group]])
            written.append(_write(Path(folder) / f"model_runs_{session.name}_{split}_{kind}", own))
    return written


def write_prior_run(path: str | Path, model: LFADS, generated: Generated) -> Path:
    """Writes generated trials as the TensorFlow LFADS does, with its keys: the file `model_runs_prior_sample`.

    `costs` are left out, because they have no meaning without data.

    Args:
        path: The file.
        model: The model.
        generated: The trials.

    Raises:
        DataError: If the file cannot be written.
    """
    arrays = _arrays(model, generated)
    arrays["output_dist_params"] = _output(generated, model.input_group, np.s_[:])
    if generated.inputs is not None:
        arrays["prior_zs_ar_con"] = generated.inputs
    return _write(Path(path), arrays)


def _arrays(model: LFADS, found: Posterior | Generated) -> dict[str, np.ndarray]:
    """Returns states and factors of the trials, and a normal prior of the initial condition for each trial."""
    arrays = {"gen_ics": found.initial_state, "gen_states": found.generator_states, "factors": found.factors}
    if isinstance(model.ic_prior, GaussianPrior):
        prior = model.ic_prior.distribution()
        rows: dict[str, Any] = {"prior_g0_mean": prior.mean, "prior_g0_logvar": np.log(np.asarray(prior.variance))}
        arrays |= {name: np.tile(np.asarray(row), (len(found.factors), 1)) for name, row in rows.items()}
    return arrays


def _output(found: Posterior | Generated, group: str, part: Any) -> np.ndarray:
    """Returns rates and, for Gaussian data, variances after them."""
    return np.concatenate([values[group][part] for values in (found.rates, found.variance) if group in values], axis=2)


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    with open_to_write(path) as file:
        for name, values in arrays.items():
            write_array(file, name, np.asarray(values, np.float64))
    return path
