"""Upper limit of R2 for a number of factors: the cost of a model's size, for any inference.

    python -m benchmarks.factors chaotic_rnn_no_inputs --factors 10 20 30

A model's log rates are an affine map of its F factors, so they lie in an affine subspace of F dimensions. The best
subspace maximises the model's own objective, the expected likelihood of spikes under the true rates:

    min over f, W, b of  sum over bins and neurons of  exp(f W + b) - r (f W + b),  r: expected count.

The table has the R2 of this subspace; another subspace may have a slightly higher R2. If sessions of one network share
conditions, the table has rows for one session's neurons and rows for all neurons, which a stitched model expresses with
the same factors.
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
"""Largest number of training trials; for joined sessions, one trial of each condition."""
FLOOR = 1e-4
"""Added to the expected counts, because they can be 0."""
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
    # Sessions share conditions, not trials: one trial represents its condition if rates depend only on the condition.
    if split.true_inputs is not None and np.any(split.true_inputs):
        raise ValueError("The trials of a condition differ by their inputs, so that sessions cannot be joined.")
    conditions = np.unique(split.condition)
    first = [[rows[split.condition[rows] == condition][0] for condition in conditions] for rows in own]
    joined = [split.truth[rows][:, :, :n] for rows, n in zip(first, numbers, strict=True)]
    return [one, np.concatenate(joined, axis=2)]


def expressed(rates: np.ndarray, n_factors: int) -> np.ndarray:
    """Returns the best rates, shape (trial, time, neuron), whose logarithms are affine in `n_factors` factors."""
    target = jnp.asarray(rates.reshape(-1, rates.shape[2]) + FLOOR, jnp.float32)
    logs = jnp.log(target + 0.05)  # initial values from the principal components
    mean = logs.mean(0)
    u, s, v = jnp.linalg.svd(logs - mean, full_matrices=False)
    # Factors are of order 0.1 and weights of order 1, and a step of Adam has the same size for both.
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
