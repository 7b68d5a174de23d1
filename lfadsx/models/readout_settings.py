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
    bins = {group: _in_bins(group, *value, data.bin_width) for group, value in found.items()}
    if data.behaviour_lag and data.behaviour_target:
        bins = {data.behaviour_name: _lag(data)} | bins
    for group, n in bins.items():
        if abs(n) >= data.train.n_bins:
            raise LfadsxError(
                f"The delay of {group!r} must be shorter than the trials of {data.train.n_bins} bins, got {n} bins. "
                "Lower it; GROUP=Xs gives it in seconds."
            )
    return bins


def _lag(data: Dataset) -> int:
    """Returns the lag of the behaviour in bins."""
    return round(data.behaviour_lag / _width(data.behaviour_name, data.behaviour_lag, data.bin_width))


def _in_bins(group: str, value: float, in_seconds: bool, bin_width: float | None) -> int:
    if not in_seconds:
        return int(value)
    bins = round(value / _width(group, value, bin_width))
    if value and not bins:
        raise LfadsxError(
            f"The delay of {group!r} must be 0 or at least half a bin of {bin_width:g} s, got {value:g} s. Give 0, a "
            "longer delay, or narrower bins."
        )
    return bins


def _width(group: str, seconds: float, bin_width: float | None) -> float:
    if bin_width is None:
        raise LfadsxError(
            f"The delay of {group!r}, {seconds:g} s, needs the width of the bins, which is unknown. Give the data set "
            "its bin width, or give the delay in bins (`readout_delays`)."
        )
    return bin_width
