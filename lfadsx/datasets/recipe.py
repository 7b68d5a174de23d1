"""What every simulation shares: a recipe of settings, and simulated trials on their way to a file."""

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
        arrays: By key of the file, arrays and numbers: the data, truth and inputs of each split under the keys
            of the TensorFlow program (`train_data`, `train_truth`, `input_train_truth`, ...) and whatever else the
            original wrote.
        attributes: Attributes of the file, such as `bin_width_s`.
        suffix: What comes after the recipe's name in the file's name; "" for a single session.
    """

    arrays: dict[str, Any]
    attributes: dict[str, Any]
    suffix: str = ""

    def write(self, path: Path) -> Path:
        """Writes an HDF5 file that `lfadsx.data.read` takes as it is; integers get the smallest type."""
        with open_to_write(path) as file:
            file.attrs.update({name: value for name, value in self.attributes.items() if value is not None})
            for key, values in self.arrays.items():
                write_array(file, key, _smallest(np.asarray(values)))
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

    def facts(self, name: str, bin_width: float) -> dict[str, Any]:
        """Returns the attributes that every simulated file carries: bin width, seed, settings and version."""
        settings = {"simulation": name, **dataclasses.asdict(self), "lfadsx": __version__}
        return {"bin_width_s": bin_width, "seed": self.seed, "lfadsx_source": json.dumps(settings)}


@dataclasses.dataclass(frozen=True)
class AbstractTrials(AbstractRecipe):
    """Settings of simulations in which each of several conditions is repeated in several trials.

    Trials are numbered condition by condition. In the original programs the first `train_fraction` of a
    condition's trials train and the others validate, so validation asks for the rates of conditions that were
    trained on: it is for early stopping. With `split="conditions"` some conditions are kept apart as a test.
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
        """Raises `DataError` when a size, a rate or a choice makes no sense."""
        names = ("conditions", "trials_per_condition", "units", "duration", "bin_width", "max_rate")
        above_zero({name: getattr(self, name) for name in names})
        validation.one_of(self.split, get_args(SplitBy), "split")
        if not 0 < self.train_fraction < 1:
            raise DataError(f"train_fraction is {self.train_fraction}. Give a number between 0 and 1.")

    def split_names(self) -> np.ndarray:
        """Returns "train", "valid" or "test" for each trial, shape (trial,); no draw of the simulation changes.

        A share that is no whole number of a condition's trials is rounded, where the original stops.
        """
        valid_fraction = round(1 - self.train_fraction, 12)
        names = np.tile(names_in_order(self.trials_per_condition, valid_fraction, 0.0), self.conditions)
        if self.split == "conditions":
            n_test = round(valid_fraction * self.conditions)
            if not 0 < n_test < self.conditions:
                raise DataError(
                    f"{self.conditions} conditions with train_fraction {self.train_fraction} give {n_test} conditions "
                    "to test on. Give more conditions, or a train_fraction that leaves some of both."
                )
            # A generator of its own, so that the data are the same however they are split.
            chosen = np.random.default_rng(self.seed).permutation(self.conditions)[:n_test]
            names[np.isin(self.condition, chosen)] = "test"
        return names

    def by_split(self, names: np.ndarray, **by_trial: np.ndarray) -> dict[str, np.ndarray]:
        """Returns arrays under the keys of each split, with condition and number of each trial.

        Args:
            names: Split of each trial, shape (trial,).
            **by_trial: Arrays with the trial axis first, by their key with SPLIT where the split's name goes.
        """
        numbers = np.arange(len(names))
        by_trial = {**by_trial, "condition_labels_SPLIT": self.condition, "SPLIT_inds": numbers}
        present = [name for name in ("train", "valid", "test") if np.any(names == name)]
        return {
            key.replace("SPLIT", name): values[names == name] for name in present for key, values in by_trial.items()
        }


def above_zero(settings: dict[str, float]) -> None:
    """Raises `DataError` unless all settings are above 0."""
    for name, value in settings.items():
        if not value > 0:
            raise DataError(f"{name} is {value}. Give a number above 0.")


def bins_of(duration: float, bin_width: float) -> int:
    """Returns the number of bins of a trial; both in seconds."""
    n_bins = round(duration / bin_width)
    if n_bins < 4:
        raise DataError(f"A trial of {duration} s has {n_bins} bins of {bin_width} s. Make it 4 bins or more.")
    return n_bins


def _smallest(values: np.ndarray) -> np.ndarray:
    """Returns integers that are not negative in the smallest type that holds them, and all else as it is."""
    if values.dtype.kind not in "iu" or values.size == 0 or values.min() < 0:
        return values
    return values.astype(np.min_scalar_type(int(values.max())))
