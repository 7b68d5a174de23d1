# %% [markdown]
# # Dynamics that you can trust
#
# **What you will see.** How to take a trained generator apart: where it stands still, how fast it grows, decays and
# turns, and how to find out whether that is true. The spikes come from the Lorenz system, whose fixed points are known:
# a saddle in each wing, around which the state turns outwards, and the origin between them.

# %%
# %matplotlib inline
import os
import tempfile

import numpy as np

import lfadsx

QUICK = os.environ.get("LFADSX_QUICK") == "1"  # tiny sizes and few epochs, to see that the page runs

[file] = lfadsx.datasets.simulate("lorenz", tempfile.mkdtemp(), conditions=5 if QUICK else 65)
data = lfadsx.read(file)
data

# %%
sizes = dict(factors=3, generator_dim=8, ic_dim=4, ic_encoder_dim=8) if QUICK else dict(factors=3)
model = lfadsx.autonomous(data, seed=0, **sizes)
run = lfadsx.fit(model, data, epochs=4 if QUICK else 100, progress=False)
run

# %% [markdown]
# ## Is it good enough to look at?
#
# Dynamics of a model that does not predict mean nothing. Scores come first, and with them the checks of the dynamics.

# %%
score = lfadsx.evaluate(run.model, data)
score

# %% [markdown]
# ## The generator as a map
#
# `step_map` is one step of the generator as a function of arrays. `visit` returns the states that it passes in the
# trials. All else follows from these two.

# %%
system = lfadsx.dynamics.step_map(run.model, data)
seen = lfadsx.dynamics.visit(run.model, data, system)
system, seen

# %% [markdown]
# ## Fixed points
#
# Where does the generator stand still? The search starts at visited states with noise.

# %%
found = lfadsx.dynamics.fixed_points(system, seen, n_starts=32 if QUICK else 512, adam_steps=100 if QUICK else 1000)
for row in found.rows()[:6]:
    slowest, turns = row["time_constants_s"][0], row["frequencies_hz"][0]
    print(f"{row['kind']:10} {row['n_growing']} growing modes, slowest {1e3 * slowest:.0f} ms, turns at {turns:.1f} Hz")

# %% [markdown]
# A negative time constant is growth: the deviation is e times as large after that time. Compare with the truth: at the
# wings the Lorenz system has one pair of growing modes.

# %%
alone = lfadsx.dynamics.autonomy(system, seen)
lfadsx.plotting.dynamics_figure(system, seen, found, alone, "Lorenz")

# %% [markdown]
# Above, from the left: fixed points among the trajectories; eigenvalues (outside of the circle a mode grows); time
# constants and frequencies of the modes; how much of the factors the generator predicts by itself from any bin on.
# Below: the flow in the plane of the trajectories; how fast the state moves on the way from one point to another;
# single trials beside roll-outs; and who moves the factors in each bin. This model has no inputs.
#
# ## A push
#
# Any experiment is a roll-out with other starts or inputs. Here every trial is pushed along the slowest mode of the
# first point. If that mode grows, the trials separate.

# %%
if len(found):
    push = 0.05 * seen.scale * np.real(found.modes.right[0, :, 0])
    later = seen.inputs[:, 10:]
    pushed = lfadsx.dynamics.roll_out(system, seen.states[:, 9] + push, later)
    away = np.asarray(system.observed(pushed)) - np.asarray(system.observed(seen.states[:, 10:]))
    print(np.sqrt((away**2).mean((0, 2)))[::10].round(3))  # distance of the factors, every tenth bin

# %% [markdown]
# ## Can it be trusted?
#
# Models with the same scores may differ in their dynamics. Three checks need no truth: do rates leave out what smoothed
# spikes tell (a finding of `evaluate`), do the states vary where no factor shows it, and do inputs do what the dynamics
# should?

# %%
checked = lfadsx.dynamics.trust(system, seen)
checked, checked.findings

# %% [markdown]
# `shown` is the share of the states' variance that the factors of this or later bins show. With inferred inputs there
# is also `leakage`, how well the state predicts the inputs, and `alone` beside `held`: what the generator predicts
# 10 bins after its inputs stop, and what standing still would.
#
# ## What can go wrong
#
# * **Points far from all trials.** `found.distance` is the distance to the nearest visited state, in units of
#   their spread. Far points are what the network happens to do where it was never trained.
# * **Averages.** The states of a posterior are averages over samples, which the generator never visits. `visit` runs
#   it.
# * **Inputs that do the work.** Fixed points without inputs say little about a generator that its inputs move in
#   every bin. Look at the last panel first.
# * **One seed.** Train three. What all of them have, believe; what one has, do not.
#
# ## What next
#
# `lfadsx dynamics RUN` writes all of this into a run folder and its report page. `lfadsx sweep --choose-by dynamics`
# chooses the simplest model whose dynamics pass the checks.
