# %% [markdown]
# # First look
#
# **What you will see.** A simulated network is hit by a pulse at a random time of each trial. LFADS sees only the
# spikes. You compare what it infers, firing rates and the time of the pulse, with the truth.
#
# **You need** `pip install "lfadsx[report]"`. Nothing is downloaded.

# %%
# %matplotlib inline
import os

import numpy as np

import lfadsx

QUICK = os.environ.get("LFADSX_QUICK") == "1"  # tiny sizes and few epochs, to see that the page runs

# %% [markdown]
# ## The data
#
# The network has 50 units with chaotic dynamics. Each trial starts from one of several states (the conditions), and one
# pulse of 10 ms kicks the network in the middle half of the trial. Spikes are Poisson draws from the rates. Ten neurons
# are held out: the model has to predict them from the other forty, which it cannot do by copying.

# %%
data = lfadsx.datasets.chaotic_rnn(
    conditions=4 if QUICK else 40,
    trials_per_condition=10 if QUICK else 20,
    duration=0.2 if QUICK else 0.5,
    max_rate=60.0,
    held_out=10,
    valid_fraction=0.1,
    test_fraction=0.1,
)
data

# %% [markdown]
# ## The model
#
# The generator is a recurrent network that learns the dynamics. The initial condition says where a trial starts. One
# inferred input lets a controller push the generator during the trial. The factors, a few numbers per bin, are read
# out to the rates of all neurons.
#
# The prior of the input says what kind of input is expected. A pulse is rare and brief: zero in most bins, large in
# one. That is a prior with heavy tails, `student_t`. The default, `ar1`, expects inputs that change slowly.

# %%
sizes = dict(factors=4, generator_dim=8, ic_dim=4, ic_encoder_dim=6, input_encoder_dim=6, controller_dim=6)
sizes = sizes if QUICK else dict(factors=20)
model = lfadsx.inferred_input(data, **sizes, inferred_inputs=1, input_prior="student_t")
model

# %% [markdown]
# ## Training
#
# The loss has three parts: how badly the spikes are predicted, and what the initial condition and the inputs cost (KL).
# Training stops early if hidden entries of validation trials are no longer predicted better. Inputs have their full
# price here (`kl_co_scale=1`), so that the model uses them only where it must.

# %%
settings = dict(kl_co_scale=1.0, kl_floors=(0.0, 1.0), progress=False)
run = lfadsx.fit(model, data, epochs=4 if QUICK else 80, **settings)
lfadsx.plotting.loss_figure(run.history)

# %% [markdown]
# The score that counts is the one on validation trials. If it turns upwards while the training loss falls, the model
# memorises trials.
#
# ## Rates
#
# `infer` takes test trials, which had no part in training. Rates are averages over samples of the posterior.

# %%
post = lfadsx.infer(run.model, data)
lfadsx.plotting.rates(post, data)

# %% [markdown]
# From the top: the spikes of all neurons, the inferred rates, and the true rates. Neurons below the line are held out.
# At the bottom are single neurons: inferred rate with its uncertainty, true rate dashed.
#
# ## Scores
#
# Each score stands beside simple methods on the same trials. `masked_bps` and `co_bps` are bits per spike of entries
# and neurons that the model did not see. `rates_r2` is known only because the data are simulated.

# %%
posteriors = {name: lfadsx.infer(run.model, data, name) for name in ("train", post.split)}
score = lfadsx.evaluate(run.model, data, posteriors=posteriors)
score

# %% [markdown]
# ## When was the pulse?
#
# An inferred input has no unit and no sign: the generator can turn a negative input into the effect of a positive one.
# Here the sign is that of the correlation with the pulse in training trials, and each trial is scaled to its largest
# value.

# %%
pulses, train = data.test.true_inputs[:, :, 0], posteriors["train"].inputs[:, :, 0]
inferred = post.inputs[:, :, 0] * np.sign(np.sum(train * data.train.true_inputs[:, :, 0]))
panels = {
    f"Test trial {post.trial_id[k]}": {
        "inferred input": inferred[k] / np.abs(inferred[k]).max(),
        "true pulse": pulses[k] / np.abs(pulses[k]).max(),
    }
    for k in np.linspace(0, post.n_trials - 1, 4).astype(int)
}
lfadsx.plotting.curves_figure(panels, x=post.times, x_label="Time (s)", y_label="Share of the largest")

# %% [markdown]
# The inferred input should peak where the true pulse is. The next lines measure that in all test trials, beside a guess
# in the middle of the trial.

# %%
true_bin, inferred_bin = np.abs(pulses).argmax(1), np.abs(inferred).argmax(1)
error_ms = 1000 * data.bin_width * np.abs(inferred_bin - true_bin)
guess_ms = 1000 * data.bin_width * np.abs(data.train.n_bins // 2 - true_bin)
print(f"distance of peak and pulse, median of {len(error_ms)} test trials: {np.median(error_ms):.0f} ms")
print(f"within 20 ms: {np.mean(error_ms <= 20):.0%} of trials; a guess in the middle: {np.mean(guess_ms <= 20):.0%}")

# %% [markdown]
# ## What it means
#
# * Rates of single trials, also of neurons that were not seen, follow the truth: spikes of many neurons together say
#   where the population is.
# * What is not predictable from the start of the trial shows as an input. In real data an input may be a sensory event,
#   a change of mind, or anything else that the generator does not know.
#
# ## What can go wrong
#
# * **The rates copy the spikes.** The reconstruction score is high, `co_bps` is low. Keep coordinated dropout on
#   (`cd_rate`, on by default), hold neurons out, and judge by them.
# * **The inputs do all the work.** With strong inputs the generator need not learn dynamics. Raise `kl_co_scale` or use
#   fewer inputs.
# * **The initial condition is ignored.** The KL of the initial condition is 0. Lengthen `kl_ramp_epochs`.
#
# ## What next
#
# * [From a recording to figures](recording_to_figures.ipynb): spike times instead of simulated counts.
# * [Choosing sizes and testing honestly](choosing_sizes.ipynb).
# * [LFADS in one page](lfads_in_one_page.ipynb): every equation of the model.
