"""Checks that several processes train the same: settings, data and run folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from lfadsx import processes
from lfadsx.data.batching import take
from lfadsx.data.dataset import Dataset
from lfadsx.errors import LfadsxError, RunError
from lfadsx.files import to_json
from lfadsx.training.run_info import RunInfo, first_difference, without_paths

COMPARED = ("versions", "notes", "hyper", "train", "population", "parts", "data", "model")
"""Fields of a run's description that must be equal in all processes; those that name a difference best come first."""
TRIALS = 16
"""Trials of each split whose values are compared; all would take long if there are many."""


def check_alike(info: RunInfo, earlier: RunInfo | None, datasets: Sequence[Dataset], mesh: Mesh | None) -> None:
    """Checks that all processes have the same settings, data, devices and run folder.

    Raises:
        LfadsxError: If they differ in settings or data.
        RunError: If some of the processes see an earlier run in the folder and others do not.
    """
    facts = {name: without_paths(getattr(info, name)) for name in COMPARED}
    facts["values of the data"] = [_digest(data) for data in {id(data): data for data in datasets}.values()]
    found = processes.exchange(
        {name: hashlib.sha256(to_json(value).encode()).hexdigest() for name, value in facts.items()}
    )
    for name in facts:
        odd = [index for index, one in enumerate(found) if one[name] != found[0][name]]
        if odd:
            of_all = processes.exchange(facts[name])
            where, first, other = first_difference("", {name: of_all[0]}, {name: of_all[odd[0]]})
            raise LfadsxError(
                f"All processes must have the same settings and data, but `{where}` is {first} in process 0 and "
                f"{other} in process {odd[0]}. Start all of them with the same command and the same files."
            )
    _check_folder(earlier is not None)


def _digest(data: Dataset) -> str:
    """Returns a hash of the values of some trials of every split."""
    digest = hashlib.sha256()
    for split in data.splits.values():
        rows = np.unique(np.linspace(0, split.n_trials - 1, TRIALS).astype(int))
        for array in jax.tree.leaves(take(data.sessions, split, rows)):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]


def check_same_position(position: dict[str, Any] | None) -> None:
    """Checks that all processes have read the same checkpoint.

    Raises:
        RunError: If they have not.
    """
    _check_folder(position and [position["epoch"], position["block"]])


def _check_folder(seen: Any) -> None:
    """Raises RunError unless all processes have seen the same in the run folder."""
    found = processes.exchange(seen)
    if any(other != found[0] for other in found):
        raise RunError(
            "The run folder must be the same for all processes, but they see different files in it. Give a folder on "
            "a file system that all hosts share."
        )
