"""From which factors each target group is read, and with which delay."""

from __future__ import annotations

from lfadsx.config import ModelConfig
from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError
from lfadsx.group_settings import by_group, delay, span


def factors_of(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Returns first and end of the factors by target group, for groups that the settings name."""
    found = by_group("readout_factors", config.readout_factors, span, "GROUP=N or GROUP=FIRST:END")
    for group, (_, end) in found.items():
        if end > config.factors:
            raise LfadsxError(
                f"`readout_factors` must name some of the {config.factors} factors, got {end} as the end of those of "
                f"{group!r}. Lower it, or raise `factors`."
            )
    return found


def delays_of(config: ModelConfig, data: Dataset) -> dict[str, int]:
    """Returns the delays in bins by target group: those of the settings, else the lag of a group of the behaviour."""
    found = by_group("readout_delays", config.readout_delays, delay, "GROUP=N or GROUP=Xs")
    if data.input_group in found:
        raise LfadsxError(
            f"`readout_delays` must name target groups other than {data.input_group!r}, which the factors explain bin "
            "by bin. Leave it out."
        )
    if data.behaviour_lag and data.behaviour_target:
        found = {data.behaviour_name: (data.behaviour_lag, True)} | found
    bins = {group: _in_bins(group, *value, data.bin_width) for group, value in found.items()}
    for group, n in bins.items():
        if abs(n) >= data.train.n_bins:
            raise LfadsxError(
                f"The delay of {group!r} must be shorter than the trials of {data.train.n_bins} bins, got {n} bins. "
                "Lower it; GROUP=Xs gives it in seconds."
            )
    return bins


def _in_bins(group: str, value: float, in_seconds: bool, bin_width: float | None) -> int:
    if not in_seconds:
        return int(value)
    if bin_width is None:
        raise LfadsxError(
            f"The delay of {group!r}, {value:g} s, needs the width of the bins, which is unknown. Give the data set "
            "its bin width, or give the delay in bins (`readout_delays`)."
        )
    return round(value / bin_width)
