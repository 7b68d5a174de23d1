# %% [markdown]
# # LFADS in one page
#
# The whole model in plain `jax.numpy`, without the library's parts and without Flax: encoders, controller, generator,
# factors, rates, both KL terms and the loss. Every function stands below its equations. At the end the page proves two
# things: with the same parameters and noise it gives the numbers of the library, and it learns.
#
# Read it to know what the model computes, or copy it to try an idea in a few lines.
#
# | symbol | value | shape |
# |---|---|---|
# | $x$ | spike counts of a trial | (time, trial, neuron) |
# | $z$ | initial condition | (trial, ic) |
# | $e_t$ | encoding that the controller sees | (trial, encoding) |
# | $c_t, g_t$ | states of controller and generator | (trial, unit) |
# | $u_t$ | inferred inputs | (trial, input) |
# | $f_t$ | factors | (trial, factor) |
# | $\lambda_t$ | rates, expected counts per bin | (trial, neuron) |
#
# Source: Sussillo et al. 2016 (arXiv 1608.06315); Pandarinath et al. 2018, Nature Methods.

# %%
# %matplotlib inline
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax
from jax.scipy.special import gammaln

import lfadsx
from lfadsx.evaluation import metrics

QUICK = os.environ.get("LFADSX_QUICK") == "1"  # tiny sizes and few steps, to see that the page runs

# %% [markdown]
# ## The recurrent unit
#
# All four networks are gated recurrent units. The gates $k$ (keep) and $r$ (reset) lie between 0 and 1:
#
# $$k = \sigma(x W_k + h U_k + b_k) \qquad r = \sigma(x W_r + h U_r + b_r) \qquad
# n = \tanh(x W_n + (r \circ h) U_n + b_n)$$
# $$h' = \mathrm{clip}(k \circ h + (1 - k) \circ n, \pm 5)$$


# %%
def linear(p, x):
    return x @ p["W"] + p["b"]


def gru(p, h, x):
    x_k, x_r, x_n = jnp.split(linear(p, x), 3, axis=-1)
    U_k, U_r, U_n = jnp.split(p["U"], 3, axis=-1)
    k, r = jax.nn.sigmoid(x_k + h @ U_k), jax.nn.sigmoid(x_r + h @ U_r)
    n = jnp.tanh(x_n + (r * h) @ U_n)
    return jnp.clip(k * h + (1 - k) * n, -5.0, 5.0)


def run(p, x, reverse=False):
    """Returns the state after each bin, (time, trial, unit)."""

    def step(h, x_t):
        h = gru(p, h, x_t)
        return h, h

    first = jnp.broadcast_to(p["first"], (x.shape[1], p["first"].size))
    return lax.scan(step, first, x, reverse=reverse)[1]


# %% [markdown]
# ## Encoders
#
# A bidirectional network reads the whole trial. Its two last states, forward at the end and backward at the start,
# give the posterior of the initial condition. A second one prepares the trial for the controller. At bin $t$ the
# controller sees the forward state of bin $t-1$ and the backward state of bin $t+1$, so it cannot copy the spikes of
# bin $t$:
#
# $$q(z|x) = N\left(\mu_z, e^{l_z} + 10^{-4}\right) \qquad
# [\mu_z, l_z] = [\overrightarrow{h}_T, \overleftarrow{h}_1] W + b$$
# $$e_t = [\overrightarrow{h}_{t-1}, \overleftarrow{h}_{t+1}]$$


# %%
def bidirectional(p, x):
    return run(p["forward"], x), run(p["backward"], x, reverse=True)


def encode(p, x):
    """Returns mean and variance of q(z|x), and the encoding e."""
    forward, backward = bidirectional(p["ic_encoder"], x)
    q_z = normal(linear(p["ic_posterior"], jnp.concatenate([forward[-1], backward[0]], axis=-1)))
    forward, backward = bidirectional(p["input_encoder"], x)
    none = jnp.zeros_like(forward[:1])
    e = jnp.concatenate([jnp.concatenate([none, forward[:-1]]), jnp.concatenate([backward[1:], none])], axis=-1)
    return q_z, e


