"""Rates in the layout of a submission to the Neural Latents Benchmark (Pei et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lfadsx.data import validation
from lfadsx.data.benchmark_sets import SETS
from lfadsx.data.hdf5_files import open_to_read, open_to_write, write_array
from lfadsx.errors import DataError, LfadsxError
from lfadsx.findings import Finding
from lfadsx.results.by_session import SessionResults, by_session, n_channels
from lfadsx.results.posterior import Posterior

FORWARD = 0.2
"""Length of the forward prediction behind the window in seconds."""
SUFFIX = {5: "", 20: "_20"}
"""Ending of the name of a group, by bin width in milliseconds."""
LEAST = 1e-9
"""Smallest rate in counts per bin; the benchmark takes no zeros."""


def write_submission(
    path: Path, posteriors: Mapping[str, Posterior], benchmark: str | None
) -> tuple[list[Path], list[Finding]]:
    """Writes expected counts per bin to the group of a set; returns the file and what the user should know.

    The group has `train_rates_heldin`, `train_rates_heldout` (train and valid trials in the order of the input),
    `eval_rates_heldin` and `eval_rates_heldout` (test trials), float32, shape (trial, bin, neuron). With forward
    prediction also `eval_rates_heldin_forward` and `eval_rates_heldout_forward`. Without test trials, valid trials are
    those of `eval`. Groups of other sets that the file holds already are kept.

    Args:
        path: The file.
        posteriors: Posteriors by split: train, and test or valid.
        benchmark: Name of the set, such as "mc_maze".

    Raises:
        LfadsxError: If set, splits, bin width, number of bins or held-out neurons are not those of a submission.
        DataError: If the file exists and holds something other than a submission.
    """
    if benchmark is None:
        raise LfadsxError(f"`benchmark` must name the set of the benchmark: {', '.join(SETS)}.")
    validation.one_of(benchmark, SETS, "`benchmark`")
    train, evaluated, findings = _both(posteriors)
    group, observed = benchmark + _suffix(train), _observed_bins(train, benchmark)
    arrays = {f"train_rates_{name}": rates[:, :observed] for name, rates in _rates(train).items()}
    for name, rates in _rates(evaluated).items():
        arrays[f"eval_rates_{name}"] = rates[:, :observed]
        if rates.shape[1] > observed:
            arrays[f"eval_rates_{name}_forward"] = rates[:, observed:]
    _check_kept(path)
    with open_to_write(path) as file:
        if path.is_file():
            with open_to_read(path) as earlier:
                for name in set(earlier) - {group}:
                    earlier.copy(name, file)
        for name, rates in arrays.items():
            write_array(file.require_group(group), name, rates, description="Expected counts per bin")
    return [path], findings


def _both(posteriors: Mapping[str, Posterior]) -> tuple[SessionResults, SessionResults, list[Finding]]:
    """Returns the results of the trials of `train` and of `eval`."""
    if not {"train", "valid"} <= set(posteriors):
        raise LfadsxError(
            f"A submission needs the rates of train, valid and test trials, got {', '.join(posteriors)}. Give the run "
            "folder of `lfadsx fit`, or infer these splits."
        )
    if "test" in posteriors:
        return _session(posteriors, "train", "valid"), _session(posteriors, "test"), []
    sentence = "The data have no test trials, so `eval` holds the valid trials, which the leaderboard cannot score."
    remedy = "For the leaderboard, read both files of the set with `lfadsx.from_nwb(train_file, test_file)`."
    note = Finding("note", "no test trials", None, None, "valid", sentence, remedy)
    return _session(posteriors, "train"), _session(posteriors, "valid"), [note]


def _session(posteriors: Mapping[str, Posterior], *splits: str) -> SessionResults:
    found = by_session({name: posteriors[name] for name in splits})
    if len(found) > 1:
        names = ", ".join(session.name for session in found)
        raise LfadsxError(f"A submission must have one session, got {names}. Export a run of one session.")
    return found[0]


def _suffix(session: SessionResults) -> str:
    width = session.posterior.time.bin_width
    ms = None if width is None else round(1000 * width, 6)
    if ms not in SUFFIX:
        found = "bins of unknown width" if ms is None else f"{ms:g} ms"
        raise LfadsxError(
            f"The benchmark needs bins of 5 or 20 ms, got {found}. Cut the data again with a bin width of "
            "0.005 or 0.02 s."
        )
    return SUFFIX[int(ms)]


def _observed_bins(session: SessionResults, benchmark: str) -> int:
    """Returns the bins that the encoder sees; others are forward prediction."""
    posterior: Any = session.posterior
    width, n_bins = posterior.time.bin_width, posterior.factors.shape[1]
    first, last = SETS[benchmark].window
    observed, forward = round((last - first) / width), round(FORWARD / width)
    if n_bins not in (observed, observed + forward) or np.any(posterior.length != n_bins):
        raise LfadsxError(
            f"Trials of {benchmark} must have {observed} bins of {1000 * width:g} ms, or {observed + forward} with "
            f"forward prediction, got {n_bins}. Check the window and the name of the set."
        )
    return observed


def _rates(session: SessionResults) -> dict[str, np.ndarray]:
    """Returns expected counts per bin of held-in and held-out neurons, shape (trial, bin, neuron)."""
    posterior = session.posterior
    group = posterior.input_group
    if posterior.groups[group].kind != "counts":
        raise LfadsxError(f"The benchmark needs rates of spikes, but the data of {group!r} are real numbers.")
    rates = posterior.rates[group][:, :, : n_channels(posterior.rates[group])]
    held_out = session.units().get("held_out", np.zeros(rates.shape[2], bool))
    if not held_out.any():
        raise LfadsxError(
            "A submission needs the rates of held-out neurons, but the encoder saw all neurons. Prepare the data again "
            "with the held-out neurons of the set."
        )
    rates = np.maximum(rates, LEAST).astype(np.float32)
    if not np.isfinite(rates).all():
        raise LfadsxError(f"Rates must be finite, but {(~np.isfinite(rates)).sum()} are not. Infer the trials again.")
    return {"heldin": rates[:, :, ~held_out], "heldout": rates[:, :, held_out]}


def _check_kept(path: Path) -> None:
    """Raises `DataError` if a file exists that holds something other than a submission."""
    if not path.is_file():
        return
    with open_to_read(path) as earlier:
        other = [name for name in earlier if name.removesuffix("_20") not in SETS]
    if other:
        raise DataError(
            f"{str(path)!r} must be a new file, or a submission to which the set is added, but it holds {other[0]!r}. "
            "Give another file."
        )
