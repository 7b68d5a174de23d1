"""The data sets by name, with the settings of the original programs, and `simulate`, which writes them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from lfadsx.data import validation
from lfadsx.datasets.chaotic_network import ChaoticRNN
from lfadsx.datasets.flip_flop import FlipFlop
from lfadsx.datasets.integration_to_bound import IntegrationToBound
from lfadsx.datasets.integrator_rnn import IntegratorRNN
from lfadsx.datasets.labeled_rnns import LabeledRNNs
from lfadsx.datasets.lorenz import Lorenz
from lfadsx.datasets.recipe import AbstractRecipe
from lfadsx.errors import DataError

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
    "nbff": FlipFlop(),
}
"""The recipes by name, each with the settings of its original."""

TITLES = {
    "chaotic_rnn_no_inputs": "A chaotic network without inputs.",
    "gaussian_chaotic_rnn_no_inputs": "The same with Gaussian noise instead of spikes.",
    "chaotic_rnn_inputs_g1p5": "A chaotic network with a pulse at a random time of each trial.",
    "chaotic_rnn_inputs_g2p5": "The same with stronger weights (gain 2.5), harder to tell from its inputs.",
    "chaotic_rnn_multisession": "Five sessions that record different units of one chaotic network.",
    "chaotic_rnns_labeled": "Two chaotic networks; a known input tells which network makes the trial.",
    "itb_rnn": "A trained network that sums its input between two bounds.",
    "lorenz": "The Lorenz system, observed through neurons.",
    "integrator_rnn": "A trained network that sums a noisy input, as in the tutorial in JAX.",
    "nbff": "A trained network that remembers the last pulse of each of three inputs.",
}
"""A description of each data set."""


def simulate(name: str, out: str | Path, **changes: Any) -> list[Path]:
    """Simulates a data set with known truth and writes it to HDF5 files for `read`.

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
        out: A folder for the files NAME.h5, or NAME_n0.h5, NAME_n1.h5, ... for several sessions. For a single session
            also a file name that ends in .h5 or .hdf5.
        **changes: Settings of the recipe other than its defaults.

    Returns:
        The files in the order of the sessions.

    Raises:
        DataError: If a recipe or setting is unknown, a setting is out of range, or a file cannot be written.
    """
    validation.one_of(name, RECIPES, "The recipe")
    recipe, out = RECIPES[name], Path(out)
    for change in changes:
        validation.one_of(change, [field.name for field in dataclasses.fields(recipe)], f"A setting of {name!r}")
    sessions = dataclasses.replace(recipe, **changes).simulate()
    if out.suffix not in (".h5", ".hdf5"):
        return [session.write(out / f"{name}{session.suffix}.h5") for session in sessions]
    if len(sessions) > 1:
        raise DataError(
            f"{name!r} has {len(sessions)} sessions and {str(out)!r} is one file. "
            "Name a folder; each session gets a file in it."
        )
    return [sessions[0].write(out)]
