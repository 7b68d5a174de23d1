"""Settings by name, for type checkers and editors: the fields of the classes in `lfadsx.config`, all optional."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from lfadsx.config import Precision


class ModelSettings(TypedDict, total=False):
    """Fields of `ModelConfig` but `variant`."""

    factors: int
    generator: Any
    generator_dim: int
    generator_rank: int
    generator_width: int
    generator_depth: int
    generator_substeps: int
    ic_dim: int
    initial_state: Literal["linear", "identity"]
    ic_encoder_dim: int
    input_encoder_dim: int
    controller_dim: int
    inferred_inputs: int | None
    bias_dim: int
    known_inputs_to: Literal["generator", "encoders"]
    encoder_groups: tuple[str, ...]
    readin: Any
    readin_dim: int
    encoder: Literal["bidirectional", "causal", "strictly_causal"]
    controller_lag: int
    feedback: Literal["factors", "rates", "none"]
    initial_feedback: Literal["state", "zeros"]
    ic_window: int
    controller_sees_ic_window: bool
    ic_prior: Any
    ic_prior_variance: float
    ic_prior_variance_bounds: tuple[float, float]
    ic_prior_components: int
    ic_prior_df: float
    bias_prior: Any
    bias_prior_variance: float
    input_prior: Any
    input_prior_tau: float
    input_prior_tau_s: float
    input_prior_variance: float
    input_prior_df: float
    input_prior_mean: float
    train_input_prior: tuple[Literal["tau", "variance", "mean"], ...]
    post_var_min: tuple[float, float]
    likelihood: Any
    other_likelihoods: tuple[str, ...]
    readout_factors: tuple[str, ...]
    readout_delays: tuple[str, ...]
    standardise: bool
    readout_scale: float
    cell_clip: float
    weight_scales: tuple[float, float, float]
    gate_biases: tuple[float, float]
    segment_bins: int
    adjoint: Literal["fused", "autodiff"]


class HyperSettings(TypedDict, total=False):
    """Fields of `HyperParams`."""

    learning_rate: float
    weight_decay: float
    dropout_rate: float
    cd_rate: float
    cd_pass_rate: float
    sv_rate: float
    neuron_dropout_rate: float
    spike_jitter_rate: float
    temporal_shift: float
    amplitude_noise: float
    kl_ic_scale: float
    kl_co_scale: float
    kl_bias_scale: float
    l2_ic_enc_scale: float
    l2_ci_enc_scale: float
    l2_gen_scale: float
    l2_con_scale: float
    l2_readin_scale: float
    l2_scale: float
    co_corr_scale: float
    other_targets_scale: float


class TrainSettings(TypedDict, total=False):
    """Fields of `TrainConfig`."""

    epochs: int
    batch_size: int
    kl_ramp_start: int
    kl_ramp_epochs: int | None
    kl_floors: tuple[float, float]
    l2_ramp_start: int
    l2_ramp_epochs: int | None
    ramp_unit: Literal["epochs", "steps"]
    patience: int
    validate_every: int
    schedule: Literal["constant", "plateau", "training_loss", "cosine", "exponential"]
    learning_rate_factor: float | None
    plateau_patience: int
    learning_rate_stop: float
    max_grad_norm: float
    rescue: int
    adam: tuple[float, float, float]
    reduction: Literal["sum", "mean"]
    estimator: Literal["path", "sample"]
    l2_normalize: Literal["each", "pooled"]
    group_weights: tuple[str, ...]
    selection_groups: tuple[str, ...]
    train: tuple[str, ...]
    spike_jitter: int
    checkpoints: tuple[float, int]
    steps_per_block: int
    trials_at_once: int
    precision: Precision
    seed: int


class PopulationSettings(TypedDict, total=False):
    """Fields of `PopulationConfig`; its number of models is the argument `members`."""

    epochs_per_generation: int
    burn_in: int
    ensemble: int
    members_at_once: int


class VariantSettings(ModelSettings, total=False):
    """Settings of the builders: sizes and choices, and parts by the name of their seam."""

    readout: Any
    ic_encoder: Any
    controller: Any
    input_encoder: Any


class BuildSettings(VariantSettings, total=False):
    """Settings of `build`."""

    variant: Literal["autonomous", "inferred_input", "external_input"]


class FitSettings(HyperSettings, TrainSettings):
    """Settings of `fit`."""


class PopulationFitSettings(FitSettings, PopulationSettings):
    """Settings of `population`."""


class JobSettings(ModelSettings, FitSettings, total=False):
    """Settings of `sweep` and `cross_validate`."""

    variant: Literal["autonomous", "inferred_input", "external_input"]
