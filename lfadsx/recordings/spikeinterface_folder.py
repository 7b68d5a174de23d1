"""The folders that sortings and analyzers of SpikeInterface save, read with NumPy alone.

SpikeInterface itself imports whatever class a folder names, so a folder of others could run code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lfadsx.damaged_files import readable, text_of
from lfadsx.data.opening import open_npy
from lfadsx.errors import DataError

FACTS, SPIKES = "numpysorting_info.json", "spikes.npy"


class SavedSorting:
    """A saved sorting with the methods of a sorting of SpikeInterface that are used here.

    Args:
        folder: The folder with the spikes.
    """

    def __init__(self, folder: Path) -> None:
        self.files = [folder / FACTS, folder / SPIKES]
        with readable(f"{str(self.files[0])!r} cannot be read", "Save the sorting again."):
            facts = json.loads(text_of(self.files[0]))
            self.unit_ids = np.array(facts["unit_ids"])
            self.sampling_frequency = float(facts["sampling_frequency"])
            self._n_segments = int(facts["num_segments"])
        spikes = _array(self.files[1])
        if not {"sample_index", "unit_index", "segment_index"} <= set(spikes.dtype.names or ()):
            raise DataError(
                f"{str(self.files[1])!r} must hold sample, unit and segment of each spike, got {spikes.dtype}. Save "
                "the sorting again."
            )
        order = np.argsort(spikes["unit_index"], kind="stable")
        edges = np.searchsorted(spikes["unit_index"][order], np.arange(1, len(self.unit_ids)))
        parts = np.split(order, edges)
        self._spikes = {unit: spikes[rows] for unit, rows in zip(self.unit_ids.tolist(), parts, strict=True)}
        self._properties = {path.stem: path for path in sorted((folder / "properties").glob("*.npy"))}

    def get_num_segments(self) -> int:
        """Returns the number of segments."""
        return self._n_segments

    def get_unit_spike_train(self, unit_id: Any, segment_index: int, return_times: bool = False) -> np.ndarray:
        """Returns the spikes of a unit in a segment, in samples or in seconds from its start, shape (spike,)."""
        own = self._spikes[unit_id.item() if isinstance(unit_id, np.generic) else unit_id]
        samples = own["sample_index"][own["segment_index"] == segment_index].astype(np.int64)
        return samples / self.sampling_frequency if return_times else samples

    def get_property_keys(self) -> list[str]:
        """Returns the names of the properties that need no pickle."""
        return [name for name, path in self._properties.items() if not _is_pickled(path)]

    def get_property(self, key: str) -> np.ndarray:
        """Returns a property of the units, shape (unit, ...)."""
        return _array(self._properties[key])


def is_sorting(folder: Path) -> bool:
    """Returns whether a folder is a saved sorting or analyzer."""
    return _place(folder) is not None


def open_sorting(folder: Path) -> SavedSorting:
    """Opens a saved sorting or analyzer.

    Raises:
        DataError: If the folder is of another kind or damaged.
    """
    place = _place(folder)
    if place is None:
        raise DataError(
            f"{str(folder)!r} must be a folder of a sorting or of an analyzer of SpikeInterface with "
            f"{FACTS} and {SPIKES}. Other forms, such as Zarr, are loaded with SpikeInterface: pass the sorting."
        )
    return SavedSorting(place)


def _place(folder: Path) -> Path | None:
    places = (folder, folder / "sorting")
    return next((one for one in places if (one / FACTS).is_file() and (one / SPIKES).is_file()), None)


def _array(path: Path) -> np.ndarray:
    return np.asarray(open_npy(path))


def _is_pickled(path: Path) -> bool:
    try:
        return bool(open_npy(path).dtype.hasobject)
    except DataError:  # Python objects are never opened
        return True
