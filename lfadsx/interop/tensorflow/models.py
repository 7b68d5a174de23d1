"""Models of the TensorFlow LFADS: from its file of parameters, and back to its names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import h5py
import jax.numpy as jnp
import numpy as np

from lfadsx import distributions, modules
from lfadsx.data.hdf5_files import items_of, open_to_read, read_array
from lfadsx.errors import LfadsxError
from lfadsx.interop.tensorflow.building import Arrays, Parameters, build
from lfadsx.interop.tensorflow.flags import read_flags
from lfadsx.interop.tensorflow.slots import slots_of
from lfadsx.models.lfads import LFADS


def from_tensorflow(source: str | Path | Arrays, settings: str | Path | Mapping[str, Any] | None = None) -> LFADS:
    """Turns parameters that the TensorFlow LFADS has written into an `LFADS` that computes the same numbers.

    Sizes, sessions, likelihood and the target of known inputs follow from the arrays. Other settings are in the
    program's file `hyperparameters-<step>.txt`. Without it these flags have their defaults: controller_input_lag,
    cell_clip_value, num_steps_for_gen_ic, ic_post_var_min, ic_prior_var_min and ic_prior_var_max,
    feedback_factors_or_rates, and dataset_names if a single session has neither read-in nor read-out.

    Two differences matter only far from any data: log rates are soft-clipped to the range from -15 to 8, and the log of
    a variance is not clipped at 80. An identity read-out becomes a trained matrix.

    Example:
        ```python
        model = lfadsx.interop.from_tensorflow("lfads_run/model_params", "lfads_run/hyperparameters-10000.txt")
        ```

    Args:
        source: The file of `--kind=write_model_params`, or its arrays by name.
        settings: The file of settings, or settings by the names of the flags.

    Raises:
        DataError: If a file cannot be read.
        LfadsxError: If an array is missing or does not fit the others, or a setting is unknown.
    """
    arrays = Parameters(_read(source) if isinstance(source, str | Path) else source)
    chosen = read_flags({} if settings is None else settings)
    model = build(arrays, chosen)
    for slot in slots_of(model):
        slot.fill(arrays)
    if chosen["ic_prior_var_max"] > chosen["ic_prior_var_min"]:
        _set_bounded_variance(model, chosen)
    model.initialised = True
    return model


def to_tensorflow(model: LFADS) -> dict[str, np.ndarray]:
    """Returns the parameters of a model by the names and in the shapes of the TensorFlow LFADS.

    Settings of the TensorFlow program, such as the floor of the posterior variances, are left out. That program has no
    floor for the inputs. A trained prior variance is written as its logarithm, without its bounds.

    Args:
        model: A model of parts that the TensorFlow LFADS also has.

    Raises:
        LfadsxError: If the model has a part that the TensorFlow LFADS lacks.
    """
    _check_is_known(model)
    arrays = {slot.name: slot.value() for slot in slots_of(model)}
    if isinstance(model.ic_prior, distributions.GaussianPrior):
        arrays["LFADS_z_prior_g0_logvar:0"] = np.log(np.asarray(model.ic_prior.distribution().variance))[None]
    return arrays


def _set_bounded_variance(model: Any, settings: Mapping[str, Any]) -> None:
    """Sets v = min + (max - min) / (1 + exp(-exp(theta))) from the program's theta; v is always in the upper half."""
    low, high = settings["ic_prior_var_min"], settings["ic_prior_var_max"]
    theta = np.asarray(model.ic_prior.log_variance[...], np.float64)
    model.ic_prior.log_variance[...] = jnp.log(jnp.asarray(low + (high - low) / (1 + np.exp(-np.exp(theta)))))


def _read(path: str | Path) -> dict[str, np.ndarray]:
    with open_to_read(Path(path)) as file:
        arrays = [name for name, item in items_of(file).items() if isinstance(item, h5py.Dataset)]
        return {name: read_array(file, name, f"{name!r} of {str(path)!r}") for name in arrays}


def _check_is_known(model: LFADS) -> None:
    """Raises `LfadsxError` if the TensorFlow LFADS lacks a part of the model."""
    decoder: Any = model.decoder
    wanted = {
        "The read-in": (model.readin, (modules.IdentityReadin, modules.LinearReadin)),
        "The prior of the initial condition": (
            model.ic_prior,
            (distributions.GaussianPrior, distributions.PointPrior),
        ),
        "The encoder of the initial condition": (model.ic_encoder, (modules.BidirectionalGRU, modules.NoEncoder)),
        "The generator": (decoder.generator, (modules.GRUGenerator,)),
        "The likelihood": (model.likelihood[model.input_group], (distributions.Poisson, distributions.Gaussian)),
    }
    if decoder.controller is not None:
        wanted |= {
            "The controller": (decoder.controller, (modules.GRUController,)),
            "The controller's encoder": (model.input_encoder, (modules.BidirectionalGRU, modules.CausalGRU)),
            "The prior of the inputs": (decoder.input_prior, (distributions.AutoregressivePrior,)),
        }
    for name, (part, kinds) in wanted.items():
        if type(part) not in kinds:
            raise LfadsxError(
                f"{name} must be {' or '.join(kind.__name__ for kind in kinds)} for the TensorFlow LFADS, got "
                f"{None if part is None else type(part).__name__}. Write the model with keys='lfadsx'."
            )
    prior: Any = decoder.input_prior
    readin, readout = cast(Any, model.readin), cast(Any, model.readout[model.input_group])
    is_linear = isinstance(readin, modules.LinearReadin)
    n_seen = [n for _, n in readin.n_channels] if is_linear else [readin.n_features]
    differences = {
        "standardised data": model.standardiser is not None,
        f"the target groups {sorted(model.readout)}": set(model.readout) != {model.input_group},
        "held-out neurons": n_seen != [n for _, n in readout.n_targets],
        "a controller that does not see the initial factors": decoder.initial_feedback == "zeros",
        "a controller that does not see the early window": not model.controller_sees_ic_window,
        "a bias": model.bias_prior is not None,
        "inputs with a mean": prior is not None and (prior.train_mean or bool(np.any(np.asarray(prior.loc[...])))),
    }
    for what, differs in differences.items():
        if differs:
            raise LfadsxError(f"This model has {what}, which the TensorFlow LFADS lacks. Write it with keys='lfadsx'.")
