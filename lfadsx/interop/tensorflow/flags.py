"""Flags of the TensorFlow LFADS as settings of this library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lfadsx.config import HyperParams, ModelConfig, TrainConfig
from lfadsx.data import validation
from lfadsx.errors import LfadsxError
from lfadsx.interop.settings_flags import Settings

ENDLESS = 100_000
"""Epochs of a training that ends when the learning rate is small."""
LONGEST_WINDOW = 10**6
"""Longer early windows mean the whole trial: the program's default is the largest integer."""
MARGIN = 1e-3
"""Smallest distance of a trained variance from its bounds at the start, as a share of their difference."""

SHORT = {"tau": "atau", "variance": "nvar"}
"""The program's names of the parameters of the inputs' prior."""

FLAGS: dict[str, Any] = {
    "output_dist": "poisson",
    "ext_input_dim": 0,
    "inject_ext_input_to_gen": False,
    "num_steps_for_gen_ic": 2**63 - 1,
    "ic_dim": 64,
    "ic_enc_dim": 128,
    "gen_dim": 200,
    "factors_dim": 50,
    "co_dim": 1,
    "ci_enc_dim": 128,
    "con_dim": 128,
    "do_causal_controller": False,
    "do_feed_factors_to_controller": True,
    "feedback_factors_or_rates": "factors",
    "controller_input_lag": 1,
    "cell_weight_scale": 1.0,
    "gen_cell_input_weight_scale": 1.0,
    "gen_cell_rec_weight_scale": 1.0,
    "cell_clip_value": 5.0,
    "ic_prior_var_min": 0.1,
    "ic_prior_var_scale": 0.1,
    "ic_prior_var_max": 0.1,
    "ic_post_var_min": 1e-4,
    "prior_ar_atau": 10.0,
    "prior_ar_nvar": 0.1,
    "do_train_prior_ar_atau": True,
    "do_train_prior_ar_nvar": True,
    "keep_prob": 0.95,
    "temporal_spike_jitter_width": 0,
    "l2_gen_scale": 2000.0,
    "l2_con_scale": 0.0,
    "co_mean_corr_scale": 0.0,
    "kl_ic_weight": 1.0,
    "kl_co_weight": 1.0,
    "kl_start_step": 0,
    "kl_increase_steps": 2000,
    "l2_start_step": 0,
    "l2_increase_steps": 2000,
    "batch_size": 128,
    "learning_rate_init": 0.01,
    "learning_rate_decay_factor": 0.95,
    "learning_rate_stop": 1e-5,
    "learning_rate_n_to_compare": 6,
    "max_grad_norm": 200.0,
    "do_train_io_only": False,
    "do_train_encoder_only": False,
    "do_train_readin": True,
    "max_ckpt_to_keep": 5,
}
"""The flags of model and training, with the program's defaults."""

OTHERS = (
    *("kind", "allow_gpu_growth", "device", "data_dir", "data_filename_stem", "lfads_save_dir", "co_prior_var_scale"),
    *("do_reset_learning_rate", "checkpoint_name", "checkpoint_pb_load_name", "max_ckpt_to_keep_lve", "csv_log"),
    *("output_filename_stem", "ps_nexamples_to_process"),
)
"""The flags of files and tasks, and flags without effect."""

WRITTEN = ("dataset_names", "dataset_dims", "num_steps", "ndatasets", "_clip_value")
"""Further entries of the program's file of settings."""


def settings_from_tensorflow(source: str | Path | Mapping[str, Any] = {}) -> Settings:  # noqa: B006
    """Returns the settings that train the same model as flags of the TensorFlow LFADS.

    Missing flags have that program's defaults. Three defects of that program are not copied. Every trial is used once
    in an epoch (there some are used twice). Read-outs start at the neurons' mean rates. The trained variance of the
    initial condition's prior starts at its setting. Adam's epsilon of 0.1 is the same number, but acts as a larger
    number in that program's first hundreds of steps.

    Example:
        >>> from lfadsx.interop import settings_from_tensorflow
        >>> model, hyper, train = settings_from_tensorflow({"co_dim": 0, "factors_dim": 20})
        >>> model.variant, model.factors, hyper.dropout_rate, train.schedule
        ('autonomous', 20, 0.05, 'training_loss')

    Args:
        source: The program's file `hyperparameters-<step>.txt`, or flags by name.

    Raises:
        OSError: If the file cannot be read.
        LfadsxError: If a flag is unknown, or a value is out of range.
    """
    flags = read_flags(source)
    found = Settings(_model(flags), _hyper(flags), _train(flags))
    found.hyper.check()
    return found


