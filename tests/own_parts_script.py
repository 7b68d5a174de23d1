import sys

import jax
import jax.numpy as jnp

import lfadsx


class Euler(lfadsx.modules.AbstractGenerator):
    def __init__(self, n_ic, n_inferred_inputs, n_units, *, rngs):
        self.n_ic, self.n_inferred_inputs, self.n_units, self.n_state = n_ic, n_inferred_inputs, n_units, n_units
        self.start = lfadsx.modules.Linear(n_ic, n_units, rngs=rngs)
        self.drive = lfadsx.modules.Linear(n_units + n_inferred_inputs, n_units, rngs=rngs)

    def initial_state(self, initial_condition):
        return self.start(initial_condition)

    def step(self, state, projected_t, live_t):
        return 0.7 * state + 0.3 * jnp.tanh(self.drive(jnp.concatenate([state, live_t], axis=-1)))


class NegativeBinomial(lfadsx.distributions.AbstractLikelihood):
    n_params, safe_value, support = 2, 0, "counts"  # log of the mean and of the shape

    def log_prob(self, params, data):
        mean, shape = self.mean(params), jnp.exp(params[..., 1])
        return jax.scipy.stats.nbinom.logpmf(data, shape, shape / (shape + mean))

    def mean(self, params):
        return lfadsx.distributions.exp_soft_clip(params[..., 0])

    def sample(self, key, params):
        shape = jnp.exp(params[..., 1])
        return jax.random.poisson(key, self.mean(params) * jax.random.gamma(jax.random.fold_in(key, 1), shape) / shape)

    def initial_params(self, total, total_squared, n):
        return jnp.stack([jnp.log((total + 0.5) / n), jnp.full(len(total), 2.0)], axis=-1)


def build(data, rngs=None):
    return lfadsx.inferred_input(data, factors=8, generator=Euler, likelihood=NegativeBinomial(), rngs=rngs)


file, out, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
data = lfadsx.read(file)
run = lfadsx.fit(build(data), data, epochs=epochs, kl_ramp_epochs=1, l2_ramp_epochs=1, out=f"{out}/one")
members = lfadsx.population(build, data, members=2, epochs=epochs, kl_ramp_epochs=1, l2_ramp_epochs=1)
model = lfadsx.load(f"{out}/one", parts=[Euler, NegativeBinomial])
lfadsx.infer(model, data).save(f"{out}/rates.h5")
score = lfadsx.evaluate(model, data)
print(score, members, lfadsx.compare(run, members.best, data=data, names=["one", "best of 2"]), sep="\n\n")
