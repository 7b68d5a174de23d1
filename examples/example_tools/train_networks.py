"""Trains the networks of the simulated tasks: `python examples/example_tools/train_networks.py integrator_rnn`.

The library includes the weights that this script trained.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from lfadsx.datasets import TaskNetwork

Batch = tuple[Float[Array, "trial time"], Float[Array, "trial time"]]


@dataclasses.dataclass(frozen=True)
class Task:
    """A task and the settings of its training."""

    draw: Callable[[PRNGKeyArray, int], Batch]
    """Function that draws inputs and targets of trials, each (trial, time), in the unit of the output."""
    units: int
    """Number of units."""
    recurrent_std: float
    """Standard deviation of the recurrent weights at the start, times the square root of the number of units."""
    input_std: float
    """Standard deviation of the input weights at the start."""
    readout_std: float
    """Standard deviation of the read-out weights at the start, times the square root of the number of units."""
    start_std: float
    """Standard deviation of the start state before training; 0 for a fixed state of zeros."""
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


TASKS = {
    # The settings of the tutorial.
    "integrator_rnn": Task(
        draw=draw_integration,
        units=100,
        recurrent_std=0.85,
        input_std=1.0,
        readout_std=1.0,
        start_std=0.1,
        learning_rate=0.025,
        decay=0.99975,
        adam_eps=0.1,
        l2=0.0002,
        steps=10_000,
    ),
    # Initial weights as in the original. Its training was never published, so the other settings are our choice.
    "itb_rnn": Task(
        draw=draw_bounded_integration,
        units=50,
        recurrent_std=0.8,
        input_std=0.0,
        readout_std=0.8,
        start_std=0.0,
        learning_rate=0.005,
        decay=0.9997,
        adam_eps=1e-8,
        l2=0.0,
        steps=12_000,
    ),
}


def start_network(key: PRNGKeyArray, task: Task) -> TaskNetwork:
    """Returns a network before training; biases are 0."""
    keys, n = jax.random.split(key, 4), task.units
    weights: dict[str, Any] = {
        "W_R": task.recurrent_std / np.sqrt(n) * jax.random.normal(keys[0], (n, n)),
        "W_in": task.input_std * jax.random.normal(keys[1], (n,)),
        "b_R": jnp.zeros(n),
        "W_O": task.readout_std / np.sqrt(n) * jax.random.normal(keys[2], (n,)),
        "b_O": jnp.zeros(()),
        "h0": task.start_std * jax.random.normal(keys[3], (n,)),
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


def print_line(batch: int, error: float) -> None:
    """Prints the progress of the training."""
    print(f"batch {batch:6d}  squared error {error:.3g}")


def train(
    task: Task, seed: int = 0, block: int = 1000, report: Callable[[int, float], None] = print_line
) -> TaskNetwork:
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
        if task.start_std == 0:
            network = network._replace(h0=jnp.zeros_like(network.h0))
        error = squared_error(network, batch)
        return error + task.l2 * optax.tree.norm(network, squared=True), error

    def step(carry, key):
        network, state = carry
        gradient, error = jax.grad(loss_of, has_aux=True)(network, task.draw(key, task.batch_size))
        updates, state = optimiser.update(gradient, state, network)
        return (optax.apply_updates(network, updates), state), error

    run = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys))
    start_key, batch_key = jax.random.split(jax.random.key(seed))
    network = start_network(start_key, task)
    carry, keys = (network, optimiser.init(network)), jax.random.split(batch_key, task.steps)
    for first in range(0, task.steps, block):
        carry, errors = run(carry, keys[first : first + block])
        report(first + len(errors), float(np.mean(errors[-100:])))
    return carry[0]


def save_network(path: Path, network: TaskNetwork, **facts: float) -> None:
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
    error = float(squared_error(network, task.draw(jax.random.key(chosen.seed + 1_000_000), 20_000)))
    print(f"squared error of 20000 fresh trials {error:.3g}")
    out = chosen.out or Path(f"{chosen.task}.npz")
    save_network(out, network, seed=chosen.seed, steps=task.steps, squared_error=error)


if __name__ == "__main__":
    main()
