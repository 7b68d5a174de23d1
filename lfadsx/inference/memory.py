"""How many trials and samples are done at once within the memory of a device."""

from __future__ import annotations

import jax
import numpy as np

from lfadsx.data.dataset import Split
from lfadsx.models.lfads import LFADS

MEMORY = 512
"""Memory in MB that inference may use on the device, unless told otherwise."""
COPIES = 6
"""Copies of a trial's values that live at a time, about: values, their deviations, means and squares."""
MOST_TRIALS = 256
"""Trials that are done at once at most."""


def bytes_of_trial(model: LFADS, n_bins: int, n_channels: int) -> int:
    """Returns how many bytes one sample of one trial takes on the device, with all copies that live at a time.

    Args:
        model: The model.
        n_bins: Number of bins.
        n_channels: Number of channels of all target groups together.
    """
    controller = model.decoder.controller
    width = n_channels + model.decoder.generator.n_state + model.decoder.n_factors
    width += 0 if controller is None else controller.n_state
    return COPIES * 4 * n_bins * width


def trials_at_once(model: LFADS, n_bins: int, n_channels: int, memory: float = MEMORY) -> int:
    """Returns how many trials fit into the memory (MB) at once; arguments as in `bytes_of_trial`."""
    return int(np.clip(memory * 1e6 // bytes_of_trial(model, n_bins, n_channels), 1, MOST_TRIALS))


def chunks(model: LFADS, split: Split, n_samples: int, memory: float, samples: bool, n_devices: int) -> tuple[int, int]:
    """Returns how many trials and how many samples of each a device does at once within its memory."""
    n_channels = sum(target.shape[2] for target in split.targets.values())
    per_sample = bytes_of_trial(model, split.n_bins, n_channels)
    kept = per_sample // COPIES * n_samples if samples else 0
    budget = memory * 1e6
    share = -(-split.n_trials // n_devices)
    most, together = _limits()
    rows = int(np.clip(budget // (per_sample + kept), 1, min(share, most)))
    limit = min(budget // (per_sample * rows), max(1, together // rows))
    at_once = max(d for d in range(1, max(n_samples, 1) + 1) if max(n_samples, 1) % d == 0 and d <= max(limit, 1))
    return rows, at_once


def _limits() -> tuple[int, int]:
    """Returns how many trials, and how many samples of all of these, a device does at once at most."""
    # What a CPU computes of a sample should stay in its cache; a GPU wants much to do at a time.
    return (32, 1) if jax.default_backend() == "cpu" else (MOST_TRIALS, 2 * MOST_TRIALS)
