# %% [markdown]
# # Decoding and PSTHs of a monkey's reaches
#
# **What you will see.** A small recording of motor cortex: hand velocity decoded from inferred rates, PSTHs of data and
# model side by side, and what a model of 137 training trials can and cannot be trusted with.
#
# **The data.** A monkey reaches to seven targets; 24 channels of threshold crossings in M1 and PMd, 212 trials of 700
# ms from the go cue, in bins of 20 ms, with hand velocity. Day 31 of the sessions of Pandarinath et al. 2018, in the
# form in which github.com/MiklosKralik/minLFADS shares it. The data do not come with lfadsx. This page reads the file
# below.

# %%
# %matplotlib inline
import os

import lfadsx

QUICK = os.environ.get("LFADSX_QUICK") == "1"  # few epochs, to see that the page runs

data = lfadsx.read("../../../shared/data/macaque_reach_day31/heldout6.h5")
data

# %% [markdown]
# Six channels are held out: the encoder does not see them. With as few as 24 channels that is a real loss of
# information, and the price of a fair test.
#
# ## Training
#
# Sizes and settings are the defaults, which were chosen on recordings.

# %%
tiny = dict(factors=6, generator_dim=6, ic_dim=6, ic_encoder_dim=6, input_encoder_dim=6, controller_dim=6)
model = lfadsx.inferred_input(data, **(tiny if QUICK else {}))
run = lfadsx.fit(model, data, epochs=4 if QUICK else 120, progress=False)
posteriors = {name: lfadsx.infer(run.model, data, name) for name in ("train", "test")}
post = posteriors["test"]
lfadsx.plotting.loss_figure(run.history)

# %% [markdown]
# ## PSTHs
#
# Averages over the test trials of each target, smoothed alike. Left the data, right the model. Some of the channels are
# held out: the model predicts their averages from the other channels.

# %%
lfadsx.plotting.psths(post, data)

# %% [markdown]
# A PSTH of six test trials is noisy, so a model with the true PSTH would not get R2 = 1. The ceiling is estimated from
# halves of the data.

# %%
score = lfadsx.evaluate(run.model, data, posteriors=posteriors)
score

# %%
print(f"PSTH R2: model {score.scores['psth_r2']:.2f}, ceiling {score.detail['psth']['ceiling']:.2f}")

# %% [markdown]
# ## Decoding hand velocity
#
# A linear map from rates to velocity is fitted on training trials. Rates lead velocity by a lag, since neurons fire
# before the hand moves. Then the map is applied to the test trials.

# %%
lfadsx.plotting.behaviour(post, data, decoded=score.decoded)

# %%
rows = [{name: row[name] for name in ("model", "velocity_r2")} for row in score.table]
print(lfadsx.evaluation.format_table(rows))
print(f"lag {1000 * data.behaviour_lag:.0f} ms")

# %% [markdown]
# `smoothed spikes` is the number to beat: the same map from spikes that are smoothed with a Gaussian. In this task hand
# velocity is nearly the same in all trials of a target, so a decoder that only knows the target does well too. Decoding
# alone does not prove single-trial dynamics.
#
# ## Neuron by neuron
#
# The mean of a score can hide that a few channels carry it.

# %%
lfadsx.plotting.gain_per_neuron(post, data, score.detail)

# %%
lfadsx.plotting.factors(post, data)

# %% [markdown]
# ## What it means
#
# * The verdict in the table compares the model with the best simple method, with an interval over trials. With 42 test
#   trials such intervals are wide. `lfadsx.cross_validate` tests all 212.
# * 18 channels of multi-unit activity say little about a single trial. Look at the PSTHs: where the model's averages
#   of the targets lie closer together than those of the data, the model is unsure and stays near the time course
#   that they share.
# * A decoder from smoothed spikes sees the same channels. Where it does as well, the velocity needs no dynamics.
# * Averaging the rates of several seeds is the surest gain with few trials, see `lfadsx.population`.
#
# ## What can go wrong
#
# * **A decoder fitted on the trials that it is scored on.** `evaluate` fits on training trials only.
# * **A wrong lag.** Try some lags on validation trials; the data set's `behaviour_lag` is used everywhere.
# * **Rates that encode the target only.** Compare with the row `condition average`.
#
# ## What next
#
# * [Choosing sizes and testing honestly](choosing_sizes.ipynb).
# * [Stitching sessions](stitching.ipynb): this is one of 44 sessions that Pandarinath et al. stitched into one model.
