"""The optimum of a data set: which sampler each simulation takes, its check by another one, and the scores."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np

from benchmarks.optimum import generators
from benchmarks.optimum.bank import importance, refine
from benchmarks.optimum.posterior import Generator, Samples, hmc, laplace
from benchmarks.optimum.scores import estimates, scores
from benchmarks.optimum.tempering import smc
from lfadsx.data.dataset import Dataset, Split
from lfadsx.datasets.chaotic_network import ChaoticRNN
from lfadsx.datasets.integration_to_bound import IntegrationToBound
from lfadsx.datasets.integrator_rnn import IntegratorRNN
from lfadsx.datasets.lorenz import Lorenz
from lfadsx.datasets.recipe import AbstractRecipe
from lfadsx.evaluation.metrics import r2_floors

Sampler = Callable[..., Samples]
"""From data of shape (trial, time, neuron) and a seed to samples of the posterior of each trial."""

KINDS: dict[str, type[AbstractRecipe]] = {
    "integrator_rnn": IntegratorRNN,
    "itb_rnn": IntegrationToBound,
    "chaotic_rnn": ChaoticRNN,
    "lorenz": Lorenz,
}
"""Recipes whose optimum is known, by the name in the file."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """A simulation's posterior: its generator and two ways of drawing samples.

    Attributes:
        generator: The law of a trial.
        first: The sampler of the optimum.
        second: Another sampler, which the first one is checked with where there is no ceiling.
        pulse_bin: From numbers, shape (trial, sample, number), to the bin of the pulse, where there is one.
        numbers_of: From a split to the numbers that made its trials, shape (trial, number), where `ceiling` is defined.
    """

    generator: Generator
    first: Sampler
    second: Sampler | None = None
    pulse_bin: Callable[[Any], Any] | None = None
    numbers_of: Callable[[Split], np.ndarray] | None = None


def optimum(
    source: AbstractRecipe | str | Path,
    dataset: Dataset,
    split: Split | str,
    seed: int = 0,
    *,
    trials: int | None = None,
) -> dict[str, float]:
    """Scores of the best possible inference, by the observer who knows the generator.

    Args:
        source: The recipe of the data, or the file, whose attributes hold the recipe.
        dataset: The data set, of one session.
        split: The split that is scored, or its name.
        seed: Seed of the sampler.
        trials: Only so many trials, those of `spread`; all when None.

    Returns:
        `rates_r2`, `rates_r2_pooled`, `inputs_r2`, `inputs_r2_pooled` and `state_1_r2`, ... where they apply; coverage
        of 50 % and 90 % intervals; floors of the squared correlations; `pulse_within_2`, the share of trials whose
        most probable pulse bin is at most 2 bins from the true one; `ess_min`, the least effective number of weights.

    Raises:
        ValueError: There is no optimum for such data.
    """
    recipe = recipe_of(source)
    data, truth = data_and_truth(recipe, dataset, split, trials)
    problem = problem_of(recipe, data.shape[2])
    return _scores_of(problem, problem.first(data, seed=seed), truth) | _floors(truth)


def ceiling(
    source: AbstractRecipe | str | Path,
    dataset: Dataset,
    split: Split | str,
    seed: int = 0,
    *,
    trials: int | None = None,
) -> dict[str, float]:
    """Scores that no inference exceeds on average: those of chains that begin at the truth.

    What made the data is itself a draw of the posterior, so that chains which begin there follow the posterior from
    the first step, without search or warm-up. Chains that do not find every mode stay near the truth too much, which
    makes the scores too high and never too low. `optimum` begins without the truth, and what it misses makes its
    scores too low: the best there can be lies between the two. The time of a pulse stays the true one.

    Arguments as in `optimum`; returns the scores of rates and of inputs other than pulses, or nothing for a generator
    whose posteriors have one mode only, which `optimum` finds.
    """
    recipe = recipe_of(source)
    problem, split = problem_of(recipe), dataset.splits[split] if isinstance(split, str) else split
    if problem.numbers_of is None:
        return {}
    data, truth = data_and_truth(recipe, dataset, split, trials)
    begin = problem.numbers_of(split)[spread(split.n_trials, trials)]
    sampler = _chunked(functools.partial(hmc, problem.generator), 8, 128)
    if problem.pulse_bin is not None:  # no chain moves the pulse
        truth = {"rates": truth["rates"]}
    samples = sampler(data, seed=seed, begin=begin)
    return scores(estimates(problem.generator, samples, truth, chunk=8), truth)


def check(
    source: AbstractRecipe | str | Path, dataset: Dataset, split: Split | str, seed: int = 0, *, trials: int = 50
) -> dict[str, tuple[float, float]]:
    """The scores of the optimum by its sampler and by another one, on the same trials.

    Arguments as in `optimum`.

    Raises:
        ValueError: There is no other sampler, but a ceiling.
    """
    recipe = recipe_of(source)
    data, truth = data_and_truth(recipe, dataset, split, trials)
    problem = problem_of(recipe, data.shape[2])
    if problem.second is None:
        raise ValueError(f"{type(recipe).__name__} has no second sampler. Compare its optimum with its ceiling.")
    first, second = (
        _scores_of(problem, sampler(data, seed=seed), truth) for sampler in (problem.first, problem.second)
    )
    return {name: (first[name], second[name]) for name in first}


def recipe_of(source: AbstractRecipe | str | Path) -> AbstractRecipe:
    """The recipe itself, or the one that a simulated file was made by."""
    if isinstance(source, AbstractRecipe):
        return source
    with h5py.File(source) as file:
        settings = json.loads(str(file.attrs.get("lfadsx_source", "{}")))
    kind = settings.get("simulation")
    if kind not in KINDS:
        raise ValueError(
            f"The file {str(source)!r} says it was simulated as {kind!r}, and the optimum is known for "
            f"{', '.join(map(repr, KINDS))}. Use a file of one of these, written by lfadsx."
        )
    fields = {field.name for field in dataclasses.fields(KINDS[kind])}
    return KINDS[kind](**{name: value for name, value in settings.items() if name in fields})


def data_and_truth(
    recipe: AbstractRecipe, dataset: Dataset, split: Split | str, trials: int | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What the observer sees, and the truth by field of `Outcome`, of trials spread over a split."""
    split = dataset.splits[split] if isinstance(split, str) else split
    if len(dataset.sessions) != 1 or split.truth is None or dataset.truth_unit not in ("counts per bin", "data"):
        raise ValueError(
            f"The data have {len(dataset.sessions)} sessions and true rates in {dataset.truth_unit!r}. "
            "Pass a simulated data set of one session with true rates on the scale of the data."
        )
    chosen = spread(split.n_trials, trials)
    truth = {"rates": split.truth[chosen]}
    if split.true_inputs is not None and np.any(split.true_inputs):
        truth["inputs"] = split.true_inputs[chosen]
    if isinstance(recipe, Lorenz):
        condition = np.asarray(split.condition)[chosen]
        truth["states"] = recipe.run(recipe.starts())[condition]
    return split.encoder_input[chosen], truth


