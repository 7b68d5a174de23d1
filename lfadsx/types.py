"""Types of the data between file and rates, and the names of their dimensions.

| dimension        | meaning                                                              |
|------------------|----------------------------------------------------------------------|
| trial            | trials of a batch or of a split, all sessions together               |
| time             | bins of the decoder: bins of the encoder, then forward prediction    |
| encoder_time     | bins of the encoders                                                 |
| channel          | encoder channels (neurons held in), padded to the widest session     |
| target_channel   | channels of one target group, padded to the widest session           |
| feature          | encoder channels after the read-in                                   |
| factor, ic, input, known | factors; initial condition; inferred inputs; known inputs    |
| bias             | constant inputs of a trial                                           |
| generator, controller    | units of the generator's and the controller's state          |

`Split`, `Session` and `Dataset` (`lfadsx.data.dataset`) live on the host (NumPy). `Batch`, `Noise` and `Output` are
pytrees for the device. Inference returns a `Posterior` (`lfadsx.results.posterior`) to the host.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num

INPUT_GROUP = "spikes"
"""Default name of the target group whose channels the encoder sees."""

Kind = Literal["counts", "real"]
"""Kind of the data of a target group: counts of events per bin, or real numbers."""


@dataclasses.dataclass(frozen=True)
class TargetGroup:
    """Kind and unit of the data of a target group, set when the data are read.

    Attributes:
        kind: "counts" for counts of events per bin, such as spikes; "real" for real numbers, such as EMG.
        unit: Unit of the data, "counts per bin" for counts; empty if it is not known.
    """

    kind: Kind
    unit: str = ""


@dataclasses.dataclass(frozen=True)
class TimeAxis:
    """Times of the bins of a trial.

    Example:
        >>> from lfadsx.types import TimeAxis
        >>> TimeAxis(bin_width=0.01, start=-0.05, event="go cue").centres(3).round(3).tolist()
        [-0.045, -0.035, -0.025]

    Attributes:
        bin_width: Width of a bin in seconds, or None if it is not known.
        start: Time of the left edge of the first bin relative to the event, in seconds.
        event: Name of the event at time 0.
    """

    bin_width: float | None = None
    start: float = 0.0
    event: str = "trial start"

    def centres(self, n_bins: int) -> np.ndarray:
        """Returns the centre of each bin in seconds, or the number of the bin if the bin width is not known."""
        bins = np.arange(n_bins)
        return bins if self.bin_width is None else self.start + self.bin_width * (bins + 0.5)


def array_shapes(value: Any) -> str:
    """Returns dtypes and shapes of the arrays of a dataclass, one line per field; fields that are None are left out."""
    lines = []
    for field in dataclasses.fields(value):
        held = getattr(value, field.name)
        parts = held if isinstance(held, dict) else {"": held}
        shown = [
            f"{name} {part.dtype} {tuple(part.shape)}" if hasattr(part, "shape") else f"{name} {part}"
            for name, part in parts.items()
            if part is not None
        ]
        if shown:
            lines.append(f"  {field.name}: {', '.join(text.strip() for text in shown)}")
    return "\n".join(lines)


T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def _pytree(cls: type[T]) -> type[T]:
    """Turns a class into a frozen dataclass whose fields are the leaves of a pytree."""
    cls.__repr__ = lambda self: f"{cls.__name__}\n{array_shapes(self)}"
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True, repr=False)(cls))


@_pytree
class Batch:
    """Data of one training or inference step; every array has the trial axis first.

    Attributes:
        encoder_input: Counts or values that the encoders see, shape (trial, encoder_time, channel).
        targets: Data that the decoder reconstructs, by group, each (trial, time, target_channel).
        encoder_observed: False where `encoder_input` is missing, or None if nothing is missing.
        target_observed: By group, False where the target is missing, or None if nothing is missing.
        known_inputs: Known inputs, shape (trial, time, known), or None.
        encoder_length: Bins of each trial that the encoders see, shape (trial,).
        target_length: Bins of each trial that are reconstructed (bins of the encoder, then forward prediction), shape
            (trial,).
        session: Index of each trial's session, shape (trial,).
        trial_id: Number of the trial in its split, shape (trial,). Noise is derived from it, so a
            trial has the same noise alone, in a batch, and on any number of devices.
        trial_weight: Weight in the loss, shape (trial,); 0 for trials that only fill a batch.
        target_channels: By group, number of channels of the trial's session, shape (trial,).
        target_index: For each encoder channel, its channel in the input group, shape (trial, channel); -1 if it has
            none.
        encoder_gain: Factor of the encoders' data, or None for 1. Encoders see 0 for missing entries (the mean, for
            standardised data). An augmentation that hides entries raises the gain, so that expected sums do not change.
        shown: By target group other than the input group, False where an augmentation hid the entry from encoders that
            see the group; groups without hidden entries are left out.
    """

    encoder_input: Num[Array, "trial encoder_time channel"]
    targets: dict[str, Num[Array, "trial time target_channel"]]
    encoder_observed: Bool[Array, "trial encoder_time channel"] | None
    target_observed: dict[str, Bool[Array, "trial time target_channel"] | None]
    known_inputs: Float[Array, "trial time known"] | None
    encoder_length: Int[Array, " trial"]
    target_length: Int[Array, " trial"]
    session: Int[Array, " trial"]
    trial_id: Int[Array, " trial"]
    trial_weight: Float[Array, " trial"]
    target_channels: dict[str, Int[Array, " trial"]]
    target_index: Int[Array, "trial channel"]
    encoder_gain: Float[Array, ""] | None = None
    shown: dict[str, Bool[Array, "trial encoder_time target_channel"]] = dataclasses.field(default_factory=dict)

    @property
    def n_trials(self) -> int:
        """Number of trials, including trials of weight 0."""
        return self.trial_id.shape[0]

    @property
    def n_bins(self) -> int:
        """Number of bins of the decoder."""
        return next(iter(self.targets.values())).shape[1]

    def in_encoder(self) -> Bool[Array, "trial encoder_time"]:
        """Returns True for bins within a trial's encoder window."""
        return jnp.arange(self.encoder_input.shape[1]) < self.encoder_length[:, None]

    def in_trial(self) -> Bool[Array, "trial time"]:
        """Returns True for bins within a trial, including forward prediction."""
        return jnp.arange(self.n_bins) < self.target_length[:, None]

    def seen(self) -> Bool[Array, "trial encoder_time channel"]:
        """Returns True for entries that the encoders see: observed, inside the window, in a trial of weight above 0."""
        mask = (self.in_encoder() & (self.trial_weight > 0)[:, None])[:, :, None]
        observed = self.encoder_observed
        return jnp.broadcast_to(mask, self.encoder_input.shape) if observed is None else mask & observed

    def seen_of(self, group: str) -> Bool[Array, "trial encoder_time target_channel"]:
        """Returns True for entries that encoders see of a target group other than the input group, if they see it."""
        mask = self.in_encoder()[:, :, None] & self.scored(group)[:, : self.encoder_input.shape[1]]
        return mask & self.shown[group] if group in self.shown else mask

    def scored(self, group: str) -> Bool[Array, "trial time target_channel"]:
        """Returns True for existing entries of a target group: observed, inside the trial, in a channel of its session.

        Trials of weight 0 have no such entries.
        """
        channels = jnp.arange(self.targets[group].shape[2]) < self.target_channels[group][:, None]
        mask = (self.in_trial() & (self.trial_weight > 0)[:, None])[:, :, None] & channels[:, None, :]
        observed = self.target_observed[group]
        return mask if observed is None else mask & observed


