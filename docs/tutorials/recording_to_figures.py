# %% [markdown]
# # From a recording to figures
#
# **What you will see.** Two recordings become data sets, models and figures: first an NWB file with trials, then spike
# times of a rat on a track, where you have to find the trials yourself, and where there is little for LFADS to find.
#
# **You need** `pip install "lfadsx[plot,nwb]"`. The NWB file is simulated by a script of the project. The rat's spike
# times come with it.

# %%
# %matplotlib inline
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

import lfadsx

sys.path.insert(0, "../../examples")  # for the script that writes the NWB file
from example_tools.nwb_recording import write_session

QUICK = os.environ.get("LFADSX_QUICK") == "1"  # tiny sizes and few epochs, to see that the page runs

# %% [markdown]
# ## An NWB file
#
# The file holds units with their areas, a table of trials with times of events, and hand velocity. The task is
# reaching to one of eight targets. Reaction time and speed vary from trial to trial.

# %%
folder = Path(tempfile.mkdtemp())
write_session(folder / "day1.nwb", trials=40 if QUICK else 240)

# %% [markdown]
# One call reads it and cuts windows: from 0.1 s before to 0.7 s after the go cue, in bins of 10 ms. Ten units are
# hidden from the encoder, to test the model on them. Conditions shape splits and averages; the model never sees them.
# Hand velocity is decoded from the rates later. It is not trained on.

# %%
data = lfadsx.from_nwb(
    folder / "day1.nwb",
    align="go_cue",
    window=(-0.1, 0.7),
    bin_width=0.02 if QUICK else 0.01,
    condition="direction",
    behaviour="hand_vel",
    held_out=10,
)
data

# %% [markdown]
# Read this text: it says how many trials were dropped and why, and which units look odd. On the command line the same
# is `lfadsx prepare day1.nwb --out day1.h5 --align go_cue --window -0.1 0.7 --condition direction`.
#
# ## A model of it

# %%
tiny = dict(generator_dim=8, ic_dim=4, ic_encoder_dim=6, input_encoder_dim=6, controller_dim=6)
sizes = tiny if QUICK else dict(generator_dim=64, ic_dim=32, ic_encoder_dim=48, input_encoder_dim=48, controller_dim=48)
model = lfadsx.inferred_input(data, factors=4 if QUICK else 10, inferred_inputs=1, **sizes)
run = lfadsx.fit(model, data, epochs=4 if QUICK else 150, progress=False)
post = lfadsx.infer(run.model, data)
lfadsx.plotting.rates(post, data)

# %% [markdown]
# Averages over trials of a direction, the data beside the model with the same smoothing. They should agree. They are a
# check, not the result: what LFADS adds is in single trials.

# %%
lfadsx.plotting.psths(post, data)

# %%
lfadsx.plotting.factors(post, data)

# %% [markdown]
# The factors rotate, each direction at its own phase: the simulation is a rotation in a plane. Thin lines are single
# trials, bold ones averages.

# %%
posteriors = {name: lfadsx.infer(run.model, data, name) for name in ("train", post.split)}
score = lfadsx.evaluate(run.model, data, posteriors=posteriors)
score

# %% [markdown]
# `co_bps` is about the ten units that the encoder did not see, `velocity_r2` about hand velocity decoded from the rates
# by linear regression. The last lines compare with the best simple method.
#
# ## Spike times without trials: a rat on a track
#
# A rat runs back and forth on a linear track; 31 units were recorded in hippocampal area CA1 (nelpy example data, MIT
# licence, see `examples/data`). There is no table of trials, but LFADS needs some. The natural ones are runs.
#
# The position is two coordinates of a camera. Along the track it is one number: 0 at one end, 1 at the other.

# %%
track = np.load("../../examples/data/linear_track.npz")
time, xy = track["pos_t"], np.stack([track["pos_x"], track["pos_y"]], axis=1).astype(float)
on_track = (time > 4440) & (time < 5340)  # seconds; before and after, the rat is carried or rests
ends = np.percentile(xy[on_track], [3, 97], axis=0)
along = (xy - ends[0]) @ (ends[1] - ends[0]) / np.sum((ends[1] - ends[0]) ** 2)
lfadsx.plotting.curves_figure(
    {"Position along the track": {"position": along[on_track][::20]}},
    x=time[on_track][::20] - time[on_track][0],
    x_label="Time (s)",
    y_label="0: one end, 1: the other",
)

# %% [markdown]
# A run leaves one end and arrives at the other within six seconds. Slower crossings are left out: the rat paused. The
# event is the crossing of the middle, so that place and time go together in all runs of a direction.