def read_flags(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """Returns all flags of model and training, and `dataset_names`; `source` as in `settings_from_tensorflow`."""
    given = _from_file(Path(source)) if isinstance(source, str | Path) else dict(source)
    for name in sorted(set(given) - set(WRITTEN)):
        validation.one_of(name, sorted([*FLAGS, *OTHERS]), "A flag of the TensorFlow LFADS")
    flags = {name: _of_type(name, given.get(name, default)) for name, default in FLAGS.items()}
    # That program cuts the window to the trial before it writes its file; 0 is the whole trial here.
    if flags["num_steps_for_gen_ic"] >= given.get("num_steps", LONGEST_WINDOW):
        flags["num_steps_for_gen_ic"] = 0
    return flags | {"dataset_names": given.get("dataset_names")}


def _from_file(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:  # neither text nor JSON, or brackets without end
        found = error
    if not isinstance(found, dict):
        raise LfadsxError(f"{str(path)!r} must hold settings. Give the program's hyperparameters-<step>.txt.")
    return found


def _of_type(name: str, value: Any) -> Any:
    """Returns the value of a flag in the type of its default; the program's file has booleans as words."""
    kind = type(FLAGS[name])
    if kind is bool and isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
        raise LfadsxError(f"`{name}` must be {words[kind]}, like its default {FLAGS[name]!r}, got {value!r}.")
    return value


def _model(flags: Mapping[str, Any]) -> ModelConfig:
    low, high = flags["ic_prior_var_min"], flags["ic_prior_var_max"]
    variance, trained = flags["ic_prior_var_scale"], high > low
    if trained:  # it may start at a bound there, but must start between its bounds here
        margin = MARGIN * (high - low)
        variance = min(max(variance, low + margin), high - margin)
    known, inferred = flags["ext_input_dim"] > 0, flags["co_dim"]
    return ModelConfig(
        variant="external_input" if known else "inferred_input" if inferred else "autonomous",
        factors=flags["factors_dim"],
        generator_dim=flags["gen_dim"],
        ic_dim=flags["ic_dim"],
        initial_state="identity" if flags["ic_dim"] == flags["gen_dim"] else "linear",
        ic_encoder_dim=flags["ic_enc_dim"],
        input_encoder_dim=flags["ci_enc_dim"],
        controller_dim=flags["con_dim"],
        inferred_inputs=inferred,
        known_inputs_to="generator" if flags["inject_ext_input_to_gen"] else "encoders",
        encoder="causal" if flags["do_causal_controller"] else "bidirectional",
        controller_lag=flags["controller_input_lag"],
        feedback=flags["feedback_factors_or_rates"] if flags["do_feed_factors_to_controller"] else "none",
        ic_window=flags["num_steps_for_gen_ic"],
        ic_prior_variance=variance,
        ic_prior_variance_bounds=(low, high) if trained else (0.0, 0.0),
        post_var_min=(flags["ic_post_var_min"], 0.0),
        input_prior_tau=flags["prior_ar_atau"],
        input_prior_variance=flags["prior_ar_nvar"],
        train_input_prior=tuple(name for name in ("tau", "variance") if flags[f"do_train_prior_ar_{SHORT[name]}"]),
        likelihood=flags["output_dist"],
        standardise=False,
        readout_scale=1.0,
        cell_clip=flags["cell_clip_value"],
        weight_scales=tuple(flags[f"{part}_weight_scale"] for part in ("cell", "gen_cell_input", "gen_cell_rec")),
        gate_biases=(1.0, 0.0),
    )


def _hyper(flags: Mapping[str, Any]) -> HyperParams:
    return HyperParams(
        learning_rate=flags["learning_rate_init"],
        dropout_rate=round(1.0 - flags["keep_prob"], 12),
        cd_rate=0.0,
        kl_ic_scale=flags["kl_ic_weight"],
        kl_co_scale=flags["kl_co_weight"],
        l2_gen_scale=flags["l2_gen_scale"],
        l2_con_scale=flags["l2_con_scale"],
        co_corr_scale=flags["co_mean_corr_scale"],
    )


def _train(flags: Mapping[str, Any]) -> TrainConfig:
    return TrainConfig(
        epochs=ENDLESS,
        batch_size=flags["batch_size"],
        kl_ramp_start=flags["kl_start_step"],
        kl_ramp_epochs=flags["kl_increase_steps"],
        l2_ramp_start=flags["l2_start_step"],
        l2_ramp_epochs=flags["l2_increase_steps"],
        ramp_unit="steps",
        patience=ENDLESS,
        validate_every=1,
        schedule="training_loss",
        learning_rate_factor=flags["learning_rate_decay_factor"],
        plateau_patience=flags["learning_rate_n_to_compare"],
        learning_rate_stop=flags["learning_rate_stop"],
        max_grad_norm=flags["max_grad_norm"],
        adam=(0.9, 0.999, 0.1),
        estimator="sample",
        l2_normalize="pooled",
        train=_trained(flags),
        spike_jitter=flags["temporal_spike_jitter_width"],
        checkpoints=(5.0, flags["max_ckpt_to_keep"]),
    )


def _trained(flags: Mapping[str, Any]) -> tuple[str, ...]:
    readin = () if flags["do_train_readin"] else ("!readin/*",)
    if flags["do_train_io_only"]:
        return ("readin/*", "readout/*", *readin)
    if flags["do_train_encoder_only"]:
        return ("ic_encoder/*", "ic_posterior/*")
    return readin or ("*",)
