"""The command that makes a data file of a recording: lfadsx prepare."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfadsx.cli.command_flags import Command, positional
from lfadsx.cli.cutting_flags import Cutting
from lfadsx.cli.terminal import DONE, say
from lfadsx.errors import LfadsxError

if TYPE_CHECKING:
    from lfadsx.data.dataset import Dataset


@dataclasses.dataclass(kw_only=True)
class Prepare(Command):
    """Cut a recording into trials: spike times and a table of trials become a data file that `fit` reads.

    SOURCE is an NWB, NIX, MATLAB, CaImAn or NPZ file, or a folder of Phy, SpikeInterface, Suite2p, CSV or pynapple
    files; the format is told by the content. --map says what bare arrays mean. With --chop a recording without trials
    is cut into pieces that overlap.
    Several recordings become several sessions, with the same cut and the same rule for the splits.
    """

    common = (
        *("sources", "out", "align", "window", "chop", "overlap", "bin_width", "condition", "behaviour", "areas"),
        *("min_rate", "held_out", "split", "map", "trials", "frame_rate", "dry_run"),
    )
    examples = (
        "lfadsx prepare day1.nwb --out day1.h5 --align go_cue --window -0.25 0.45",
        "lfadsx prepare phy_folder --out day1.h5 --align cue --bin-width 0.02",
        "lfadsx prepare day1.npz --out day1.h5 --map counts=binned,lengths=n_bins",
        "lfadsx prepare day1.nwb --out day1.h5 --chop 1 --overlap 0.2",
        "lfadsx prepare suite2p --out day1.h5 --frame-rate 30 --chop 1",
        "lfadsx prepare emg.npz --out emg.h5 --map values=emg --rebin 33",
    )

    sources: tuple[Path, ...] = positional("SOURCE")
    """Recordings, one for each session."""
    out: Path | None = None
    """File to write (.h5), or a folder for several recordings; needed unless --dry-run is given."""
    session_names: tuple[str, ...] = ()
    """Names of the sessions, one for each recording; by default the names of the recordings."""
    cutting: Cutting = dataclasses.field(default_factory=Cutting)
    """How trials or pieces are cut."""
    bin_width: float | None = None
    """Width of a bin in seconds; by default 0.01, or the width of counts or frames in the file."""
    rebin: int = 1
    """Bins to join into one: counts are summed, real values averaged."""
    behaviour_lag: float | None = None
    """Behaviour at time t + lag belongs to rates at t, in seconds."""
    axes: str | None = None
    """Order of the axes of counts, such as "neuron time trial"; by default as their sizes tell."""
    seed: int = 0
    """Seed of all draws."""
    dry_run: bool = False
    """Print what would be written, and write nothing."""
    verbose: bool = False
    """Print the reason for every trial that is dropped."""

    def run(self) -> int:
        """Reads, cuts, prints and writes."""
        from lfadsx.data import write_dataset
        from lfadsx.files import check_writable
        from lfadsx.recordings.formats import read_recordings

        if self.out is None and not self.dry_run:
            raise LfadsxError("`out` must be given: the file to write. To look first, give --dry-run.")
        if self.out is not None:
            check_writable(self.out if self.out.suffix else self.out / "session.h5")
        options = self.cutting.options() | {"bin_width": self.bin_width, "behaviour_lag": self.behaviour_lag}
        options["axes"] = self.axes
        data = read_recordings(self.sources, self.session_names, **options, seed=self.seed)
        data = data if self.rebin == 1 else data.rebin(self.rebin)
        say(repr(data))
        for finding in data.findings:
            say(str(finding))
        for session in data.sessions if self.verbose else ():
            _report_dropped(session.name, data.source.get(session.name, {}))
        if self.dry_run or self.out is None:
            say("Nothing is written (--dry-run).")
            return DONE
        files = " ".join(map(str, write_dataset(self.out, data)))
        say(f"Wrote {files}. Train on it with")
        say(f"  lfadsx fit {files} --out runs/{data.sessions[0].name}{_likelihood(data)}")
        return DONE


def _likelihood(data: Dataset) -> str:
    """Returns the flag for the likelihood that suits real values; nothing for counts."""
    if data.is_counts():
        return ""
    suited = {facts["likelihood"] for facts in data.source.values() if "likelihood" in facts}
    return f" --likelihood {suited.pop() if len(suited) == 1 else 'gaussian_by_channel'}"


def _report_dropped(session: str, facts: Any) -> None:
    """Prints the reason of every trial that is dropped."""
    for trial, reason in facts.get("dropped", {}).items():
        say(f"  {session}, trial {trial}: {reason}")
