"""The conformance test of an augmentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from lfadsx.config import HyperParams
from lfadsx.modules import AbstractAugmentation
from lfadsx.types import INPUT_GROUP, Batch

HYPER = HyperParams(
    cd_rate=0.4, sv_rate=0.2, neuron_dropout_rate=0.3, spike_jitter_rate=0.9, temporal_shift=1.0, amplitude_noise=0.3
)
TRIALS, BINS, FORWARD, CHANNELS, TARGETS = 4, 6, 2, 3, 5


def failures_of_augmentation(augmentation: AbstractAugmentation) -> Iterator[str]:
    """Yields the failures of an augmentation on a batch: shapes, kinds of masks, a trial alone, missing entries."""
    group, key = getattr(augmentation, "group", INPUT_GROUP), jax.random.key(0)
    batch = _batch(group)
    run = jax.jit(lambda batch, hyper: augmentation(batch, hyper, key))
    changed, weights, opened = run(batch, HYPER)
    shape = batch.targets[group].shape
    for name in ("encoder_input", "known_inputs", "trial_id", "encoder_length", "target_length", "session"):
        before, after = getattr(batch, name), getattr(changed, name)
        if np.shape(before) != np.shape(after):
            yield f"The batch must keep its shapes, but `{name}` was {np.shape(before)} and is {np.shape(after)}."
    for name, values in {**weights, **{f"mask of {g}": m for g, m in opened.items()}}.items():
        if np.shape(values) != shape:
            yield f"The weight or gradient mask {name!r} must have the targets' shape {shape}, got {np.shape(values)}."
    for name, mask in opened.items():
        if mask.dtype != jnp.bool_:
            yield f"The gradient mask of {name!r} must hold booleans, got {mask.dtype}."
    reals = [x for x in jax.tree.leaves((changed, weights)) if jnp.issubdtype(x.dtype, jnp.floating)]
    if not all(np.all(np.isfinite(np.asarray(x))) for x in reals):
        yield "The changed batch and the weights must be finite, but hold NaN or infinity."
    trial = 2
    one = jax.tree.map(lambda x: x[trial : trial + 1] if jnp.ndim(x) else x, batch)
    pairs = zip(jax.tree.leaves(run(one, HYPER)), jax.tree.leaves((changed, weights, opened)), strict=True)
    if not all(_same(np.asarray(a)[0], np.asarray(b)[trial]) for a, b in pairs if jnp.ndim(a)):
        yield (
            "A trial must be changed alone as in a batch, but is not. Derive its random numbers from its `trial_id`, "
            "with lfadsx.random.derive."
        )
    others = run(_with_other_missing(batch, group), HYPER)[0]
    if not all(_same(*pair) for pair in zip(_visible(changed, group), _visible(others, group), strict=True)):
        yield (
            "Missing entries must reach neither the encoders nor the loss, but their values change what these see. "
            "Mask with `batch.seen()` and `batch.scored(group)`, and move masks together with values."
        )


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether arrays are equal; sums of real numbers may differ by rounding between batches of different size."""
    tolerance = 1e-5 if np.issubdtype(one.dtype, np.floating) else 0
    return np.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)


def _visible(batch: Batch, group: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the encoders see and what the loss compares with, 0 elsewhere."""
    seen, scored = np.asarray(batch.seen()), np.asarray(batch.scored(group))
    return np.where(seen, batch.encoder_input, 0), np.where(scored, batch.targets[group], 0)


def _with_other_missing(batch: Batch, group: str) -> Batch:
    """Returns the batch with other values where nothing is observed."""
    encoder_input = jnp.where(batch.seen(), batch.encoder_input, 9).astype(batch.encoder_input.dtype)
    target = jnp.where(batch.scored(group), batch.targets[group], 9).astype(batch.targets[group].dtype)
    return dataclasses.replace(batch, encoder_input=encoder_input, targets={group: target})


def _batch(group: str) -> Batch:
    """Returns trials of different length, one entry missing, two neurons held out, two bins predicted."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (TRIALS, BINS + FORWARD, TARGETS)).astype(np.uint8)
    index = np.array([0, 2, 3])
    length = np.array([BINS, BINS, 3, 4], np.int32)
    seen = np.ones((TRIALS, BINS, CHANNELS), bool)
    seen[0, 1, 1] = False
    observed = np.ones(counts.shape, bool)
    observed[0, 1, index[1]] = observed[1, 3] = False
    return Batch(
        encoder_input=jnp.asarray(counts[:, :BINS, index]),
        targets={group: jnp.asarray(counts)},
        encoder_observed=jnp.asarray(seen),
        target_observed={group: jnp.asarray(observed)},
        known_inputs=jnp.zeros((TRIALS, BINS + FORWARD, 1)),
        encoder_length=jnp.asarray(length),
        target_length=jnp.asarray(length + FORWARD),
        session=jnp.zeros(TRIALS, jnp.int32),
        trial_id=jnp.arange(TRIALS) + 7,
        trial_weight=jnp.ones(TRIALS),
        target_channels={group: jnp.full(TRIALS, TARGETS, jnp.int32)},
        target_index=jnp.asarray(np.tile(index, (TRIALS, 1))),
    )
