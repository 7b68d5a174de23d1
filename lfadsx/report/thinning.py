"""Which trials and neurons the browser of trials holds, so that the page stays small."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int


def chosen_trials(group: Int[np.ndarray, " trial"], most: int) -> Int[np.ndarray, " chosen"]:
    """Returns the positions of at most `most` trials in their order, with about equally many of every condition.

    Example:
        >>> import numpy as np
        >>> chosen_trials(np.array([0, 0, 0, 0, 1]), 2).tolist()
        [0, 4]

    Args:
        group: The condition of each trial, as a number.
        most: Number of trials.
    """
    turn = np.zeros(len(group), int)  # 0 for the first trial of each condition, 1 for the second, ...
    for number in np.unique(group):
        own = np.flatnonzero(group == number)
        turn[own] = np.arange(len(own))
    return np.sort(np.lexsort((group, turn))[:most])


def chosen_neurons(
    spread: Float[np.ndarray, " neuron"], held_out: Bool[np.ndarray, " neuron"], most: int
) -> Int[np.ndarray, " chosen"]:
    """Returns at most `most` neurons in their order: those whose rates vary most, a third of them held out.

    Example:
        >>> import numpy as np
        >>> chosen_neurons(np.array([3.0, 2.0, 1.0, 0.5]), np.array([False, False, False, True]), 3).tolist()
        [0, 1, 3]

    Args:
        spread: Standard deviation of the rates of each neuron.
        held_out: True for neurons that the encoder does not see.
        most: Number of neurons.
    """
    if len(spread) <= most:
        return np.arange(len(spread))
    ranked = np.argsort(-np.nan_to_num(spread), kind="stable")
    inside, outside = ranked[~held_out[ranked]], ranked[held_out[ranked]]
    n_outside = min(len(outside), max(most - len(inside), most // 3))
    return np.sort(np.concatenate([inside[: most - n_outside], outside[:n_outside]]))
