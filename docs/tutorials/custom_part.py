# %% [markdown]
# # A part of your own
#
# **What you will see.** You replace the generator, the part that holds the dynamics, by a low-rank network, check it,
# train it beside the usual GRU and look into its dynamics. Everything around it stays.
#
# The low-rank network is a hypothesis: the recurrent weights are a sum of few outer products, so that all that the
# network keeps from bin to bin are $R$ numbers, $\kappa = N^T \tanh(g)$:
#
# $$g_t = (1 - a) g_{t-1} + a \left(M N^T \tanh(g_{t-1}) + B u_t + b\right)$$
#
# with $M$ and $N$ of shape (units, $R$).

# %%
# %matplotlib inline
import os
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import lfadsx
from lfadsx.modules import AbstractGenerator, Linear

QUICK = os.environ.get("LFADSX_QUICK") == "1"  # tiny sizes and few epochs, to see that the page runs

# %% [markdown]
# ## Write it
#
# A generator sets `n_state` and defines `initial_state` and `step`. The builder passes those widths that the
# constructor asks for by name: `n_ic`, `n_inferred_inputs`, `n_units`. The decoder runs the loop over time, samples the
# inputs and reads out the factors. No random numbers, no batching, no training code.


# %%
class LowRankGenerator(AbstractGenerator):
    """A network of leaky units whose recurrent weights have a low rank."""

    def __init__(self, n_ic, n_inferred_inputs, n_units, rank=4, leak=0.3, *, rngs):
        # A run folder records a part by its arguments: keep each as an attribute of the same name.
        self.n_ic, self.n_inferred_inputs, self.n_units = n_ic, n_inferred_inputs, n_units
        self.rank, self.leak, self.n_state = rank, leak, n_units
        self.start = Linear(n_ic, n_units, rngs=rngs)
        self.m = nnx.Param(rngs.params.normal((rank, n_units)))
        self.n = nnx.Param(rngs.params.normal((n_units, rank)) / n_units)
        self.drive = nnx.Param(rngs.params.normal((n_inferred_inputs, n_units)))
        self.bias = nnx.Param(jnp.zeros(n_units))

    def initial_state(self, initial_condition):
        """Returns the state before the first bin, (trial, n_units)."""
        return self.start(initial_condition)

    def step(self, state, projected_t, live_t):
        """Returns the next state, (trial, n_units); `live_t` are the inferred inputs, (trial, n_inferred_inputs)."""
        driven = jnp.tanh(state) @ self.n[...] @ self.m[...] + live_t @ self.drive[...] + self.bias[...]
        return (1 - self.leak) * state + self.leak * driven

    def recurrent_weights(self):
        """Returns what the setting `l2_gen_scale` penalises."""
        return (self.m[...], self.n[...])


# %% [markdown]
# ## Check it
#
# The check runs the part inside a model: shapes, gradients, float64, padded trials, populations, saving and loading. If
# something is wrong, the error says what must hold and what was found. It is the fastest way to find a mistake.

# %%
if not QUICK:
    lfadsx.testing.check(LowRankGenerator)
    print("The part keeps the promises of its seam.")

# %% [markdown]
# ## Train it beside the usual one

# %%
data = lfadsx.datasets.chaotic_rnn(
    conditions=4 if QUICK else 30,
    trials_per_condition=10 if QUICK else 20,
    neurons=16 if QUICK else 40,
    duration=0.2 if QUICK else 0.4,
    max_rate=60.0,
    held_out=4 if QUICK else 8,
)
sizes = dict(factors=12, generator_dim=64, ic_dim=16, ic_encoder_dim=32, input_encoder_dim=32, controller_dim=32)
sizes = dict.fromkeys(sizes, 6) if QUICK else sizes
folder = Path(tempfile.mkdtemp())
settings = dict(epochs=4 if QUICK else 80, progress=False)

usual = lfadsx.fit(lfadsx.inferred_input(data, **sizes, inferred_inputs=1), data, **settings)
model = lfadsx.inferred_input(data, generator=LowRankGenerator, **sizes, inferred_inputs=1)
own = lfadsx.fit(model, data, out=folder / "low_rank", **settings)
model

# %%
lfadsx.compare(usual, own, data=data, names=["GRU", "low rank"])

# %% [markdown]
# The third table lists what differs between the runs: the generator alone. A negative difference of `co_bps` with a
# star is the price of the hypothesis. No clear difference means that the data are described as well by four numbers
# that the network carries from bin to bin.

# %%
post = lfadsx.infer(own.model, data)
lfadsx.plotting.rates(post, data)

# %% [markdown]
# ## Look inside
#
# The reason for such a generator is that one can look at it. The numbers $\kappa$ of every trial come from the
# generator's states:

# %%
generator = own.model.decoder.generator
kappa = np.tanh(post.generator_states) @ np.asarray(generator.n[...])
shown = {
    f"Condition {c}": {f"kappa {r + 1}": kappa[data.valid.condition == c].mean(0)[:, r] for r in range(generator.rank)}
    for c in np.unique(data.valid.condition)[:4]
}
lfadsx.plotting.curves_figure(
    shown, "Mean over the trials of a condition", x=post.times, x_label="Time (s)", y_label="a.u.", share_y=True
)

# %% [markdown]
# The derivative of one step at a state says how fast small differences grow (above 1) or decay (below 1) there. At most
# $R$ eigenvalues differ from $1 - a$: the other directions only leak.

# %%
state = jnp.asarray(post.generator_states[0, -1])
jacobian = jax.jacobian(lambda g: generator.step(g[None], None, jnp.zeros((1, 1)))[0])(state)
values, leak = np.linalg.eigvals(np.asarray(jacobian)), 1 - generator.leak
own_values = values[np.abs(values - leak) > 1e-3]
print(f"{len(own_values)} of {len(values)} eigenvalues differ from 1 - a = {leak:.2f}: {own_values.round(3)}")

# %% [markdown]
# ## Load it again
#
# A run folder stores weights and arguments, never code. Loading therefore needs the class:

# %%
loaded = lfadsx.load(folder / "low_rank", parts=[LowRankGenerator])
same = np.array_equal(lfadsx.infer(loaded, data).rates["spikes"], post.rates["spikes"])
print("The loaded model infers the same rates:", same)

# %% [markdown]
# On the command line: `lfadsx fit day1.h5 --out runs/own --parts my_parts.py`.
#
# ## What can go wrong
#
# * **Python branches on values**, such as `if state.max() > 1`, fail under compilation. Use `jnp.where`.
# * **States that grow.** A generator without bound may overflow within a trial. Bound the state or the gain.
# * **A constructor argument that is not an attribute.** Then the part cannot be loaded; the check finds it.
#
# ## What next
#
# `CONTRIBUTING.md` shows every kind of part: read-in, encoder, controller, prior, likelihood, read-out, augmentation.
# [LFADS in one page](lfads_in_one_page.ipynb) shows where each of them acts.
