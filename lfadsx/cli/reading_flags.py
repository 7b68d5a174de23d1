"""The flags that say how data files are read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lfadsx.data.dataset import Dataset
    from lfadsx.types import Kind


def kind_for(likelihood: str) -> Kind | None:
    """Returns what the data are for a likelihood: real numbers for a Gaussian, else what the data themselves say."""
    return "real" if likelihood == "gaussian" else None


@dataclasses.dataclass(frozen=True)
class Reading:
    """How files are read."""

    session_names: tuple[str, ...] = ()
    """Names of the sessions, one for each file; by default the names of the files."""
    bin_width: float | None = None
    """Width of a bin in seconds, for files that lack it."""
    behaviour_lag: float | None = None
    """Behaviour at time t + lag belongs to rates at t, in seconds."""
    missing: bool = False
    """Treat NaN in the data as missing entries."""

    def read(self, files: tuple[Path, ...], kind: Kind | dict[str, Kind] | None, seed: int) -> Dataset:
        """Returns the data of some files, not yet aligned; `kind` says what they are, None to let the data say it."""
        from lfadsx.data import read

        return read(
            *files,
            bin_width=self.bin_width,
            behaviour_lag=self.behaviour_lag,
            kind=kind,
            missing=self.missing,
            seed=seed,
            sessions=self.session_names,
        )
