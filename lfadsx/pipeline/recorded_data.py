"""The data that runs were trained on: whether they are the same, and where their files are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lfadsx.data import read
from lfadsx.data.dataset import Dataset
from lfadsx.data.hdf5_files import describe
from lfadsx.errors import DataError, RunError
from lfadsx.training.run_folder import RunInfo

GIVE = "Give the data: `data=`, or --data FILE... on the command line."


def recorded_data(folders: Mapping[str, Path], infos: Mapping[str, RunInfo], n_runs: int) -> Dataset:
    """Reads the files that runs were trained on, as the first of them read them.

    Args:
        folders: Run folders by name of the run.
        infos: What they say about themselves.
        n_runs: Number of runs, those without a folder included.

    Raises:
        RunError: If the runs had different data, no files, or files that are not found.
    """
    if len(infos) < n_runs:
        raise RunError(f"Only {len(infos)} of {n_runs} runs are run folders, which record their data. {GIVE}")
    first, *others = infos
    for name in others:
        mine, theirs = _origins(infos[first]), _origins(infos[name])
        if mine != theirs:
            raise RunError(
                f"The runs were trained on different data: {first} on {_said(mine)}, {name} on {_said(theirs)}. {GIVE}"
            )
    return _read_again(first, folders[first], infos[first])


def check_same_trials(infos: Mapping[str, RunInfo], data: Dataset, split: str) -> None:
    """Checks that no run was trained on trials that are scored: that it divided the same files in the same way.

    Args:
        infos: What run folders say, by name of the run.
        data: The data to score.
        split: The scored split.

    Raises:
        DataError: If a run took other trials of the same data as its valid or test trials.
    """
    for name, info in infos.items():
        for session in data.sessions:
            ours, theirs = _facts(data.source, session.name), _facts(info.data["source"], session.name)
            if ours.get("sha256") != theirs.get("sha256"):
                continue
            if split == "test" and "sha256" in ours:  # the file itself says which trials test
                continue
            if ours.get("split") != theirs.get("split"):
                raise DataError(
                    f"The {split} trials must be the same, but session {session.name!r} was divided by "
                    f"{_said(theirs.get('split'))} in the run {name} and by {_said(ours.get('split'))} in these data: "
                    "the run may have been trained on trials that are scored. Compare runs that divided the data "
                    "alike, or score a test split."
                )


def _facts(source: Any, session: str) -> dict[str, Any]:
    """What is known of where a session came from; where there is only one, its name does not matter."""
    if not isinstance(source, dict):
        return {}
    found = source.get(session) or (next(iter(source.values())) if len(source) == 1 else {})
    return found if isinstance(found, dict) else {}


def _origins(info: RunInfo) -> dict[str, Any]:
    """By session, what tells its data from others: the content of its file, else all that is known."""
    known = {session.name: _facts(info.data["source"], session.name) for session in info.sessions}
    return {name: facts.get("sha256", facts) for name, facts in known.items()}


def _said(facts: Any) -> str:
    if not isinstance(facts, dict):
        return str(facts)
    return ", ".join(f"{name} {str(value)[:12]}" for name, value in facts.items())


def _read_again(name: str, folder: Path, info: RunInfo) -> Dataset:
    sources = [_facts(info.data["source"], session.name) for session in info.sessions]
    files = [_find(name, folder, info, source) for source in sources]
    how = sources[0].get("split", {})
    settings = {key: how[key] for key in ("seed", "valid_fraction") if key in how}
    try:
        data = read(
            *files,
            bin_width=info.bin_width,
            start=info.data.get("start"),
            event=info.data.get("event"),
            behaviour_lag=info.data.get("behaviour_lag"),
            kind=info.kinds or None,
            missing=True,  # NaN in data that a run was trained on can only mean that
            sessions=[session.name for session in info.sessions],
            **settings,
        )
    except DataError as error:
        raise RunError(f"The files of the run {name} cannot be read as for its training: {error} {GIVE}") from error
    facts = {key: {split: getattr(of, key) for split, of in data.splits.items()} for key in ("n_trials", "n_bins")}
    for key, found in facts.items():
        if found != info.data[key]:
            raise RunError(
                f"The run {name} was trained on other trials than its files hold: {key} {info.data[key]} there and "
                f"{found} in the files. They were changed after reading. {GIVE}"
            )
    return data


def _find(name: str, folder: Path, info: RunInfo, source: dict[str, Any]) -> Path:
    """Returns the file with the recorded content."""
    if "file" not in source:
        raise RunError(f"The run {name} was trained on data that were not read from files. {GIVE}")
    for path in _places(folder, info, source["file"]):
        if path.is_file() and describe(path)["sha256"] == source["sha256"]:
            return path
    raise RunError(f"The file {source['file']} that the run {name} was trained on is not found. {GIVE}")


def _places(folder: Path, info: RunInfo, file: str) -> Iterator[Path]:
    """Where a file of a run may be: where its command found it, here, or beside the run folder."""
    yield from (path for path in map(Path, info.command.split()) if path.name == file)
    yield from (place / file for place in (Path(), folder, *folder.resolve().parents[:2]))
