"""The run that test_hosts.py trains in one process and in several: ragged trials of two sessions, a tiny model."""

import contextlib
import dataclasses
import signal

import numpy as np
from flax import nnx

import lfadsx

SMALL = dict(factors=3, generator_dim=6, ic_dim=4, ic_encoder_dim=5)
CONFIG = lfadsx.TrainConfig(
    epochs=3,
    batch_size=8,
    kl_ramp_epochs=1,
    l2_ramp_epochs=1,
    validate_every=1,
    steps_per_block=2,
    schedule="constant",
)


HUNDRED_STEPS = dataclasses.replace(CONFIG, epochs=34, steps_per_block=3)


def ragged_sessions(seed=0):
    """Two sessions with different neurons and trials of different length."""
    rng = np.random.default_rng(seed)

    def session(name, n_trials, n_channels):
        trials = [rng.poisson(0.8, (length, n_channels)) for length in rng.integers(8, 13, n_trials)]
        return lfadsx.data.from_arrays(trials, held_out=1, session=name, valid_fraction=0.25, seed=seed)

    return lfadsx.data.concatenate(session("day1", 16, 6), session("day2", 13, 4))


def build(data, rngs):
    return lfadsx.autonomous(data, **SMALL, rngs=rngs)


def single(data, config=CONFIG, **how):
    return lfadsx.fit(build(data, nnx.Rngs(0)), data, config=config, progress=False, **how)


def members(data, config=CONFIG, **how):
    return lfadsx.population(build, data, members=4, config=config, progress=False, **how)


class Asked:
    """Stands in for what `stop_request` yields: SIGTERM after some blocks."""

    def __init__(self, number_of_block):
        self.blocks, self.number, self.time = 0, number_of_block, 0.0

    @property
    def signal(self):
        self.blocks += 1
        return signal.SIGTERM if self.blocks == self.number else 0


def interrupted(number_of_block):
    """Stands in for `stop_request`: the process gets SIGTERM after some blocks."""
    return lambda: contextlib.nullcontext(Asked(number_of_block))
