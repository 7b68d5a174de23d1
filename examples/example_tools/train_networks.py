"""Trains the networks of the simulated tasks, in the folder examples: `python -m example_tools.train_networks nbff`.

The library includes the weights that this script trained.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from example_tools.flip_flop_training import draw_flip_flops, flip_flop_error, flip_flop_loss, start_gru
from lfadsx.datasets import TaskNetwork

FRESH = 2000
"""Trials that the error of a trained network is measured on."""
Batch = tuple[Float[Array, "trial time"], Float[Array, "trial time"]]


@dataclasses.dataclass(frozen=True)
class Task:
    """A task and the settings of its training."""

    draw: Callable[[PRNGKeyArray, int], Any]
    """Function that draws a batch of so many trials."""
    start: Callable[[PRNGKeyArray], Any]
    """Function that draws a network before training."""
    error: Callable[[Any, Any], Float[Array, ""]]
    """Function of a network and a batch: the squared error of the output, in its unit."""
    learning_rate: float
    """Learning rate of Adam at the first step."""
    decay: float
    """Factor on the learning rate per step."""
    adam_eps: float
    """Adam's epsilon: added to the root of the second moment."""
    l2: float
    """Weight of the sum of squares of all parameters in the loss."""
    steps: int
    """Number of batches."""
    batch_size: int = 128
    """Number of fresh trials of each batch."""
    max_norm: float = 10.0
    """Largest global norm of the gradient."""
    fixed: tuple[str, ...] = ()
    """Names of weights that are not trained."""
    loss: Callable[[Any, Any], tuple[Float[Array, ""], Float[Array, ""]]] | None = None
    """Function of a network and a batch: what is minimised, beside `l2`, and the error. By default the error."""


def draw_integration(key: PRNGKeyArray, n_trials: int) -> Batch:
    """Draws white inputs plus one bias per trial, 25 steps, and their running sum, both (trial, time)."""
    bias_key, noise_key = jax.random.split(key)
    bias = 0.01 * 2 * (jax.random.normal(bias_key, (n_trials, 1)) - 0.5)
    inputs = bias + 0.125 * jax.random.normal(noise_key, (n_trials, 25))
    return inputs, jnp.cumsum(inputs, axis=1)


def draw_bounded_integration(key: PRNGKeyArray, n_trials: int) -> Batch:
    """Draws white inputs, 100 steps, and their running sum cut to the range from -1 to 1, both (trial, time)."""
    inputs = 0.25 * jax.random.normal(key, (n_trials, 100))
    return inputs, jnp.clip(jnp.cumsum(inputs, axis=1), -1.0, 1.0)


def start_network(
    key: PRNGKeyArray, units: int, recurrent_std: float, input_std: float, readout_std: float, start_std: float
) -> TaskNetwork:
    """Returns a network before training; biases are 0.

    Args:
        key: Random key.
        units: Number of units.
        recurrent_std: Standard deviation of the recurrent weights, times the square root of the number of units.
        input_std: Standard deviation of the input weights.
        readout_std: Standard deviation of the read-out weights, times the square root of the number of units.
        start_std: Standard deviation of the start state.
    """
    keys = jax.random.split(key, 4)
    weights: dict[str, Any] = {
        "W_R": recurrent_std / np.sqrt(units) * jax.random.normal(keys[0], (units, units)),
        "W_in": input_std * jax.random.normal(keys[1], (units,)),
        "b_R": jnp.zeros(units),
        "W_O": readout_std / np.sqrt(units) * jax.random.normal(keys[2], (units,)),
        "b_O": jnp.zeros(()),
        "h0": start_std * jax.random.normal(keys[3], (units,)),
    }
    return TaskNetwork(**weights)


def squared_error(network: TaskNetwork, batch: Batch) -> Float[Array, ""]:
    """Returns the mean over trials and time of the squared error of the output."""
    inputs, targets = batch

    def step(state, u):
        state = jnp.tanh(state @ network.W_R.T + u[:, None] * network.W_in + network.b_R)
        return state, state @ network.W_O + network.b_O

    start = jnp.broadcast_to(network.h0, (len(inputs), len(network.h0)))
    _, outputs = jax.lax.scan(step, start, inputs.T)
    return jnp.mean((outputs.T - targets) ** 2)


