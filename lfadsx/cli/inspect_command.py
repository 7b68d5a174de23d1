"""The command `inspect`: what a data file, a recording or a run folder holds, and how it would be read."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfadsx.cli.command_flags import Command, positional
from lfadsx.cli.reading_flags import Reading
from lfadsx.cli.terminal import DONE
from lfadsx.errors import DataError

if TYPE_CHECKING:
    from lfadsx.data.dataset import Dataset

READERS = {
    "Phy folder": ("phy_folder", "read_phy"),
    "CSV folder": ("csv_folder", "read_csv"),
    "Suite2p folder": ("suite2p_folder", "read_suite2p"),
    "CaImAn file": ("caiman_file", "read_caiman"),
    "SpikeInterface folder": ("spikeinterface_sorting", "read_spikeinterface"),
    "pynapple files": ("pynapple_file", "read_pynapple"),
    "NIX file": ("neo_block", "read_neo"),
    "NWB file": ("nwb_file", "read_nwb"),
    "MATLAB file": ("matlab_file", "read_matlab"),
    "file of arrays": ("array_file", "read_array_file"),
}
"""Module of `lfadsx.recordings` and function that reads each format."""

UNITS = ("bytes", "kB", "MB", "GB", "TB")
PARTS = {
    "posterior.h5": "rates and other results (`lfadsx.read_posterior`)",
    "metrics.json": "scores",
    "report.md": "report",
    "history.csv": "losses by epoch",
    "figures": "figures",
    "best": "best model (`lfadsx.load`)",
    "last": "last model",
}
"""What the files of a run folder are."""


@dataclasses.dataclass(kw_only=True)
class Inspect(Command):
    """Say in words what a data file, a recording or a run folder holds, and how it would be read.

    Nothing is written. Of a data file it prints axes, units, rates, silent neurons, conditions, behaviour, unused keys
    and findings; of a recording units, events and signals; of bare arrays also the map that tells their meaning; of a
    run folder its data and results.
    """

    examples = ("lfadsx inspect day1.h5", "lfadsx inspect runs/day1")

    file: Path = positional("FILE")
    """HDF5 or NPZ file, recording (NWB, MATLAB, NIX, CaImAn, Phy, SpikeInterface, Suite2p, CSV, pynapple), or run
    folder."""
    map: str | None = None
    """Bare arrays: what they mean, as in prepare."""
    align: str | None = None
    """Event at time 0, for spike times whose events stand in arrays beside them."""
    trials: str | None = None
    """CSV table of trials, as in prepare."""
    frame_rate: float | None = None
    """Imaging: frames per second, as in prepare."""
    traces: str | None = None
    """Imaging: which traces are read, as in prepare."""
    reading: Reading = dataclasses.field(default_factory=Reading)
    """How the file is read."""

    def run(self) -> int:
        """Prints."""
        for line in self._lines():
            sys.stdout.write(line + "\n")
        return DONE

    def _lines(self) -> Iterator[str]:
        from lfadsx.recordings.formats import ARRAYS, format_of

        form = format_of(self.file) if self.file.exists() else None
        name = ARRAYS.name if self.map and self.file.is_file() else form and form.name
        if name is not None:
            given = {"map": self.map, "align": self.align, "bin_width": self.reading.bin_width}
            given |= {"trials": self.trials, "frame_rate": self.frame_rate, "traces": self.traces}
            return _recording(self.file, name, given | {"axes": self.reading.axes})
        if self.file.is_dir():
            return _run_folder(self.file)
        return _hdf5(self.file, self.reading)


def _recording(path: Path, form: str, options: dict[str, Any]) -> Iterator[str]:
    from lfadsx.data.file_description import npz_rows
    from lfadsx.data.opening import is_zip
    from lfadsx.recordings.array_file import recognised

    module, name = READERS[form]
    yield f"{path}: {form}"
    words = ""
    if form == "file of arrays":
        yield from _section("Arrays", npz_rows(path) if is_zip(path) else [])
        words = recognised(path, options["map"])
        yield from _section("Read with", [f"--map {words}"])
        if "values=" in words:
            yield from _section("Read as", _values(path, options))
            return
    read = getattr(importlib.import_module(f"lfadsx.recordings.{module}"), name)
    known = inspect.signature(read).parameters
    try:
        given = {option: value for option, value in options.items() if option in known and value is not None}
        recording = read(path, **given)
    except DataError as error:
        yield from _section("It cannot be read as a recording", [str(error)])
        return
    yield from _section("Read as", repr(recording).splitlines())
    yield from _section("Findings", [str(finding) for finding in recording.findings] or ["none"])
    events = [event for event in recording.events if event not in ("start", "stop")]
    cut = f" --align {events[0]} --window -0.25 0.45" if events and "bins" not in recording.source else ""
    cut = cut if recording.n_trials else " --chop 1"
    cut += f" --map {words}" if words else ""
    cut += f" --frame-rate {given['frame_rate']:g}" if "frame_rate" in given else ""
    title = f"Cut it into {'trials' if recording.n_trials else 'pieces'}, for example with"
    yield from _section(title, [f"lfadsx prepare {path} --out {recording.name}.h5{cut}"])


def _values(path: Path, options: dict[str, Any]) -> Iterator[str]:
    """Yields what real values of a file of arrays are read as, with the splits that `prepare` would draw."""
    from lfadsx.recordings.array_file import from_array_file

    try:
        data = from_array_file(path, **options)
    except DataError as error:
        yield f"no data set: {error}"
        return
    yield from _dataset(data)
    yield from map(str, data.findings)
    yield f"Make a data file of it with: lfadsx prepare {path} --out {path.stem}.h5"


def _hdf5(path: Path, reading: Reading) -> Iterator[str]:
    from lfadsx.data.file_description import array_rows
    from lfadsx.data.hdf5_files import attributes_of, open_to_read

    rows = array_rows(path)
    with open_to_read(path) as file:
        attributes = attributes_of(file)
    yield f"{path.name}: HDF5 file, {_size(path)}"
    yield from _section("Arrays", rows)
    yield from _section("Attributes", [f"{name}: {_short(value)}" for name, value in attributes.items()])
    if "format_version" in attributes:
        yield from _section("Read as", ["rates and other results of lfadsx: `lfadsx.read_posterior`"])
        return
    try:
        data = reading.read((path,), None, 0)
    except DataError as error:
        yield from _section("It cannot be read as training data", [str(error)])
        return
    yield from _section("Read as", _dataset(data))
    yield from _section("Findings", [str(finding) for finding in data.findings] or ["none"])


def _dataset(data: Dataset) -> Iterator[str]:
    from lfadsx.data.file_description import condition_line, rate_lines

    yield from repr(data).splitlines()
    yield from (f"  {line}" for line in rate_lines(data))
    if conditions := condition_line(data):
        yield f"  conditions: {conditions}"
    if data.bin_width is None:
        yield "  The bin width is unknown, so nothing is given in Hz. Give it with --bin-width in seconds."


def _run_folder(path: Path) -> Iterator[str]:
    from lfadsx.training import RunFolder

    folder = RunFolder(path)
    info = folder.info
    data: Any = info.data
    yield f"{path}: run folder of {info.created or 'unknown date'}, lfadsx {info.versions.get('lfadsx', '?')}"
    yield from _section("Command", [info.command])
    trials = ", ".join(f"{n} {name}" for name, n in data["n_trials"].items())
    width = "of unknown width" if info.bin_width is None else f"of {1000 * info.bin_width:g} ms"
    facts = [
        *map(repr, info.sessions),
        f"trials: {trials}",
        f"bins: {data['n_bins']['train']} {width}; the encoder does not see the last {data['forward_bins']}",
        f"known inputs: {data['n_known_inputs']}",
        *(f"{name}: {group['kind']} {group['unit']}".rstrip() for name, group in data.get("groups", {}).items()),
        *(f"source of {name}: {_short(origin)}" for name, origin in data["source"].items()),
    ]
    yield from _section("Trained on", facts)
    settings = {name: info.train[name] for name in ("epochs", "batch_size", "seed") if name in info.train}
    yield from _section("Settings", [f"{name}: {value}" for name, value in settings.items()])
    held = [f"{name}: {what}" for name, what in PARTS.items() if (path / name).exists()]
    yield from _section("Files", held or ["none yet"])
    names = ", ".join(session.name for session in info.sessions)
    advice = f"lfadsx infer {path} FILE" + (" --session NAME" if len(info.sessions) > 1 else "")
    yield from _section("Infer new trials with", [f"{advice}, FILE with trials of {names}"])


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield ""
        yield f"{title}:"
        yield from (f"  {line}" for line in found)


def _size(path: Path) -> str:
    n, unit = float(path.stat().st_size), 0
    while n >= 1000 and unit < len(UNITS) - 1:
        n, unit = n / 1000, unit + 1
    return f"{n:.3g} {UNITS[unit]}"


def _short(value: Any, most: int = 100) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]} ..."
