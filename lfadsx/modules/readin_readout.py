"""Read-ins and read-outs: from a session's neurons to what all sessions share, and back."""

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
    """What a read-in provides.

    To write one: set `n_features` and write `__call__`. A class is made by the builders with those of these names that
    its constructor has: `n_channels`, the encoder channels of each session as ((name, number), ...); `n_features`, the
    width that is asked for; `rngs`. The other methods have defaults that suit a part of your own.

    Attributes:
        n_features: Width of what the encoders see.
        takes_alignment: If True, `set_map` starts the first features at the data's alignment.
    """

    n_features: int
    takes_alignment: bool = False

    @abc.abstractmethod
    def __call__(
        self, x: Float[Array, "trial time channel"], session: Int[Array, " trial"]
    ) -> Float[Array, "trial time feature"]:
        """Maps the channels of each trial's session to features; padded channels must not matter."""

    def set_map(
        self, session: int, weight: Float[ArrayLike, "channel feature"], bias: Float[ArrayLike, " feature"]
    ) -> None:
        """Starts a session's first features at x W + b; called if `takes_alignment`. The default does nothing."""
        del session, weight, bias

    def check(self, n_channels: Sizes) -> None:
        """Raises LfadsxError unless the read-in is made for these channels; the default accepts all."""
        del n_channels

    def with_sessions(self, n_channels: Sizes, *, rngs: nnx.Rngs) -> AbstractReadin:
        """Returns a new read-in of the same kind for other sessions; the default raises LfadsxError."""
        del n_channels, rngs
        raise _cannot_be_extended("read-in", self)

    def keep_sessions(self, old: AbstractReadin) -> None:
        """Takes over the values of the sessions that an older read-in knows; the default does nothing."""
        del old


class AbstractReadout(nnx.Module):
    """What a read-out provides.

    To write one: set `n_channels` and write `__call__`. To have it start at the data's mean rates write
    `set_bias`, too, and for real-valued data in any unit `set_units`, which is called before. A class is made by the
    builders with those of these names that its constructor has: `n_factors`; `n_targets`, the target channels of each
    session as ((name, number), ...); `n_params`, the likelihood's parameters per channel; `rngs`.

    Attributes:
        n_channels: Number of channels of the widest session.
        n_targets: Number of channels of each session, as ((name, number), ...); empty if the part does not say.
    """

    n_channels: int
    n_targets: Sizes = ()

    @abc.abstractmethod
    def __call__(
        self, factors: Float[Array, "trial time factor"], session: Int[Array, " trial"]
    ) -> Float[Array, "trial time target_channel n_params"]:
        """Maps factors to likelihood parameters of each trial's session."""

    def set_units(self, session: int, value: Float[Array, "channel n_params"]) -> None:
        """Sets the units of one session's parameters; the default does nothing."""
        del session, value

    def unit_of(self, session: int) -> Float[Array, "channel n_params"] | float:
        """Returns the units of one session's parameters; the default is 1."""
        del session
        return 1.0

    def set_bias(self, session: int, value: Float[Array, "channel n_params"]) -> None:
        """Starts one session's bias at a value; the default does nothing."""
        del session, value

    def start_along(self, directions: Sequence[Directions], mean: Mean) -> None:
        """Starts the first factors along the components of an alignment; the default does nothing.

        Args:
            directions: For each session the numbers of the aligned target channels, shape (channel,), and the
                pseudo-inverse of its alignment, shape (component, channel), in the unit of the data.
            mean: The likelihood's mean, from parameters of shape (channel, n_params).
        """
        del directions, mean

    def check(self, n_targets: Sizes, group: str) -> None:
        """Raises LfadsxError unless the read-out is made for these channels, as far as it says."""
        if self.n_targets and self.n_targets != n_targets:
            raise LfadsxError(
                f"The read-out of {group!r} must fit the channels of the data: it is made for {dict(self.n_targets)}, "
                f"and the data have {dict(n_targets)}. Build the model for these data."
            )

    def with_sessions(self, n_targets: Sizes, *, rngs: nnx.Rngs) -> AbstractReadout:
        """Returns a new read-out of the same kind for other sessions; the default raises LfadsxError."""
        del n_targets, rngs
        raise _cannot_be_extended("read-out", self)

    def keep_sessions(self, old: AbstractReadout) -> None:
        """Takes over the values of the sessions that an older read-out knows; the default does nothing."""
        del old


