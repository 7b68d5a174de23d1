"""The result of `lfadsx.calibrate`: what the spread of rates over posterior samples lacks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lfadsx.damaged_files import read_json, readable
from lfadsx.errors import RunError
from lfadsx.files import write_json


@dataclasses.dataclass(frozen=True)
class Calibration:
    r"""What the spread of a model's rates lacks, to be added to the spread over posterior samples.

    .. math:: \sigma_c^2 = \sigma^2 + \kappa \, s \, \sigma

    with the standard deviation over posterior samples sigma and the scale s of the channel: its mean rate, or for real
    numbers the standard deviation of its data.

    Attributes:
        kappa: Spread that is missing, without unit; 0 if the posterior's own spread is enough.
        error: Standard error of kappa over trials.
        scale: The scale s by session, shape (target_channel,), in the unit of the data.
        split: The split on which it was measured.
        n_trials: Number of its trials.
    """

    kappa: float
    error: float
    scale: dict[str, Float[np.ndarray, " target_channel"]]
    split: str
    n_trials: int

    def spread(self, sessions: tuple[str, ...], n_channels: int) -> Float[np.ndarray, "session target_channel"]:
        """Returns kappa times the scale of each channel; 0 for sessions that were not measured."""
        found = np.zeros((len(sessions), n_channels), np.float32)
        for row, name in zip(found, sessions, strict=True):
            own = self.scale.get(name, np.zeros(0))[:n_channels]
            row[: len(own)] = self.kappa * own
        return found

    def save(self, path: str | Path) -> Path:
        """Writes the calibration to a JSON file and returns it."""
        return write_json(path, self)

    @classmethod
    def read(cls, path: str | Path) -> Calibration:
        """Reads a calibration from a file of `save`.

        Raises:
            RunError: If the file cannot be read.
        """
        again = "Delete the file, or fit again."
        facts = read_json(path, again, error=RunError)
        with readable(f"The calibration {path} cannot be read", again, error=RunError):
            scale = {name: np.array(values, np.float32) for name, values in facts.pop("scale").items()}
            return cls(float(facts.pop("kappa")), float(facts.pop("error")), scale=scale, **facts)

    def __str__(self) -> str:
        """Returns kappa with its error in one line."""
        return f"spread of rates: {self.kappa:.2f} ± {self.error:.2f} is missing ({self.n_trials} {self.split} trials)"
