"""Small files for tests of reading, and the findings of a data set about them."""

import h5py
import numpy as np

RNG = np.random.default_rng(0)
COURSE = 1 + 0.8 * np.sin(np.arange(20) / 3)[:, None] * RNG.uniform(-1, 1, 8)
TRIALS = RNG.poisson(COURSE * RNG.uniform(0.5, 2.0, 8), (40, 20, 8))
"""Counts (trial, time, channel) of neurons with different rates and a time course."""


def write(path, attributes=None, **arrays):
    """Writes arrays; a tuple is an array and its attributes."""
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            values, own = values if isinstance(values, tuple) else (values, {})
            file[name] = values
            file[name].attrs.update(own)
        file.attrs.update(attributes or {})
    return path


def split_in(path, attributes=None, **more):
    """Writes 32 train and 8 valid trials, and more."""
    return write(path, attributes, train_data=TRIALS[:32], valid_data=TRIALS[32:], **more)


def levels(data):
    """Returns the level of each finding by name."""
    return {finding.name: finding.level for finding in data.findings}


def sentence(data, name):
    """Returns sentence and remedy of the only finding of this name."""
    (found,) = [finding for finding in data.findings if finding.name == name]
    assert found.sentence.endswith(".") and (found.level == "note" or found.remedy.endswith("."))
    return f"{found.sentence} {found.remedy}"
