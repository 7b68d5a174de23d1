"""Results in a copy of the NWB file that they came from, on the clock of its session."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py

from lfadsx.data.hdf5_files import open_to_read
from lfadsx.errors import DataError, LfadsxError, MissingExtraError
from lfadsx.exports.folders import files_of
from lfadsx.exports.nwb_objects import nwb_objects
from lfadsx.exports.original_file import original_file
from lfadsx.files import atomic_path
from lfadsx.findings import Finding
from lfadsx.results.by_session import SessionResults
from lfadsx.results.session_clock import clock_findings, has_clock, seconds_per_bin

MODULE = "ecephys"
"""The processing module; NWB recommends one of a fixed set of names."""
DESCRIPTION = "Rates and latent variables of neural populations"


def write_nwb(
    path: Path, sessions: Sequence[SessionResults], source: Sequence[Path]
) -> tuple[list[Path], list[Finding]]:
    """Writes a copy of each session's NWB file with the results; returns the files and what the user should know.

    The processing module `ecephys` of the copy has a time series for each array, such as `lfads_rates_hz`. Its times
    are the middles of the bins, and `lfads_trial` has the trial of each. The tables `lfads_windows` and
    `lfads_channels` describe trials and columns. Everything else is as in the original, which is not changed.

    Args:
        path: A folder, or for one session also a file that ends in .nwb.
        sessions: The results by session.
        source: The original files if they were moved, in any order.

    Raises:
        MissingExtraError: If pynwb is not installed.
        LfadsxError: If it is unknown when trials began.
        DataError: If an original is not found or is another file.
    """
    try:
        import pynwb  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            'NWB files need pynwb, which is not installed. Install it with `pip install "lfadsx[nwb]"`.'
        ) from error
    for session in sessions:
        _check_clock(session)
    originals = [original_file(session, source) for session in sessions]
    files, findings = files_of(path, sessions, ".nwb"), []
    for file, original, session in zip(files, originals, sessions, strict=True):
        if file.resolve() == original.resolve():
            raise DataError(f"The copy must not replace the original, {original}. Give another name with `out`.")
        _check_links(original, file.parent)
        with atomic_path(file) as partial:
            shutil.copyfile(original, partial)
            _add(partial, session)
        findings += clock_findings(session)
    return files, findings


def _check_clock(session: SessionResults) -> None:
    seconds_per_bin(session)  # raises an error if it is unknown
    if not has_clock(session):
        raise LfadsxError(
            f"NWB needs the times at which the trials of {session.name!r} began, which are unknown. Cut the recording "
            "again with `lfadsx prepare`, infer its trials with `lfadsx infer RUN FILE`, and export the result."
        )


def _check_links(original: Path, folder: Path) -> None:
    """Raises `DataError` if a copy in another folder would lose files that the original links to."""
    linked: list[str] = []

    def note(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            linked.append(link.filename)
        elif isinstance(item := file.get(name), h5py.Dataset) and item.is_virtual:
            linked.extend(source.file_name for source in item.virtual_sources() if source.file_name != ".")

    if original.resolve().parent == folder.resolve():
        return
    with open_to_read(original) as file:
        file.visititems_links(note)
    if linked:
        raise DataError(
            f"{original} links to {linked[0]!r} in its folder, so the copy must be in this folder. Name it with `out`."
        )


def _add(copy: Path, session: SessionResults) -> None:
    """Adds the results of a session to an NWB file."""
    import pynwb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about versions of schemas
        with pynwb.NWBHDF5IO(path=str(copy), mode="a", load_namespaces=True) as io:
            nwb: Any = io.read()
            module = nwb.processing.get(MODULE) or nwb.create_processing_module(name=MODULE, description=DESCRIPTION)
            for item in nwb_objects(session, nwb.units):
                if item.name in module.data_interfaces:
                    raise DataError(
                        f"The NWB file of session {session.name!r} must not have results of LFADS already, but its "
                        f"module {MODULE!r} has {item.name!r}. Cut trials from the recording as it was."
                    )
                module.add(item)
            io.write(nwb)  # pyright: ignore[reportCallIssue]
