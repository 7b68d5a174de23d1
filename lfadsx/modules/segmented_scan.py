"""Loops over time in segments, for gradients of long trials with limited memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

C = TypeVar("C")


def in_segments(
    run: Callable[[C, Any, int], tuple[C, Any]],
    carry: C,
    streams: Any,
    n_bins: int,
    segment: int,
    *,
    reverse: bool = False,
) -> tuple[C, Any]:
    """Runs a loop over time segment by segment; only the states between segments are kept for the gradient.

    The backward pass computes each segment again. This costs one more forward pass, and memory grows with the length of
    a segment instead of the trial.

    Args:
        run: Runs the loop over some bins: takes the state before, the inputs of these bins and their number; returns
            the state after and the outputs of each bin.
        carry: State before the first bin.
        streams: Inputs of the loop, time first.
        n_bins: Number of bins.
        segment: Bins of a segment; the last one may have fewer. 0 for one segment, of which everything is kept.
        reverse: If True, `run` runs from the last bin to the first.

    Returns:
        The state after the last bin, and the outputs, time first.
    """
    if not 0 < segment < n_bins:
        return run(carry, streams, n_bins)
    n_segments, n_left = divmod(n_bins, segment)
    cut = n_segments * segment
    whole = jax.tree.map(lambda x: x[:cut].reshape(n_segments, segment, *x.shape[1:]), streams)
    left = jax.tree.map(lambda x: x[cut:], streams)
    one = jax.checkpoint(lambda carry, streams: run(carry, streams, segment), prevent_cse=False)
    last = jax.checkpoint(lambda carry, streams: run(carry, streams, n_left))

    def all_whole(carry: C) -> tuple[C, Any]:
        carry, found = jax.lax.scan(one, carry, whole, length=n_segments, reverse=reverse)
        return carry, jax.tree.map(lambda x: x.reshape(cut, *x.shape[2:]), found)

    if n_left == 0:
        return all_whole(carry)
    if reverse:
        carry, after = last(carry, left)
        carry, before = all_whole(carry)
    else:
        carry, before = all_whole(carry)
        carry, after = last(carry, left)
    return carry, jax.tree.map(lambda *parts: jnp.concatenate(parts), before, after)