def spread(n_trials: int, n: int | None = None) -> np.ndarray:
    """Indices of n trials at equal distances, shape (n,), or of all: trials of a condition lie one after the other."""
    return np.arange(n_trials) if n is None else np.linspace(0, n_trials - 1, min(n, n_trials)).round().astype(int)


def problem_of(recipe: AbstractRecipe, n_seen: int | None = None) -> Problem:
    """The generator and the samplers of a recipe.

    Args:
        recipe: The recipe.
        n_seen: Number of neurons that the encoder sees, the first ones; None for all. Only the integrator's data may
            have held-out neurons.
    """
    if isinstance(recipe, IntegratorRNN):
        # One mode, nearly Gaussian.
        generator = dataclasses.replace(generators.integrator(recipe), n_seen=n_seen)
        first, second = functools.partial(laplace, generator), functools.partial(hmc, generator, n_draws=300)
        return Problem(generator, _chunked(first, 25, 256), _chunked(second, 25, 256))
    if isinstance(recipe, IntegrationToBound):
        # The scale of each trial's rates hangs on its extremes, which gives several modes; one search finds a poor one.
        generator, numbers_of = generators.bound(recipe), functools.partial(generators.bound_numbers, recipe)
        first = functools.partial(smc, generator, n_particles=1024, n_moves=8)
        return Problem(generator, _chunked(first, 2, 32), numbers_of=numbers_of)
    if isinstance(recipe, ChaoticRNN):
        return _chaotic(recipe)
    if isinstance(recipe, Lorenz):
        return _lorenz(recipe)
    raise ValueError(
        f"There is no optimum for {type(recipe).__name__}. Use one of "
        f"{', '.join(kind.__name__ for kind in KINDS.values())}."
    )


