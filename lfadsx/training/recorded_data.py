"""The training data of runs: compare them, and find and read their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lfadsx.data import concatenate, read
from lfadsx.data.dataset import Dataset
from lfadsx.data.hdf5_files import describe
from lfadsx.errors import DataError, RunError
from lfadsx.recordings.formats import read_recording
from lfadsx.training.run_folder import RunFolder
from lfadsx.training.run_info import RunInfo, without_paths

GIVE = "Give the data: `data=` in Python; on the command line compare --data FILE... or evaluate RUN FILE..."


def recorded_data(folders: Mapping[str, Path], infos: Mapping[str, RunInfo], n_runs: int) -> Dataset:
    """Reads the training files of `n_runs` runs as the first run did; `folders` and `infos` are by name of the run.

    Raises:
        RunError: If the runs had different data, data without files, or files that are not found.
    """
    if len(infos) < n_runs:
        raise RunError(
            f"All {n_runs} runs must be run folders, which record their data, got {len(infos)} run folders. {GIVE}"
        )
    first, *others = infos
    for name in others:
        mine, theirs = _origins(infos[first]), _origins(infos[name])
        if mine != theirs:
            raise RunError(
                f"The runs were trained on different data: {first} on {_as_text(mine)}, {name} on {_as_text(theirs)}. "
                f"{GIVE}"
            )
    return _read_again(first, folders[first], infos[first])


def data_of_run(run: str | Path) -> Dataset:
    """Reads the files that a run was trained on, as the run read them.

    Raises:
        RunError: If the folder holds no run, or the files are not found or were changed.
    """
    folder = RunFolder(run)
    return _read_again(folder.path.name, folder.path, folder.info)


def check_same_trials(infos: Mapping[str, RunInfo], data: Dataset, split: str) -> None:
    """Checks that all runs divided the files of the data in the same way, so that scored trials were not trained on.

    Raises:
        DataError: If a run divided the same files in another way.
    """
    for name, info in infos.items():
        for session in data.sessions:
            ours, theirs = _facts(data.source, session.name), _facts(info.data["source"], session.name)
            if ours.get("sha256") != theirs.get("sha256"):
                continue
            if split == "test" and "sha256" in ours:  # the file itself defines the test trials
                continue
            if ours.get("split") != theirs.get("split"):
                raise DataError(
                    f"The {split} trials must be the same, but session {session.name!r} was divided by "
                    f"{_as_text(theirs.get('split'))} in the run {name} and by {_as_text(ours.get('split'))} in these "
                    "data: the run may have been trained on trials that are scored. Compare runs that divided the "
                    "data alike, or score a test split."
                )


def _facts(source: Any, session: str) -> dict[str, Any]:
    """Returns the recorded source of a session; a single source is used under any name."""
    if not isinstance(source, dict):
        return {}
    found = source.get(session) or (next(iter(source.values())) if len(source) == 1 else {})
    return found if isinstance(found, dict) else {}


def _origins(info: RunInfo) -> dict[str, Any]:
    """Returns the identity of the data by session: the SHA-256 of the file, else all recorded facts."""
    known = {session.name: _facts(without_paths(info.data["source"]), session.name) for session in info.sessions}
    return {name: facts.get("sha256", facts) for name, facts in known.items()}


def _as_text(facts: Any) -> str:
    if not isinstance(facts, dict):
        return str(facts)
    return ", ".join(f"{name} {str(value)[:12]}" for name, value in facts.items())


def _read_again(name: str, folder: Path, info: RunInfo) -> Dataset:
    sources = [_facts(info.data["source"], session.name) for session in info.sessions]
    if all("read" in source for source in sources):
        return _cut_again(name, folder, info, sources)
    files = [_find(name, folder, info, one) for source in sources for one in (source, *source.get("with", ()))]
    how = sources[0].get("split", {})
    axes = {source.get("axes") for source in sources}
    settings = {key: how[key] for key in ("seed", "valid_fraction") if key in how}
    try:
        data = read(
            *files,
            bin_width=info.bin_width,
            start=info.data.get("start"),
            event=info.data.get("event"),
            behaviour_lag=info.data.get("behaviour_lag"),
            kind=info.kinds or None,
            missing=True,  # in training data, NaN can only mean missing entries
            sessions=[session.name for session in info.sessions],
            axes=axes.pop() if len(axes) == 1 else None,
            **settings,
        )
    except DataError as error:
        raise RunError(f"The training files of the run {name} cannot be read: {error} {GIVE}") from error
    return _checked(name, info, data)


def _cut_again(name: str, folder: Path, info: RunInfo, sources: Sequence[dict[str, Any]]) -> Dataset:
    """Reads the recordings of a run again and cuts them as the run did."""
    paths = [_find_recording(name, folder, info, source) for source in sources]
    try:
        read_again = [
            read_recording(path, session_name=session.name, **source["read"]["options"])
            for path, session, source in zip(paths, info.sessions, sources, strict=True)
        ]
        data = concatenate(*read_again)
    except DataError as error:
        raise RunError(f"The recordings of the run {name} cannot be read: {error} {GIVE}") from error
    return _checked(name, info, data)


def _find_recording(name: str, folder: Path, info: RunInfo, source: dict[str, Any]) -> Path:
    """Returns the path of the recording whose files have the recorded SHA-256."""
    wanted = source["read"]["path"]
    others = [Path(value) for value in source["read"]["options"].values() if isinstance(value, str | Path)]
    for path in _places(folder, info, wanted):
        beside = {own.name: own for own in (*others, path)}  # such as the test file of the benchmark
        files = [
            (path / facts["file"] if path.is_dir() else beside.get(facts["file"], path), facts)
            for facts in source.get("files", ())
        ]
        if files and all(file.is_file() and describe(file)["sha256"] == facts["sha256"] for file, facts in files):
            return path
    raise RunError(f"The recording {wanted} of the run {name} is not found, or its files have changed. {GIVE}")


def _checked(name: str, info: RunInfo, data: Dataset) -> Dataset:
    """Returns the data if they have the trials and bins of the training data."""
    facts = {key: {split: getattr(of, key) for split, of in data.splits.items()} for key in ("n_trials", "n_bins")}
    for key, found in facts.items():
        if found != info.data[key]:
            raise RunError(
                f"The files of the run {name} must hold its training data, but {key} was {info.data[key]} in training "
                f"and is {found} in the files, which have changed. {GIVE}"
            )
    return data


def _find(name: str, folder: Path, info: RunInfo, source: dict[str, Any]) -> Path:
    """Returns the path of the file with the recorded SHA-256."""
    if "file" not in source:
        raise RunError(f"The run {name} must have read its training data from files, but did not. {GIVE}")
    for path in _places(folder, info, source["file"]):
        if path.is_file() and describe(path)["sha256"] == source["sha256"]:
            return path
    raise RunError(f"The training file {source['file']} of the run {name} is not found. {GIVE}")


def _places(folder: Path, info: RunInfo, file: str) -> Iterator[Path]:
    """Yields possible paths of a run's file: from its command, in the current folder, near the run folder."""
    if Path(file).name != file:  # a run folder of a stranger may name any file
        raise RunError(f"A run must record its files by their names, got {file!r} in {folder}. {GIVE}")
    yield from (path for path in map(Path, info.command.split()) if path.name == file)
    yield from (place / file for place in (Path(), folder, *folder.resolve().parents[:2]))
