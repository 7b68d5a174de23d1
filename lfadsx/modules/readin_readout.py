"""Read-ins and read-outs: from a session's neurons to shared features, and from shared factors back to neurons."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, ArrayLike, Float, Int

from lfadsx.errors import LfadsxError
from lfadsx.modules.linear import Adjoint, product
from lfadsx.parameters import Frozen, filled, scaled_normal

Sizes = tuple[tuple[str, int], ...]
"""Number of channels of each session, as ((name, number), ...)."""

Directions = tuple[np.ndarray, np.ndarray]
Mean = Callable[[Array], Array]


class AbstractReadin(nnx.Module):
    """Base class of read-ins.

    To write your own, set `n_features` and define `__call__`; the other methods are optional. The builders pass to the
    constructor those of these arguments that it has: `n_channels`, the encoder channels of each session as
    ((name, number), ...); `n_features`, the requested width; `rngs`.

    Attributes:
        n_features: Width of the output, which the encoders see.
        takes_alignment: If True, `set_map` initialises the first features with the alignment of the data.
    """

    n_features: int
    takes_alignment: bool = False

    @abc.abstractmethod
    def __call__(
        self, x: Float[Array, "trial time channel"], session: Int[Array, " trial"]
    ) -> Float[Array, "trial time feature"]:
        """Maps the channels of each trial's session to features, which must not depend on padded channels."""

    def set_map(
        self, session: int, weight: Float[ArrayLike, "channel feature"], bias: Float[ArrayLike, " feature"]
    ) -> None:
        """Initialises a session's first features to x W + b; called if `takes_alignment`. The default does nothing."""

    def penalised_weights(self) -> tuple[Float[Array, "..."], ...]:
        """Returns the weights that the penalty `l2_readin_scale` acts on; by default none."""
        return ()

    def check(self, n_channels: Sizes) -> None:
        """Raises LfadsxError unless the read-in fits these channels; the default accepts all channels."""

    def with_sessions(self, n_channels: Sizes, *, rngs: nnx.Rngs) -> AbstractReadin:
        """Returns a new read-in of the same kind for other sessions; the default raises LfadsxError."""
        raise _cannot_be_extended("read-in", self)

    def keep_sessions(self, old: AbstractReadin) -> None:
        """Copies the values of sessions that an older read-in has; the default does nothing."""


class AbstractReadout(nnx.Module):
    """Base class of read-outs.

    To write your own, set `n_channels` and define `__call__`. To initialise it at the mean rates of the data, define
    `set_bias`; for real-valued data of any unit also `set_units`, which is called first. The builders pass to the
    constructor those of these arguments that it has: `n_factors`; `n_targets`, the target channels of each session as
    ((name, number), ...); `n_params`, the number of likelihood parameters per channel; `n_constant`, the number of
    those, the last ones, that should not depend on the factors; `rngs`.

    Attributes:
        n_channels: Number of channels of the widest session.
        n_targets: Number of channels of each session, as ((name, number), ...); empty if it is not recorded.
        delay: Bins by which the data follow the factors that they are read from.
    """

    n_channels: int
    n_targets: Sizes = ()
    delay: int = 0

    @abc.abstractmethod
    def __call__(
        self, factors: Float[Array, "trial time factor"], session: Int[Array, " trial"]
    ) -> Float[Array, "trial time target_channel n_params"]:
        """Maps factors to likelihood parameters of each trial's session."""

    def set_units(self, session: int, value: Float[Array, "channel n_params"]) -> None:
        """Sets the units of one session's parameters; the default does nothing."""

    def unit_of(self, session: int) -> Float[Array, "channel n_params"] | float:
        """Returns the units of one session's parameters; the default is 1."""
        return 1.0

    def set_bias(self, session: int, value: Float[Array, "channel n_params"]) -> None:
        """Initialises one session's bias; the default does nothing."""

    def start_along(self, directions: Sequence[Directions], mean: Mean) -> None:
        """Initialises the first factors along the components of an alignment; the default does nothing.

        Args:
            directions: For each session, the indices of the aligned target channels, shape (channel,), and the
                pseudo-inverse of its alignment, shape (component, channel), in the unit of the data.
            mean: Returns the likelihood's mean for parameters of shape (channel, n_params).
        """

    def check(self, n_targets: Sizes, group: str) -> None:
        """Raises LfadsxError unless the read-out fits these channels, if it records its own."""
        if self.n_targets and self.n_targets != n_targets:
            raise LfadsxError(
                f"The read-out of {group!r} must have the channels of the data, {dict(n_targets)}, but has "
                f"{dict(self.n_targets)}. Build the model for these data."
            )

    def with_sessions(self, n_targets: Sizes, *, rngs: nnx.Rngs) -> AbstractReadout:
        """Returns a new read-out of the same kind for other sessions; the default raises LfadsxError."""
        raise _cannot_be_extended("read-out", self)

    def keep_sessions(self, old: AbstractReadout) -> None:
        """Copies the values of sessions that an older read-out has; the default does nothing."""


