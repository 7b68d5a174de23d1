"""`lfadsx.testing.check` finds the errors in parts that are broken on purpose."""

import jax.numpy as jnp
import pytest
from flax import nnx

import lfadsx
from lfadsx.distributions import AbstractLikelihood, Poisson
from lfadsx.modules import AbstractAugmentation, AbstractEncoder, AbstractGenerator, AbstractReadin, Linear
from lfadsx.testing import check


class Tanh(AbstractGenerator):
    """A vanilla RNN that does all that its seam promises."""

    def __init__(self, n_ic, n_inferred_inputs, n_units, *, rngs):
        self.n_ic, self.n_inferred_inputs, self.n_units, self.n_state = n_ic, n_inferred_inputs, n_units, n_units
        self.start = Linear(n_ic, n_units, rngs=rngs)
        self.recurrent, self.drive = Linear(n_units, n_units, rngs=rngs), Linear(n_inferred_inputs, n_units, rngs=rngs)

    def initial_state(self, initial_condition):
        return self.start(initial_condition)

    def step(self, state, projected_t, live_t):
        return jnp.tanh(self.recurrent(state) + self.drive(live_t))


class TooWide(Tanh):
    def readable(self, state):
        return jnp.concatenate([state, state], axis=-1)


class Float32(Tanh):
    def step(self, state, projected_t, live_t):
        return jnp.float32(0.9) * super().step(state, projected_t, live_t)


class NotANumber(Tanh):
    def step(self, state, projected_t, live_t):
        return super().step(state, projected_t, live_t) + 0.0 * jnp.sqrt(jnp.abs(state - state))


class Forgets(Tanh):
    def __init__(self, n_ic, n_inferred_inputs, n_units, speed=1.0, *, rngs):
        super().__init__(n_ic, n_inferred_inputs, n_units, rngs=rngs)


class Company(Tanh):
    """Looks at the other trials of the batch."""

    def step(self, state, projected_t, live_t):
        return super().step(state - state.mean(0), projected_t, live_t)


class Padded(AbstractEncoder):
    """Takes the mean over all bins, those of the padding, too."""

    def __init__(self, n_in, n_units, *, rngs):
        self.n_in, self.n_units, self.n_states, self.n_ends = n_in, n_units, n_units, n_units
        self.layer = Linear(n_in, n_units, rngs=rngs)

    def __call__(self, sequence, length):
        inside = (jnp.arange(sequence.shape[1]) < length[:, None])[:, :, None]
        hidden = jnp.tanh(self.layer(sequence))
        return jnp.where(inside, hidden, 0.0), hidden.mean(1)

    def recurrent_weights(self):
        return ()


class Overflows(Poisson):
    def log_prob(self, params, data):
        return data * params[..., 0] - jnp.exp(params[..., 0])


class Root(AbstractReadin):
    def __init__(self, n_features):
        self.n_features = n_features

    def __call__(self, x, session):
        return jnp.sqrt(x + 0.1)


class OneNoise(AbstractAugmentation):
    """Hides the third trial of every batch."""

    def __call__(self, batch, hyper, key):
        import dataclasses

        third = (jnp.arange(batch.n_trials) == 2)[:, None, None]
        return dataclasses.replace(batch, encoder_observed=batch.seen() & ~third), {}, {}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (TooWide, r"`states` must have the shape \(3, 5, 5\), got \(3, 5, 10\)"),
        (Float32, "everything must be float64, but some arrays are float32"),
        (NotANumber, "The gradient of `.*` must be finite, but holds NaN"),
        (Forgets, "must keep its constructor argument 'speed'"),
        (Company, "must give the same numbers alone as padded and in a batch, but `states` differs"),
        (Padded, "must give the same numbers alone as padded and in a batch, but `ends` differs"),
        (Overflows(), "must be finite for parameters from -100 to 100"),
        (OneNoise(), "must be changed alone as in a batch"),
        (Root(4), r"must know `n_channels`.*check\(part, n_channels=\("),
    ],
)
def test_what_is_broken_is_said(part, message):
    with pytest.raises(lfadsx.LfadsxError, match=message):
        check(part)


def test_one_failure_is_one_line():
    with pytest.raises(lfadsx.LfadsxError) as found:
        check(Forgets)
    assert str(found.value).startswith("Forgets must do what its seam promises, but does not:\n* ")
    assert str(found.value).count("\n") == 1


def test_parts_of_ones_own_pass():
    check(Tanh)
    check(Tanh(4, 3, 5, rngs=nnx.Rngs(0)))
    check(Root(4), n_channels=(("a", 4),))


def test_what_is_no_part_is_refused():
    with pytest.raises(lfadsx.LfadsxError, match="A part must derive from one of .* but Linear does not"):
        check(Linear(2, 3, rngs=nnx.Rngs(0)))


def test_a_likelihood_without_variance_is_fine():
    class Geometric(AbstractLikelihood):
        def __init__(self):
            self.n_params, self.safe_value = 1, 0

        def log_prob(self, params, data):
            log_mean = lfadsx.distributions.soft_clip(params[..., 0])
            return data * log_mean - (data + 1) * jnp.logaddexp(log_mean, 0.0)

        def mean(self, params):
            return lfadsx.distributions.exp_soft_clip(params[..., 0])

        def sample(self, key, params):
            return jnp.zeros(params.shape[:-1])

        def initial_params(self, total, total_squared, n):
            return jnp.log((total + 0.5) / jnp.maximum(n, 1))[:, None]

    check(Geometric)
