# %% [markdown]
# # Choosing sizes and testing honestly
#
# **What you will see.** How to choose the number of factors and of inferred inputs, how to report a score that is not
# flattering, and how to say whether one model is better than another.
#
# Three questions, three functions, three kinds of trials:
#
# | question | function | trials |
# |---|---|---|
# | How large should the model be? | `lfadsx.sweep` | validation |
# | How good is it on trials that it has never seen? | `lfadsx.cross_validate` | all, by models that did not see them |
# | Is one model better than another? | `lfadsx.compare` | test |

# %%
# %matplotlib inline
import os

import lfadsx

QUICK = os.environ.get("LFADSX_QUICK") == "1"  # tiny sizes and few epochs, to see that the page runs

data = lfadsx.datasets.integrator(trials=60 if QUICK else 500, valid_fraction=0.2, test_fraction=0.2)
data

# %% [markdown]
# ## Choosing
#
# A sweep trains all combinations, here of factors and of inferred inputs, with two seeds each. The models of one size
# are compiled once. They are compared on entries of the validation trials that were hidden from the encoder.
#
# The best score of many models is partly luck. So the sweep chooses the model with the **fewest parameters** among
# those within one standard error of the best. That is the error of the *difference* to the best model.

# %%
small = dict(generator_dim=32, ic_dim=8, ic_encoder_dim=24, input_encoder_dim=24, controller_dim=24)
small = dict.fromkeys(small, 6) if QUICK else small
# The input of a bin changes the spikes of that bin already, and it is noise without memory.
small |= dict(controller_lag=0, input_prior_tau=0.5)
epochs, rate = 4 if QUICK else 60, 1e-2
swept = lfadsx.sweep(
    data,
    sizes={"factors": (2, 4) if QUICK else (1, 2, 4, 8, 16), "inferred_inputs": (0, 1)},
    seeds=2,
    epochs=epochs,
    learning_rate=rate,
    progress=False,
    figures=False,
    **small,
)
columns = ["factors", "inferred_inputs", "n_parameters", "masked_bps", "difference", "is_chosen"]
print(lfadsx.evaluation.format_table([{name: row[name] for name in columns} for row in swept.rows]))

# %%
lfadsx.plotting.sweep_figure(swept.rows, ["factors", "inferred_inputs"])

# %% [markdown]
# A bar is one standard error of the difference to the best model. A model whose bar reaches the dashed line counts as
# good as the best. Look for the size from which the line is flat: more factors cost time and readability.
#
# The network behind these spikes sums an input that changes in every bin. A model without inferred inputs cannot know
# it, and the figure says how much that costs. One factor is too few; from two on there is little to gain.
#
# The rule knows errors, not what a difference is worth. Here it prefers the largest model for some thousandths of a bit
# per spike. If you want to read the factors, take a small size of the plateau, as we do from here on: 4.
#
# ## Testing
#
# The winner's validation score is too good: it was chosen by it. Test trials that took no part say what is left.

# %%
swept.evaluation

# %% [markdown]
# With few trials a small test split says little. Cross-validation tests **every** trial, each by a model that was
# trained without it, beside baselines fitted in the same folds.

# %%
tested = lfadsx.cross_validate(
    data,
    folds=2 if QUICK else 4,
    factors=4,
    inferred_inputs=1,
    epochs=epochs,
    learning_rate=rate,
    progress=False,
    figures=False,
    **small,
)
tested.evaluation

# %% [markdown]
# The last lines say whether the model beats the best baseline, with a 95 % interval of the difference over trials.
#
# ## Comparing
#
# To compare two models, score both on the same trials and look at the paired difference: what makes some trials hard
# for all models cancels. Here the question is what the inferred input is worth.

# %%
settings = dict(epochs=epochs, learning_rate=rate, progress=False)
without = lfadsx.fit(lfadsx.autonomous(data, factors=4, **small), data, **settings)
with_input = lfadsx.fit(lfadsx.inferred_input(data, factors=4, inferred_inputs=1, **small), data, **settings)
lfadsx.compare(without, with_input, data=data, names=["no input", "one input"])

# %% [markdown]
# A star marks an interval that excludes 0. Such an interval says what other *trials* would change. Another *seed* may
# change as much, so compare several seeds before you conclude.
#
# ## What can go wrong
#
# * **Choosing on test trials.** Every look at the test score is a choice. Sweep on validation trials, test once.
# * **Judging by reconstruction.** A model that copies spikes reconstructs well. Use `masked_bps` and `co_bps`.
# * **Trials that are not independent.** Windows that overlap, or trials of one block, leak from train into test.
#   `split_by="time"` keeps blocks together.
# * **Mixing folds.** Averages over conditions of cross-validated rates mix models that have seen the other trials. The
#   table compares PSTHs within folds for that reason.
#
# ## What next
#
# The guide on choosing has all options, also for the command line. With a GPU, a population searches
# hyperparameters while it trains.