class IdentityReadin(AbstractReadin):
    """Passes the channels of a single session unchanged to the encoders.

    Args:
        n_channels: The session's name and number of encoder channels, as ((name, number),).

    Raises:
        LfadsxError: If there are several sessions.
    """

    def __init__(self, n_channels: Sizes) -> None:
        if len(n_channels) != 1:
            raise LfadsxError(
                f"An IdentityReadin must have one session, got {len(n_channels)}. Use a LinearReadin for several "
                "sessions."
            )
        self.n_channels, self.n_features = n_channels, n_channels[0][1]

    def __call__(
        self, x: Float[Array, "trial time channel"], session: Int[Array, " trial"]
    ) -> Float[Array, "trial time feature"]:
        """Returns x."""
        return x

    def check(self, n_channels: Sizes) -> None:
        """Raises LfadsxError unless there is one session of the same width."""
        if [n for _, n in n_channels] != [self.n_features]:
            raise LfadsxError(
                f"The data must have one session of {self.n_features} channels, got {dict(n_channels)}. Build the "
                "model for these data, or with a linear read-in."
            )

    def with_sessions(self, n_channels: Sizes, *, rngs: nnx.Rngs) -> LinearReadin:
        """Returns a linear read-in, which supports several sessions."""
        return LinearReadin(n_channels, self.n_features, rngs=rngs)


class LinearReadin(AbstractReadin):
    """An affine map of each session's neurons to features, x W_s + b_s.

    Every session has its own unpadded weights under its name, so one session can be trained alone, and padding has no
    weights. A call pads, stacks and gathers the weights by trial.

    Args:
        n_channels: Number of encoder channels of each session, as ((name, number), ...).
        n_features: Width of the output, which the encoders see.
        rngs: Source of the initial weights.
    """

    takes_alignment = True

    def __init__(self, n_channels: Sizes, n_features: int, *, rngs: nnx.Rngs) -> None:
        self.n_channels, self.n_features = n_channels, n_features
        self.adjoint: Adjoint = "fused"
        self.weight = nnx.Dict({name: nnx.Param(scaled_normal(rngs, (n, n_features), n)) for name, n in n_channels})
        self.bias = nnx.Dict({name: nnx.Param(filled(n_features)) for name, _ in n_channels})

    def __call__(
        self, x: Float[Array, "trial time channel"], session: Int[Array, " trial"]
    ) -> Float[Array, "trial time feature"]:
        """Returns the features, shape (trial, time, n_features)."""
        names = [name for name, _ in self.n_channels]
        weights, biases = [self.weight[n][...] for n in names], [self.bias[n][...] for n in names]
        if len(names) == 1:
            return product(x, weights[0], self.adjoint) + biases[0]
        # Padded rows are zero, so values in padded channels have no effect.
        weight = jnp.stack([_pad(w, x.shape[-1], axis=0) for w in weights])[session]
        return jnp.einsum("btc,bcf->btf", x, weight) + jnp.stack(biases)[session][:, None]

    def penalised_weights(self) -> tuple[Float[Array, "channel feature"], ...]:
        """Returns the weights of all sessions."""
        return tuple(self.weight[name][...] for name, _ in self.n_channels)

    def set_map(
        self, session: int, weight: Float[ArrayLike, "channel feature"], bias: Float[ArrayLike, " feature"]
    ) -> None:
        """Initialises a session's first features to x W + b; W has shape (channel, feature), b shape (feature,)."""
        (name, _), n = self.n_channels[session], np.shape(weight)[1]
        _assign(self.weight[name], self.weight[name][...].at[:, :n].set(weight))
        _assign(self.bias[name], self.bias[name][...].at[:n].set(bias))

    def check(self, n_channels: Sizes) -> None:
        """Raises LfadsxError unless the sessions and their numbers of channels are the same."""
        if self.n_channels != n_channels:
            raise LfadsxError(
                f"The read-in must have the channels of the data, {dict(n_channels)}, but has {dict(self.n_channels)}. "
                "Build the model for these data."
            )

    def with_sessions(self, n_channels: Sizes, *, rngs: nnx.Rngs) -> LinearReadin:
        """Returns a linear read-in of other sessions with the same number of features."""
        return LinearReadin(n_channels, self.n_features, rngs=rngs)

    def keep_sessions(self, old: AbstractReadin) -> None:
        """Copies weights and biases by session; for the session of an `IdentityReadin`, the identity."""
        if isinstance(old, LinearReadin):
            keep(old.weight, self.weight)
            keep(old.bias, self.bias)
        elif isinstance(old, IdentityReadin):
            name, n = old.n_channels[0]
            keep({name: jnp.eye(n)}, self.weight)
            keep({name: jnp.zeros(n)}, self.bias)


