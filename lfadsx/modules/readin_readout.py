"""Read-ins and read-outs: from a session's neurons to what all sessions share, and back."""

from __future__ import annotations

import abc

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, ArrayLike, Float, Int

from lfadsx.modules.linear import Adjoint, Frozen, filled, product, scaled_normal


class AbstractReadin(nnx.Module):
    """What a read-in provides.

    To write one: set `n_features` and write `__call__`.

    Attributes:
        n_features: Width of what the encoders see.
    """

    n_features: int

    @abc.abstractmethod
    def __call__(
        self, x: Float[Array, "trial time channel"], session: Int[Array, " trial"]
    ) -> Float[Array, "trial time feature"]:
        """Maps the channels of each trial's session to features; padded channels must not matter."""


class AbstractReadout(nnx.Module):
    """What a read-out provides.

    To write one: set `n_channels` and write `__call__`. To have it start at the data's mean rates write
    `set_bias`, too, and for real-valued data in any unit `set_units`, which is called before.

    Attributes:
        n_channels: Number of channels of the widest session.
    """

    n_channels: int

    @abc.abstractmethod
    def __call__(
        self, factors: Float[Array, "trial time factor"], session: Int[Array, " trial"]
    ) -> Float[Array, "trial time target_channel n_params"]:
        """Maps factors to likelihood parameters of each trial's session."""

    def set_units(self, session: int, value: Float[Array, "channel n_params"]) -> None:
        """Sets the units of one session's parameters; the default does nothing."""
        del session, value

    def set_bias(self, session: int, value: Float[Array, "channel n_params"]) -> None:
        """Starts one session's bias at a value; the default does nothing."""
        del session, value


class IdentityReadin(AbstractReadin):
    """Passes the neurons of a single session on to the encoders.

    Args:
        n_features: Number of channels.
    """

    def __init__(self, n_features: int) -> None:
        self.n_features = n_features

    def __call__(
        self, x: Float[Array, "trial time channel"], session: Int[Array, " trial"]
    ) -> Float[Array, "trial time feature"]:
        """Returns x."""
        return x


class LinearReadin(AbstractReadin):
    """An affine map of each session's neurons to features, x W_s + b_s.

    Every session keeps its own unpadded weights under its name, so that one session can be trained alone and
    nothing acts on padding. A call pads, stacks and gathers them by trial.

    Args:
        n_channels: Number of encoder channels of each session, as ((name, number), ...).
        n_features: Width of what the encoders see.
        rngs: Source of the initial weights.
    """

    def __init__(self, n_channels: tuple[tuple[str, int], ...], n_features: int, *, rngs: nnx.Rngs) -> None:
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
        n_targets: tuple[tuple[str, int], ...],
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


def _assign(parameter: nnx.Variable, value: ArrayLike) -> None:
    parameter[...] = jnp.asarray(value, parameter[...].dtype)


def _pad(x: Array, size: int, axis: int) -> Array:
    width = [(0, 0)] * x.ndim
    width[axis] = (0, size - x.shape[axis])
    return jnp.pad(x, width)