def normal(parameters):
    """Returns mean and variance from [mean, log variance]."""
    mean, log_variance = jnp.split(parameters, 2, axis=-1)
    return mean, jnp.exp(log_variance) + 1e-4


def sample(q, noise):
    mean, variance = q
    return mean + jnp.sqrt(variance) * noise


# %% [markdown]
# ## Controller, generator, factors
#
# The generator starts at $g_0 = z A + a$. In every bin the controller compares the encoding with the last factors and
# infers the inputs, which drive the generator. The factors are read out of the generator by $F$, whose columns have
# length 1:
#
# $$c_t = GRU(c_{t-1}, [e_t, f_{t-1}]) \qquad q(u_t|u_{<t}, x) = N(c_t W + b) \qquad g_t = GRU(g_{t-1}, u_t) \qquad
# f_t = g_t F$$


# %%
def decode(p, z, e, noise):
    """Returns means and variances of q(u), the inputs and the factors, all with time first."""
    F = p["factors"] / jnp.linalg.norm(p["factors"], axis=0)

    def step(state, now):
        c, g, f = state
        e_t, noise_t = now
        c = gru(p["controller"], c, jnp.concatenate([e_t, f], axis=-1))
        q_u = normal(linear(p["input_posterior"], c))
        u = sample(q_u, noise_t)
        g = gru(p["generator"], g, u)
        f = g @ F
        return (c, g, f), (q_u, u, f)

    c = jnp.broadcast_to(p["controller"]["first"], (len(z), p["controller"]["first"].size))
    g = linear(p["start"], z)
    return lax.scan(step, (c, g, g @ F), (e, noise))[1]


# %% [markdown]
# ## Rates and likelihood
#
# A spike count is a Poisson variable with rate $\lambda_t = \exp(f_t R + r)$ per bin. (The library also bends log rates
# outside of -15 to 8, which no data set reaches in practice, so that a bad step cannot overflow.)
#
# $$\log p(x|z, u) = \sum_{t, n} x_{tn} \log \lambda_{tn} - \lambda_{tn} - \log x_{tn}!$$


# %%
def log_likelihood(x, log_rate):
    return (x * log_rate - jnp.exp(log_rate) - gammaln(x + 1)).sum((0, 2))


# %% [markdown]
# ## KL terms
#
# What the model says about a trial costs as many nats as its posterior departs from the prior. The prior of $z$ is
# normal with variance 0.1 and a trained mean. The inputs have an AR(1) prior with a trained time constant $\tau$ (bins)
# and a trained innovation variance $s^2$:
#
# $$u_1 \sim N\left(0, \frac{s^2}{1 - \phi^2}\right) \qquad u_t \sim N(\phi u_{t-1}, s^2) \qquad \phi = e^{-1/\tau}$$
# $$KL(N(m, v) || N(\mu, w)) = \tfrac12 \left(\frac{v + (m - \mu)^2}{w} - \log \frac{v}{w} - 1\right)$$


# %%
def kl(q, p):
    (m, v), (mu, w) = q, p
    return 0.5 * ((v + (m - mu) ** 2) / w - jnp.log(v / w) - 1)


def kl_z(p, q):
    return kl(q, (p["prior"]["mean_z"], 0.1)).sum(-1)


def kl_u(p, q, u):
    phi, s2 = jnp.exp(-jnp.exp(-p["prior"]["log_tau"])), jnp.exp(p["prior"]["log_s2"])
    mean = jnp.concatenate([jnp.zeros_like(u[:1]), phi * u[:-1]])
    first = jnp.arange(len(u))[:, None, None] == 0
    return kl(q, (mean, jnp.where(first, s2 / (1 - phi**2), s2))).sum((0, 2))


