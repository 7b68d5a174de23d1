"""The base of every simulation: a recipe of settings, and simulated trials to be written to a file."""

from __future__ import annotations

import abc
import dataclasses
import json
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from lfadsx import __version__
from lfadsx.data import validation
from lfadsx.data.hdf5_files import open_to_write, write_array
from lfadsx.data.splits import names_in_order
from lfadsx.errors import DataError

SplitBy = Literal["trials", "conditions"]


@dataclasses.dataclass(frozen=True)
class Simulation:
    """Simulated trials of one session, as a file holds them.

    Attributes:
        arrays: Arrays and numbers by key of the file: data, truth and inputs of each split under the keys of the
            TensorFlow program (`train_data`, `train_truth`, `input_train_truth`, ...), and the original's further keys.
        attributes: Attributes of the file, such as `bin_width_s`.
        suffix: End of the file's name after the recipe's name; "" for a single session.
    """

    arrays: dict[str, Any]
    attributes: dict[str, Any]
    suffix: str = ""

    def write(self, path: Path) -> Path:
        """Writes an HDF5 file for `lfadsx.data.read`; integers get the smallest type that holds them."""
        with open_to_write(path) as file:
            file.attrs.update({name: value for name, value in self.attributes.items() if value is not None})
            for key, values in self.arrays.items():
                values = np.asarray(values)
                if values.dtype.kind in "iu" and values.size and values.min() >= 0:
                    values = values.astype(np.min_scalar_type(int(values.max())))
                write_array(file, key, values)
        return path


@dataclasses.dataclass(frozen=True)
class AbstractRecipe(abc.ABC):
    """Settings of a simulation, each a flag of `lfadsx simulate`.

    To write one: a frozen dataclass whose fields are its settings, `seed` among them, and `simulate`.
    """

    seed: int = 5
    """Seed of everything random."""

    @abc.abstractmethod
    def simulate(self) -> list[Simulation]:
        """Simulates the sessions."""

    def facts(self, name: str, bin_width: float | None) -> dict[str, Any]:
        """Returns the attributes of every simulated file: bin width (None without a unit), seed, settings, version."""
        settings = {"simulation": name, **dataclasses.asdict(self), "lfadsx": __version__}
        return {"bin_width_s": bin_width, "seed": self.seed, "lfadsx_source": json.dumps(settings)}

    def check_positive(self, *names: str) -> None:
        """Raises `DataError` unless all settings of these names are above 0."""
        for name in names:
            validation.positive(getattr(self, name), f"`{name}`")


@dataclasses.dataclass(frozen=True)
class AbstractTrials(AbstractRecipe):
    """Settings of simulations that repeat each of several conditions in several trials.

    Trials are numbered condition by condition. As in the original programs, the first `train_fraction` of a
    condition's trials train and the others validate. So train and valid share conditions, which suits early stopping.
    With `split="conditions"` some conditions are kept apart as a test.
    """

    conditions: int = 400
    """Number of conditions."""
    trials_per_condition: int = 10
    """Number of trials of each condition."""
    units: int = 50
    """Number of units of the network."""
    duration: float = 1.0
    """Length of a trial in seconds."""
    bin_width: float = 0.01
    """Width of a bin, and step of the simulation, in seconds."""
    max_rate: float = 30.0
    """Highest rate of each neuron in each trial in Hz."""
    train_fraction: float = 0.8
    """Share of each condition's trials that train; the others validate."""
    split: SplitBy = "trials"
    """trials: train and valid share conditions, as in the original; conditions: a share 1 - train_fraction of the
    conditions, drawn at random, is a test split, and the trials of the others divide as in the original."""

    @property
    def condition(self) -> np.ndarray:
        """Condition of each trial, shape (trial,)."""
        return np.repeat(np.arange(self.conditions), self.trials_per_condition)

    @property
    def n_bins(self) -> int:
        """Number of bins of a trial."""
        return bins_of(self.duration, self.bin_width)

    def check(self) -> None:
        """Raises `DataError` if a size, a rate or a choice is out of range."""
        self.check_positive("conditions", "trials_per_condition", "units", "duration", "bin_width", "max_rate")
        validation.one_of(self.split, get_args(SplitBy), "`split`")
        if not 0 < self.train_fraction < 1:
            raise DataError(f"`train_fraction` must be between 0 and 1, got {self.train_fraction}.")

    def scalars(self) -> dict[str, float]:
        """Returns the numbers that files of the original hold; true rates are on a scale from 0 to 1."""
        return {
            "dt": self.bin_width,
            "train_percentage": self.train_fraction,
            "nreplications": self.trials_per_condition,
            "conversion_factor": 1 / (self.max_rate * self.bin_width),
        }

    def split_names(self) -> np.ndarray:
        """Returns "train", "valid" or "test" for each trial, shape (trial,).

        The share of a condition's trials is rounded to a whole number; the original raises an error.
        """
        valid_fraction = round(1 - self.train_fraction, 12)
        names = np.tile(names_in_order(self.trials_per_condition, valid_fraction, 0.0), self.conditions)
        if self.split == "conditions":
            n_test = round(valid_fraction * self.conditions)
            if not 0 < n_test < self.conditions:
                raise DataError(
                    f"{self.conditions} conditions with `train_fraction` {self.train_fraction} give {n_test} "
                    "conditions to test on. Give more conditions, or a `train_fraction` that leaves at least one "
                    "condition for training and one for the test."
                )
            # A separate generator, so that the data do not depend on how they are split.
            chosen = np.random.default_rng(self.seed).permutation(self.conditions)[:n_test]
            names[np.isin(self.condition, chosen)] = "test"
        return names

    def by_split(self, **by_trial: np.ndarray) -> dict[str, np.ndarray]:
        """Returns arrays under the keys of each split, as `by_split`, with the conditions of trials."""
        return by_split(self.split_names(), **by_trial, condition_labels_SPLIT=self.condition)


def by_split(names: np.ndarray, **by_trial: np.ndarray) -> dict[str, np.ndarray]:
    """Returns arrays under the keys of each split, with the number of each trial.

    Args:
        names: Split of each trial, shape (trial,).
        **by_trial: Arrays with the trial axis first, by key with SPLIT in place of the split's name.
    """
    by_trial["SPLIT_inds"] = np.arange(len(names))
    present = [name for name in ("train", "valid", "test") if np.any(names == name)]
    return {key.replace("SPLIT", name): values[names == name] for name in present for key, values in by_trial.items()}


def bins_of(duration: float, bin_width: float) -> int:
    """Returns the number of bins of a trial; both in seconds."""
    n_bins = round(duration / bin_width)
    if n_bins < 4:
        raise DataError(
            f"A trial must have at least 4 bins; `duration` {duration} s has {n_bins} bins of {bin_width} s."
        )
    return n_bins
