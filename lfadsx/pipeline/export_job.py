"""`export`: results in the files of other tools."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from lfadsx.data import validation
from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import ALL
from lfadsx.errors import LfadsxError, RunError
from lfadsx.exports.ayna_bundle import write_bundles
from lfadsx.exports.csv_export import write_csv_folder
from lfadsx.exports.matlab_export import write_matlab
from lfadsx.exports.nlb_submission import write_submission
from lfadsx.exports.nwb_export import write_nwb
from lfadsx.exports.pynapple_export import write_pynapple
from lfadsx.files import check_writable
from lfadsx.findings import Finding
from lfadsx.pipeline.outcome import Outcome
from lfadsx.results.by_session import SessionResults, by_session
from lfadsx.results.posterior import Posterior
from lfadsx.results.results_file import read_posteriors
from lfadsx.training.recorded_data import GIVE, data_of_run
from lfadsx.training.run_folder import RunFolder

Target = Literal["nwb", "matlab", "pynapple", "csv", "ayna", "nlb"]
"""Tools whose files are written."""

OUT: dict[Target, str] = {
    "nwb": "nwb",
    "matlab": "lfads.mat",
    "pynapple": "pynapple",
    "csv": "csv",
    "ayna": "ayna",
    "nlb": "submission.h5",
}
"""Default name in the run folder: of a folder, or of a file if it has an ending."""

ENDINGS: dict[Target, str] = {"nwb": ".nwb", "ayna": ".npz"}
"""Ending of the file that may be named in place of a folder if there is one session."""

FILES = (".csv", ".npz", ".nwb", ".mat", ".h5", ".hdf5")
"""Endings that a folder does not have."""

OF_SEVERAL = {
    "ensemble.h5": "a population, whose ensemble is the average of its models",
    "cross_validated.h5": "a cross-validation, with every trial inferred by a model that was trained without it",
}
"""By name of its file, what a folder holds whose results are of several models."""

TAKES: dict[str, tuple[Target, ...]] = {
    "split": ("nwb", "matlab", "pynapple", "csv"),
    "arrays": ("nwb", "matlab", "pynapple", "csv"),
    "benchmark": ("nlb",),
    "source": ("nwb",),
    "data": ("ayna",),
}
"""By argument, the tools that it is for."""


def export(
    results: str | Path | Posterior | Mapping[str, Posterior],
    to: Target,
    out: str | Path | None = None,
    *,
    split: str | None = None,
    arrays: str | Sequence[str] = (),
    benchmark: str | None = None,
    source: str | Path | Sequence[str | Path] = (),
    data: Dataset | None = None,
) -> Outcome:
    """Writes rates, factors, inferred inputs and biases for other tools.

    | `to` | what is written |
    |---|---|
    | "nwb" | a copy of the NWB file that the data came from, with the results on the clock of the session |
    | "matlab" | a MATLAB file (v5) with a struct `lfads` of arrays (trial, time, column) |
    | "pynapple" | a folder with an NPZ file for each object of pynapple |
    | "csv" | a folder with a table for each array |
    | "ayna" | a bundle of ayna: spikes, rates, states of the generator |
    | "nlb" | a submission to the Neural Latents Benchmark |

    Files that are there already are replaced, except the original NWB file.

    Example:
        >>> import pathlib, tempfile
        >>> import lfadsx
        >>> from scipy.io import loadmat
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
        >>> model = lfadsx.autonomous(data, generator_dim=8, seed=0)
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = pathlib.Path(folder.name) / "rates.mat"
        >>> outcome = lfadsx.export(lfadsx.infer(model, data, n_samples=2), "matlab", file)
        >>> loadmat(file, simplify_cells=True)["lfads"]["rates_hz"].shape
        (4, 10, 50)

    Args:
        results: A run folder, whose `posterior.h5` is read; a file of posteriors; a posterior; or posteriors by split.
        to: The tool.
        out: The file or folder to write. By default a name in the run folder, or beside the file of posteriors.
        split: Name of the split; by default all trials of all splits together, in the order of the input.
        arrays: Names of the arrays, as in `posterior.h5`, such as "rates_counts" or "generator_states"; those of other
            target groups begin with the name of the group ("emg_rates"). By default rates in Hz (for real numbers in
            their own unit, without a bin width in counts per bin), factors, inferred inputs and the bias.
        benchmark: For "nlb", name of the set, such as "mc_maze".
        source: For "nwb", the original files, all of them, if they were moved.
        data: For "ayna", the data set; by default that of the run.

    Returns:
        The written files, and findings about what is left out.

    Raises:
        RunError: If the folder holds no run or no posterior.
        DataError: If a file cannot be read or written, or a recording is not the one that the results came from.
        MissingExtraError: If the package of the tool is not installed.
        LfadsxError: If the results lack something that the tool needs, or a name is unknown.
    """
    began = time.monotonic()
    validation.one_of(to, get_args(Target), "`to`")
    arrays = (arrays,) if isinstance(arrays, str) else tuple(arrays)
    given = {"split": split, "arrays": arrays, "benchmark": benchmark, "source": source, "data": data}
    _check_taken(to, [name for name, value in given.items() if value is not None and value != ()])
    posteriors, path = _posteriors(results), _out(results, to, out)
    if split not in (None, ALL):
        validation.one_of(str(split), [*posteriors, ALL], "`split`")
        posteriors = {str(split): posteriors[str(split)]}
    if to == "nlb":
        files, findings = write_submission(path, posteriors, benchmark)
    elif to == "ayna":
        files, findings = write_bundles(path, posteriors, _data(results) if data is None else data)
    else:
        originals = (source,) if isinstance(source, str | Path) else source
        files, findings = _write(to, path, by_session(posteriors, arrays), [Path(original) for original in originals])
    return Outcome(files=files, findings=tuple(findings), seconds=time.monotonic() - began)


def _write(
    to: Target, path: Path, sessions: Sequence[SessionResults], originals: Sequence[Path]
) -> tuple[list[Path], list[Finding]]:
    if to == "nwb":
        return write_nwb(path, sessions, originals)
    if to == "pynapple":
        return write_pynapple(path, sessions)
    return (write_matlab if to == "matlab" else write_csv_folder)(path, sessions), []


def _check_taken(to: Target, given: Sequence[str]) -> None:
    for name in given:
        if to not in TAKES[name]:
            raise LfadsxError(f"`{name}` is for {' and '.join(TAKES[name])}, not for {to}. Leave it out.")


def _out(results: Any, to: Target, out: str | Path | None) -> Path:
    """Returns the file or folder to write, after a check that it can be written."""
    if out is None:
        if not isinstance(results, str | Path):
            raise LfadsxError("`out` must be given for results in memory: the file or folder to write.")
        run = Path(results)
        path = run.parent / f"{run.stem}_{OUT[to]}" if run.is_file() else run / OUT[to]
    else:
        path = Path(out)
    is_file = path.suffix == ENDINGS[to] if to in ENDINGS else Path(OUT[to]).suffix != ""
    if not is_file and path.suffix in FILES and not path.is_dir():
        raise LfadsxError(f"`out` must be a folder, because {to} is several files, got {path}. Name a folder.")
    if to == "matlab" and path.suffix != ".mat":
        raise LfadsxError(f"`out` must end in .mat, which MATLAB needs, got {path}. Give another name.")
    check_writable(path if is_file else path / "file")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _posteriors(results: str | Path | Posterior | Mapping[str, Posterior]) -> dict[str, Posterior]:
    """Returns posteriors by split."""
    if isinstance(results, Posterior):
        return {results.split or "trials": results}
    if isinstance(results, Mapping):
        return dict(results)
    if Path(results).is_file():
        return read_posteriors(results)
    for name, what in OF_SEVERAL.items():
        if (Path(results) / name).is_file():
            file = Path(results) / name
            raise RunError(f"The results must be of one model, but the folder {results} holds {what}. Give {file}.")
    folder = RunFolder(results)
    _ = folder.info  # raises an error if the folder holds no run
    if not folder.posterior.is_file():
        raise RunError(
            f"The run {folder.path} must have a posterior.h5, but it is not there. Infer the trials again with its fit "
            "command, or export a file of `lfadsx infer`."
        )
    return read_posteriors(folder.posterior)


def _data(results: Any) -> Dataset | None:
    """Returns the data set of a run; None for results without a run folder."""
    if not isinstance(results, str | Path) or Path(results).is_file():
        return None
    try:
        return data_of_run(results)
    except RunError as error:
        why = str(error).removesuffix(f" {GIVE}")
        raise RunError(
            f"ayna needs the spikes that the run {results} was trained on. {why} Give the command in the folder of the "
            "data files, or give `lfadsx.export` the data set in Python."
        ) from error
