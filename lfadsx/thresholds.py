"""Thresholds of the findings about training, models and scores, in one place.

`benchmarks/diagnostics.py` sets and judges them on healthy and broken models.
"""

from __future__ import annotations

LEAST_KL_IC = 0.1
"""Nats per trial below which an initial condition, or a bias, counts as collapsed."""
LEAST_KL_INPUTS = 0.01
"""Nats per bin below which inferred inputs count as collapsed."""
LEAST_SHARE_OF_KL = 1e-3
"""A dimension of the initial condition or the bias, or an input, with a smaller share of their KL counts as unused."""

COPYING = 2.0
"""Reconstruction above this multiple of the score of hidden entries counts as copying."""
LEAST_RECONSTRUCTION = 0.02
"""Reconstruction below this (bits per spike, or R2) never counts as copying."""
MOST_PASSED_THROUGH = 0.1
"""Share of each count that its own rate may follow, in models with inferred inputs."""

LEAST_SPREAD = 1e-2
"""A generator unit whose standard deviation over trials and bins is below this share of the largest one is dead."""
AT_END = 0.1
"""A unit within this share of its range from an end of it is at its end."""
MOST_BINS_AT_END = 0.6
"""A generator unit with a larger share of its bins at the ends of its range is saturated."""
MOST_ODD_UNITS = 0.25
"""Share of the generator's units that may be dead, or saturated."""

LEAST_LOG_RATE_SPREAD = 0.02
"""Standard deviation of log rates over trials and bins, mean over neurons, below which rates count as flat."""
VARIANCE_IN_USE = 0.99
"""Share of the variance of log rates that the factors in use must explain."""
LEAST_FACTORS_IN_USE = 0.25
"""Share of the factors that must be in use."""

MOST_DISPERSION = 1.6
"""Variance of counts around rates, as a multiple of Poisson's, above which counts are overdispersed."""
LEAST_DISPERSION = 0.8
"""The same, below which counts are underdispersed."""
LEAST_SLOPE = 0.7
"""Slope of counts on the rates that predict them, below which rates vary more than they should."""

MOST_INFORMATION_LEFT = 0.1
"""Share of the information in unseen entries, in bits, that rates may leave to a regression from smoothed spikes."""

MOST_RISE = 0.2
"""Rise of the training reconstruction above the first epoch, as a share of its fall, above which steps are too long."""
MOST_RISE_OF_NOISE = 10.0
"""The same, as a multiple of the median change from epoch to epoch."""
FEWEST_EPOCHS = 4
"""Epochs that a look at the rise needs."""
MOST_CLIPPED = 2.0
"""Median length of the gradient as a multiple of the length that clipping leaves."""

LEAST_SHOWN = 0.9
"""Share of the variance of a generator's states that the factors of this and later bins must show."""
MOST_LEAKAGE = 0.5
"""R2 of inferred inputs predicted from the state before them."""
MOST_ALONE = 0.9
"""R2 of roll-outs without inputs, above which inferred inputs do too little to matter."""
LEAST_HELD = 0.3
"""R2 of factors that stand still, below which the autonomy gap says nothing."""
MOST_AUTONOMY_GAP = 0.25
"""How much worse than standing still a generator without inputs may predict."""
