"""The flags that say how a recording is cut into trials."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from lfadsx.errors import LfadsxError


@dataclasses.dataclass(frozen=True)
class Cutting:
    """How recordings (NWB, NIX, MATLAB, Phy, SpikeInterface, Suite2p, CaImAn, ...) are cut into trials or pieces."""

    align: str | None = None
    """Event at time 0, a column of the table of trials; by default the start of the trial."""
    window: tuple[float, float] | None = None
    """First and last time relative to the event in seconds; by default whole trials, from the event to the stop."""
    chop: float | None = None
    """Length of a piece in seconds: cut the whole recording into pieces, without trials. With --align or --window: cut
    trials that are longer into pieces."""
    overlap: float | None = None
    """What a piece shares with the next one in seconds; by default a fifth of --chop."""
    condition: tuple[str, ...] = ()
    """Columns of trials that make the condition; by default the column condition, if there is one."""
    behaviour: str | None = None
    """Signal that is kept as behaviour, such as hand_vel."""
    interval: str | None = None
    """Column of trials with the interval that the animal produced, in seconds; it ends at the event of --align."""
    areas: tuple[str, ...] = ()
    """Areas whose units are kept; by default all."""
    min_rate: float = 0.0
    """Units with a lower mean rate are left out, in Hz."""
    observed: str | None = None
    """CSV table of the intervals in which the recording ran (start, stop, in seconds); by default those of the file."""
    held_out: str | None = None
    """Units hidden from the encoder: number or share (below 1), drawn evenly over areas and rates; or a column."""
    split: tuple[str, ...] = ()
    """Shares of train, valid and test, by default 0.7 0.15 0.15; or the column of trials that names the split."""
    split_by: Literal["condition", "time"] = "condition"
    """condition: at random, each condition in proportion; pieces of a whole recording in blocks that share no bin,
    spread over the recording. time: in blocks, the last ones test."""
    variable: str | None = None
    """MATLAB: variable that holds the spikes; by default the one that is cut least."""
    events: tuple[str, ...] = ()
    """Further columns of trials that hold times."""
    map: str | None = None
    """Bare arrays (NPZ, MATLAB, HDF5): what they mean: spike_times=A,unit=B or counts=A,lengths=B or traces=A."""
    units: str | None = None
    """pynapple: CSV table of units, joined by the column unit."""
    trials: str | None = None
    """CSV table of trials, for folders without one and bare arrays; for pynapple joined by trial_id or row. NIX:
    name of the epochs."""
    benchmark: str | None = None
    """NWB of the Neural Latents Benchmark: name of the set, such as mc_maze, for its event, window, bins, behaviour."""
    test_file: str | None = None
    """NWB of the Neural Latents Benchmark: the file with the test trials."""
    frame_rate: float | None = None
    """Imaging: frames per second of one plane, for Suite2p folders and arrays that lack it."""
    traces: str | None = None
    """Imaging: spks (events), dff or F of Suite2p folders; S (events), F_dff or C of CaImAn files; of NWB files the
    series, such as DfOverF."""
    baseline: str | None = None
    """Suite2p: baseline of dff, maximin (follows slow drift) or percentile (of the session)."""

    @property
    def is_default(self) -> bool:
        """If True, no flag is given."""
        return self == Cutting()

    def options(self) -> dict[str, Any]:
        """Returns the arguments of the functions that read recordings; None for defaults."""
        return {
            "align": self.align,
            "window": self.window,
            "chop": self.chop,
            "overlap": self.overlap,
            "condition": self.condition or None,
            "behaviour": self.behaviour,
            "interval": self.interval,
            "areas": self.areas or None,
            "min_rate": self.min_rate or None,
            "observed": self.observed,
            "held_out": None if self.held_out is None else _number(self.held_out),
            "split": self._split(),
            "split_by": self.split_by,
            "variable": self.variable,
            "events": self.events or None,
            "unit_columns": self.units,
            "trials": self.trials,
            "map": self.map,
            "benchmark": self.benchmark,
            "test_file": self.test_file,
            "frame_rate": self.frame_rate,
            "traces": self.traces,
            "baseline": self.baseline,
        }

    def _split(self) -> Any:
        """Shares as numbers, or the name of a column; None for the default, which depends on the file."""
        if len(self.split) < 2:
            return self.split[0] if self.split else None
        shares = tuple(map(_number, self.split))
        if len(shares) != 3 or any(isinstance(share, str) for share in shares):
            raise LfadsxError(f"`split` must be three shares or the name of a column, got {' '.join(self.split)}.")
        return shares


def _number(word: str) -> int | float | str:
    """Returns a whole number, a number, or the word itself."""
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
