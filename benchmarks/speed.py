"""Code that speed benchmarks share: data, steps, FLOPs, the machine and its matrix products, other programs."""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import shlex
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.sharding import Mesh

import lfadsx
from benchmarks.workloads import Workload
from lfadsx.config import HyperParams, ModelConfig, TrainConfig
from lfadsx.data import from_arrays
from lfadsx.data.batching import Layout, take
from lfadsx.data.dataset import Dataset
from lfadsx.models.lfads import LFADS
from lfadsx.modules import CoordinatedDropout
from lfadsx.parallel import (
    make_mesh,
    n_data_devices,
    place_block,
    place_member_blocks,
    place_members,
    replicate,
)
from lfadsx.training.cohort import default_at_once
from lfadsx.training.members import member_runner, stack
from lfadsx.training.run_info import versions
from lfadsx.training.schedules import Schedule
from lfadsx.training.state import Program, TrainState, start
from lfadsx.training.step import block_runner
from lfadsx.types import Batch

PRODUCT = 2048
"""Rows and columns of the matrices whose product measures a CPU."""


def model_config(load: Workload) -> ModelConfig:
    """Returns the architecture of a workload."""
    return ModelConfig(
        ic_encoder_dim=load.ic_encoder,
        input_encoder_dim=load.input_encoder,
        controller_dim=load.controller,
        generator_dim=load.generator,
        factors=load.factors,
        inferred_inputs=load.inputs,
        ic_dim=load.ic_dim,
    )


def make_data(load: Workload, n_batches: int = 1, seed: int = 0) -> Dataset:
    """Returns spikes of constant rates, with enough training trials to fill some batches."""
    rng = np.random.default_rng(seed)
    n_trials, n_bins, n_neurons = n_batches * load.batch, load.bins + load.forward_bins, load.neurons + load.held_out
    counts = rng.poisson(0.2, (n_trials + 2, n_bins, n_neurons))
    settings: dict[str, Any] = dict(split=["train"] * n_trials + ["valid"] * 2, forward_bins=load.forward_bins)
    if load.held_out:
        settings["held_out"] = list(range(load.neurons, n_neurons))
    return from_arrays(list(counts), **settings)


class Beginning(NamedTuple):
    """Initial state and first block of a training, before they are placed on the devices of a mesh."""

    data: Dataset
    model: LFADS
    program: Program
    state: TrainState
    schedule: Schedule
    block: Batch


def begin(load: Workload, steps: int, mesh: Mesh | None, at_once: int = 0) -> Beginning:
    """Returns the start of a training, with the given steps per block and trials at once."""
    data, config = make_data(load), TrainConfig(batch_size=load.batch, trials_at_once=at_once)
    model = lfadsx.build(data, model_config(load), rngs=nnx.Rngs(0))
    augmentations = (CoordinatedDropout(data.input_group),)
    program, state = start(model, augmentations, config, n_trials=load.batch, mesh=mesh)
    layout = Layout.of(load.batch, load.batch, n_devices=n_data_devices(mesh), at_once=program.portion_limit)
    rows = np.concatenate([layout.arrange(np.arange(load.batch))[0]] * steps)
    block = take(data.sessions, data.train, rows)
    return Beginning(data, model, program, state, Schedule.of(config, layout.steps), block)


class Trainer:
    """Steps of training, as `lfadsx.fit` compiles them.

    Args:
        load: The workload.
        steps: Steps of a compiled block.
        devices: Devices to spread the trials of a step over.
        at_once: Trials that a device computes at once; 0: as many as `lfadsx.fit` chooses.
    """

    def __init__(self, load: Workload, *, steps: int = 4, devices: int = 1, at_once: int = 0) -> None:
        mesh = make_mesh(devices) if devices > 1 else None
        self.data, self.model, self.program, state, self.schedule, block = begin(load, steps, mesh, at_once)
        self.hyper, self.state, self.block = HyperParams(), replicate(state, mesh), place_block(block, mesh)
        self.steps, self.run_block = steps, block_runner(mesh)

    def lower(self) -> Any:
        """Traces a block."""
        return self.run_block.lower(self.program, self.state, self.hyper, self.schedule, self.block)

    def run(self) -> float:
        """Runs a block and returns the seconds of one of its steps."""
        began = time.perf_counter()
        self.state, figures = self.run_block(self.program, self.state, self.hyper, self.schedule, self.block)
        figures.block_until_ready()
        return (time.perf_counter() - began) / self.steps


