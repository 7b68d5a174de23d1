"""Inferred values of pieces, joined on the time axis of the recording or of the trials that they were cut from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from lfadsx.errors import LfadsxError, nearest
from lfadsx.types import INPUT_GROUP, TargetGroup


@dataclasses.dataclass(frozen=True, repr=False)
class Joined:
    """Inferred values of one session without the borders of pieces (NumPy, float32), from `lfadsx.join`.

    The bins of a whole recording follow each other without a gap. Bins that no piece covers hold NaN. Of trials that
    were cut into pieces the bins of all trials follow each other; `by_trial` divides them.

    Attributes:
        session: Name of the session.
        time: Middle of each bin in seconds on the clock of the session, float64, shape (bin,). Without that clock it
            counts from the first bin of the recording or trial; without a bin width it is the number of the bin.
        rates: By group, expected data (for counts: counts per bin), shape (bin, target_channel).
        rates_std: By group, standard deviation of the rates, averaged over pieces like the rates.
        factors: Shape (bin, factor).
        inputs: Inferred inputs, shape (bin, input), or None.
        inputs_std: Their standard deviation, averaged likewise, or None.
        n_pieces: Number of pieces that cover each bin, shape (bin,).
        trial_id: Ids of the joined trials, shape (trial,); 0 for a whole recording.
        length: Bins of each joined trial, shape (trial,); all bins for a whole recording.
        bin_width: Width of a bin in seconds, or None if unknown.
        groups: Kind and unit of each target group.
        input_group: The target group whose channels the encoder sees.
        channel_names: Names of the channels of the input group; empty if they have none.
    """

    session: str
    time: np.ndarray
    rates: dict[str, np.ndarray]
    rates_std: dict[str, np.ndarray]
    factors: np.ndarray
    inputs: np.ndarray | None
    inputs_std: np.ndarray | None
    n_pieces: np.ndarray
    trial_id: np.ndarray
    length: np.ndarray
    bin_width: float | None = None
    groups: dict[str, TargetGroup] = dataclasses.field(default_factory=dict)
    input_group: str = INPUT_GROUP
    channel_names: tuple[str, ...] = ()

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.time)

    def rates_hz(self, group: str | None = None) -> np.ndarray:
        """Returns the rates in Hz, shape (bin, target_channel).

        Args:
            group: A target group of counts; by default the input group.

        Raises:
            LfadsxError: If there is no such group, its data are not counts, or the bin width is unknown.
        """
        group = self.input_group if group is None else group
        if group not in self.rates:
            known = ", ".join(map(repr, self.rates))
            raise LfadsxError(f"`group` must be one of {known}, got {group!r}{nearest(group, self.rates)}.")
        if self.bin_width is None or self.groups[group].kind != "counts":
            raise LfadsxError(
                f"Rates in Hz need counts in bins of known width, got {self.groups[group].kind} in bins of "
                f"{'unknown width' if self.bin_width is None else f'{self.bin_width:g} s'}. Use `rates[{group!r}]`."
            )
        return self.rates[group] / np.float32(self.bin_width)

    def by_trial(self, values: np.ndarray) -> list[np.ndarray]:
        """Returns an array by bin, such as `time` or `factors`, as one array (bin, ...) for each trial; no copies."""
        return np.split(values, np.cumsum(self.length)[:-1])

    def save(self, path: str | Path) -> None:
        """Writes all arrays to an HDF5 file, with unit and description, in a group named after the session.

        Raises:
            DataError: If the file cannot be written.
        """
        from lfadsx.results.joined_file import write_joined

        write_joined(path, {self.session: self})

    def __repr__(self) -> str:
        """Returns the bins and the shapes of the arrays."""
        covered = int((self.n_pieces > 0).sum())
        trials = f" of {len(self.length)} trials" if len(self.length) > 1 else ""
        lines = [f"Joined pieces of session {self.session!r}: {self.n_bins} bins{trials}, {covered} of them covered"]
        if self.n_bins and self.bin_width is not None:
            half = self.bin_width / 2
            lines.append(
                f"  time: {self.time[0] - half:.6g} to {self.time[-1] + half:.6g} s, bins of {self.bin_width:g} s"
            )
        lines += [f"  rates[{name!r}]: {values.shape}" for name, values in self.rates.items()]
        lines += [
            f"  {name}: {values.shape}" for name in ("factors", "inputs") if (values := getattr(self, name)) is not None
        ]
        return "\n".join(lines)
