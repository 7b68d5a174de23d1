"""Trials in portions that fit into the memory of the devices."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array

from lfadsx.data.batching import take
from lfadsx.data.dataset import Dataset, Split
from lfadsx.errors import LfadsxError, is_out_of_memory
from lfadsx.models.lfads import LFADS
from lfadsx.parallel import compiler_options, each_trials, n_data_devices, place_trials, replicate, to_host
from lfadsx.progress import steps
from lfadsx.results.labels import Labels
from lfadsx.types import Batch

MEMORY = 512
"""Memory in MB that inference uses on each device by default."""
COPIES = 6
"""Approximate number of copies of a trial's values at a time: values, their deviations, means and squares."""
MOST_TRIALS = 256
"""Most trials at a time."""


def bytes_of_trial(model: LFADS, n_bins: int, n_channels: int) -> int:
    """Returns how many bytes one sample of one trial takes on the device, with all copies at a time.

    Args:
        model: The model.
        n_bins: Number of bins.
        n_channels: Number of channels of all target groups together.
    """
    controller = model.decoder.controller
    width = n_channels + model.decoder.generator.n_state + model.decoder.n_factors
    width += 0 if controller is None else controller.n_state
    return COPIES * 4 * n_bins * width


def trials_at_once(model: LFADS, n_bins: int, n_channels: int) -> int:
    """Returns how many trials fit into `MEMORY` at once; arguments as in `bytes_of_trial`."""
    return int(np.clip(MEMORY * 1e6 // bytes_of_trial(model, n_bins, n_channels), 1, MOST_TRIALS))


def largest_split(data: Dataset) -> int:
    """Returns the number of trials of the largest split."""
    return max(split.n_trials for split in data.splits.values())


def chunks(
    model: LFADS, split: Split, n_samples: int, memory: float, samples: bool, n_devices: int, *, n_trials: int = 0
) -> tuple[int, int]:
    """Returns how many trials, and how many samples of each, a device computes at once within its memory.

    With the `n_trials` of the largest split, all splits get chunks of one shape, for which one program is compiled.
    """
    n_channels = sum(target.shape[2] for target in split.targets.values())
    per_sample = bytes_of_trial(model, split.n_bins, n_channels)
    kept = per_sample // COPIES * n_samples if samples else 0
    budget = memory * 1e6
    share = -(-max(split.n_trials, n_trials) // n_devices)
    most, together = _limits()
    rows = int(np.clip(budget // (per_sample + kept), 1, min(share, most)))
    limit = min(budget // (per_sample * rows), max(1, together // rows))
    at_once = max(d for d in range(1, max(n_samples, 1) + 1) if max(n_samples, 1) % d == 0 and d <= max(limit, 1))
    return rows, at_once


def _limits() -> tuple[int, int]:
    """Returns the most trials, and the most samples of all of these together, on a device at once."""
    # On a CPU a sample should stay in the cache; a GPU is faster with much to do at a time.
    return (32, 1) if jax.default_backend() == "cpu" else (MOST_TRIALS, 2 * MOST_TRIALS)


def map_trials(
    function: Callable[..., tuple[Any, Any]],
    model: LFADS,
    labels: Labels,
    trials: Split,
    settings: tuple[Any, ...],
    *,
    rows: int,
    seed: int,
    mesh: Mesh | None,
    numbers: tuple[int, ...] = (),
) -> tuple[Any, ...]:
    """Returns the results of a function for all trials (NumPy).

    Args:
        function: Takes the model, a batch, a key, the numbers and the settings. Returns arrays with the trial axis
            first, and arrays with the trial axis second.
        model: The model.
        labels: The sessions of the trials.
        trials: The trials.
        settings: Further arguments of the function, fixed at compilation.
        rows: Number of trials at once on each device.
        seed: Seed of the key.
        mesh: Devices to spread the trials over, on its axis `data`.
        numbers: Further arguments of the function, which may change without another compilation.
    """
    graphdef, state = nnx.split(model)
    given = jax.random.key(seed), *(np.int32(number) for number in numbers)
    state, given = replicate((state, given), mesh)
    rows *= n_data_devices(mesh)
    known = _compiled.cache_info().hits
    compute, parts = _compiled(function, mesh), []
    what = "inference" if _compiled.cache_info().hits > known else "compiling and inference"
    for first in steps(range(0, trials.n_trials, rows), f"{what} ({trials.n_trials} trials)"):
        index, n = np.arange(first, first + rows), trials.n_trials - first
        batch = take(labels.sessions, trials, np.where(index < trials.n_trials, index, -1))
        # One type for counts (integers) and masked counts (real numbers), so that both share one compiled program.
        batch = dataclasses.replace(batch, encoder_input=np.asarray(batch.encoder_input, np.float32))
        batch = place_trials(batch, mesh)
        with _within_memory():
            by_trial, by_sample = compute(graphdef, state, batch, given, settings)
            one = jax.tree.map(lambda x, n=n: to_host(x)[:n], by_trial)
            parts.append((one, jax.tree.map(lambda x, n=n: to_host(x)[:, :n], by_sample)))
    first, second = zip(*parts, strict=True)
    return tuple(jax.tree.map(lambda *x, at=at: np.concatenate(x, at), *of) for at, of in enumerate((first, second)))


@contextlib.contextmanager
def _within_memory() -> Iterator[None]:
    """Replaces JAX's error for full memory by one that names the settings."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise LfadsxError(
            "Inference does not fit into the memory of the device. Lower `memory` (MB) of the function that you call, "
            "on the command line --samples, or end other programs that use the device."
        ) from error


@cache
def _compiled(function: Callable[..., tuple[Any, Any]], mesh: Mesh | None) -> Any:
    """Returns the function, compiled for the devices of a mesh."""

    def compute(
        graphdef: Any, state: Any, batch: Batch, given: tuple[Array, ...], settings: tuple[Any, ...]
    ) -> tuple[Any, Any]:
        def on_device(shared: tuple[Any, tuple[Array, ...]], batch: Batch) -> tuple[Any, Any]:
            return function(nnx.merge(graphdef, shared[0]), batch, *shared[1], *settings)

        return each_trials(on_device, mesh)((state, given), batch)

    return jax.jit(compute, static_argnums=(0, 4), compiler_options=dict(compiler_options(mesh)) or None)
