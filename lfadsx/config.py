"""Settings, in three places: architecture, hyperparameters, and how a run goes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, get_args, get_origin, get_type_hints

import jax


def _check_choices(config: Any) -> None:
    for name, hint in get_type_hints(type(config)).items():
        if get_origin(hint) is Literal and getattr(config, name) not in get_args(hint):
            choices = ", ".join(map(repr, get_args(hint)))
            raise ValueError(f"{name} = {getattr(config, name)!r} is none of the choices. Give one of {choices}.")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Architecture: sizes and names of the parts that the builders of `lfadsx.variants` compose.

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
    """Dimension of the initial condition."""
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
    controller_lag: int = 1
    """Bins by which the encoding that the controller sees stays away from the current bin."""
    feedback: Literal["factors", "none"] = "factors"
    """What the controller sees of the generator."""
    initial_feedback: Literal["state", "zeros"] = "state"
    """Factors that the controller sees at the first bin."""
    ic_window: int = 0
    """Bins from the start that the initial condition is inferred from; 0: the whole trial."""
    controller_sees_ic_window: bool = True
    """Whether the controller's encoder sees the bins of ic_window, too."""
    ic_prior_variance: float = 0.1
    """Variance of the initial condition's prior."""
    ic_post_var_min: float = 1e-4
    """Added to the variance of the initial condition's posterior."""
    input_prior: Literal["ar1", "gaussian", "student_t"] = "ar1"
    """Prior of the inferred inputs: AR(1) with trained time constants; normal and independent bins; or independent bins
    with heavy tails, for inputs that are brief and rare."""
    input_prior_tau: float = 10.0
    """Time constant of the AR(1) prior at the start, in bins."""
    input_prior_variance: float = 0.1
    """At the start: innovation variance of the AR(1) prior, variance of the normal one, squared scale of the other."""
    input_prior_df: float = 2.0
    """Degrees of freedom of Student's t at the start; the fewer, the heavier its tails."""
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
    keep_bias: float = 1.0
    """Bias of the gates that keep a state, at the start."""
    reset_bias: float = 1.0
    """Bias of the reset gates at the start."""

    def __post_init__(self) -> None:
        """Checks sizes, ranges and names."""
        _check_choices(self)
        positive = ("factors", "generator_dim", "ic_dim", "ic_encoder_dim", "controller_dim")
        at_least_zero = ("input_encoder_dim", "inferred_inputs", "readin_dim", "controller_lag", "ic_window")
        for name in positive:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} is no size. Give a number of at least 1.")
        for name in at_least_zero:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} = {getattr(self, name)} is negative. Give 0 or more.")
        for name in ("ic_prior_variance", "input_prior_tau", "input_prior_variance", "input_prior_df", "cell_clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)} is not positive. Give a number above 0.")


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

    def summed(self, bins: int, neurons: int) -> HyperParams:
        """Converts scales that were meant for a mean over bins and neurons to those for a sum.

        lfads-torch and AutoLFADS take the mean: their scale s corresponds to s * bins * neurons here.

        Args:
            bins: Number of reconstructed bins.
            neurons: Number of reconstructed neurons.
        """
        names = [f.name for f in dataclasses.fields(self) if f.name.startswith(("kl_", "l2_"))]
        return dataclasses.replace(self, **{n: getattr(self, n) * bins * neurons for n in names})

    def check(self) -> None:
        """Raises ValueError if a value is out of its range."""
        bounds = {"learning_rate": "above 0", "cd_pass_rate": "from 0 to 1"}
        bounds |= dict.fromkeys(("dropout_rate", "cd_rate"), "from 0 to below 1")
        for field in dataclasses.fields(self):
            name, value = field.name, float(getattr(self, field.name))
            most = 1.0 if "from 0 to" in bounds.get(name, "") else math.inf
            is_open = name == "learning_rate"
            inside = (value > 0 if is_open else value >= 0) and (value <= 1 if name == "cd_pass_rate" else value < most)
            if not inside:
                raise ValueError(f"{name} = {value} is out of range. Give a number {bounds.get(name, 'of 0 or more')}.")


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
    kl_ic_floor: float = 0.0
    """Weight of the initial condition's KL before that."""
    kl_co_floor: float = 0.0
    """Weight of the inputs' KL before that. The higher, the less do inputs stand in for what the generator has yet to
    learn; at 1, no ramp, a model may never begin to use them."""
    l2_ramp_start: int = 0
    """Epoch at which the L2 penalty begins to count."""
    l2_ramp_epochs: int = 30
    """Epochs over which its weight rises to 1."""
    patience: int = 50
    """Epochs without a better selection score after which training stops; counted after the ramps."""
    validate_every: int = 2
    """Epochs between two evaluations of the selection score."""
    selection_samples: int = 8
    """Posterior samples of the selection score, at least 8."""
    score_smoothing: float = 0.3
    """Weight of the previous selection score in the smoothed one."""
    schedule: Literal["constant", "plateau", "cosine"] = "cosine"
    """Learning rate: constant; multiplied by plateau_factor when the score stalls; or a cosine to 0."""
    plateau_factor: float = 0.95
    """What the plateau rule multiplies the learning rate by."""
    plateau_patience: int = 6
    """Evaluations without a better score before it does."""
    learning_rate_stop: float = 1e-5
    """Training stops when the plateau rule has brought the learning rate below this."""
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
    """What trains: patterns over parameter paths such as "readin/*"; a leading "!" takes away."""
    max_skipped_steps: int = 20
    """Steps with a loss that is not finite, after which the run stops; each is skipped and reported."""
    checkpoint_minutes: float = 5.0
    """Minutes between two checkpoints."""
    steps_per_block: int = 64
    """Largest number of steps of one compiled block."""
    seed: int = 0
    """Seed of initial weights, order and noise."""

    def __post_init__(self) -> None:
        """Checks sizes, ranges and names."""
        _check_choices(self)
        for name in ("epochs", "batch_size", "patience", "validate_every", "steps_per_block"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} is too small. Give a number of at least 1.")
        for name in ("kl_ic_floor", "kl_co_floor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} = {getattr(self, name)} is no weight of a ramp that ends at 1. Give 0 to 1.")
        if self.selection_samples < 8:
            raise ValueError(
                f"selection_samples = {self.selection_samples} makes the choice of the best model noisy. "
                "Give at least 8."
            )

    @property
    def ramp_end(self) -> int:
        """First epoch at which all ramps have ended; early stopping and the best model wait for it."""
        return max(self.kl_ramp_start + self.kl_ramp_epochs, self.l2_ramp_start + self.l2_ramp_epochs)
