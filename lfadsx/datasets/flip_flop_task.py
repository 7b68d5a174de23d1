"""The flip-flop task: pulses set bits, which hold until the next pulse."""

from __future__ import annotations

from typing import Any

PULSE_PROBABILITY = 0.01
"""Probability of a pulse of either sign in each bin of each input."""
INPUT_NOISE = 0.15
"""Standard deviation of the noise of each input in each bin, in units of a pulse."""
STATE_NOISE, START_NOISE = 0.01, 0.05
"""Standard deviations of the noise of the network's states in each bin, and of its state before the first bin."""
QUIET_BINS = 3
"""Bins at the start of a trial without pulses."""
UNSCORED_BINS = 5
"""Bins at the start of a trial that are not scored."""
BLIND_BINS = 4
"""Bins after a change of a bit that are not scored."""


def pulses_from(uniform: Any) -> Any:
    """Returns pulses -1, 0 and 1 for numbers between 0 and 1, both (trial, time, bit).

    Example:
        >>> import numpy as np
        >>> pulses_from(np.array([0.999, 0.5, 0.5, 0.995, 0.5, 0.001])[None, :, None])[0, :, 0].tolist()
        [0.0, 0.0, 0.0, 1.0, 0.0, -1.0]
    """
    xp = uniform.__array_namespace__()
    may = (xp.arange(uniform.shape[1]) >= QUIET_BINS)[None, :, None]
    up, down = may & (uniform > 1 - PULSE_PROBABILITY), may & (uniform < PULSE_PROBABILITY)
    return 1.0 * up - 1.0 * down


def bits_of(pulses: Any) -> Any:
    """Returns the bits, 0 or 1, after the pulse of each bin, both (trial, time, bit); bits start at 0.

    Example:
        >>> import numpy as np
        >>> bits_of(np.array([0, -1, 0, 1, 0, 1, -1, 0])[None, :, None])[0, :, 0].tolist()
        [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    """
    xp = pulses.__array_namespace__()
    # The last pulse is the one with the largest number: even if it is negative, odd if it is positive.
    number = 2 * xp.arange(1, 1 + pulses.shape[1])[None, :, None] + (pulses > 0)
    return 1.0 * (xp.maximum.accumulate(number * (pulses != 0), axis=1) % 2)


def flips(pulses: Any) -> Any:
    """Returns True where a pulse changes its bit, shape (trial, time, bit).

    Example:
        >>> import numpy as np
        >>> flips(np.array([0, -1, 0, 1, 0, 1, -1, 0])[None, :, None])[0, :, 0].tolist()
        [False, False, False, True, False, False, True, False]
    """
    xp, bits = pulses.__array_namespace__(), bits_of(pulses)
    return bits != xp.concat([xp.zeros_like(bits[:, :1]), bits[:, :-1]], axis=1)


def scored(pulses: Any) -> Any:
    """Returns True where the task asks for the bit: not at the start of a trial, nor just after a change of the bit."""
    xp, changed = pulses.__array_namespace__(), flips(pulses)
    start = (xp.arange(pulses.shape[1]) < UNSCORED_BINS)[None, :, None]
    blind = start | xp.zeros_like(changed)
    for later in range(1, 1 + BLIND_BINS):
        blind = blind | xp.concat([xp.zeros_like(changed[:, :later]), changed[:, :-later]], axis=1)
    return ~blind
