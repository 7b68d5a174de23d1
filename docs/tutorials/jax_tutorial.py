# %% [markdown]
# # The LFADS tutorial in JAX
#
# **What you will see.** Both notebooks of the LFADS tutorial of *computation through dynamics* (Sussillo 2019), figure
# by figure: a recurrent network is trained to integrate a noisy input, its units become spikes, and LFADS infers rates
# and inputs from single trials.
#
# The code of simulation, training and figures is that of `examples/jax_tutorial.py`, which runs the same from the shell
# and for longer. Here training is shortened to stay within ten minutes.

# %%
# %matplotlib inline
import os
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from sklearn.decomposition import PCA

import lfadsx
from lfadsx.evaluation import metrics

sys.path.insert(0, "../../examples")
import jax_tutorial as tutorial
from example_tools.embedding import embedding_figure
from example_tools.histograms import histograms_figure
from example_tools.quick_settings import sized

QUICK = os.environ.get("LFADSX_QUICK") == "1"  # tiny sizes and few epochs, to see that the page runs
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# # Notebook 1: the integrator network
#
# The network has 100 tanh units, one input and one output. The output is to be the running sum of the input, 25 steps
# long. It is trained with Adam on fresh trials.

# %%
network_file = folder / "network.npz"
tutorial.train_integrator(200 if QUICK else 5000, network_file)

# %%
changes = tutorial.QUICK_DATA if QUICK else {"trials": 10_240}
(file,) = lfadsx.datasets.simulate("integrator_rnn", folder, network_file=str(network_file), **changes)
data = lfadsx.read(file)
with h5py.File(file) as simulated:  # what the network did in the evaluation trials
    network = {name: simulated[f"valid_{name}"][:] for name in ("hiddens", "outputs", "targets", "h0s")}
figures = tutorial.integrator_figures(data.valid, network, data.bin_width)
figures["01_task"]

# %% [markdown]
# The trained weights: an eigenvalue near 1 is the direction along which the sum is kept.

# %%
tutorial.network_weights(lfadsx.datasets.IntegratorRNN(network_file=str(network_file)).network())

# %%
figures["04_batch"]

# %%
figures["05_hidden_units"]

# %% [markdown]
# # Notebook 2: LFADS
#
# ## The data
#
# The activity of each hidden unit is shifted and scaled to a firing rate, from which spikes are drawn. LFADS sees the
# spikes of all 100 units.

# %%
data

# %%
figures = tutorial.data_figures(data, data.valid, network)
figures["08_example_trial"]

# %% [markdown]
# Two dimensions hold most of the network's activity:

# %%
figures["07_pca_of_hidden_units"]

# %%
figures["09_statistics"]

# %% [markdown]
# Simple ways to a rate: filter the spikes of one neuron over time, or keep two principal components of all neurons.

# %%
figures["11_temporal_filter"]

# %%
figures["13_pca_smoothing"]

# %% [markdown]
# ## Training
#
# The KL terms have weight 1, the evidence bound, after a ramp. One encoder serves initial condition and controller. The
# input of a bin shows in its spikes already, so the controller has no lag.

# %%
config, train = sized(tutorial.MODEL, tutorial.TRAIN, QUICK, epochs=2 if QUICK else 20)
run = lfadsx.fit(lfadsx.build(data, config), data, hyper=tutorial.HYPER, config=train, progress=False)
tutorial.ramp_and_rate(run.history)

# %%
tutorial.losses(run.history, ramped=False)

# %% [markdown]
# ## One trial
#
# Everything that the model computes for an evaluation trial. Its inferred input is compared with the true one after a
# linear regression that was fitted on training trials, since a latent input has no unit and no sign.

# %%
samples = {"train": 4, "valid": 8 if QUICK else 32}
posteriors = {name: lfadsx.infer(run.model, data, name, n_samples=n) for name, n in samples.items()}
post = posteriors["valid"]
tutorial.trial_states(post, data.valid.truth[tutorial.TRIAL])

# %%
inputs = metrics.align(post.inputs, fit_on=(posteriors["train"].inputs, data.train.true_inputs))
tutorial.one_trial(post, inputs[tutorial.TRIAL], data.valid)

# %%
pca = PCA(2).fit(data.train.encoder_input.reshape(-1, 100))
estimates = {"PCA": tutorial.pca_smoothed(pca, data.valid.encoder_input), "LFADS": post.rates["spikes"]}
tutorial.four_estimates(data.valid, estimates, post.times)

# %% [markdown]
# ## All evaluation trials
#
# R2 is the squared correlation over time of each neuron in each trial. The floors say what knowing nothing about the
# trial attains.

# %%
r2 = {name: metrics.r2_of_trials(values, data.valid.truth) for name, values in estimates.items()}
title = "R2 of a neuron in a trial"
histograms_figure(r2, title, "Rates", floors=tutorial.floors(data.valid.truth), limits=(0, 1))

# %%
r2_inputs = metrics.r2_of_trials(inputs, data.valid.true_inputs)
floors = tutorial.floors(data.valid.true_inputs)
histograms_figure({"LFADS": r2_inputs}, "R2 of a trial", "Inputs", floors=floors, limits=(0, 1))

# %%
print({f"R2 of rates, {name}": round(float(np.nanmean(values)), 3) for name, values in r2.items()})
print(f"R2 of inputs: {np.nanmean(r2_inputs):.3f}")

# %% [markdown]
# The network's start state and the inferred initial condition, coloured by the first output: trials that start alike
# are near each other in both.

# %%
states = {"Initial state of the network": network["h0s"], "Inferred initial condition": post.ic_mean}
embedding_figure(states, network["outputs"][:, 0, 0], "First output of the network")

# %% [markdown]
# ## What it means, and what can go wrong
#
# * LFADS uses all neurons and the dynamics, so its rates are far better than those of filters. The input is found too,
#   though it never was in the data.
# * Inputs in every bin and the generator can explain the same spikes. If the KL of the inputs has full weight from the
#   start, the model never begins to use them; the ramp prevents that.
#
# ## What next
#
# The whole run: `python examples/jax_tutorial.py`. [LFADS in one page](lfads_in_one_page.ipynb) has the equations.