@_pytree
class Noise:
    """All random numbers of one pass through the model, drawn by `LFADS.draw`; time is the first axis.

    Attributes:
        ic: Noise of the initial condition, shape (trial, ic).
        inputs: Noise of the inferred inputs, shape (time, trial, input), or None without a controller.
        keep: Dropout masks by place, True where a value is kept; empty without dropout. Places:
            `features` (encoder_time, trial, feature), `ic_encoding` (trial, ends), `encoding`
            (time, trial, controller encoding), `feedback` (time, trial, factor), `known`
            (time, trial, known), `readout` (1 + time, trial, generator) with the initial state first.
        dropout_rate: Dropout rate of the masks.
        bias: Noise of the bias, shape (trial, bias), or None without one.
    """

    ic: Float[Array, "trial ic_noise"]
    inputs: Float[Array, "time trial input_noise"] | None
    keep: dict[str, Bool[Array, "..."]]
    dropout_rate: Float[Array, ""] | float
    bias: Float[Array, "trial bias_noise"] | None = None


@_pytree
class Output:
    """All results of one pass through the model; every array has the trial axis first.

    Attributes:
        params: Parameters of the likelihood by group, shape (trial, time, target_channel, n_params). For
            Poisson the one parameter is the log rate in log counts per bin.
        factors: Shape (trial, time, factor).
        initial_condition: Sample (or mean) of the posterior that was used, shape (trial, ic).
        ic_params: Parameters of its posterior, shape (trial, ic_params).
        initial_state: Generator state before the first bin, shape (trial, generator).
        generator_states: Shape (trial, time, generator).
        inputs: Inferred inputs that drove the generator, shape (trial, time, input), or None.
        input_params: Parameters of their posterior, shape (trial, time, input_params), or None.
        controller_states: Shape (trial, time, controller), or None.
        encoding: Encoding of the data that the controller saw, shape (trial, time, encoding), or None.
        bias: Sample (or mean) of the bias, the constant input of the generator in each trial, shape (trial, bias), or
            None.
        bias_params: Parameters of its posterior, shape (trial, bias_params), or None.
    """

    params: dict[str, Float[Array, "trial time target_channel n_params"]]
    factors: Float[Array, "trial time factor"]
    initial_condition: Float[Array, "trial ic"]
    ic_params: Float[Array, "trial ic_params"]
    initial_state: Float[Array, "trial generator"]
    generator_states: Float[Array, "trial time generator"]
    inputs: Float[Array, "trial time input"] | None
    input_params: Float[Array, "trial time input_params"] | None
    controller_states: Float[Array, "trial time controller"] | None
    encoding: Float[Array, "trial time encoding"] | None
    bias: Float[Array, "trial bias"] | None = None
    bias_params: Float[Array, "trial bias_params"] | None = None
