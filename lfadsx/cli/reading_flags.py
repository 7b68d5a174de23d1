"""The flags that say how data files are read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from lfadsx.errors import LfadsxError

if TYPE_CHECKING:
    from lfadsx.cli.cutting_flags import Cutting
    from lfadsx.data.dataset import Dataset
    from lfadsx.types import Kind


def kind_for(likelihood: str) -> Kind | None:
    """Returns what the data are for a likelihood: real numbers if it is one for these, else what the data say."""
    from lfadsx.distributions import LIKELIHOODS

    return "real" if LIKELIHOODS[likelihood].support == "real" else None


@dataclasses.dataclass(frozen=True)
class Reading:
    """How files are read."""

    session_names: tuple[str, ...] = ()
    """Names of the sessions, one for each file; by default the names of the files."""
    bin_width: float | None = None
    """Width of a bin in seconds, for files that lack it."""
    behaviour_lag: float | None = None
    """Behaviour at time t + lag belongs to rates at t, in seconds."""
    behaviour_target: bool = False
    """Train on the behaviour, too: it is one more target group, read from the factors at its lag."""
    missing: bool = False
    """Treat NaN in the data as missing entries."""
    axes: str | None = None
    """Order of the axes of files that other programs wrote, such as "channel time trial"."""

    def read(
        self, files: tuple[Path, ...], kind: Kind | dict[str, Kind] | None, seed: int, cutting: Cutting | None = None
    ) -> Dataset:
        """Returns the data of files, before any alignment of sessions.

        Args:
            files: Data files; or, with `cutting`, recordings.
            kind: Kind of the data; None to find it from their values.
            seed: Seed of random splits.
            cutting: How recordings are cut into trials.
        """
        from lfadsx.data import read
        from lfadsx.recordings.formats import format_of, read_recordings

        if cutting is not None and (cutting.map or any(format_of(file) for file in files)):
            if self.missing:
                raise LfadsxError(
                    "`--missing` must be used with data files, got a recording. Leave it out, or make a data file "
                    "with lfadsx prepare first."
                )
            options = cutting.options() | {
                "bin_width": self.bin_width,
                "behaviour_lag": self.behaviour_lag,
                "axes": self.axes,
            }
            return self._with_targets(read_recordings(files, self.session_names, **options, seed=seed))
        if cutting is not None and not cutting.is_default:
            raise LfadsxError(
                "Flags that cut trials, such as --align and --window, need a recording, got data files whose trials "
                "are cut already. Leave them out."
            )
        data = read(
            *files,
            bin_width=self.bin_width,
            behaviour_lag=self.behaviour_lag,
            kind=kind,
            missing=self.missing,
            axes=self.axes,
            seed=seed,
            sessions=self.session_names,
        )
        return self._with_targets(data)

    def _with_targets(self, data: Dataset) -> Dataset:
        return data.with_behaviour_target() if self.behaviour_target else data
