"""Settings: architecture, hyperparameters, run and population."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax

from lfadsx.errors import LfadsxError, nearest
from lfadsx.group_settings import by_group, delay, span, weight
from lfadsx.setting_checks import (
    ABOVE_0,
    AT_LEAST_0,
    AT_LEAST_1,
    BELOW_1,
    FACTOR,
    FROM_0_TO_1,
    Range,
    check_range,
    check_types,
    suited,
)

FigureFormat = Literal["png", "pdf", "svg"]
"""Format of the files of figures."""

LikelihoodName = Literal[
    "poisson",
    "negative_binomial",
    "zero_inflated_poisson",
    "bernoulli",
    "gaussian",
    "gaussian_by_channel",
    "squared_error",
    "squared_error_by_channel",
    "log_normal",
    "gamma",
    "zero_inflated_gamma",
]
"""Names of the built-in likelihoods; `lfadsx.distributions.LIKELIHOODS` has their classes."""
Precision = Literal["float32", "tf32", "bfloat16"]
HYPER_RANGES: dict[str, Range] = {"learning_rate": ABOVE_0}
HYPER_RANGES |= dict.fromkeys(("dropout_rate", "cd_rate", "sv_rate", "neuron_dropout_rate"), BELOW_1)
HYPER_RANGES |= dict.fromkeys(("cd_pass_rate", "spike_jitter_rate"), FROM_0_TO_1)
"""Ranges of hyperparameters; all others are at least 0."""
RAMP_EPOCHS = 30
"""Default length of the ramps, if training is long enough."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Architecture: sizes and choices of the parts that the builders compose.

    A change of any of them needs a new compiled program.
    """

    variant: Literal["autonomous", "inferred_input", "external_input"] = "inferred_input"
    """inferred_input: a controller infers inputs. autonomous: initial condition only. external_input: known inputs, and
    a controller unless inferred_inputs is 0."""
    factors: int = 32
    """Number of factors."""
    generator: Literal["gru", "linear", "rnn", "low_rank", "neural_ode"] = "gru"
    """Generator, which produces the dynamics. gru: gated RNN. linear: linear dynamics. rnn: vanilla RNN. low_rank: RNN
    whose recurrent matrix has the rank `generator_rank`. neural_ode: a network of `generator_width` computes the change
    of the state; for a few units that are the latents themselves."""
    generator_dim: int = 128
    """Units of the generator's state."""
    generator_rank: int = 8
    """Rank of the recurrent matrix of the low_rank generator."""
    generator_width: int = 128
    """Units of each hidden layer of the neural_ode generator."""
    generator_depth: int = 2
    """Hidden layers of the neural_ode generator."""
    generator_substeps: int = 1
    """Euler steps of the neural_ode generator in a bin."""
    ic_dim: int = 64
    """Dimension of the initial condition. 0: all trials start in one trained state."""
    initial_state: Literal["linear", "identity"] = "linear"
    """Initial state of the generator. linear: a linear map of the initial condition. identity: the initial condition
    itself, which must then be as wide as the generator."""
    ic_encoder_dim: int = 64
    """Units per direction of the encoder that infers the initial condition."""
    input_encoder_dim: int = 64
    """Units per direction of the encoder that feeds the controller. 0: the initial condition's encoder feeds it."""
    controller_dim: int = 64
    """Units of the controller."""
    inferred_inputs: int | None = suited(None)
    """Number of inputs that the controller infers for every bin. 0: no controller. By default one for 16 neurons, from
    4 to 32."""
    bias_dim: int = 0
    """Number of constant inputs of the generator that are inferred for each trial, its bias: for trials whose dynamics
    differ. 0: no bias."""
    known_inputs_to: Literal["generator", "encoders"] = "generator"
    """Part that receives the known inputs of the data."""
    encoder_groups: tuple[str, ...] = ()
    """Target groups whose channels the encoders see, the input group among them, such as spikes and emg. By default the
    input group alone."""
    readin: Literal["auto", "identity", "linear"] = "auto"
    """Map from neurons to the encoders. auto: identity for one session, linear for several."""
    readin_dim: int = 0
    """Width of a linear read-in. 0: the larger of `factors` and the number of aligned components."""
    encoder: Literal["bidirectional", "causal", "strictly_causal"] = "bidirectional"
    """Bins that the controller's encoder reads. bidirectional: the whole trial. causal: the past. strictly_causal: the
    past, and an initial condition that is inferred from the whole trial is an error."""
    controller_lag: int = 1
    """Bins between the current bin and the nearest encoder states that the controller receives."""
    feedback: Literal["factors", "rates", "none"] = "factors"
    """Feedback from the generator's previous bin to the controller. rates: expected data, in units of the channels;
    single sessions only."""
    initial_feedback: Literal["state", "zeros"] = "state"
    """Feedback to the controller at the first bin: from the initial generator state, or zeros."""
    ic_window: int = 0
    """Bins at the start of a trial that the initial condition is inferred from. 0: the whole trial."""
    controller_sees_ic_window: bool = True
    """If True, the controller's encoder also reads the bins of `ic_window`."""
    ic_prior: Literal["gaussian", "mixture", "student_t", "none"] = "gaussian"
    """Prior of the initial condition. gaussian: normal. mixture: `ic_prior_components` Gaussians with trained weights,
    means and variances, for trials in clusters. student_t: heavy tails, for trials far from the others. none: all
    trials start in one trained state, as with ic_dim = 0."""
    ic_prior_variance: float = 0.1
    """Variance of the initial condition's prior, of each component (mixture), or squared scale (student_t); the initial
    value if it is trained."""
    ic_prior_variance_bounds: tuple[float, float] = (0.0, 0.0)
    """Bounds of the variance of the gaussian prior of the initial condition. It is trained if the second bound exceeds
    the first."""
    ic_prior_components: int = 8
    """Number of Gaussians of the mixture prior of the initial condition."""
    ic_prior_df: float = 4.0
    """Degrees of freedom of the student_t prior of the initial condition; fewer mean heavier tails."""
    bias_prior: Literal["gaussian", "mixture", "student_t"] = "gaussian"
    """Prior of the bias, as for the initial condition, with the same number of components and degrees of freedom."""
    bias_prior_variance: float = 1.0
    """Variance of the bias's prior, of each component (mixture), or squared scale (student_t)."""
    input_prior: Literal["ar1", "gaussian", "student_t", "smooth"] = "ar1"
    """Prior of the inferred inputs. ar1: AR(1) process with trained time constants. gaussian: independent normal bins.
    student_t: independent bins with heavy tails, for brief and rare inputs. smooth: AR(2) process without jumps, with
    trained time constants."""
    input_prior_tau: float = 10.0
    """Initial time constant of the ar1 or smooth prior in bins."""
    input_prior_tau_s: float = 0.0
    """Initial time constant of the ar1 or smooth prior in seconds; needs the data's bin width. 0: `input_prior_tau` is
    used."""
    input_prior_variance: float = 0.1
    """Initial innovation variance (ar1), variance (gaussian, smooth) or squared scale (student_t) of the input
    prior."""
    input_prior_df: float = 2.0
    """Initial degrees of freedom of the student_t prior; fewer mean heavier tails."""
    input_prior_mean: float = 0.0
    """Initial mean of the input prior."""
    train_input_prior: tuple[Literal["tau", "variance", "mean"], ...] = ("tau", "variance")
    """Parameters of the input prior that are trained, one for each input. variance includes degrees of freedom."""
    post_var_min: tuple[float, float] = (1e-4, 1e-4)
    """Smallest posterior variances: of initial condition and bias, and of the inferred inputs."""
    likelihood: LikelihoodName = "poisson"
    """Distribution of the data given the rates. Spike counts: poisson; negative_binomial scatters more;
    zero_inflated_poisson has more zeros; bernoulli is for bins of at most one spike. Real values: gaussian_by_channel;
    gaussian has a variance of every bin; squared_error a fixed one for all, squared_error_by_channel one for each
    channel. Positive values: log_normal, gamma; with zeros: zero_inflated_gamma."""
    other_likelihoods: tuple[str, ...] = ()
    """Likelihoods of further target groups such as EMG, as GROUP=NAME. By default poisson for counts,
    squared_error for a group made of the behaviour, else squared_error_by_channel."""
    readout_factors: tuple[str, ...] = ()
    """Factors that a target group is read from, as GROUP=N for the first N, or GROUP=FIRST:END counted from 0. By
    default all of them."""
    readout_delays: tuple[str, ...] = ()
    """Delay of a further target group after the factors that it is read from, in bins as GROUP=N, in seconds as
    GROUP=Xs. Below 0 the data come first. By default 0; for a group made of the behaviour, its lag."""
    standardise: bool = True
    """If True, real-valued channels are standardised for the encoders, and read-outs restore their units. Spike counts
    are never changed."""
    readout_scale: float = 0.1
    """Gain of the initial read-out weights. Small values start the model at each neuron's mean rate."""
    cell_clip: float = 5.0
    """Bound of the absolute value of all recurrent states."""
    weight_scales: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gains of the initial weights: encoders and controller, generator inputs, generator recurrence."""
    gate_biases: tuple[float, float] = (1.0, 1.0)
    """Initial biases of the update gates (which keep a state) and of the reset gates."""
    segment_bins: int = 0
    """Bins between stored states in backpropagation; states in between are computed twice. This bounds the memory of
    long trials at the cost of a second forward pass. 0: all states are stored."""
    adjoint: Literal["fused", "autodiff"] = "fused"
    """Computation of gradients. fused: written-out derivatives, faster. autodiff: by JAX, with forward mode (`jax.jvp`)
    for linearising a model."""

    def __post_init__(self) -> None:
        """Checks sizes, ranges and names."""
        check_types(self)
        check_range(self, AT_LEAST_1, "factors", "generator_dim", "ic_encoder_dim", "controller_dim")
        check_range(self, AT_LEAST_1, "generator_rank", "generator_width", "generator_depth", "generator_substeps")
        check_range(self, AT_LEAST_1, "ic_prior_components")
        check_range(self, AT_LEAST_0, "ic_dim", "bias_dim", "input_encoder_dim", "readin_dim", "controller_lag")
        if self.inferred_inputs is not None:
            check_range(self, AT_LEAST_0, "inferred_inputs")
        check_range(self, AT_LEAST_0, "ic_window", "input_prior_tau_s", "segment_bins")
        check_range(self, AT_LEAST_0, "ic_prior_variance_bounds", "post_var_min")
        check_range(self, ABOVE_0, "ic_prior_variance", "input_prior_tau", "input_prior_variance", "input_prior_df")
        check_range(self, ABOVE_0, "cell_clip", "ic_prior_df", "bias_prior_variance")
        for pair in self.other_likelihoods:
            group, _, name = pair.partition("=")
            if not group or name not in get_args(LikelihoodName):
                known = get_args(LikelihoodName)
                raise LfadsxError(
                    f"`other_likelihoods` must hold GROUP=NAME with one of the names {', '.join(known)}, got "
                    f"{pair!r}{nearest(name, known)}."
                )
        by_group("readout_factors", self.readout_factors, span, "GROUP=N or GROUP=FIRST:END with numbers of factors")
        by_group("readout_delays", self.readout_delays, delay, "GROUP=N with whole bins or GROUP=Xs with seconds")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HyperParams:
    """Hyperparameters that a search may change during training: traced scalars, so no change recompiles.

    KL weights refer to a loss that is summed over bins and neurons (`TrainConfig.reduction`). Their defaults predicted
    held-out neurons of two recordings well. They are far below 1, the weight of the evidence bound, because coordinated
    dropout already prevents copying.
    """

    learning_rate: float = 4e-3
    """Learning rate of Adam."""
    weight_decay: float = 0.0
    """Decoupled weight decay; each step subtracts it times the learning rate times the weight."""
    dropout_rate: float = suited(0.2)
    """Probability that a unit is dropped. By default lower for data with many spikes."""
    cd_rate: float = 0.3
    """Coordinated dropout: probability that a data entry is hidden from the encoders. 0: off."""
    cd_pass_rate: float = suited(0.0)
    """Coordinated dropout: share of the visible entries that still enter the loss. By default more with many
    neurons."""
    sv_rate: float = 0.0
    """Sample validation: probability that an entry of a training trial never trains and is only scored; always the same
    entries. 0: off."""
    neuron_dropout_rate: float = 0.0
    """Probability that a whole channel of a trial is hidden from the encoders. 0: off."""
    spike_jitter_rate: float = 1.0
    """Share of the spikes that `spike_jitter` moves."""
    temporal_shift: float = 0.0
    """Standard deviation, in bins, of random shifts of the channels of each trial; at most two of them. 0: off."""
    amplitude_noise: float = 0.0
    """Noise on real values that the encoders see, in standard deviations of the channel within the trial. 0: off."""
    kl_ic_scale: float = 0.04
    """Weight of the KL of the initial condition; 1 is the evidence bound."""
    kl_co_scale: float = 0.04
    """Weight of the KL of the inferred inputs; 1 is the evidence bound."""
    kl_bias_scale: float = 0.04
    """Weight of the KL of the bias; 1 is the evidence bound."""
    l2_ic_enc_scale: float = 0.0
    """L2 penalty on the recurrent weights of the initial condition's encoder."""
    l2_ci_enc_scale: float = 0.0
    """L2 penalty on the recurrent weights of the controller's encoder."""
    l2_gen_scale: float = 0.0
    """L2 penalty on the recurrent weights of the generator."""
    l2_con_scale: float = 0.0
    """L2 penalty on the recurrent weights of the controller."""
    l2_readin_scale: float = 0.0
    """L2 penalty on the weights of linear read-ins."""
    l2_scale: float = 0.0
    """L2 penalty on all parameters."""
    co_corr_scale: float = 0.0
    """Penalty on the correlation between different inferred inputs."""
    other_targets_scale: float = 1.0
    """Weight of the log likelihood of target groups other than the input group, such as behaviour, in the loss."""

    def summed(self, bins: int, neurons: int) -> HyperParams:
        """Converts weights for a loss that is a mean over bins and neurons to weights for a sum.

        lfads-torch and AutoLFADS take the mean: their weight s corresponds to s * bins * neurons here.

        Args:
            bins: Number of reconstructed bins.
            neurons: Number of reconstructed neurons.
        """
        names = [f.name for f in dataclasses.fields(self) if f.name.startswith(("kl_", "l2_", "co_"))]
        return dataclasses.replace(self, **{n: getattr(self, n) * bins * neurons for n in names})

    def check(self) -> None:
        """Raises LfadsxError if a value is out of its range."""
        for field in dataclasses.fields(self):
            check_range(self, HYPER_RANGES.get(field.name, AT_LEAST_0), field.name)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run."""

    epochs: int = suited(120)
    """Maximal number of epochs (passes over all training trials). By default by the amount of data."""
    batch_size: int = 64
    """Largest number of trials of a step. The steps of an epoch share the training trials evenly."""
    kl_ramp_start: int = 0
    """Epoch at which the KL ramp starts: the factor on the KL weights rises from `kl_floors` to 1."""
    kl_ramp_epochs: int | None = None
    """Length of the KL ramp. By default 30 epochs, or a quarter of `epochs` if that is shorter."""
    kl_floors: tuple[float, float] = (0.0, 0.0)
    """Factors on the KL weights before the ramp: initial condition and bias, and inferred inputs. With a low second
    factor, inputs explain at first what the generator has yet to learn; with 1 a model may never use them."""
    l2_ramp_start: int = 0
    """Epoch at which the L2 ramp starts: the factor on the L2 penalties rises from 0 to 1."""
    l2_ramp_epochs: int | None = None
    """Length of the L2 ramp. By default 30 epochs, or a quarter of `epochs` if that is shorter."""
    ramp_unit: Literal["epochs", "steps"] = "epochs"
    """Unit of starts and lengths of both ramps."""
    patience: int = suited(50)
    """Training stops after so many epochs without a better selection score; counted after the ramps. By default half of
    the epochs, at least 50."""
    validate_every: int = suited(2)
    """Epochs from one evaluation of the selection score to the next. By default 2, or more if there are many epochs."""
    schedule: Literal["constant", "plateau", "training_loss", "cosine", "exponential"] = "cosine"
    """Learning rate over time. cosine: falls to 0 at the last epoch. constant. plateau: multiplied by
    `learning_rate_factor` when the selection score stalls. training_loss: multiplied by it when the training loss
    exceeds that of each of the last `plateau_patience` epochs (the rule of the TensorFlow LFADS, with a selection score
    that is not smoothed). exponential: multiplied by it at every step."""
    learning_rate_factor: float | None = None
    """Factor of plateau, training_loss and exponential. By default 0.95; for exponential 0.9999."""
    plateau_patience: int = 6
    """Evaluations without a better score (plateau), or earlier epochs (training_loss), that the schedule looks at."""
    learning_rate_stop: float = 1e-5
    """Training stops when plateau, training_loss or exponential bring the learning rate below this value."""
    max_grad_norm: float = 200.0
    """Bound of the gradient's global norm."""
    rescue: int = 0
    """Most times that a model with too many steps that are not finite goes back to its last good state and continues
    with half the learning rate. 0: such a model stops."""
    adam: tuple[float, float, float] = (0.9, 0.999, 1e-8)
    """Adam's decay of the first moment, decay of the second moment, and epsilon."""
    reduction: Literal["sum", "mean"] = "sum"
    """Log likelihood of a trial: sum over its bins and neurons, or their mean (as in lfads-torch)."""
    estimator: Literal["path", "sample"] = "path"
    """KL of the inferred inputs. path: closed form given the path. sample: log ratio of the single sample."""
    l2_normalize: Literal["each", "pooled"] = "each"
    """Divisor of the L2 penalty of a part: its own number of weights, or that of all penalised parts (pooled)."""
    group_weights: tuple[str, ...] = ()
    """Weights of single target groups in the loss, as GROUP=WEIGHT; by default 1. `other_targets_scale` multiplies
    those of all groups but the input group."""
    selection_groups: tuple[str, ...] = ()
    """Further target groups whose negative log likelihood, without weights, is added to the selection score. By default
    it is that of hidden entries of the input group alone."""
    train: tuple[str, ...] = ("*",)
    """Glob patterns of trainable parameters, such as readin/*; "!" excludes. A list that starts with "!" starts from
    all parameters."""
    spike_jitter: int = 0
    """Spikes of training batches move by up to this many bins, all moves being equally probable. 0: off."""
    checkpoints: tuple[float, int] = (5.0, 2)
    """Minutes between checkpoints, and number of checkpoints that are kept besides the best and the last model."""
    steps_per_block: int = 64
    """Maximal number of steps in one compiled block. At most two blocks of trials are on the devices at a time."""
    trials_at_once: int = 0
    """Trials of a step that a device computes at once; gradients of such portions are summed. Fewer need less memory;
    the result differs only by rounding. 0: all on a GPU; 32 on CPU cores, which is faster there."""
    precision: Precision = "tf32"
    """Precision of matrix products in training on GPUs: float32, tf32 (19 bits) or bfloat16. Sums, states and gradients
    are always float32, and so are all products on CPUs."""
    seed: int = 0
    """Seed of initial weights, order of trials and noise."""

    def __post_init__(self) -> None:
        """Checks sizes, ranges and names."""
        check_types(self)
        check_range(self, AT_LEAST_1, "epochs", "batch_size", "patience", "validate_every", "steps_per_block")
        check_range(self, AT_LEAST_1, "plateau_patience")
        check_range(self, AT_LEAST_0, "kl_ramp_start", "l2_ramp_start")
        for name in ("kl_ramp_epochs", "l2_ramp_epochs"):
            if getattr(self, name) is not None:
                check_range(self, AT_LEAST_0, name)
        check_range(self, AT_LEAST_0, "spike_jitter", "trials_at_once", "rescue")
        check_range(self, FROM_0_TO_1, "kl_floors")
        by_group("group_weights", self.group_weights, weight, "GROUP=WEIGHT with a number of at least 0")
        if self.learning_rate_factor is not None:
            check_range(self, FACTOR, "learning_rate_factor")
        if self.checkpoints[0] < 0 or self.checkpoints[1] < 1:
            raise LfadsxError(
                f"`checkpoints` must be minutes of at least 0 and a number of at least 1, got {self.checkpoints}."
            )

    def ramps(self, steps_per_epoch: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Returns start and length in steps of the KL ramp, and of the L2 ramp."""
        n = steps_per_epoch if self.ramp_unit == "epochs" else 1
        default = min(RAMP_EPOCHS, self.epochs // 4) * steps_per_epoch
        ramps = (self.kl_ramp_start, self.kl_ramp_epochs), (self.l2_ramp_start, self.l2_ramp_epochs)
        kl, l2 = ((n * start, default if length is None else n * length) for start, length in ramps)
        return kl, l2

    def with_ramps(self, steps_per_epoch: int, earlier: Mapping[str, Any] | None = None) -> TrainConfig:
        """Returns the settings with lengths of both ramps in place of None.

        Args:
            steps_per_epoch: Number of steps of an epoch.
            earlier: Settings of the run that is resumed; its ramps stay as they are.
        """
        n = steps_per_epoch if self.ramp_unit == "epochs" else 1
        lengths = dict(
            zip(
                ("kl_ramp_epochs", "l2_ramp_epochs"),
                (length // n for _, length in self.ramps(steps_per_epoch)),
                strict=True,
            )
        )
        given = {name: getattr(self, name) for name in lengths if getattr(self, name) is not None}
        return dataclasses.replace(self, **(lengths | {name: earlier[name] for name in lengths if earlier} | given))

    def ramp_end(self, steps_per_epoch: int) -> int:
        """Returns the number of epochs until all ramps have ended; selection and early stopping start there."""
        return max(-(-sum(ramp) // steps_per_epoch) for ramp in self.ramps(steps_per_epoch))


@dataclasses.dataclass(frozen=True)
class PopulationConfig:
    """Settings of a population of models."""

    population: int = 8
    """Number of models that are trained together."""
    epochs_per_generation: int = 10
    """Epochs per generation of the search, rounded up to a multiple of `validate_every`."""
    burn_in: int = 0
    """Epochs before the first decision of the search. 0: one generation after the end of all ramps."""
    ensemble: int = 5
    """Number of best models whose rates are averaged."""
    members_at_once: int = 0
    """Models that a device computes at once. 0: one on a CPU, which is faster there; all of the device's on a GPU."""

    def __post_init__(self) -> None:
        """Checks sizes."""
        check_range(self, AT_LEAST_1, "population", "epochs_per_generation", "ensemble")
        check_range(self, AT_LEAST_0, "burn_in", "members_at_once")

    def ends(self, train: TrainConfig, steps_per_epoch: int) -> tuple[int, ...]:
        """Returns the epochs after which generations end."""

        def evaluated(epoch: int) -> int:
            return -(-epoch // train.validate_every) * train.validate_every

        length = evaluated(self.epochs_per_generation)
        first = evaluated(self.burn_in) or evaluated(train.ramp_end(steps_per_epoch)) + length
        return *range(first, train.epochs, length), train.epochs
