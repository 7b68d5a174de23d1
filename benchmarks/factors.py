"""How near to the true rates a number of factors can come at all: what a model's size costs, whatever its inference.

    python -m benchmarks.factors chaotic_rnn_no_inputs --factors 10 20 30

A model's log rates are an affine map of its factors. So F factors come nearest to the truth in the affine subspace of F
dimensions that is best by the model's own measure, the likelihood of spikes expected under the truth,

    min over f, W, b of  sum over bins and neurons of  exp(f W + b) - r (f W + b),  r: expected count.

and its R2 stands in the table; another subspace may have a slightly higher one. Sessions of one network that share
conditions have rows for the neurons of one session and rows for those of all, which one stitched model has to express
with the same factors.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.settings import settings_of, simulated
from lfadsx.cli.terminal import use_compilation_cache
from lfadsx.data.dataset import Dataset
from lfadsx.evaluation import format_table
from lfadsx.evaluation.metrics import r2_per_trial, r2_pooled

TRIALS = 400
"""Training trials, at most, that are expressed; of sessions that are joined one of each condition."""
FLOOR = 1e-4
"""Added to the expected counts, whose smallest is 0."""
STEPS, LEARNING_RATE = 1500, 0.05
"""Steps of Adam, whose rate falls to 0 along a cosine."""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="name of the data set, as in `lfadsx simulate`")
    parser.add_argument("--factors", type=int, nargs="+", default=[10, 20, 30], help="numbers of factors")
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"), help="where the simulated data lie")
    options = parser.parse_args()
    use_compilation_cache()
    try:
        settings = settings_of(options.name)
    except ValueError as error:
        parser.error(str(error))
    if settings.model.likelihood != "poisson":
        parser.error(f"{options.name} has the likelihood {settings.model.likelihood!r}. Give a set of spike counts.")
    _, data = simulated(settings, options.out / options.name)
    rows = []
    for rates in rates_of(data):
        for n in options.factors:
            best = expressed(rates, n)
            scores = {"rates_r2": r2_per_trial(best, rates), "rates_r2_pooled": r2_pooled(best, rates)}
            rows.append({"neurons": str(rates.shape[2]), "factors": str(n), **scores})
    print(format_table(rows))


def rates_of(data: Dataset) -> list[np.ndarray]:
    """Returns true counts per bin, shape (trial, time, neuron): of the first session, and of all if there are more."""
    split = data.train
    numbers = [session.n_targets[data.input_group] for session in data.sessions]
    own = [np.flatnonzero(split.session == index) for index in range(len(numbers))]
    one = split.truth[own[0][:TRIALS], :, : numbers[0]]
    if len(numbers) == 1:
        return [one]
    # Sessions share conditions, not trials: one trial stands for its condition where nothing else makes its rates.
    if split.true_inputs is not None and np.any(split.true_inputs):
        raise ValueError("The trials of a condition differ by their inputs, so that sessions cannot be joined.")
    conditions = np.unique(split.condition)
    first = [[rows[split.condition[rows] == condition][0] for condition in conditions] for rows in own]
    joined = [split.truth[rows][:, :, :n] for rows, n in zip(first, numbers, strict=True)]
    return [one, np.concatenate(joined, axis=2)]


def expressed(rates: np.ndarray, n_factors: int) -> np.ndarray:
    """Returns the nearest rates, shape (trial, time, neuron), whose logarithms are affine in as many factors."""
    target = jnp.asarray(rates.reshape(-1, rates.shape[2]) + FLOOR, jnp.float32)
    logs = jnp.log(target + 0.05)  # the start, from the principal components
    mean = logs.mean(0)
    u, s, v = jnp.linalg.svd(logs - mean, full_matrices=False)
    # Factors of order 0.1 and weights of order 1: a step of Adam is as large for either.
    start = (u[:, :n_factors] * s[:n_factors] / 10, 10 * v[:n_factors], mean)

    def loss(params: tuple) -> jax.Array:
        factors, weight, bias = params
        log_rates = factors @ weight + bias
        return (jnp.exp(log_rates) - target * log_rates).mean()

    optimizer = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, STEPS), eps=1e-12)

    def step(carry: tuple, _: None) -> tuple:
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    run = jax.jit(lambda carry: jax.lax.scan(step, carry, length=STEPS)[0])
    (factors, weight, bias), _ = run((start, optimizer.init(start)))
    return np.asarray(jnp.exp(factors @ weight + bias)).reshape(rates.shape)


if __name__ == "__main__":
    main()