# %% [markdown]
# ## The model and its loss
#
# The loss is the negative evidence bound, a mean over trials. With weights $w$ below 1 the latent variables cost less:
#
# $$L = \frac{1}{B} \sum_{i=1}^{B} -\log p(x_i|z_i, u_i) + w_z KL_z + w_u KL_u$$


# %%
def lfads(p, x, noise_z, noise_u):
    """Runs the model: x is (time, trial, neuron), the noise (trial, ic) and (time, trial, input)."""
    q_z, e = encode(p, x)
    z = sample(q_z, noise_z)
    q_u, u, f = decode(p, z, e, noise_u)
    return {"q_z": q_z, "q_u": q_u, "u": u, "f": f, "log_rate": linear(p["readout"], f)}


def loss(p, x, noise_z, noise_u, w_z=1.0, w_u=1.0):
    out = lfads(p, x, noise_z, noise_u)
    total = -log_likelihood(x, out["log_rate"])
    return jnp.mean(total + w_z * kl_z(p, out["q_z"]) + w_u * kl_u(p, out["q_u"], out["u"]))


# %% [markdown]
# That is all of LFADS. What the library adds makes it train well on real recordings: dropout, coordinated
# dropout, ramps of the KL weights, checkpoints, trials of different length, missing bins, held-out neurons, several
# sessions, other priors and likelihoods, and fast gradients.
#
# ## The same numbers as the library
#
# The library's parameters have paths such as `decoder/generator/gru/bias`. This function sorts them into the page's
# dictionary. The library keeps the weights of the encoding and of the fed-back factors apart; here they are one matrix.


# %%
def from_library(model):
    """Returns the parameters of a library model with default parts, for one session of spikes."""
    state = nnx.to_flat_state(nnx.state(model, nnx.Param))
    v = {"/".join(map(str, path)): jnp.asarray(value[...]) for path, value in state}

    def cell(path, first, *inputs):
        W = jnp.concatenate([v[f"{path}/{name}"] for name in inputs])
        return {"W": W, "U": v[f"{path}/w_hidden"], "b": v[f"{path}/bias"]} | ({"first": v[first]} if first else {})

    def encoder(path):
        directions = ("forward", "backward")
        return {name: cell(f"{path}/{name}", f"{path}/{name}_initial", "w_known") for name in directions}

    def affine(path):
        return {"W": v[f"{path}/weight"], "b": v[f"{path}/bias"]}

    (session,) = (path.split("/")[-1] for path in v if path.startswith("readout/spikes/bias/"))
    readout = {key: v[f"readout/spikes/{name}/{session}"][..., 0] for key, name in (("W", "weight"), ("b", "bias"))}
    prior = {"mean_z": "ic_prior/loc", "log_tau": "decoder/input_prior/log_tau"}
    prior |= {"log_s2": "decoder/input_prior/log_variance"}
    return {
        "ic_encoder": encoder("ic_encoder"),
        "ic_posterior": affine("ic_posterior"),
        "input_encoder": encoder("input_encoder"),
        "start": affine("decoder/generator/start"),
        "controller": cell("decoder/controller/gru", "decoder/controller/initial", "w_known", "w_live"),
        "input_posterior": affine("decoder/input_posterior"),
        "generator": cell("decoder/generator/gru", None, "w_live"),
        "factors": v["decoder/factor_map/weight"],
        "readout": readout,
        "prior": {name: v[path] for name, path in prior.items()},
    }


# %%
data = lfadsx.datasets.chaotic_rnn(
    conditions=4 if QUICK else 60, neurons=20 if QUICK else 40, duration=0.2 if QUICK else 0.5, max_rate=60.0
)
sizes = dict(factors=12, generator_dim=64, ic_dim=24, ic_encoder_dim=32, input_encoder_dim=32, controller_dim=32)
if QUICK:
    sizes = dict.fromkeys(sizes, 6)
model = lfadsx.inferred_input(data, **sizes, inferred_inputs=1)
batch = lfadsx.data.batch(data, "valid")
noise = model.draw(jax.random.key(0), batch)

