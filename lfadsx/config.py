"""Settings, in three places: architecture, hyperparameters, and how a run goes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import jax
import numpy as np

from lfadsx.errors import LfadsxError, nearest

Range = tuple[Callable[[float], bool], str]
"""Whether a number may be a value of a setting, and which numbers may, in words."""
ABOVE_0: Range = (lambda value: 0 < value < math.inf, "above 0")
AT_LEAST_0: Range = (lambda value: 0 <= value < math.inf, "at least 0")
AT_LEAST_1: Range = (lambda value: value >= 1, "at least 1")
FROM_0_TO_1: Range = (lambda value: 0 <= value <= 1, "from 0 to 1")
BELOW_1: Range = (lambda value: 0 <= value < 1, "from 0 to below 1")
FACTOR: Range = (lambda value: 0 < value <= 1, "above 0 and at most 1")


def _check_range(config: Any, allowed: Range, *names: str) -> None:
    """Raises LfadsxError if a setting, or a number of one that is a tuple, is out of range."""
    inside, words = allowed
    for name in names:
        value = getattr(config, name)
        if not all(inside(number) for number in (value if isinstance(value, tuple) else (value,))):
            each = "must hold numbers" if isinstance(value, tuple) else "must be"
            raise LfadsxError(f"`{name}` {each} {words}, got {_plain(value)}.")


def _plain(value: Any) -> Any:
    """Returns a value for a message: float(x) of an array of JAX or NumPy."""
    return value if isinstance(value, int | tuple) else float(value)


def _check_types(config: Any) -> None:
    """Raises LfadsxError for a name that is not one of the choices, and for a tuple of another length."""
    for name, hint in get_type_hints(type(config)).items():
        value, kinds = getattr(config, name), get_args(hint)
        if get_origin(hint) is tuple:
            n = None if kinds[-1] is ... else len(kinds)
            if not isinstance(value, tuple) or n not in (None, len(value)):
                what = f"a tuple of {n} numbers" if n else "a tuple"
                raise LfadsxError(f"`{name}` must be {what}, got {value!r}.")
            value, hint = value, kinds[0]
        for word in value if isinstance(value, tuple) else (value,):
            if get_origin(hint) is Literal and word not in get_args(hint):
                raise LfadsxError(f"`{name}` must be one of {', '.join(map(repr, get_args(hint)))}, got {word!r}.")


Precision = Literal["float32", "tf32", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Architecture: sizes and names of the parts that the builders of `lfadsx.models.builders` compose.

    Static: changing one means another compiled program.
    """

    variant: Literal["autonomous", "inferred_input", "external_input"] = "inferred_input"
    """autonomous: initial condition only; inferred_input: a controller infers inputs; external_input: known
    inputs as well, with a controller unless inferred_inputs is 0."""
    factors: int = 32
    """Number of factors."""
    generator_dim: int = 128
    """Units of the generator."""
    ic_dim: int = 64
    """Dimension of the initial condition; 0: none, all trials start in one trained state."""
    initial_state: Literal["linear", "identity"] = "linear"
    """How the generator starts: a linear map of the initial condition, or this itself, which has to be as wide."""
    ic_encoder_dim: int = 64
    """Units per direction of the encoder of the initial condition."""
    input_encoder_dim: int = 64
    """Units per direction of the encoder that the controller sees; 0: it sees the other encoder's states."""
    controller_dim: int = 64
    """Units of the controller."""
    inferred_inputs: int = 4
    """Number of inferred inputs; 0 for none."""
    known_inputs_to: Literal["generator", "encoders"] = "generator"
    """Where known inputs of the data go."""
    readin: Literal["auto", "identity", "linear"] = "auto"
    """How neurons reach the encoders; auto: as they are for one session, a linear map for several."""
    readin_dim: int = 0
    """Width of a linear read-in; 0: that of the factors, or of the data's aligned components if these are more."""
    encoder: Literal["bidirectional", "causal", "strictly_causal"] = "bidirectional"
    """Whether the controller's encoder sees the whole trial or the past only. strictly_causal: the past, and an initial
    condition that is inferred from the whole trial is refused."""
    controller_lag: int = 1
    """Bins by which the encoding that the controller sees stays away from the current bin."""
    feedback: Literal["factors", "rates", "none"] = "factors"
    """What the controller sees of the generator's last bin; rates are expected data, of one session only."""
    initial_feedback: Literal["state", "zeros"] = "state"
    """What of these the controller sees at the first bin: those of the initial state, or zeros."""
    ic_window: int = 0
    """Bins from the start that the initial condition is inferred from; 0: the whole trial."""
    controller_sees_ic_window: bool = True
    """Whether the controller's encoder sees the bins of ic_window, too."""
    ic_prior_variance: float = 0.1
    """Variance of the initial condition's prior; where it starts, if it is trained."""
    ic_prior_variance_bounds: tuple[float, float] = (0.0, 0.0)
    """Bounds of this variance; it is trained if the second is above the first."""
    input_prior: Literal["ar1", "gaussian", "student_t"] = "ar1"
    """Prior of the inferred inputs: AR(1) with trained time constants; normal and independent bins; or independent bins
    with heavy tails, for inputs that are brief and rare."""
    input_prior_tau: float = 10.0
    """Time constant of the AR(1) prior at the start, in bins."""
    input_prior_tau_s: float = 0.0
    """The same in seconds, which then counts; 0: it is given in bins. Needs the data's bin width."""
    input_prior_variance: float = 0.1
    """At the start: innovation variance of the AR(1) prior, variance of the normal one, squared scale of the other."""
    input_prior_df: float = 2.0
    """Degrees of freedom of Student's t at the start; the fewer, the heavier its tails."""
    input_prior_mean: float = 0.0
    """Mean of the inferred inputs' prior at the start."""
    train_input_prior: tuple[Literal["tau", "variance", "mean"], ...] = ("tau", "variance")
    """What of the inferred inputs' prior is trained, one number for each input; variance: degrees of freedom, too."""
    post_var_min: tuple[float, float] = (1e-4, 1e-4)
    """Added to the variances of the posteriors: the initial condition's, and that of the inferred inputs."""
    likelihood: Literal["poisson", "gaussian"] = "poisson"
    """How data scatter: poisson for spike counts, gaussian for real values."""
    standardise: bool = True
    """Whether encoders see real-valued channels with mean 0 and one small standard deviation, and read-outs give them
    in units of theirs, so that the unit of the data does not matter; spike counts stay as they are."""
    readout_scale: float = 0.1
    """Gain of the initial read-out weights; small, so that the model starts at each neuron's mean rate."""
    cell_clip: float = 5.0
    """Bound of all recurrent states."""
    weight_scales: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gains of initial weights: of encoders and controller, of the generator's inputs, of its recurrent weights."""
    gate_biases: tuple[float, float] = (1.0, 1.0)
    """Biases at the start of the gates that keep a state, and of the reset gates."""
    segment_bins: int = 0
    """Bins between states that the gradient keeps; those between are computed again, so that the memory of long trials
    is bounded for the price of a second forward pass. 0: all are kept."""
    adjoint: Literal["fused", "autodiff"] = "fused"
    """How gradients are computed. fused: written out, the faster one; autodiff: by JAX alone, which also has forward
    mode (`jax.jvp`), for linearising a model."""

    def __post_init__(self) -> None:
        """Checks sizes, ranges and names."""
        _check_types(self)
        _check_range(self, AT_LEAST_1, "factors", "generator_dim", "ic_encoder_dim", "controller_dim")
        _check_range(self, AT_LEAST_0, "ic_dim", "input_encoder_dim", "inferred_inputs", "readin_dim", "controller_lag")
        _check_range(self, AT_LEAST_0, "ic_window", "input_prior_tau_s", "segment_bins")
        _check_range(self, AT_LEAST_0, "ic_prior_variance_bounds", "post_var_min")
        _check_range(self, ABOVE_0, "ic_prior_variance", "input_prior_tau", "input_prior_variance", "input_prior_df")
        _check_range(self, ABOVE_0, "cell_clip")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HyperParams:
    """Hyperparameters that a search may change while training: scalars, traced, so that no change recompiles.

    Scales of the KL terms refer to a loss that is summed over bins and neurons (`TrainConfig.reduction`). Their
    defaults are those that predicted held-out neurons of two recordings well: with coordinated dropout, which stops
    copying by itself, much less than the weight 1 of the evidence bound.
    """

    learning_rate: float = 4e-3
    """Step size of Adam."""
    weight_decay: float = 0.0
    """Decoupled weight decay, multiplied by the learning rate."""
    dropout_rate: float = 0.2
    """Probability that a unit is dropped."""
    cd_rate: float = 0.3
    """Coordinated dropout: probability that an entry of the data is hidden from the encoders; 0: off."""
    cd_pass_rate: float = 0.0
    """Coordinated dropout: share of the entries that are not hidden and teach nevertheless."""
    kl_ic_scale: float = 0.04
    """Weight of the initial condition's KL; 1 is the evidence bound."""
    kl_co_scale: float = 0.04
    """Weight of the inferred inputs' KL; 1 is the evidence bound."""
    l2_ic_enc_scale: float = 0.0
    """Weight of the L2 penalty on the recurrent weights of the initial condition's encoder."""
    l2_ci_enc_scale: float = 0.0
    """The same for the controller's encoder."""
    l2_gen_scale: float = 0.0
    """The same for the generator."""
    l2_con_scale: float = 0.0
    """The same for the controller."""
    l2_scale: float = 0.0
    """Weight of the sum of squares of all parameters."""
    co_corr_scale: float = 0.0
    """Weight of the penalty on correlation between different inferred inputs."""

    def summed(self, bins: int, neurons: int) -> HyperParams:
        """Converts scales that were meant for a mean over bins and neurons to those for a sum.

        lfads-torch and AutoLFADS take the mean: their scale s corresponds to s * bins * neurons here.

        Args:
            bins: Number of reconstructed bins.
            neurons: Number of reconstructed neurons.
        """
        names = [f.name for f in dataclasses.fields(self) if f.name.startswith(("kl_", "l2_", "co_"))]
        return dataclasses.replace(self, **{n: getattr(self, n) * bins * neurons for n in names})

    def check(self) -> None:
        """Raises LfadsxError if a value is out of its range."""
        bounds = {"learning_rate": ABOVE_0, "cd_pass_rate": FROM_0_TO_1, "dropout_rate": BELOW_1, "cd_rate": BELOW_1}
        for field in dataclasses.fields(self):
            _check_range(self, bounds.get(field.name, AT_LEAST_0), field.name)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How a run goes. Host side only."""

    epochs: int = 120
    """Largest number of epochs; every trial is used once in each."""
    batch_size: int = 64
    """Trials per step; more than there are means all of them."""
    kl_ramp_start: int = 0
    """Epoch at which the weights of the KL terms begin to rise."""
    kl_ramp_epochs: int = 30
    """Epochs over which they rise to 1."""
    kl_floors: tuple[float, float] = (0.0, 0.0)
    """Weights of the KLs before that: of the initial condition's and of the inputs'. The higher the second, the less do
    inputs stand in for what the generator has yet to learn; at 1, no ramp, a model may never begin to use them."""
    l2_ramp_start: int = 0
    """Epoch at which the L2 penalty begins to count."""
    l2_ramp_epochs: int = 30
    """Epochs over which its weight rises to 1."""
    ramp_unit: Literal["epochs", "steps"] = "epochs"
    """What the starts and lengths of both ramps are counted in."""
    patience: int = 50
    """Epochs without a better selection score after which training stops; counted after the ramps."""
    validate_every: int = 2
    """Epochs between two evaluations of the selection score."""
    schedule: Literal["constant", "plateau", "training_loss", "cosine", "exponential"] = "cosine"
    """Learning rate: constant; multiplied by learning_rate_factor when the selection score stalls (plateau), when the
    training loss of an epoch is above all of the last plateau_patience ones (training_loss, the rule of the TensorFlow
    LFADS, whose selection score is not smoothed) or at every step (exponential); or a cosine to 0."""
    learning_rate_factor: float | None = None
    """What these rules multiply the learning rate by; by default 0.95, and 0.9999 at every step."""
    plateau_patience: int = 6
    """Evaluations without a better score, or epochs to compare with, before the first two rules do."""
    learning_rate_stop: float = 1e-5
    """Training stops when any of these rules but the cosine has brought the learning rate below this."""
    max_grad_norm: float = 200.0
    """Bound of the gradient's global norm."""
    adam: tuple[float, float, float] = (0.9, 0.999, 1e-8)
    """Adam's decays of the first and second moment, and its epsilon."""
    reduction: Literal["sum", "mean"] = "sum"
    """Log likelihood of a trial: the sum over its bins and neurons, or their mean (as in lfads-torch)."""
    estimator: Literal["path", "sample"] = "path"
    """KL of the inputs: closed form given the path, or the log ratio of the single sample."""
    l2_normalize: Literal["each", "pooled"] = "each"
    """Whether a part's penalty is divided by its own number of weights or by that of all penalised parts."""
    train: tuple[str, ...] = ("*",)
    """What trains: patterns over parameter paths such as "readin/*"; "!" takes away, from all where it comes first."""
    spike_jitter: int = 0
    """Training batches only: every spike moves by up to this many bins, all moves being equally probable; 0: none."""
    checkpoints: tuple[float, int] = (5.0, 2)
    """Minutes between two checkpoints, and how many of the last ones stay; the best and the last model stay in any
    case."""
    steps_per_block: int = 64
    """Largest number of steps of one compiled block; no more than two blocks of trials are on the devices at a time."""
    trials_at_once: int = 0
    """Largest number of trials of a step that a device computes at once, in equal portions whose gradients are added
    up; in populations, of each member. 0: 32 where the cores of a CPU are devices, which is faster there, else all.
    Fewer take less memory; the result is the same but for rounding."""
    precision: Precision = "tf32"
    """What matrices are rounded to before they are multiplied, in training on GPUs: float32, tf32 (19 bits) or
    bfloat16. Sums, states and gradients are float32 in any case, and on CPUs products are, too."""
    seed: int = 0
    """Seed of initial weights, order and noise."""

    def __post_init__(self) -> None:
        """Checks sizes, ranges and names."""
        _check_types(self)
        _check_range(self, AT_LEAST_1, "epochs", "batch_size", "patience", "validate_every", "steps_per_block")
        _check_range(self, AT_LEAST_1, "plateau_patience")
        _check_range(self, AT_LEAST_0, "kl_ramp_start", "kl_ramp_epochs", "l2_ramp_start", "l2_ramp_epochs")
        _check_range(self, AT_LEAST_0, "spike_jitter", "trials_at_once")
        _check_range(self, FROM_0_TO_1, "kl_floors")
        if self.learning_rate_factor is not None:
            _check_range(self, FACTOR, "learning_rate_factor")
        if self.checkpoints[0] < 0 or self.checkpoints[1] < 1:
            raise LfadsxError(
                f"`checkpoints` must be minutes of at least 0 and a number of at least 1, got {self.checkpoints}."
            )

    def ramps(self, steps_per_epoch: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Returns start and length in steps of the ramp of the KL terms, and of that of the L2 penalty."""
        n = steps_per_epoch if self.ramp_unit == "epochs" else 1
        return (n * self.kl_ramp_start, n * self.kl_ramp_epochs), (n * self.l2_ramp_start, n * self.l2_ramp_epochs)

    def ramp_end(self, steps_per_epoch: int) -> int:
        """Returns after how many epochs all ramps have ended; early stopping and the best model wait for it."""
        return max(-(-sum(ramp) // steps_per_epoch) for ramp in self.ramps(steps_per_epoch))


@dataclasses.dataclass(frozen=True)
class PopulationConfig:
    """How a population of models is trained. Host side only."""

    population: int = 8
    """Number of models that are trained side by side."""
    epochs_per_generation: int = 10
    """Epochs between two decisions of the search, rounded up to a multiple of validate_every."""
    burn_in: int = 0
    """Epochs before the first decision; 0: until all ramps have ended, and a generation more."""
    ensemble: int = 5
    """Members with the best scores whose rates are averaged."""
    members_at_once: int = 0
    """Models that a device computes at once, as one batch; 0: one after the other on a CPU, which is faster there, and
    all of its own on a GPU."""

    def __post_init__(self) -> None:
        """Checks sizes."""
        _check_range(self, AT_LEAST_1, "population", "epochs_per_generation", "ensemble")
        _check_range(self, AT_LEAST_0, "burn_in", "members_at_once")

    def ends(self, train: TrainConfig, steps_per_epoch: int) -> tuple[int, ...]:
        """Returns the epochs after which generations end; the score of each is evaluated there."""

        def evaluated(epoch: int) -> int:
            return -(-epoch // train.validate_every) * train.validate_every

        length = evaluated(self.epochs_per_generation)
        first = evaluated(self.burn_in) or evaluated(train.ramp_end(steps_per_epoch)) + length
        return *range(first, train.epochs, length), train.epochs


def with_settings(of: str, settings: Mapping[str, Any], *configs: Any) -> tuple[Any, ...]:
    """Returns configurations with settings by name: each setting replaces the field of its name.

    Example:
        >>> from lfadsx.config import HyperParams, TrainConfig, with_settings
        >>> hyper, train = with_settings("fit", {"epochs": 3, "cd_rate": 0.1}, HyperParams(), TrainConfig())
        >>> hyper.cd_rate, train.epochs
        (0.1, 3)

    Args:
        of: The function that the settings were given to, for messages.
        settings: Values by name.
        configs: Configurations, dataclasses without a field of the same name.
    """
    fields = {field.name: (number, field) for number, own in enumerate(configs) for field in dataclasses.fields(own)}
    changes: list[dict[str, Any]] = [{} for _ in configs]
    for name, value in settings.items():
        if name not in fields:
            raise LfadsxError(_unknown_setting(of, name, list(fields), configs))
        number, field = fields[name]
        changes[number][name] = _of_type(name, value, field.default)
    return tuple(dataclasses.replace(own, **change) for own, change in zip(configs, changes, strict=True))


def _unknown_setting(of: str, name: str, known: list[str], configs: tuple[Any, ...]) -> str:
    places = " and ".join(f"lfadsx.{type(own).__name__}" for own in configs)
    if name in {field.name for field in dataclasses.fields(ModelConfig)}:
        return f"`{name}` is a setting of the model. Give it to the function that builds the model, not to `{of}`."
    return f"`{name}` must be a setting of `{of}`{nearest(name, known)}. Settings are the fields of {places}."


def _of_type(name: str, value: Any, default: Any) -> Any:
    """Returns a value as its field holds it; numbers of NumPy and JAX become plain ones."""
    if isinstance(default, tuple):
        return (value,) if isinstance(value, str) else tuple(value) if np.iterable(value) else value
    if isinstance(default, bool | str) or not isinstance(default, int | float):
        return value  # the configuration checks its names itself
    whole = isinstance(default, int)
    try:
        number = float(value) if not isinstance(value, str | bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number) or (whole and number != int(number)):
        kind = "a whole number" if whole else "a number"
        raise LfadsxError(f"`{name}` must be {kind}, got {value!r}. Give one such as {default}.")
    return int(number) if whole else number
