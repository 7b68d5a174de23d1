# %% [markdown]
# # Stitching sessions
#
# **What you will see.** Three sessions record different neurons of the same network. One model is trained on all of
# them. If the stitching works, a condition has the same factors in whichever session it was recorded.
#
# Each session has a read-in and a read-out of its own; encoders, generator and factors are shared. In an experiment
# these are days with other electrodes or other neurons on the same electrodes.

# %%
# %matplotlib inline
import os
import tempfile
from itertools import combinations

import numpy as np

import lfadsx
from lfadsx.evaluation import format_table, metrics

QUICK = os.environ.get("LFADSX_QUICK") == "1"  # tiny sizes and few epochs, to see that the page runs

# %% [markdown]
# ## The data
#
# One chaotic network of 60 units; each session records 20 of them, none twice. Sessions share conditions: the network
# starts a condition at the same state in all sessions. A fifth of the conditions are kept apart as a test.

# %%
sizes = dict(units=30, recorded=10, components=5) if QUICK else dict(units=60, recorded=20, components=10)
files = lfadsx.datasets.simulate(
    "chaotic_rnn_multisession",
    tempfile.mkdtemp(),
    conditions=5 if QUICK else 60,
    trials_per_condition=10,
    duration=0.2 if QUICK else 0.5,
    max_rate=60.0,
    input_magnitude=0.0,
    split="conditions",
    **sizes,
)
files = [file.rename(file.with_name(f"day{number}.h5")) for number, file in enumerate(files, 1)]
data = lfadsx.read(*files)  # sessions are named by their files
data

# %% [markdown]
# ## Alignment
#
# The read-ins must not start at random, or each session would find its own coordinates. Principal components of the
# condition averages of all sessions together are a common start: each session's neurons are regressed onto them.
# (Simulated files hold this alignment. For your own files, `lfadsx.align(data, components=10)` or `--align-sessions 10`
# computes it. It needs conditions that the sessions share.)
#
# The figure shows how well each session alone gives the shared components. A session that departs from the others has
# too few neurons or other conditions.

# %%
lfadsx.plotting.alignment_figure(data)

# %% [markdown]
# ## One model of all sessions

# %%
tiny = dict(factors=6, generator_dim=8, ic_dim=4, ic_encoder_dim=6)
small = tiny if QUICK else dict(factors=20, generator_dim=64, ic_dim=32, ic_encoder_dim=48)
model = lfadsx.autonomous(data, **small)
# Many trials: the evidence bound (KL weight 1) without dropout. The KL comes in slowly.
settings = dict(kl_ic_scale=1.0, dropout_rate=0.0, cd_rate=0.0, learning_rate=1e-2, l2_ramp_epochs=0, progress=False)
epochs = 4 if QUICK else 40
settings |= dict(epochs=epochs, kl_ramp_epochs=3 * epochs // 4)
run = lfadsx.fit(model, data, **settings)
post = lfadsx.infer(run.model, data)
lfadsx.plotting.loss_figure(run.history)

# %% [markdown]
# ## Do the sessions agree?
#
# Averages of factors over the trials of a condition, one line for each session. Nothing is rotated or refitted. Each
# line comes from other neurons.

# %%
averages = {}
for number, session in enumerate(data.sessions):
    own = post.session == number
    conditions, averages[session.name] = metrics.psth(post.factors[own], post.condition[own])
panels = {
    f"Factor {f + 1}, condition {conditions[c]}": {name: values[c, :, f] for name, values in averages.items()}
    for f in range(2)
    for c in range(min(4, len(conditions)))
}
lfadsx.plotting.curves_figure(panels, x=post.times, x_label="Time (s)", y_label="Factor (a.u.)")

# %% [markdown]
# One number for it: how much of the variance of one session's averages another session's averages explain. For
# comparison the same with the conditions exchanged, which is what a common time course alone attains.

# %%
pairs = list(combinations(averages.values(), 2))
agreement = np.mean([metrics.r2_pooled(one, other) for one, other in pairs])
exchanged = np.mean([metrics.r2_pooled(np.roll(one, 1, axis=0), other) for one, other in pairs])
print(f"agreement of factors between sessions, R2: {agreement:.2f}; conditions exchanged: {exchanged:.2f}")

# %% [markdown]
# ## Is one model better than one for each session?
#
# The stitched model has seen three times as many trials, but each neuron only in a third of them. Both are scored on
# the same test trials against the true rates.

# %%
rows = []
for number, (file, session) in enumerate(zip(files, data.sessions, strict=True)):
    own, n = post.session == number, session.n_targets["spikes"]
    truth = data.test.truth[own][:, :, :n]
    alone = lfadsx.read(file)
    single = lfadsx.fit(lfadsx.autonomous(alone, readin="linear", **small), alone, **settings)
    rates = lfadsx.infer(single.model, alone).rates["spikes"]
    stitched = metrics.r2_pooled(post.rates["spikes"][own][:, :, :n], truth)
    rows.append({"session": session.name, "stitched": stitched, "alone": metrics.r2_pooled(rates, alone.test.truth)})
print(format_table(rows))

# %% [markdown]
# ## What can go wrong
#
# * **Sessions that do not share dynamics.** Another task or another area is not stitched by force. The alignment
#   figure shows it first.
# * **Conditions with other names.** The alignment pairs conditions by label. Check that a label means the
#   same on all days.
# * **One long session.** Sessions with more trials count more in the loss.
#
# ## What next
#
# `lfadsx fit day9.h5 --start-from RUN --new-sessions-only` adds a session to a trained model and trains only its
# read-in and read-out. `examples/chaotic_rnn_multisession.py` has five sessions of the same network, with pulses.
