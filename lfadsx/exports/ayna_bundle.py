"""Results and data as a bundle of ayna, which looks for invented features and misattributed dynamics."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lfadsx.data.dataset import Dataset, Split
from lfadsx.data.fold_datasets import all_trials
from lfadsx.data.splits import choose
from lfadsx.errors import DataError, LfadsxError
from lfadsx.exports.folders import files_of
from lfadsx.files import atomic_path
from lfadsx.findings import Finding
from lfadsx.results.by_session import SessionResults, by_session
from lfadsx.results.posterior import Posterior

SPLITS = ("train", "valid")
"""Splits of a bundle. Test trials stay out, so that no choice depends on them."""
LEAST = 1e-9
"""Smallest rate in counts per bin that ayna takes."""


def write_bundles(
    path: Path, posteriors: Mapping[str, Posterior], data: Dataset | None
) -> tuple[list[Path], list[Finding]]:
    """Writes a bundle for each session; returns the files and what the user should know.

    With R trials, T bins and N neurons a bundle holds `spikes` (R, T, N), `rates` in counts per bin (R, T, N), the
    states of the generator as `latents` (R, T, D), `heldout` (N,), `val` (R,), `trial_lens` (R,), the inferred `inputs`
    (R, T, U) and `meta`. Simulated data add `true_rates` and `true_inputs`. Bins after a trial's end hold zeros.

    Args:
        path: A folder, or for one session also a file that ends in .npz.
        posteriors: Posteriors by split: train and valid.
        data: The data set that was inferred, with the spikes.

    Raises:
        LfadsxError: If a split or the data are missing, or the data are real numbers.
        DataError: If data and posteriors do not have the same trials.
    """
    if data is None:
        raise LfadsxError(
            "A bundle of ayna holds the spikes, too, which these results lack. Give a run folder, which knows its data "
            "files, or `data=` in Python."
        )
    if not set(SPLITS) <= set(posteriors):
        raise LfadsxError(
            f"A bundle of ayna needs the results of train and valid trials, got {', '.join(posteriors)}. Give the run "
            "folder of `lfadsx fit`, or infer these splits."
        )
    if not data.is_counts():
        raise LfadsxError(
            f"A bundle of ayna needs counts of spikes, but the data of {data.input_group!r} are real numbers."
        )
    sessions = by_session({name: posteriors[name] for name in SPLITS}, ["rates_counts", "generator_states"])
    files, findings = files_of(path, sessions, ".npz"), []
    for file, session in zip(files, sessions, strict=True):
        trials = _same_trials(session, data)
        with atomic_path(file) as partial:
            np.savez_compressed(partial, **_bundle(session, trials, data))
        findings += _missing(session, trials, data)
    return files, findings


def _same_trials(session: SessionResults, data: Dataset) -> Split:
    """Returns the trials of a session in the order of its results."""
    names = [own.name for own in data.sessions]
    trials = all_trials(dataclasses.replace(data, test=None))
    if session.name in names:
        trials = choose(trials, np.flatnonzero(trials.session == names.index(session.name)))
        if np.array_equal(trials.trial_id, session.posterior.trial_id):
            return trials
    raise DataError(
        f"The data must have the trials of session {session.name!r} that were inferred, but theirs are others. Give "
        "the data set that the run was trained on."
    )


def _bundle(session: SessionResults, trials: Split, data: Dataset) -> dict[str, Any]:
    posterior, (rates, states) = session.posterior, (array.values for array in session.arrays.values())
    n_bins, n_neurons = int(posterior.length.max()), rates.shape[2]
    inside = (np.arange(n_bins) < posterior.length[:, None])[:, :, None]

    def filled(values: np.ndarray, padding: float = 0.0) -> np.ndarray:
        return np.where(inside, values[:, :n_bins], np.asarray(padding, values.dtype))

    found = {
        "spikes": filled(trials.targets[data.input_group][:, :, :n_neurons]),
        "rates": np.maximum(filled(rates), LEAST),
        "latents": filled(states),
        "heldout": session.units().get("held_out", np.zeros(n_neurons, bool)),
        "val": session.split == "valid",
        "trial_lens": posterior.length,
    }
    # Unshifted: inputs at t drove the step from t - 1 to t.
    found |= {} if posterior.inputs is None else {"inputs": filled(posterior.inputs)}
    if trials.truth is not None and data.truth_unit in ("counts per bin", "Hz"):
        width = data.bin_width if data.truth_unit == "Hz" else 1.0
        found |= {} if width is None else {"true_rates": filled(trials.truth[:, :, :n_neurons] * width)}
    found |= {} if trials.true_inputs is None else {"true_inputs": filled(trials.true_inputs)}
    meta = {
        "name": session.name,
        "model": f"LFADS (lfadsx {posterior.version})",
        "inputs_kind": "inferred",
        "latent_dim": states.shape[2],
        "readout_bottleneck": posterior.factors.shape[2],
    }
    meta |= {} if data.bin_width is None else {"bin_ms": round(1000 * data.bin_width, 6)}
    return found | {"meta": np.array(json.dumps(meta, sort_keys=True))}


def _missing(session: SessionResults, trials: Split, data: Dataset) -> list[Finding]:
    observed = trials.target_observed.get(data.input_group)
    if observed is None:
        return []
    inside = np.arange(observed.shape[1]) < trials.target_length[:, None]
    n = int((~observed & inside[:, :, None])[:, :, : session.arrays["rates_counts"].values.shape[2]].sum())
    sentence = (
        f"{n} counts of {session.name!r} were not observed. They are zeros in the bundle, as ayna needs all counts."
    )
    return [Finding("warning", "missing entries", n, 0, session.name, sentence)] if n else []