class LinearReadout(AbstractReadout):
    """An affine map of the factors to each session's channels, f W_s + b_s, or (f W_s + b_s) u_s with fixed units u_s.

    Args:
        n_factors: Number of factors.
        n_targets: Number of channels of each session, as ((name, number), ...).
        n_params: Likelihood parameters per channel.
        n_constant: Number of parameters, the last ones, that have a bias but no weights: they are the same in all bins.
        scale: Gain of the initial weights; a small one, so that the model starts at the mean rates.
        units: If True, parameters have fixed units, set by `set_units`. A step of the optimiser then has the same
            effect for data in volts and in microvolts.
        rngs: Source of the initial weights.
    """

    def __init__(
        self,
        n_factors: int,
        n_targets: Sizes,
        *,
        n_params: int = 1,
        n_constant: int = 0,
        scale: float = 1.0,
        units: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        self.n_factors, self.n_targets, self.n_params = n_factors, n_targets, n_params
        self.n_constant, self.scale, self.units = n_constant, scale, units
        self.adjoint: Adjoint = "fused"
        self.n_channels = max(n for _, n in n_targets)
        self.weight = nnx.Dict(
            {
                name: nnx.Param(scaled_normal(rngs, (n_factors, n, n_params - n_constant), n_factors, scale))
                for name, n in n_targets
            }
        )
        self.bias = nnx.Dict({name: nnx.Param(filled((n, n_params))) for name, n in n_targets})
        self.unit = nnx.Dict({name: Frozen(filled((n, n_params), 1.0)) for name, n in n_targets if units})

    def __call__(
        self, factors: Float[Array, "trial time factor"], session: Int[Array, " trial"]
    ) -> Float[Array, "trial time target_channel n_params"]:
        """Returns the likelihood's parameters, shape (trial, time, target_channel, n_params)."""
        names = [name for name, _ in self.n_targets]
        weights, biases = [self.weight[n][...] for n in names], [self.bias[n][...] for n in names]
        if self.units:
            units = [self.unit[n][...] for n in names]
            weights = [weight * unit[:, : weight.shape[2]] for weight, unit in zip(weights, units, strict=True)]
            biases = [bias * unit for bias, unit in zip(biases, units, strict=True)]
        if len(names) == 1:
            flat = product(factors, weights[0].reshape(self.n_factors, -1), self.adjoint)
            return self._with_constant(flat.reshape(*factors.shape[:2], *weights[0].shape[1:])) + biases[0]
        weight = jnp.stack([_pad(w, self.n_channels, axis=1) for w in weights])[session]
        bias = jnp.stack([_pad(b, self.n_channels, axis=0) for b in biases])[session]
        return self._with_constant(jnp.einsum("btf,bfcp->btcp", factors, weight)) + bias[:, None]

    def unit_of(self, session: int) -> Float[Array, "channel n_params"]:
        """Returns the units of one session's parameters, shape (channel, n_params)."""
        name, n = self.n_targets[session]
        return self.unit[name][...] if self.units else jnp.ones((n, self.n_params))

    def set_units(self, session: int, value: Float[Array, "channel n_params"]) -> None:
        """Sets the units of one session's parameters, shape (channel, n_params), if it has units."""
        if self.units:
            _assign(self.unit[self.n_targets[session][0]], value)

    def set_bias(self, session: int, value: Float[Array, "channel n_params"]) -> None:
        """Initialises one session's bias to parameters of shape (channel, n_params)."""
        _assign(self.bias[self.n_targets[session][0]], value / self.unit_of(session))

    def start_along(self, directions: Sequence[Directions], mean: Mean) -> None:
        r"""Initialises the weights of the first factors, see `AbstractReadout.start_along`; needs enough factors.

        .. math::
            A_{fc} = k \, W^+_{fc} \, / \, \frac{d m_c}{d \theta_c}

        with one gain k for all sessions, so that the root mean square of the weights is that of random initial weights.
        """
        if len(directions[0][1]) > self.n_factors:
            return
        scaled = []
        for index, (targets, direction) in enumerate(directions):
            unit = self.unit_of(index)
            params = unit * self.bias[self.n_targets[index][0]][...]

            def total_mean(first: Array, params: Array = params) -> Array:
                return mean(params.at[:, 0].set(first)).sum()

            slope = unit[:, 0] * jax.grad(total_mean)(params[:, 0])
            scaled.append(direction / slope[targets])
        size = jnp.sqrt(jnp.mean(jnp.concatenate(scaled, axis=1) ** 2))
        # An alignment of zeros has no directions: its read-out weights become 0, not NaN.
        gain = self.scale / math.sqrt(self.n_factors) / jnp.maximum(size, jnp.finfo(size.dtype).tiny)
        for index, ((targets, _), direction) in enumerate(zip(directions, scaled, strict=True)):
            weight = self.weight[self.n_targets[index][0]]
            _assign(weight, weight[...].at[: len(direction), targets, 0].set(gain * direction))

    def with_sessions(self, n_targets: Sizes, *, rngs: nnx.Rngs) -> LinearReadout:
        """Returns a linear read-out of other sessions with the same settings."""
        return LinearReadout(
            self.n_factors,
            n_targets,
            n_params=self.n_params,
            n_constant=self.n_constant,
            scale=self.scale,
            units=self.units,
            rngs=rngs,
        )

    def keep_sessions(self, old: AbstractReadout) -> None:
        """Copies weights, biases and units by session."""
        if isinstance(old, LinearReadout):
            for name in ("weight", "bias", "unit"):
                keep(getattr(old, name), getattr(self, name))

    def _with_constant(self, varying: Array) -> Array:
        """Returns the part of the parameters that follows the factors, 0 for constant parameters."""
        return _pad(varying, self.n_params, axis=3) if self.n_constant else varying


def keep(old: Mapping[str, nnx.Variable | Array], new: Mapping[str, nnx.Variable]) -> None:
    """Copies the arrays of all sessions that `old` and `new` share; raises LfadsxError if their shapes differ."""
    for session in sorted(set(old) & set(new)):
        value, place = old[session][...], new[session]
        if value.shape != place[...].shape:
            raise LfadsxError(
                f"The arrays of session {session!r} must have the shape {value.shape} of the trained model, got "
                f"{place[...].shape}. Give new sessions new names."
            )
        place[...] = value


def _cannot_be_extended(seam: str, part: nnx.Module) -> LfadsxError:
    name = type(part).__name__
    return LfadsxError(
        f"The {seam} {name} must have a method `with_sessions` for other sessions. Define it, or compose the new model "
        "from its parts."
    )


def _assign(parameter: nnx.Variable, value: ArrayLike) -> None:
    parameter[...] = jnp.asarray(value, parameter[...].dtype)


def _pad(x: Array, size: int, axis: int) -> Array:
    width = [(0, 0)] * x.ndim
    width[axis] = (0, size - x.shape[axis])
    return jnp.pad(x, width)