def _chaotic(recipe: ChaoticRNN) -> Problem:
    generator, numbers_of = generators.chaotic(recipe), functools.partial(generators.chaotic_numbers, recipe)
    if recipe.input_magnitude == 0:
        starts = jax.random.normal(jax.random.key(0), (16, generator.n_numbers))
        first = functools.partial(hmc, generator, starts=starts)
        return Problem(generator, _chunked(first, 8, 128), numbers_of=numbers_of)
    first = functools.partial(smc, generator, jump=generators.shift_pulse)
    pulse_bin = functools.partial(generators.pulse_bin, n_bins=recipe.n_bins)
    return Problem(generator, _chunked(first, 4, 64), pulse_bin=pulse_bin, numbers_of=numbers_of)


def _lorenz(recipe: Lorenz) -> Problem:
    generator = generators.lorenz(recipe)
    draw_starts = functools.partial(generators.stationary_starts, recipe)

    def first(data: Any, seed: int) -> Samples:
        bank = importance(generator, data, draw_starts, seed=seed)
        return _chunked(functools.partial(refine, generator), 8, 64)(data, bank, seed=seed)

    def second(data: Any, seed: int) -> Samples:
        # The weights alone, with another bank, large enough that they need no walks.
        return importance(generator, data, draw_starts, seed=seed + 1000, n_draws=10_000_000, block=50_000)

    return Problem(generator, first, second)


def _chunked(sampler: Sampler, on_cpu: int, on_gpu: int) -> Sampler:
    """A sampler that takes as many trials at a time as suit the device."""
    return functools.partial(sampler, chunk=on_cpu if jax.default_backend() == "cpu" else on_gpu)


def _scores_of(problem: Problem, samples: Samples, truth: dict[str, np.ndarray]) -> dict[str, float]:
    chunk = 8 if jax.default_backend() == "cpu" else 32
    found = scores(estimates(problem.generator, samples, truth, chunk=chunk), truth)
    if problem.pulse_bin is not None:
        found["pulse_within_2"] = _pulse_within(problem.pulse_bin(samples.z), samples.weight, truth["inputs"])
    return found | {"ess_min": float(samples.ess.min())}


def _pulse_within(bins: Any, weight: Any, inputs: np.ndarray, distance: int = 2) -> float:
    """Share of trials whose most probable pulse bin is near the true one; bins and weight (trial, sample)."""
    rows = zip(np.asarray(bins), np.asarray(weight), strict=True)
    places = np.stack([np.bincount(bin_of, share, inputs.shape[1]) for bin_of, share in rows])
    true = np.abs(inputs[:, :, 0]).argmax(1)
    return float(np.mean(np.abs(places.argmax(1) - true) <= distance))


def _floors(truth: dict[str, np.ndarray]) -> dict[str, float]:
    """Floors of the squared correlations of rates and inputs."""
    table = {}
    for name in [name for name in ("rates", "inputs") if name in truth]:
        floors = r2_floors(truth[name])
        table |= {f"{name}_floor_shuffled": floors.shuffled, f"{name}_floor_ramp": floors.ramp}
    return table
