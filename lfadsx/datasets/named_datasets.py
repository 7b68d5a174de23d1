"""The data sets by name, with the settings of the original programs, and `simulate`, which writes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lfadsx.datasets.chaotic_network import ChaoticRNN
from lfadsx.datasets.integration_to_bound import IntegrationToBound
from lfadsx.datasets.integrator_rnn import IntegratorRNN
from lfadsx.datasets.labeled_rnns import LabeledRNNs
from lfadsx.datasets.lorenz import Lorenz
from lfadsx.datasets.recipe import AbstractRecipe
from lfadsx.errors import DataError, nearest

RECIPES: dict[str, AbstractRecipe] = {
    "chaotic_rnn_no_inputs": ChaoticRNN(),
    "gaussian_chaotic_rnn_no_inputs": ChaoticRNN(noise="gaussian"),
    "chaotic_rnn_inputs_g1p5": ChaoticRNN(input_magnitude=20.0),
    "chaotic_rnn_inputs_g2p5": ChaoticRNN(input_magnitude=20.0, gain=2.5),
    "chaotic_rnn_multisession": ChaoticRNN(conditions=150, trials_per_condition=40, units=100, recorded=20),
    "chaotic_rnns_labeled": LabeledRNNs(),
    "itb_rnn": IntegrationToBound(),
    "lorenz": Lorenz(),
    "integrator_rnn": IntegratorRNN(),
}
"""The recipes by name, each with the settings of its original."""

TITLES = {
    "chaotic_rnn_no_inputs": "A chaotic network without inputs.",
    "gaussian_chaotic_rnn_no_inputs": "The same with Gaussian noise instead of spikes.",
    "chaotic_rnn_inputs_g1p5": "A chaotic network that a pulse kicks at a random time of each trial.",
    "chaotic_rnn_inputs_g2p5": "The same with stronger weights (gain 2.5), harder to tell from its inputs.",
    "chaotic_rnn_multisession": "Five sessions that record different units of one chaotic network.",
    "chaotic_rnns_labeled": "Two chaotic networks; a known input says which one makes the trial.",
    "itb_rnn": "A trained network that adds up its input between two bounds.",
    "lorenz": "The Lorenz system, seen through neurons.",
    "integrator_rnn": "A trained network that adds up a noisy input, as in the tutorial in JAX.",
}
"""What each data set is."""


def simulate(name: str, out: str | Path, **changes: Any) -> list[Path]:
    """Simulates a data set whose truth is known and writes it to HDF5 files that `read` takes.

    Example:
        >>> import pathlib, tempfile
        >>> from lfadsx.data import read
        >>> from lfadsx.datasets import simulate
        >>> folder = tempfile.TemporaryDirectory()
        >>> files = simulate("chaotic_rnn_no_inputs", folder.name, conditions=4, seed=1)
        >>> [file.name for file in files], read(*files).train.truth.shape
        (['chaotic_rnn_no_inputs.h5'], (32, 100, 50))

    Args:
        name: Name in `RECIPES`.
        out: A folder, in which files are called NAME.h5, or NAME_n0.h5, NAME_n1.h5, ... for several sessions. For a
            single session also the file itself, with the ending .h5 or .hdf5.
        **changes: Settings of the recipe other than its defaults.

    Returns:
        The files in the order of the sessions.

    Raises:
        DataError: If there is no such recipe or setting, a setting makes no sense, or a file cannot be written.
    """
    _known(name, RECIPES, "recipe")
    recipe, out = RECIPES[name], Path(out)
    for field in changes:
        _known(field, [field.name for field in dataclasses.fields(recipe)], f"setting of {name!r}")
    sessions = dataclasses.replace(recipe, **changes).simulate()
    if out.suffix not in (".h5", ".hdf5"):
        return [session.write(out / f"{name}{session.suffix}.h5") for session in sessions]
    if len(sessions) > 1:
        raise DataError(
            f"{name!r} has {len(sessions)} sessions and {str(out)!r} is one file. "
            "Name a folder; each session gets a file in it."
        )
    return [sessions[0].write(out)]


def _known(name: str, names: Collection[str], what: str) -> None:
    """Raises `DataError` when a name is none of those that there are, with the one most like it."""
    if name not in names:
        raise DataError(f"{name!r} is no {what}{nearest(name, names)}. Choose one of {', '.join(map(repr, names))}.")
