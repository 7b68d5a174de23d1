"""What the decoder's fused loop is told, trains, reads and computes."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from flax import nnx
from jaxtyping import Array

from lfadsx.distributions.prior import AbstractPrior


@dataclasses.dataclass(frozen=True)
class Rule:
    """What does not change while a model trains; static.

    Attributes:
        controller_clip: Bound of the controller's state.
        generator_clip: Bound of the generator's state.
        prior: Structure of the inputs' prior, which turns parameters and noise into inputs.
    """

    controller_clip: float
    generator_clip: float
    prior: nnx.GraphDef[AbstractPrior]

    def inputs(self, values: Any, params: Array, noise: Array | None) -> Array:
        """Returns the inputs: a sample of their posterior, or its mean without noise."""
        prior = nnx.merge(self.prior, values)
        return prior.posterior_mean(params) if noise is None else prior.sample(params, noise)


class Weights(NamedTuple):
    """What trains.

    Attributes:
        feedback: From the fed-back factors to the controller's gates, shape (factor, gates); None without feedback.
        controller: The controller's recurrent weights, shape (controller, gates).
        posterior: From the controller to the parameters of the inputs, shape (controller, input_params).
        posterior_bias: Shape (input_params,).
        prior: Values of the inputs' prior.
        inputs: From the inputs to the generator's gates, shape (input, gates).
        generator: The generator's recurrent weights, shape (generator, gates).
        factors: From the generator to the factors, shape (generator, factor).
    """

    feedback: Array | None
    controller: Array
    posterior: Array
    posterior_bias: Array
    prior: Any
    inputs: Array
    generator: Array
    factors: Array


class Start(NamedTuple):
    """What the first bin finds: states of controller and generator, and what is fed back, or None; trial first."""

    controller: Array
    generator: Array
    seen: Array | None


class Known(NamedTuple):
    """What is known before the loop, time first.

    Attributes:
        controller: Share of the encoding in the controller's gates, shape (time, trial, gates).
        generator: Share of the known inputs in the generator's gates, shape (time, trial, gates), or the bias
            of every bin, shape (gates,).
        noise: Noise of the inputs, shape (time, trial, input), or None for their means.
    """

    controller: Array
    generator: Array
    noise: Array | None


class Masks(NamedTuple):
    """Dropout, which nothing is differentiated by.

    Attributes:
        feedback: True where what is fed back is kept, shape (time, trial, factor), or None.
        readout: True where the generator's state is kept in the factors, shape (time, trial, generator), or None.
        rate: The rate that both were drawn with, shape ().
    """

    feedback: Array | None
    readout: Array | None
    rate: Array | float


class Path(NamedTuple):
    """What the loop computes, time first: states, parameters of the inputs, inputs and factors.

    Without a controller the first two are None; without inputs the third is.
    """

    controller: Array | None
    params: Array | None
    inputs: Array | None
    generator: Array
    factors: Array
