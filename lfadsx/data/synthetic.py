"""Synthetic data whose true rates and inputs are known."""

from __future__ import annotations

import dataclasses

import numpy as np

from lfadsx.data.arrays import dataset_from_trials
from lfadsx.data.errors import DataError
from lfadsx.types import Dataset


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
    r"""Makes spikes of a chaotic recurrent network that one pulse kicks at a random time of each trial.

    .. math:: x_t = (1 - a) x_{t-1} + a (\gamma W \tanh x_{t-1} + B u_t), \quad a = \Delta t / \tau

    The rates are tanh x_t, scaled for each trial and neuron to the range from 0 to `max_rate`; counts are
    Poisson draws. Trials of a condition start at the same state. Random numbers are drawn in the order of the
    original program, so that the same seed gives the same network, states, pulses and counts.

    Source: Sussillo, Jozefowicz, Abbott & Pandarinath 2016, arXiv:1608.06315; Pandarinath et al. 2018.

    Example:
        >>> from lfadsx.data import chaotic_rnn
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
        input_magnitude: Height of the pulse u, which lasts one bin and lies in the middle half of the trial;
            0 for no pulse.
        time_constant: Time constant of the units in seconds.
        start_std: Standard deviation of the starting states.
        max_rate: Highest rate of each neuron in each trial in Hz.
        held_out: Number of neurons, the last ones, that the encoder does not see.
        valid_fraction: Share of each condition's trials that validate.
        test_fraction: Share of each condition's trials that test, 0 for no test.
        session: Name of the session.
        seed: Seed of everything random.

    Returns:
        The data set, with `truth` in counts per bin, `condition`, and the pulses as `true_inputs`.

    Raises:
        DataError: If a number makes no sense, or a condition has too few trials to split.
    """
    settings = {
        "conditions": conditions,
        "trials_per_condition": trials_per_condition,
        "neurons": neurons,
        "duration": duration,
        "bin_width": bin_width,
        "time_constant": time_constant,
        "max_rate": max_rate,
    }
    for name, value in settings.items():
        if not value > 0:
            raise DataError(f"{name} is {value}. Give a number above 0.")
    n_bins = round(duration / bin_width)
    if n_bins < 4:
        raise DataError(f"A trial of {duration} s has {n_bins} bins of {bin_width} s. Make it 4 bins or more.")
    names = _split_names(trials_per_condition, valid_fraction, test_fraction)

    random = np.random.RandomState(seed)
    weights = random.randn(neurons, neurons) / np.sqrt(neurons)
    input_weights = random.randn(neurons)
    random.randn(neurons)  # The original draws weights of a second input here and does not use them.
    start = np.repeat(start_std * random.randn(conditions, neurons), trials_per_condition, axis=0)
    pulses = np.zeros((len(start), n_bins))
    if input_magnitude > 0:
        times = random.choice(n_bins // 2, len(start)) + n_bins // 4
        pulses[np.arange(len(start)), times] = input_magnitude
    states = _simulate(start, pulses, gain * weights, input_weights, bin_width / time_constant)
    expected = _between_zero_and_one(np.tanh(states)) * max_rate * bin_width
    # The original draws one neuron's time course after the other.
    spikes = random.poisson(expected.transpose(0, 2, 1)).transpose(0, 2, 1)

    dataset = dataset_from_trials(
        spikes,
        held_out=held_out,
        truth=expected,
        truth_unit="counts per bin",
        true_inputs=pulses[:, :, None] if input_magnitude > 0 else None,
        condition=np.repeat(np.arange(conditions), trials_per_condition),
        bin_width=bin_width,
        split=np.tile(names, conditions),
        session=session,
    )
    settings |= {"gain": gain, "input_magnitude": input_magnitude, "start_std": start_std, "seed": seed}
    return dataclasses.replace(dataset, source={session: {"simulation": "chaotic_rnn", **settings}})


def _simulate(
    start: np.ndarray, pulses: np.ndarray, weights: np.ndarray, input_weights: np.ndarray, step: float
) -> np.ndarray:
    """Returns the states after each bin, shape (trial, time, neuron), without the starting state."""
    states = np.empty((*pulses.shape, start.shape[1]))
    state = start
    for t, pulse in enumerate(pulses.T):
        drive = np.tanh(state) @ weights.T + pulse[:, None] * input_weights
        state = (1 - step) * state + step * drive
        states[:, t] = state
    return states


def _between_zero_and_one(rates: np.ndarray) -> np.ndarray:
    """Scales each trial's and neuron's time course, (trial, time, neuron), to the range from 0 to 1."""
    low, high = rates.min(axis=1, keepdims=True), rates.max(axis=1, keepdims=True)
    return (rates - low) / np.maximum(high - low, np.finfo(float).tiny)


def _split_names(n_trials: int, valid_fraction: float, test_fraction: float) -> np.ndarray:
    """Returns the split of each trial of a condition: the first train, then some validate, the last test."""
    n_valid, n_test = round(n_trials * valid_fraction), round(n_trials * test_fraction)
    if n_valid < 1 or (test_fraction > 0 and n_test < 1) or n_valid + n_test >= n_trials:
        raise DataError(
            f"{n_trials} trials per condition with valid_fraction {valid_fraction} and test_fraction "
            f"{test_fraction} give {n_valid} valid and {n_test} test trials. Give more trials per condition, "
            "or fractions that leave at least one trial for each split."
        )
    return np.repeat(["train", "valid", "test"], [n_trials - n_valid - n_test, n_valid, n_test])