# %%
def runs_of(time, along, low=0.15, high=0.85, longest=6.0):
    """Returns times of the middle crossing and directions of all runs."""
    side = np.where(along < low, 0, np.where(along > high, 1, -1))
    at_end = np.flatnonzero(side >= 0)
    middle, direction = [], []
    for leave, arrive in zip(at_end[:-1], at_end[1:], strict=True):
        if side[leave] != side[arrive] and time[arrive] - time[leave] < longest:
            middle.append(time[leave + np.abs(along[leave:arrive] - 0.5).argmin()])
            direction.append("out" if side[arrive] else "back")
    return np.array(middle), np.array(direction)


middle, direction = runs_of(time[on_track], along[on_track])
units = [track["spike_times"][track["unit"] == unit] for unit in range(31)]
in_runs = [np.mean([np.sum(np.abs(spikes - t) < 1) / 2 for t in middle]) for spikes in units]
print(f"{len(middle)} runs, {np.sum(direction == 'out')} of them out")
print(f"units above 0.5 Hz during runs: {np.sum(np.array(in_runs) > 0.5)} of {len(units)}")
print(f"median rate of all units: {np.median(in_runs):.2f} Hz")

# %% [markdown]
# This is little. Think before you fit:
#
# * **Spikes.** Most units are nearly silent during runs. A unit below 0.5 Hz has at most one spike in a run of two
#   seconds. Such units are left out.
# * **Bin width.** With so few spikes short bins hold zeros only. A place field is crossed in about half a second, so
#   bins of 50 ms resolve it. They do *not* resolve the theta rhythm (8 Hz, 125 ms), so phase precession and theta
#   sequences cannot be found in them.
# * **Trials.** Some forty runs are far below the hundred that LFADS wants. So the model is small, has no inferred
#   inputs, and every run is tested by a model that did not see it.

# %%
rat = lfadsx.from_spike_times(
    units,
    {"middle": middle, "direction": direction},
    align="middle",
    window=(-1.0, 1.0),
    bin_width=0.05,
    condition="direction",
    min_rate=0.5,
    signals={"position": (time, along[:, None])},
    behaviour="position",
)
rat

# %%
small = dict(factors=3, generator_dim=16, ic_dim=8, ic_encoder_dim=16)
tested = lfadsx.cross_validate(
    rat,
    folds=2 if QUICK else 5,
    variant="autonomous",
    epochs=4 if QUICK else 200,
    batch_size=16,
    progress=False,
    figures=False,
    **small,
)
tested.evaluation

# %% [markdown]
# Compare the model's `masked_bps` with the row `condition average`: the average of the other runs in the same
# direction, which for place cells is the place field. **The honest question is whether LFADS adds anything to the place
# fields**, and the last lines answer it:
#
# * An interval above 0: the model knows more about a run than its place and direction.
# * An interval that contains 0: nothing is shown.
# * An interval below 0: the place fields predict better. With so few runs and spikes that is no surprise. The model has
#   to learn from some twenty runs what the average of them gives at once. Then use the average.
#
# The figures below are from one model that was trained on most of the runs. Left are the data: units fire one after the
# other along the track. Right is the model: compare how narrow its fields are. A model of few factors that has seen few
# runs draws them wider.

# %%
run = lfadsx.fit(lfadsx.autonomous(rat, **small), rat, epochs=4 if QUICK else 200, batch_size=16, progress=False)
everything = lfadsx.infer(run.model, rat, "all")
lfadsx.plotting.all_neurons(everything, rat)

# %%
lfadsx.plotting.factors(everything, rat)

# %% [markdown]
# ## What LFADS can and cannot find here
#
# | can | cannot |
# |---|---|
# | a low-dimensional path that tells the directions apart | units that hardly fire |
# | the smooth time course of the most active units | place fields as sharp as averages show them, from few runs |
# | | theta sequences, with bins of 50 ms |
# | | replay at rest: other times, other time scale, no trials |
# | | differences between single runs, with few spikes in each |
#
# The first recording shows the other case: many trials, more spikes, and reaction times that differ from trial to
# trial. There the table sets the model above every average.
#
# ## What can go wrong with recordings
#
# * **The clock.** Spikes, events and behaviour must count from the same time in the same unit. Odd rates in the printed
#   text are often a wrong clock.
# * **Windows without recording.** A trial whose window reaches over a gap is dropped, never filled with zeros. Give
#   `observed` if the recording paused.
# * **Drift.** Random splits hide it. `split_by="time"` tests on the last block.
#
# ## What next
#
# * [Decoding and PSTHs](decoding.ipynb): a monkey's reaches.
# * [Choosing sizes and testing honestly](choosing_sizes.ipynb).
