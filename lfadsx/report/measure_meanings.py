"""What the columns and rows of the table of scores mean, in words for a reader who does not know them."""

from __future__ import annotations

BITS = (
    "Bits per spike: by how much the rates predict the spikes better than each neuron's mean rate does, per spike. "
    "0: no better than the mean rate. Higher is better."
)
R2 = "R2: the share of the variance that is explained. 1: perfect, 0: no better than the mean. Higher is better."
MEANINGS = {
    "bits_per_spike": f"Neurons and bins that the encoder saw (reconstruction). Rewards copying the data. {BITS}",
    "co_bps": f"Held-out neurons, which the encoder did not see (co-smoothing). {BITS}",
    "masked_bps": f"Single entries that were hidden from the encoder. {BITS}",
    "fp_bps": f"Bins after the end of the encoder's window (forward prediction). {BITS}",
    "r2": f"Channels and bins that the encoder saw (reconstruction). Rewards copying the data. {R2}",
    "co_r2": f"Held-out channels, which the encoder did not see. {R2}",
    "masked_r2": f"Single entries that were hidden from the encoder. {R2}",
    "fp_r2": f"Bins after the end of the encoder's window (forward prediction). {R2}",
    "velocity_r2": f"Behaviour that a linear decoder, fitted on training trials, reads from the rates. {R2}",
    "psth_r2": f"PSTHs of the rates against smoothed PSTHs of the data, mean over neurons. {R2}",
    "rates_r2": "Squared correlation of inferred and true rates (simulated data). 1: perfect. Higher is better.",
    "inputs_r2": "Squared correlation of inferred and true inputs (simulated data). 1: perfect. Higher is better.",
}
"""By measure, what it scores and how to read it."""

ROWS = {
    "lfads": "The model of this run.",
    "time course": "Each neuron's average over training trials, the same for every trial.",
    "condition average": "Each neuron's average over the training trials of the same condition.",
    "smoothed spikes": "The trial's own spikes, smoothed by a Gaussian.",
    "smoothed data": "The trial's own data, smoothed by a Gaussian.",
    "Poisson regression": "Held-out neurons predicted from the smoothed spikes of the other neurons.",
    "mean": "Each channel's mean over training trials.",
}
"""By row, what the model or baseline is."""


def meaning(measure: str) -> str:
    """Returns what a measure scores; a plain sentence for measures that have no description.

    Example:
        >>> meaning("co_r2").split(".")[0]
        'Held-out channels, which the encoder did not see'
    """
    return MEANINGS.get(measure, "A measure without a description; see the documentation of lfadsx.")