class IdentityReadin(AbstractReadin):
    """Passes the neurons of a single session on to the encoders.

    Args:
        n_channels: The session's name and number of encoder channels, as ((name, number),).

    Raises:
        LfadsxError: If there are several sessions.
    """

    def __init__(self, n_channels: Sizes) -> None:
        if len(n_channels) != 1:
            raise LfadsxError(
                f"An IdentityReadin passes on the neurons of one session, but there are {len(n_channels)} sessions. "
                "Use a LinearReadin."
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
                f"The model's encoders see {self.n_features} channels of one session, but the data have "
                f"{dict(n_channels)}. Build the model for these data, or give it a linear read-in."
            )

    def with_sessions(self, n_channels: Sizes, *, rngs: nnx.Rngs) -> LinearReadin:
        """Returns a linear read-in, which can serve several sessions."""
        return LinearReadin(n_channels, self.n_features, rngs=rngs)


class LinearReadin(AbstractReadin):
    """An affine map of each session's neurons to features, x W_s + b_s.

    Every session keeps its own unpadded weights under its name, so that one session can be trained alone and
    nothing acts on padding. A call pads, stacks and gathers them by trial.

    Args:
        n_channels: Number of encoder channels of each session, as ((name, number), ...).
        n_features: Width of what the encoders see.
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
        # Padded rows are zero: whatever stands in a trial's padded channels cannot matter.
        weight = jnp.stack([_pad(w, x.shape[-1], axis=0) for w in weights])[session]
        return jnp.einsum("btc,bcf->btf", x, weight) + jnp.stack(biases)[session][:, None]

    def set_map(
        self, session: int, weight: Float[ArrayLike, "channel feature"], bias: Float[ArrayLike, " feature"]
    ) -> None:
        """Starts a session's first features at x W + b, W of shape (channel, feature) and b of shape (feature,)."""
        (name, _), n = self.n_channels[session], np.shape(weight)[1]
        _assign(self.weight[name], self.weight[name][...].at[:, :n].set(weight))
        _assign(self.bias[name], self.bias[name][...].at[:n].set(bias))

    def check(self, n_channels: Sizes) -> None:
        """Raises LfadsxError unless the sessions and their numbers of channels are the same."""
        if self.n_channels != n_channels:
            raise LfadsxError(
                f"The model's read-in is for {dict(self.n_channels)} channels, but the data have {dict(n_channels)}. "
                "Build the model for these data."
            )

    def with_sessions(self, n_channels: Sizes, *, rngs: nnx.Rngs) -> LinearReadin:
        """Returns a linear read-in of other sessions with as many features."""
        return LinearReadin(n_channels, self.n_features, rngs=rngs)

    def keep_sessions(self, old: AbstractReadin) -> None:
        """Takes over weights and biases by session; of a session that was passed on as it is, the identity."""
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
        scale: Gain of the initial weights; small, so that the model starts at the mean rates.
        units: Whether parameters have units of their own, so that a step of the optimiser is as large for data in volts
            as for data in microvolts; `set_units` sets them.
        rngs: Source of the initial weights.
    """

    def __init__(
        self,
        n_factors: int,
        n_targets: Sizes,
        *,
        n_params: int = 1,
        scale: float = 1.0,
        units: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        self.n_factors, self.n_targets, self.n_params = n_factors, n_targets, n_params
        self.scale, self.units = scale, units
        self.adjoint: Adjoint = "fused"
        self.n_channels = max(n for _, n in n_targets)
        self.weight = nnx.Dict(
            {name: nnx.Param(scaled_normal(rngs, (n_factors, n, n_params), n_factors, scale)) for name, n in n_targets}
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
            weights = [weight * unit for weight, unit in zip(weights, units, strict=True)]
            biases = [bias * unit for bias, unit in zip(biases, units, strict=True)]
        if len(names) == 1:
            flat = product(factors, weights[0].reshape(self.n_factors, -1), self.adjoint)
            return flat.reshape(*factors.shape[:2], *biases[0].shape) + biases[0]
        weight = jnp.stack([_pad(w, self.n_channels, axis=1) for w in weights])[session]
        bias = jnp.stack([_pad(b, self.n_channels, axis=0) for b in biases])[session]
        return jnp.einsum("btf,bfcp->btcp", factors, weight) + bias[:, None]

    def unit_of(self, session: int) -> Float[Array, "channel n_params"]:
        """Returns the units of one session's parameters, shape (channel, n_params)."""
        name, n = self.n_targets[session]
        return self.unit[name][...] if self.units else jnp.ones((n, self.n_params))

    def set_units(self, session: int, value: Float[Array, "channel n_params"]) -> None:
        """Sets the units of one session's parameters, shape (channel, n_params), where there are any."""
        if self.units:
            _assign(self.unit[self.n_targets[session][0]], value)

    def set_bias(self, session: int, value: Float[Array, "channel n_params"]) -> None:
        """Starts one session's bias at parameters of shape (channel, n_params)."""
        _assign(self.bias[self.n_targets[session][0]], value / self.unit_of(session))

    def set_weight(self, session: int, value: Float[ArrayLike, "factor channel n_params"]) -> None:
        """Starts one session's weights, in its units, at a value of shape (factor, channel, n_params)."""
        _assign(self.weight[self.n_targets[session][0]], value)

    def start_along(self, directions: Sequence[Directions], mean: Mean) -> None:
        r"""Starts the first factors' weights along the components, where there are at least as many factors.

        .. math::
            A_{fc} = k \, W^+_{fc} \, / \, \frac{d m_c}{d \theta_c}

        with one gain k for all sessions, so that the weights' root mean square is that of a random start.

        Args:
            directions: As in `AbstractReadout.start_along`.
            mean: The likelihood's mean, from parameters of shape (channel, n_params).
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
        # An alignment of zeros has no directions: its read-out weights start at 0, not at NaN.
        gain = self.scale / math.sqrt(self.n_factors) / jnp.maximum(size, jnp.finfo(size.dtype).tiny)
        for index, ((targets, _), direction) in enumerate(zip(directions, scaled, strict=True)):
            weight = self.weight[self.n_targets[index][0]][...]
            self.set_weight(index, weight.at[: len(direction), targets, 0].set(gain * direction))

    def with_sessions(self, n_targets: Sizes, *, rngs: nnx.Rngs) -> LinearReadout:
        """Returns a linear read-out of other sessions with the same settings."""
        return LinearReadout(
            self.n_factors, n_targets, n_params=self.n_params, scale=self.scale, units=self.units, rngs=rngs
        )

    def keep_sessions(self, old: AbstractReadout) -> None:
        """Takes over weights, biases and units by session."""
        if isinstance(old, LinearReadout):
            for name in ("weight", "bias", "unit"):
                keep(getattr(old, name), getattr(self, name))


def keep(old: Mapping[str, nnx.Variable | Array], new: Mapping[str, nnx.Variable]) -> None:
    """Copies the arrays of all sessions that both know.

    Args:
        old: Arrays by name of the session.
        new: Variables by name of the session; changed in place.

    Raises:
        LfadsxError: If the shapes of a session differ.
    """
    for session in sorted(set(old) & set(new)):
        value, place = old[session][...], new[session]
        if value.shape != place[...].shape:
            raise LfadsxError(
                f"The model knows session {session!r} with arrays of shape {value.shape}, and the data ask for "
                f"{place[...].shape}. Give the data of a new session a name of their own."
            )
        place[...] = value


def _cannot_be_extended(seam: str, part: nnx.Module) -> LfadsxError:
    name = type(part).__name__
    return LfadsxError(
        f"The {seam} of this model is a {name}, which cannot be extended by sessions. Write {name}.with_sessions, or "
        "compose the new model from its parts."
    )


def _assign(parameter: nnx.Variable, value: ArrayLike) -> None:
    parameter[...] = jnp.asarray(value, parameter[...].dtype)


def _pad(x: Array, size: int, axis: int) -> Array:
    width = [(0, 0)] * x.ndim
    width[axis] = (0, size - x.shape[axis])
    return jnp.pad(x, width)