p = from_library(model)
x = jnp.swapaxes(batch.encoder_input, 0, 1).astype(float)
mine = lfads(p, x, noise.ic, noise.inputs)
my_loss = loss(p, x, noise.ic, noise.inputs)

output = model(batch, noise)
their_loss = -lfadsx.objective.elbo(model, batch, output).mean()
their_rates = jnp.swapaxes(model.expected(output)["spikes"], 0, 1)

print(f"loss of this page {my_loss:.2f}, of the library {their_loss:.2f} nats per trial")
print(f"largest difference of a rate: {jnp.abs(jnp.exp(mine['log_rate']) - their_rates).max():.1e} counts per bin")

# %% [markdown]
# ## It learns
#
# Training is gradient descent on the loss. Each step draws trials and noise. The weight of $KL_z$ rises from 0 to 1 in
# the first two thirds, or the model gives up the initial condition. The weight of $KL_u$ is 1 from the start, so that
# inputs do not do the work of the generator.

# %%
n_steps, n_trials = (30, 8) if QUICK else (1500, 64)
optimiser = optax.chain(optax.clip_by_global_norm(200.0), optax.adam(optax.cosine_decay_schedule(6e-3, n_steps)))
spikes = jnp.swapaxes(jnp.asarray(data.train.encoder_input, float), 0, 1)


@jax.jit
def train(p):
    def step(carry, number):
        p, state = carry
        for_trials, for_z, for_u = jax.random.split(jax.random.fold_in(jax.random.key(1), number), 3)
        x = spikes[:, jax.random.choice(for_trials, spikes.shape[1], (n_trials,))]
        noise_z = jax.random.normal(for_z, (n_trials, sizes["ic_dim"]))
        noise_u = jax.random.normal(for_u, (len(x), n_trials, 1))
        w_z = jnp.minimum(1.0, 1.5 * number / n_steps)
        value, gradient = jax.value_and_grad(loss)(p, x, noise_z, noise_u, w_z)
        change, state = optimiser.update(gradient, state)
        return (optax.apply_updates(p, change), state), value

    (p, _), losses = lax.scan(step, (p, optimiser.init(p)), jnp.arange(n_steps))
    return p, losses


trained, losses = train(p)
lfadsx.plotting.curves_figure({"": {"loss": np.asarray(losses)}}, x_label="Step", y_label="Nats per trial")

# %% [markdown]
# Validation trials took no part. Posterior means go through the model once: rates in counts per bin, beside the true
# rates that drew the spikes.

# %%
quiet = lfads(trained, x, jnp.zeros_like(noise.ic), jnp.zeros_like(noise.inputs))
rates = np.swapaxes(np.exp(quiet["log_rate"]), 0, 1)
truth, trial = data.valid.truth, 0
print(f"R2 with the true rates, pooled over trials and neurons: {metrics.r2_pooled(rates, truth):.2f}")
panels = {
    f"Neuron {n}": {"inferred rate": rates[trial, :, n], "true rate": truth[trial, :, n], "spikes": spikes_of}
    for n, spikes_of in enumerate(data.valid.encoder_input[trial].T[:4].astype(float))
}
lfadsx.plotting.curves_figure(
    panels,
    f"Validation trial {trial}",
    x=data.time.centres(len(truth[trial])),
    x_label="Time (s)",
    y_label="Counts per bin",
    stems=["spikes"],
)

# %% [markdown]
# ## What can go wrong, and what next
#
# * Without coordinated dropout this page overfits when trials are few: the loss of training trials keeps falling and
#   the rates of new trials get worse. The library's default guards against that.
# * All trials must have the same number of bins here.
# * To replace one part of the model and keep everything around it, see [A part of your own](custom_part.ipynb).
# * The library's code in the same order: `lfadsx/modules/encoders.py`, `decoder.py`, `distributions/`, `objective.py`.