TASKS = {
    # The settings of the tutorial.
    "integrator_rnn": Task(
        draw=draw_integration,
        start=partial(start_network, units=100, recurrent_std=0.85, input_std=1.0, readout_std=1.0, start_std=0.1),
        error=squared_error,
        learning_rate=0.025,
        decay=0.99975,
        adam_eps=0.1,
        l2=0.0002,
        steps=10_000,
    ),
    # Initial weights as in the original. Its training was never published, so the other settings are our choice.
    "itb_rnn": Task(
        draw=draw_bounded_integration,
        start=partial(start_network, units=50, recurrent_std=0.8, input_std=0.0, readout_std=0.8, start_std=0.0),
        error=squared_error,
        fixed=("h0",),
        learning_rate=0.005,
        decay=0.9997,
        adam_eps=1e-8,
        l2=0.0,
        steps=12_000,
    ),
    # Network and loss of the benchmark, whose weight decay is added to the gradient. Its 500 steps of 1000 fixed trials
    # at a learning rate of 1e-3 become more and smaller steps on fresh trials.
    "nbff": Task(
        draw=draw_flip_flops,
        start=start_gru,
        error=flip_flop_error,
        loss=flip_flop_loss,
        learning_rate=0.008,
        decay=0.998,
        adam_eps=1e-8,
        l2=5e-7,
        steps=2000,
        batch_size=32,
        max_norm=1.0,
    ),
}


def print_line(batch: int, error: float) -> None:
    """Prints the progress of the training."""
    print(f"batch {batch:6d}  squared error {error:.3g}")


def train(task: Task, seed: int = 0, block: int = 1000, report: Callable[[int, float], None] = print_line) -> Any:
    """Trains a network on a task with Adam and a learning rate that decays with each batch.

    Args:
        task: The task and its settings.
        seed: Seed of the weights and of the trials.
        block: Number of batches between two reports.
        report: Takes, after each block, the number of batches and the squared error of the block's last 100.
    """
    rate = optax.exponential_decay(task.learning_rate, 1, task.decay)
    optimiser = optax.chain(optax.clip_by_global_norm(task.max_norm), optax.adam(rate, eps=task.adam_eps))

    def loss_of(network, batch):
        held = {name: jax.lax.stop_gradient(getattr(network, name)) for name in task.fixed}
        network = network._replace(**held)
        loss, error = task.loss(network, batch) if task.loss else (task.error(network, batch),) * 2
        return loss + task.l2 * optax.tree.norm(network, squared=True), error

    def step(carry, key):
        network, state = carry
        gradient, error = jax.grad(loss_of, has_aux=True)(network, task.draw(key, task.batch_size))
        updates, state = optimiser.update(gradient, state, network)
        return (optax.apply_updates(network, updates), state), error

    run = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys))
    start_key, batch_key = jax.random.split(jax.random.key(seed))
    network = task.start(start_key)
    carry, keys = (network, optimiser.init(network)), jax.random.split(batch_key, task.steps)
    for first in range(0, task.steps, block):
        carry, errors = run(carry, keys[first : first + block])
        report(first + len(errors), float(np.mean(errors[-100:])))
    return carry[0]


def save_network(path: Path, network: NamedTuple, **facts: float) -> None:
    """Writes the weights as float32, and numbers about the training, to a compressed npz file."""
    weights = {name: np.asarray(values, np.float32) for name, values in network._asdict().items()}
    arrays: dict[str, Any] = weights | facts
    np.savez_compressed(path, **arrays)


def main(arguments: list[str] | None = None) -> None:
    """Trains the network named on the command line and writes its weights."""
    parser = argparse.ArgumentParser(description="Trains the network of a simulated task.")
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("--out", type=Path, help="npz file to write; by default TASK.npz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="number of batches")
    chosen = parser.parse_args(arguments)
    task = TASKS[chosen.task]
    if chosen.steps is not None:
        task = dataclasses.replace(task, steps=chosen.steps)
    network = train(task, chosen.seed)
    error = float(task.error(network, task.draw(jax.random.key(chosen.seed + 1_000_000), FRESH)))
    print(f"squared error of {FRESH} fresh trials {error:.3g}")
    out = chosen.out or Path(f"{chosen.task}.npz")
    save_network(out, network, seed=chosen.seed, steps=task.steps, squared_error=error)


if __name__ == "__main__":
    main()
