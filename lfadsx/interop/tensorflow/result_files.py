"""Results in files of the TensorFlow LFADS: its names, its keys, one file for each session and split."""

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
    `post_g0_mean`, `post_g0_logvar`, `costs`, `nll_bound_vaes`, `nll_bound_iwaes`, `train_steps`. Where it was wrong,
    numbers are right here: bounds and costs belong to single trials, the bounds have weight 1 for every term, and the
    importance-weighted one samples the initial condition, too. `costs` are the loss of the run after all its ramps.

    Args:
        folder: Folder of the files.
        model: The model.
        posteriors: Posterior averages by name of the split.
        bounds: Bounds of the evidence by name of the split.
        sessions: The sessions that `Posterior.session` counts.
        hyper: Weights of the terms of the loss.
        config: How the run put them together.
        step: Number of steps that the model has trained.

    Raises:
        DataError: If a file cannot be written.
    """
    penalty = float(l2_penalty(model, hyper, config.l2_normalize))
    group, written = model.input_group, []
    for split, posterior in posteriors.items():
        found = bounds[split]
        arrays = _states(posterior) | {
            **_initial_condition(model, posterior),
            "costs": _costs(found, hyper, config) + penalty,
            "nll_bound_vaes": -found.elbo,
            "nll_bound_iwaes": -found.importance_weighted,
            "train_steps": np.full(len(posterior.trial_id), step),
        }
        kind = AVERAGED if posterior.n_samples else PUSHED
        for number in np.unique(posterior.session):
            session, rows = sessions[number], posterior.session == number
            channels = np.s_[rows, :, : session.n_targets[group]]
            output = [values[group][channels] for values in (posterior.rates, posterior.variance) if group in values]
            own = {name: values[rows] for name, values in arrays.items()}
            own["output_dist_params"] = np.concatenate(output, axis=2)
            written.append(_write(Path(folder) / f"model_runs_{session.name}_{split}_{kind}", own))
    return written


def write_prior_run(path: str | Path, model: LFADS, generated: Generated) -> Path:
    """Writes generated trials as the TensorFlow LFADS does, with its keys: the file `model_runs_prior_sample`.

    That program's `costs`, which mean nothing without data, are left out.

    Args:
        path: The file.
        model: The model.
        generated: The trials.

    Raises:
        DataError: If the file cannot be written.
    """
    group = model.input_group
    output = [values[group] for values in (generated.rates, generated.variance) if group in values]
    arrays = {
        "gen_ics": generated.initial_state,
        "gen_states": generated.generator_states,
        "factors": generated.factors,
        "output_dist_params": np.concatenate(output, axis=2),
    }
    if generated.inputs is not None:
        arrays["prior_zs_ar_con"] = generated.inputs
    return _write(Path(path), arrays | _prior_of_ic(model, len(generated.factors)))


def _states(posterior: Posterior) -> dict[str, np.ndarray]:
    arrays = {
        "gen_ics": posterior.initial_state,
        "gen_states": posterior.generator_states,
        "factors": posterior.factors,
    }
    return arrays | ({} if posterior.inputs is None else {"controller_outputs": posterior.inputs})


def _initial_condition(model: LFADS, posterior: Posterior) -> dict[str, np.ndarray]:
    prior = _prior_of_ic(model, len(posterior.trial_id))
    if not prior:
        return {}
    return prior | {"post_g0_mean": posterior.ic_mean, "post_g0_logvar": 2.0 * np.log(posterior.ic_std)}


def _prior_of_ic(model: LFADS, n_trials: int) -> dict[str, np.ndarray]:
    """The prior of the initial condition, one row for each trial; nothing where it is no normal one."""
    if not isinstance(model.ic_prior, GaussianPrior):
        return {}
    prior = model.ic_prior.distribution()
    rows: dict[str, Any] = {"prior_g0_mean": prior.mean, "prior_g0_logvar": np.log(np.asarray(prior.variance))}
    return {name: np.tile(np.asarray(row), (n_trials, 1)) for name, row in rows.items()}


def _costs(found: Bounds, hyper: HyperParams, config: TrainConfig) -> np.ndarray:
    terms = found.terms
    reconstruction = terms["reconstruction"] / (found.n_scored if config.reduction == "mean" else 1)
    kl = hyper.kl_ic_scale * terms["kl_ic"] + hyper.kl_co_scale * terms["kl_inputs"]
    return reconstruction + kl + hyper.co_corr_scale * terms["correlation"]


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    with open_to_write(path) as file:
        for name, values in arrays.items():
            write_array(file, name, np.asarray(values, np.float64))
    return path
