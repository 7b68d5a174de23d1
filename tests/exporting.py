"""Posteriors with the labels of a data set and random numbers, for tests of exports: no model needs to be trained."""

import numpy as np

import lfadsx
from lfadsx.results.labels import Labels
from lfadsx.results.posterior import Posterior


def posteriors_of(data, *, bias=True, seed=3):
    """Returns a posterior for each split; bins after a trial's end and channels of other sessions hold NaN."""
    labels = Labels.of(data)
    return {name: _posterior(data, split, labels, name, bias, seed) for name, split in data.splits.items()}


def _posterior(data, split, labels, name, bias, seed):
    rng = np.random.default_rng(seed)
    inside = (np.arange(split.n_bins) < split.target_length[:, None])[:, :, None]

    def draw(*shape):
        return rng.gamma(2.0, 0.1, (split.n_trials, *shape)).astype(np.float32)

    def series(width):
        return np.where(inside, draw(split.n_bins, width), np.float32(np.nan))

    rates = {}
    for group, target in split.targets.items():
        widths = np.array([session.n_targets.get(group, 0) for session in data.sessions])[split.session]
        there = np.arange(target.shape[2]) < widths[:, None]
        rates[group] = np.where(there[:, None], series(target.shape[2]), np.float32(np.nan))
    return Posterior(
        rates=rates,
        rates_std={},
        factors=series(3),
        initial_condition=draw(4),
        ic_mean=draw(4),
        ic_std=draw(4),
        initial_state=draw(5),
        generator_states=series(5),
        inputs=series(2),
        inputs_std=None,
        input_mean=None,
        input_std=None,
        controller_states=None,
        encoding=None,
        bias=draw(2) if bias else None,
        n_samples=8,
        seed=seed,
        split=name,
        **labels.of_trials(split),
    )


def two_sessions(**settings):
    """Two sessions with other neurons, trials of different length, text as labels, and EMG in mV."""
    rng, parts = np.random.default_rng(0), []
    for session, n_trials, n_neurons in (("monday", 6, 4), ("tuesday", 5, 3)):
        lengths = 7 + np.arange(n_trials) % 3
        known = {"bin_width": 0.02, "start": -0.04, "event": "go cue", **settings}
        parts.append(
            lfadsx.from_arrays(
                [rng.poisson(0.5, (n, n_neurons)) for n in lengths],
                other_targets={"emg": [rng.normal(size=(n, 2)) for n in lengths]},
                unit={"emg": "mV"},
                condition=[("left", "right, far", "")[k % 3] for k in range(n_trials)],
                trial_id=[f"{session[0]}{k}" for k in range(n_trials)],
                channel_names=[f"{session} {k}" for k in range(n_neurons)],
                held_out=[1],
                session=session,
                split=["valid" if k % 3 == 1 else "train" for k in range(n_trials)],
                **known,
            )
        )
    return lfadsx.concatenate(*parts)