class PopulationTrainer:
    """Steps of a population, as `lfadsx.population` compiles them.

    Args:
        load: The workload.
        members: Number of members.
        steps: Steps of a compiled block.
        devices: Devices. As on the command line, members are spread over as many as possible.
        at_once: Members that a device computes at once; 0: as many as `lfadsx.population` chooses.
    """

    def __init__(self, load: Workload, members: int, *, steps: int = 4, devices: int = 1, at_once: int = 0) -> None:
        mesh = make_mesh(devices, members=math.gcd(members, devices)) if devices > 1 else None
        self.members, self.steps = members, steps
        self.at_once = at_once or default_at_once(members, mesh)
        _, _, self.program, state, self.schedule, block = begin(load, steps, mesh)
        self.state = place_members(stack([state] * members), mesh)
        self.hyper = place_members(jax.tree.map(lambda value: jnp.full(members, value), HyperParams()), mesh)
        self.active = place_members(jnp.ones(members, bool), mesh)
        # Each member has its own block, because each member has its own order of trials.
        self.blocks = place_member_blocks(jax.tree.map(lambda rows: np.stack([rows] * members), block), mesh)
        self.train = member_runner(mesh).train

    def run(self) -> float:
        """Runs a block of every member and returns the seconds of one step of one member."""
        began = time.perf_counter()
        self.state, figures = self.train(
            self.program, self.at_once, self.state, self.hyper, self.active, self.schedule, self.blocks
        )
        figures.block_until_ready()
        return (time.perf_counter() - began) / (self.steps * self.members)


def median_ms(call: Callable[[], float], repeats: int) -> float:
    """Returns the median in milliseconds of a timed call, which returns seconds."""
    return 1e3 * statistics.median(call() for _ in range(repeats))


def peak_flops(repeats: int = 7, *, dtype: Any = jnp.float32, size: int = 0) -> float:
    """Returns the FLOP per second of a large product of random matrices: the fastest of several.

    Args:
        repeats: Timed products.
        dtype: Type of the matrices.
        size: Rows and columns. With 0, `PRODUCT` on CPUs and four times as many on other devices, so that the time of
            a launch is small.
    """
    size = size or (PRODUCT if jax.default_backend() == "cpu" else 4 * PRODUCT)
    a = jax.random.normal(jax.random.key(0), (size, size), dtype)
    product = jax.jit(lambda x, y: x @ y)
    product(a, a).block_until_ready()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        product(a, a).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return 2.0 * size**3 / min(seconds)


def forward_flops(model: LFADS, data: Dataset, batch: int) -> int:
    """Returns the FLOPs of the matrix products of one forward pass over a batch."""
    trials = lfadsx.data.batch(data, "train", np.arange(batch))

    def forward(trials: Any) -> Any:
        return model(trials, model.draw(jax.random.key(0), trials)).params

    return count_flops(jax.make_jaxpr(forward)(trials))


def count_flops(program: ClosedJaxpr | Jaxpr) -> int:
    """Returns the FLOPs of the matrix products of a traced program, loops over time included.

    Args:
        program: What `jax.make_jaxpr` returns.
    """
    total = 0
    for equation in getattr(program, "jaxpr", program).eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            size = int(np.prod(equation.outvars[0].aval.shape, dtype=np.int64))
            total += 2 * size * int(np.prod([left[axis] for axis in contracted], dtype=np.int64))
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        total += times * sum(count_flops(inner) for inner in _inner(equation.params))
    return total


def _inner(params: dict[str, Any]) -> list[Any]:
    """Programs within a program; of a condition's branches the longest."""
    if "branches" in params:
        return [max(params["branches"], key=count_flops)]
    return [value for value in params.values() if isinstance(value, ClosedJaxpr | Jaxpr)]


def peak_memory_mb() -> float:
    """Returns the peak memory so far: of the device, or of the process on a CPU."""
    found = jax.devices()[0].memory_stats()
    if found and "peak_bytes_in_use" in found:
        return found["peak_bytes_in_use"] / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # kilobytes on Linux


def use_devices(n: int) -> None:
    """Makes several devices of a CPU; call it before JAX looks for devices."""
    if n > 1:
        jax.config.update("jax_num_cpu_devices", n)


def machine() -> dict[str, Any]:
    """Returns the environment of the figures: devices, cores and versions."""
    device = jax.devices()[0]
    return {
        "device": f"{len(jax.devices())} x {device.device_kind}",
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "versions": versions(),
    }


def figure_of(command: str, key: str) -> float:
    """Runs another program and returns the number in its last line.

    Args:
        command: Its command line.
        key: Key of the number if that line is a JSON object.

    Raises:
        ValueError: If the program fails, or its last line is neither a number nor a JSON object with this key.
    """
    done = subprocess.run(shlex.split(command), capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{command!r} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    last = (done.stdout.strip().splitlines() or [""])[-1]
    try:
        found = json.loads(last)
        return float(found[key] if isinstance(found, dict) else found)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"The last line of {command!r} is {last!r}. It has to be a number, or a JSON object with {key}."
        ) from error
