"""The format of a recording, told by its content, and one function that reads them all."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lfadsx.data.dataset import Dataset
from lfadsx.data.file_contents import is_data_file
from lfadsx.data.hdf5_files import open_npz, open_to_read
from lfadsx.data.opening import is_zip
from lfadsx.data.sessions import concatenate
from lfadsx.errors import DataError, LfadsxError, nearest
from lfadsx.recordings.array_file import from_array_file
from lfadsx.recordings.caiman_file import from_caiman, is_caiman
from lfadsx.recordings.csv_folder import from_csv
from lfadsx.recordings.cutting import CutOptions
from lfadsx.recordings.matlab_file import from_matlab
from lfadsx.recordings.neo_block import from_neo, is_neo
from lfadsx.recordings.nwb_file import from_nwb
from lfadsx.recordings.phy_folder import from_phy
from lfadsx.recordings.pynapple_file import from_pynapple
from lfadsx.recordings.spikeinterface_folder import is_sorting
from lfadsx.recordings.spikeinterface_sorting import from_spikeinterface
from lfadsx.recordings.suite2p_folder import from_suite2p, is_suite2p

HDF5, MATLAB_5, MATLAB_73 = b"\x89HDF", b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"


class Format(NamedTuple):
    """A format of recordings: its name, a test of a path, and the function that reads it."""

    name: str
    fits: Callable[[Path], bool]
    read: Callable[..., Dataset]


def _holds(*names: str) -> Callable[[Path], bool]:
    """Returns a test for folders that hold some files."""
    return lambda path: path.is_dir() and all((path / name).is_file() for name in names)


def _starts(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(20)


def _is_nwb(path: Path) -> bool:
    if _starts(path)[:4] != HDF5:
        return False
    try:
        with open_to_read(path) as file:
            return "nwb_version" in file.attrs
    except DataError:  # damaged; whoever reads it says so
        return False


def _is_pynapple(path: Path) -> bool:
    if path.is_dir():
        return any(map(_is_pynapple, sorted(path.glob("*.npz"))))
    if not is_zip(path):
        return False
    with open_npz(path) as arrays:
        return {"t", "index"} <= set(arrays)


def _is_matlab(path: Path) -> bool:
    return _starts(path)[:19] in (MATLAB_5, MATLAB_73) and not is_data_file(path)


ARRAYS = Format("file of arrays", is_zip, from_array_file)
"""NPZ files by content; MATLAB and HDF5 files too if a map says what their arrays mean."""

FORMATS = (
    Format("Phy folder", _holds("spike_times.npy"), from_phy),
    Format("CSV folder", _holds("spikes.csv"), from_csv),
    Format("Suite2p folder", is_suite2p, from_suite2p),
    Format("SpikeInterface folder", is_sorting, from_spikeinterface),
    Format("pynapple files", _is_pynapple, from_pynapple),
    Format("NWB file", _is_nwb, from_nwb),
    Format("NIX file", is_neo, from_neo),
    Format("CaImAn file", is_caiman, from_caiman),
    Format("MATLAB file", _is_matlab, from_matlab),
    ARRAYS,
)


def format_of(path: str | Path) -> Format | None:
    """Returns the format of a recording by its content, or None if the format is unknown.

    Raises:
        DataError: If the path does not exist.
    """
    path = Path(path)
    if not path.exists():
        known = [one.name for one in path.parent.glob("*")] if path.parent.is_dir() else []
        raise DataError(f"The recording {str(path)!r} does not exist{nearest(path.name, known)}. Check the path.")
    return next((form for form in FORMATS if form.fits(path)), None)


def read_recordings(paths: Sequence[Path], names: Sequence[str] = (), **options: Any) -> Dataset:
    """Reads recordings as the sessions of one data set; arguments as in `read_recording`.

    Args:
        paths: Files or folders, one for each session.
        names: Names of the sessions; by default those of the recordings.
        **options: Arguments of the functions for the formats.

    Raises:
        DataError: If there is not one name for each recording, or two sessions have the same name.
    """
    if names and len(names) != len(paths):
        raise DataError(
            f"--session-names must give one name for each of the {len(paths)} recordings, got {len(names)} names. "
            "Give as many names as recordings."
        )
    own = names or [None] * len(paths)
    read = [read_recording(path, session_name=name, **options) for path, name in zip(paths, own, strict=True)]
    return read[0] if len(read) == 1 else concatenate(*read)


def read_recording(path: str | Path, session_name: str | None = None, **options: Any) -> Dataset:
    """Reads a recording of any known format and cuts it into a data set.

    Args:
        path: A file or a folder; the format is told by its content.
        session_name: Name of the session; by default that of the recording. `Dataset.source` keeps the options under
            "read", so that the recording can be read again in the same way.
        **options: Arguments of the function for the format, such as `lfadsx.from_nwb`. Options that are None are left
            out.

    Raises:
        DataError: If the format is unknown or the recording cannot be read.
        LfadsxError: If the format has no such option.
    """
    form = format_of(path)
    if options.get("map") is not None and Path(path).is_file():
        form = ARRAYS
    if form is None:
        names = ", ".join(one.name for one in FORMATS)
        raise DataError(
            f"A recording must be one of {names}, got {str(path)!r}. Convert it, or use `lfadsx.from_spike_times` in "
            "Python."
        )
    given = {name: value for name, value in options.items() if value is not None}
    known = set(inspect.signature(form.read).parameters) | set(CutOptions.__annotations__)
    for name in given:
        if name not in known:
            raise LfadsxError(f"`{name}` cannot be used with a {form.name}{nearest(name, known)}. Leave it out.")
    data = form.read(path, **given)
    (session,) = data.sessions
    source = data.source[session.name] | {"read": {"path": Path(path).name, "options": given}}
    data = dataclasses.replace(data, source={session.name: source})
    return data if session_name is None else _named(data, session_name)


def _named(data: Dataset, name: str) -> Dataset:
    """Returns the data of one session under another name."""
    (session,) = data.sessions
    findings = tuple(dataclasses.replace(f, where=name if f.where == session.name else f.where) for f in data.findings)
    return dataclasses.replace(
        data,
        sessions=(dataclasses.replace(session, name=name),),
        source={name: data.source[session.name]},
        findings=findings,
    )
