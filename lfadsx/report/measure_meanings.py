"""What the columns and rows of the table of scores mean, in words for a reader who does not know them."""

from __future__ import annotations

from collections.abc import Iterable

BITS = (
    "Bits per spike: by how much the rates predict the spikes better than each neuron's mean rate does, per spike. "
    "0: no better than the mean rate. Higher is better."
)
R2 = "R2: the share of the variance that is explained. 1: perfect, 0: no better than the mean. Higher is better."
MEANINGS = {
    "bits_per_spike": "Neurons and bins that the encoder saw (reconstruction). Rewards copying the data.",
    "co_bps": "Held-out neurons, which the encoder did not see (co-smoothing).",
    "masked_bps": "Single entries that were hidden from the encoder.",
    "fp_bps": "Bins after the end of the encoder's window (forward prediction).",
    "r2": "Channels and bins that the encoder saw (reconstruction). Rewards copying the data.",
    "co_r2": "Held-out channels, which the encoder did not see.",
    "masked_r2": "Single entries that were hidden from the encoder.",
    "fp_r2": "Bins after the end of the encoder's window (forward prediction).",
    "velocity_r2": "Behaviour that a linear decoder, fitted on training trials, reads from the rates.",
    "readout_r2": "Behaviour that the read-out of the model predicts, trained with it on training trials.",
    "psth_r2": "PSTHs of the rates against smoothed PSTHs of the data, mean over neurons.",
    "timing_r": "Correlation of the speed of the rates with the produced interval. -1: best, 0: useless.",
    "rates_r2": "Squared correlation of inferred and true rates (simulated data). 1: perfect. Higher is better.",
    "inputs_r2": "Squared correlation of inferred and true inputs (simulated data). 1: perfect. Higher is better.",
}
"""By measure, what it scores."""

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


def scales(measures: Iterable[str]) -> list[str]:
    """Returns how to read the numbers of some measures: a sentence on bits per spike, one on R2.

    Example:
        >>> [text.split(":")[0] for text in scales(["co_bps", "psth_r2"])]
        ['Bits per spike', 'R2']
    """
    names = list(measures)
    bits = any(name.endswith("bps") or name == "bits_per_spike" for name in names)
    return [text for text, there in ((BITS, bits), (R2, any(name.endswith("r2") for name in names))) if there]
