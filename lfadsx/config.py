"""Settings, in three places: architecture, hyperparameters, and how a run goes."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import jax

from lfadsx.errors import LfadsxError


def _check_choices(config: Any) -> None:
    for name, hint in get_type_hints(type(config)).items():
        if get_origin(hint) is Literal and getattr(config, name) not in get_args(hint):
            choices = ", ".join(map(repr, get_args(hint)))
            raise LfadsxError(f"{name} = {getattr(config, name)!r} is none of the choices. Give one of {choices}.")


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
    encoder: Literal["bidirectional", "causal"] = "bidirectional"
    """Whether the controller's encoder sees the whole trial or the past only."""
    strictly_causal: bool = False
    """Refuse every setting by which a bin could depend on data after it, the bins of ic_window aside."""
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
    ic_prior_variance_min: float = 0.0
    """Lower bound of this variance, if it is trained."""
    ic_prior_variance_max: float = 0.0
    """Upper bound; it is trained if this is above the lower bound."""
    ic_post_var_min: float = 1e-4
    """Added to the variance of the initial condition's posterior."""
    input_prior: Literal["ar1", "gaussian", "student_t"] = "ar1"
    """Prior of the inferred inputs: AR(1) with trained time constants; normal and independent bins; or independent bins
    with heavy tails, for inputs that are brief and rare."""
    input_prior_tau: float = 10.0
    """Time constant of the AR(1) prior at the start, in bins."""
    input_prior_tau_s: float = 0.0
    """The same in seconds, which then counts; 0: it is given in bins. Needs the data's bin width."""
    train_input_prior_tau: bool = True
    """Whether the time constants of the AR(1) prior are trained, one for each input."""
    input_prior_variance: float = 0.1
    """At the start: innovation variance of the AR(1) prior, variance of the normal one, squared scale of the other."""
    input_prior_df: float = 2.0
    """Degrees of freedom of Student's t at the start; the fewer, the heavier its tails."""
    train_input_prior_variance: bool = True
    """Whether these variances, and these degrees of freedom, are trained."""
    input_prior_mean: float = 0.0
    """Mean of the inferred inputs' prior at the start."""
    train_input_prior_mean: bool = False
    """Whether this mean is trained, one for each input."""
    co_post_var_min: float = 1e-4
    """Added to the variance of the inferred inputs' posterior."""
    likelihood: Literal["poisson", "gaussian"] = "poisson"
    """How data scatter: poisson for spike counts, gaussian for real values."""
    standardise: bool = True
    """Whether encoders see real-valued channels with mean 0 and one small standard deviation, and read-outs give them
    in units of theirs, so that the unit of the data does not matter; spike counts stay as they are."""
    readout_scale: float = 0.1
    """Gain of the initial read-out weights; small, so that the model starts at each neuron's mean rate."""
    cell_clip: float = 5.0
    """Bound of all recurrent states."""
    cell_weight_scale: float = 1.0
    """Gain of the initial weights of encoders and controller."""
    generator_input_scale: float = 1.0
    """Gain of the initial weights of the generator's inputs."""
    generator_recurrent_scale: float = 1.0
    """Gain of the initial recurrent weights of the generator."""
    keep_bias: float = 1.0
    """Bias of the gates that keep a state, at the start."""
    reset_bias: float = 1.0
    """Bias of the reset gates at the start."""
    segment_bins: int = 0
    """Bins between states that the gradient keeps; those between are computed again, so that the memory of long trials
    is bounded for the price of a second forward pass. 0: all are kept."""
    adjoint: Literal["fused", "autodiff"] = "fused"
    """How gradients are computed. fused: written out, the faster one; autodiff: by JAX alone, which also has forward
    mode (`jax.jvp`), for linearising a model."""

    def __post_init__(self) -> None:
        """Checks sizes, ranges and names."""
        _check_choices(self)
        positive = ("factors", "generator_dim", "ic_encoder_dim", "controller_dim")
        at_least_zero = ("ic_dim", "input_encoder_dim", "inferred_inputs", "readin_dim", "controller_lag", "ic_window")
        at_least_zero += ("ic_prior_variance_min", "ic_prior_variance_max", "input_prior_tau_s", "segment_bins")
        for name in positive:
            if getattr(self, name) < 1:
                raise LfadsxError(f"{name} = {getattr(self, name)} is no size. Give a number of at least 1.")
        for name in at_least_zero:
            if getattr(self, name) < 0:
                raise LfadsxError(f"{name} = {getattr(self, name)} is negative. Give 0 or more.")
        for name in ("ic_prior_variance", "input_prior_tau", "input_prior_variance", "input_prior_df", "cell_clip"):
            if not getattr(self, name) > 0:
                raise LfadsxError(f"{name} = {getattr(self, name)} is not positive. Give a number above 0.")


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
        bounds = {"learning_rate": "above 0", "cd_pass_rate": "from 0 to 1"}
        bounds |= dict.fromkeys(("dropout_rate", "cd_rate"), "from 0 to below 1")
        for field in dataclasses.fields(self):
            name, value = field.name, float(getattr(self, field.name))
            most = 1.0 if "from 0 to" in bounds.get(name, "") else math.inf
            is_open = name == "learning_rate"
            inside = (value > 0 if is_open else value >= 0) and (value <= 1 if name == "cd_pass_rate" else value < most)
            if not inside:
                raise LfadsxError(
                    f"{name} = {value} is out of range. Give a number {bounds.get(name, 'of 0 or more')}."
                )


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
    """Epochs over which they rise to kl_ceiling."""
    kl_ramp_start_step: int = 0
    """The start of this ramp in steps, which then counts; 0: it is given in epochs."""
    kl_ramp_steps: int = 0
    """Its length in steps, which then counts; 0: it is given in epochs."""
    kl_ceiling: float = 1.0
    """Weight of both KL terms after the ramp."""
    kl_ic_floor: float = 0.0
    """Weight of the initial condition's KL before that."""
    kl_co_floor: float = 0.0
    """Weight of the inputs' KL before that. The higher, the less do inputs stand in for what the generator has yet to
    learn; at 1, no ramp, a model may never begin to use them."""
    l2_ramp_start: int = 0
    """Epoch at which the L2 penalty begins to count."""
    l2_ramp_epochs: int = 30
    """Epochs over which its weight rises to 1."""
    l2_ramp_start_step: int = 0
    """The start of this ramp in steps, which then counts; 0: it is given in epochs."""
    l2_ramp_steps: int = 0
    """Its length in steps, which then counts; 0: it is given in epochs."""
    patience: int = 50
    """Epochs without a better selection score after which training stops; counted after the ramps."""
    validate_every: int = 2
    """Epochs between two evaluations of the selection score."""
    selection_samples: int = 8
    """Posterior samples of the selection score, at least 8."""
    score_smoothing: float = 0.3
    """Weight of the previous selection score in the smoothed one."""
    schedule: Literal["constant", "plateau", "training_loss", "cosine", "exponential"] = "cosine"
    """Learning rate: constant; multiplied by plateau_factor when the selection score stalls (plateau) or when the
    training loss of an epoch is above all of the last plateau_patience ones (training_loss, the rule of the TensorFlow
    LFADS); a cosine to 0; or multiplied by learning_rate_decay at every step (exponential)."""
    plateau_factor: float = 0.95
    """What the first two rules multiply the learning rate by."""
    plateau_patience: int = 6
    """Evaluations without a better score, or epochs to compare with, before they do."""
    learning_rate_decay: float = 0.9999
    """What the exponential schedule multiplies the learning rate by at every step."""
    learning_rate_stop: float = 1e-5
    """Training stops when any of these rules but the cosine has brought the learning rate below this."""
    max_grad_norm: float = 200.0
    """Bound of the gradient's global norm."""
    adam_b1: float = 0.9
    """Decay of Adam's first moment."""
    adam_b2: float = 0.999
    """Decay of Adam's second moment."""
    adam_eps: float = 1e-8
    """Adam's epsilon."""
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
    max_skipped_steps: int = 20
    """Steps with a loss that is not finite, after which the run stops; each is skipped and reported."""
    checkpoint_minutes: float = 5.0
    """Minutes between two checkpoints."""
    checkpoints_to_keep: int = 2
    """Number of last checkpoints that stay; the best and the last model stay in any case."""
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
        _check_choices(self)
        counted = ("epochs", "batch_size", "patience", "validate_every", "steps_per_block", "plateau_patience")
        for name in (*counted, "checkpoints_to_keep"):
            if getattr(self, name) < 1:
                raise LfadsxError(f"{name} = {getattr(self, name)} is too small. Give a number of at least 1.")
        at_least_zero = ("kl_ramp_start_step", "kl_ramp_steps", "l2_ramp_start_step", "l2_ramp_steps", "spike_jitter")
        for name in (*at_least_zero, "trials_at_once", "kl_ceiling", "kl_ic_floor", "kl_co_floor"):
            if getattr(self, name) < 0:
                raise LfadsxError(f"{name} = {getattr(self, name)} is negative. Give 0 or more.")
        for name in ("plateau_factor", "learning_rate_decay"):
            if not 0 < getattr(self, name) <= 1:
                raise LfadsxError(f"{name} = {getattr(self, name)} does not lower a rate. Give a number from 0 to 1.")
        for name in ("kl_ic_floor", "kl_co_floor"):
            if not 0 <= getattr(self, name) <= self.kl_ceiling:
                raise LfadsxError(
                    f"{name} = {getattr(self, name)} is no weight of a ramp that ends at kl_ceiling = "
                    f"{self.kl_ceiling}. Give a number between 0 and that."
                )
        if self.selection_samples < 8:
            raise LfadsxError(
                f"selection_samples = {self.selection_samples} makes the choice of the best model noisy. "
                "Give at least 8."
            )

    def ramps(self, steps_per_epoch: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Returns start and length in steps of the ramp of the KL terms, and of that of the L2 penalty."""
        n = steps_per_epoch
        kl = self.kl_ramp_start_step or n * self.kl_ramp_start, self.kl_ramp_steps or n * self.kl_ramp_epochs
        l2 = self.l2_ramp_start_step or n * self.l2_ramp_start, self.l2_ramp_steps or n * self.l2_ramp_epochs
        return kl, l2

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
    generations: int = 0
    """Largest number of generations; 0: as many as the epochs allow."""
    ensemble: int = 5
    """Members with the best scores whose rates are averaged."""
    members_at_once: int = 0
    """Models that a device computes at once, as one batch; 0: one after the other on a CPU, which is faster there, and
    all of its own on a GPU."""

    def __post_init__(self) -> None:
        """Checks sizes."""
        for name in ("population", "epochs_per_generation", "ensemble"):
            if getattr(self, name) < 1:
                raise LfadsxError(f"{name} = {getattr(self, name)} is too small. Give a number of at least 1.")
        for name in ("burn_in", "generations", "members_at_once"):
            if getattr(self, name) < 0:
                raise LfadsxError(f"{name} = {getattr(self, name)} is negative. Give 0 or more.")

    def ends(self, train: TrainConfig, steps_per_epoch: int) -> tuple[int, ...]:
        """Returns the epochs after which generations end; the score of each is evaluated there."""

        def evaluated(epoch: int) -> int:
            return -(-epoch // train.validate_every) * train.validate_every

        length = evaluated(self.epochs_per_generation)
        first = evaluated(self.burn_in) or evaluated(train.ramp_end(steps_per_epoch)) + length
        ends = [*range(first, train.epochs, length), train.epochs]
        return tuple(ends[: self.generations or None])


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

    Raises:
        LfadsxError: If a setting is unknown, of another type, or out of range.
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
    nearest = difflib.get_close_matches(name, known, 1, 0.5)
    advice = f"Did you mean `{nearest[0]}`? " if nearest else ""
    return (
        f"`{name}` must be a setting of `{of}`, and there is none of that name. {advice}Settings are the fields of "
        f"{places}."
    )


def _of_type(name: str, value: Any, default: Any) -> Any:
    """Returns a value as its field holds it; numbers of NumPy and JAX become plain ones."""
    if isinstance(default, tuple):
        return (value,) if isinstance(value, str) else tuple(value)
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
