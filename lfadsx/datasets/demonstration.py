"""Data sets in memory of the integrator and of the chaotic network, for demonstrations, examples and tests."""

from __future__ import annotations

import dataclasses

import numpy as np

from lfadsx.data import validation
from lfadsx.data.arrays import from_arrays
from lfadsx.data.dataset import Dataset
from lfadsx.data.splits import names_in_order
from lfadsx.datasets.chaotic_network import ChaoticRNN
from lfadsx.datasets.integrator_rnn import IntegratorRNN


def chaotic_rnn(
    *,
    conditions: int = 400,
    trials_per_condition: int = 10,
    neurons: int = 50,
    duration: float = 1.0,
    bin_width: float = 0.01,
    gain: float = 1.5,
    input_magnitude: float = 20.0,
    time_constant: float = 0.025,
    start_std: float = 1.0,
    max_rate: float = 30.0,
    held_out: int = 0,
    valid_fraction: float = 0.2,
    test_fraction: float = 0.0,
    session: str = "chaotic_rnn",
    seed: int = 5,
) -> Dataset:
    r"""Simulates spikes of a chaotic recurrent network with one pulse at a random time of each trial.

    .. math:: x_t = (1 - a) x_{t-1} + a (\gamma W \tanh x_{t-1} + B u_t), \quad a = \Delta t / \tau

    The rates are tanh x_t, scaled for each trial and neuron to the range from 0 to `max_rate`; counts are
    Poisson draws. Trials of a condition start at the same state. The same data as a file: `ChaoticRNN`.

    Source: Sussillo, Jozefowicz, Abbott & Pandarinath 2016, arXiv:1608.06315; Pandarinath et al. 2018.

    Example:
        >>> from lfadsx.datasets import chaotic_rnn
        >>> data = chaotic_rnn(conditions=20)
        >>> data.train.encoder_input.shape, data.valid.true_inputs.shape
        ((160, 100, 50), (40, 100, 1))

    Args:
        conditions: Number of conditions.
        trials_per_condition: Number of trials of each condition.
        neurons: Number of units of the network; all are recorded.
        duration: Length of a trial in seconds.
        bin_width: Width of a bin, and step of the simulation, in seconds.
        gain: Scale of the recurrent weights; the network is chaotic above 1.
        input_magnitude: Height of the pulse u, which lasts one bin in the middle half of the trial; 0 for no pulse.
        time_constant: Time constant of the units in seconds.
        start_std: Standard deviation of the starting states.
        max_rate: Highest rate of each neuron in each trial in Hz.
        held_out: Number of neurons (the last neurons) that the encoder does not see.
        valid_fraction: Share of each condition's trials that validate.
        test_fraction: Share of each condition's trials that test; 0 for no test.
        session: Name of the session.
        seed: Seed of everything random.

    Returns:
        The data set, with `truth` in counts per bin, `condition`, and the pulses as `true_inputs`.

    Raises:
        DataError: If a number is out of range, a rate is constant, or a condition has too few trials to split.
    """
    settings = {
        "conditions": conditions,
        "trials_per_condition": trials_per_condition,
        "duration": duration,
        "bin_width": bin_width,
        "time_constant": time_constant,
        "max_rate": max_rate,
        "gain": gain,
        "input_magnitude": input_magnitude,
        "start_std": start_std,
        "seed": seed,
    }
    validation.positive(neurons, "`neurons`")
    recipe = ChaoticRNN(units=neurons, recorded=neurons, **settings)
    names = names_in_order(trials_per_condition, valid_fraction, test_fraction)
    network, random = recipe.draw()
    spikes, relative, pulses, times = recipe.trials(network, network.readouts[0], random)
    dataset = from_arrays(
        spikes,
        held_out=held_out,
        truth=relative * max_rate * bin_width,
        truth_unit="counts per bin",
        true_inputs=None if times is None else pulses[:, :, None],
        condition=np.repeat(np.arange(conditions), trials_per_condition),
        bin_width=bin_width,
        split=np.tile(names, conditions),
        session=session,
    )
    source = {"simulation": "chaotic_rnn", "neurons": neurons, **settings}
    return dataclasses.replace(dataset, source={session: source})


def integrator(
    *,
    trials: int = 1200,
    duration: float = 1.0,
    max_rate: float = 80.0,
    input_std: float = 0.4,
    held_out: int = 20,
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    session: str = "integrator",
    seed: int = 5,
) -> Dataset:
    """Simulates spikes of 100 units of a network that was trained to sum its input, which is noise.

    The equations and the same data as a file: `IntegratorRNN`. The input here is stronger than in the tutorial. It
    changes the rates more in each bin, so the spikes determine it better.

    Example:
        >>> from lfadsx.datasets import integrator
        >>> data = integrator(trials=40)
        >>> data.train.encoder_input.shape, data.test.truth.shape, data.test.true_inputs.shape
        ((32, 25, 80), (4, 25, 100), (4, 25, 1))

    Args:
        trials: Number of trials.
        duration: Length of a trial in seconds; a bin has 0.04 s.
        max_rate: Highest rate of a unit in Hz.
        input_std: Standard deviation of the input in each bin.
        held_out: Number of neurons (the last neurons) that the encoder does not see.
        valid_fraction: Share of trials that validate.
        test_fraction: Share of trials (the last trials) that test.
        session: Name of the session.
        seed: Seed of everything random; the network's weights are fixed.

    Returns:
        The data set, with `truth` in counts per bin and the input as `true_inputs`.

    Raises:
        DataError: If a number is out of range.
    """
    recipe = IntegratorRNN(
        trials=trials,
        duration=duration,
        max_rate=max_rate,
        input_std=input_std,
        train_fraction=1 - valid_fraction - test_fraction,
        test_fraction=test_fraction,
        seed=seed,
    )
    arrays = recipe.simulate()[0].arrays
    splits = [name for name in ("train", "valid", "test") if f"{name}_data" in arrays]
    spikes, truth, inputs = (
        np.concatenate([arrays[key.format(name)] for name in splits])
        for key in ("{}_data", "{}_truth", "input_{}_truth")
    )
    dataset = from_arrays(
        spikes,
        held_out=held_out,
        truth=truth,
        truth_unit="counts per bin",
        true_inputs=inputs,
        bin_width=recipe.bin_width,
        split=np.repeat(splits, [len(arrays[f"{name}_data"]) for name in splits]),
        session=session,
    )
    source = {"simulation": "integrator_rnn", **dataclasses.asdict(recipe)}
    return dataclasses.replace(dataset, source={session: source})
