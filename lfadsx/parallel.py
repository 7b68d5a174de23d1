"""Meshes of devices, and the layout of data on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lfadsx.errors import LfadsxError
from lfadsx.types import Batch

EVERYWHERE = PartitionSpec()
"""A copy on every device."""
BLOCK = PartitionSpec(None, "data")
"""Arrays (step, trial, ...), trials spread over `data`."""
MEMBERS = PartitionSpec("members")
"""Arrays (member, ...), members spread over `members`."""
MEMBER_BLOCKS = PartitionSpec("members", None, "data")
"""Arrays (member, step, trial, ...), spread over both."""


def make_mesh(n_devices: int | None = None, *, members: int = 1) -> Mesh:
    """Returns a mesh with the axes `data` (trials) and `members` (models of a population).

    Example:
        >>> from lfadsx import make_mesh
        >>> make_mesh(1).shape["data"]
        1

    Args:
        n_devices: Number of devices; by default all devices of all hosts.
        members: Number of devices along the `members` axis.

    Raises:
        LfadsxError: If there are fewer devices, or `members` does not divide their number.
    """
    available = len(jax.devices())
    n_devices = available if n_devices is None else n_devices
    if not 1 <= n_devices <= available:
        raise LfadsxError(
            f"The number of devices must be from 1 to {available}, got {n_devices}. JAX sees {jax.devices()}. For more "
            "CPU devices set the environment variable JAX_NUM_CPU_DEVICES before starting."
        )
    if n_devices % members:
        raise LfadsxError(f"`members` must divide the number of devices, {n_devices}, got {members}.")
    shape, names = (n_devices // members, members), ("data", "members")
    return jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:n_devices])


def all_data(mesh: Mesh | None) -> Mesh | None:
    """Returns the mesh for inference after training: all devices on the axis `data`; None with several processes.

    With several processes, each process infers and writes all results.
    """
    if mesh is None or jax.process_count() > 1:
        return None
    return Mesh(mesh.devices.reshape(-1, 1), mesh.axis_names, axis_types=mesh.axis_types)


def n_data_devices(mesh: Mesh | None) -> int:
    """Returns the number of devices that trials are spread over."""
    return 1 if mesh is None else mesh.shape["data"]


def place_block(block: Batch, mesh: Mesh | None) -> Batch:
    """Puts a block (step, trial, ...) of NumPy arrays on the devices, trials spread over `data`.

    Every process calls this function with the same block, and copies only the rows for its devices.
    """
    return _place(block, mesh, BLOCK)


def place_members(tree: Any, mesh: Mesh | None) -> Any:
    """Puts arrays (member, ...) on the devices, members spread over `members`."""
    return jax.device_put(tree, None if mesh is None else NamedSharding(mesh, MEMBERS))


def place_member_blocks(blocks: Batch, mesh: Mesh | None) -> Batch:
    """Puts NumPy arrays (member, step, trial, ...) on the devices, members over `members` and trials over `data`."""
    return _place(blocks, mesh, MEMBER_BLOCKS)


def to_host(array: jax.Array) -> np.ndarray:
    """Returns an array, which may be spread over devices of several hosts, as a NumPy array."""
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def place_trials(batch: Batch, mesh: Mesh | None) -> Batch:
    """Puts a batch (trial, ...) of NumPy arrays on the devices, trials spread over `data`."""
    return _place(batch, mesh, PartitionSpec("data"))


def _place(tree: Batch, mesh: Mesh | None, spec: PartitionSpec) -> Batch:
    if mesh is None:
        return jax.device_put(tree)
    sharding = NamedSharding(mesh, spec)

    def place(array: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(place, tree)


TRIALS_OF_A_CORE = 32
"""Trials that a CPU core computes at once when cores are devices; the arrays then stay in the core's cache."""


def portion_limit(trials_at_once: int, mesh: Mesh | None) -> int:
    """Returns the most trials of a step that a device computes at once; 0 means all of the device's trials.

    `trials_at_once` is the user's setting; 0 chooses by the kind of device.
    """
    return trials_at_once or (TRIALS_OF_A_CORE if _are_cores(mesh) else 0)


def n_portions(n_trials: int, at_once: int) -> int:
    """Returns the number of equal portions with at most `at_once` trials each; `at_once=0` gives one portion."""
    return math.ceil(n_trials / at_once) if at_once else 1


def on_devices(f: Callable[[Any, Any], Any], mesh: Mesh | None) -> Callable[[Any, Any], Any]:
    """Returns a function that runs `f` on every device, on the device's own trials of a block.

    Each device then runs the same program as a single device, plus the exchanges of `over_trials`. Within
    `over_members` each device already has its trials, so `f` itself is returned.

    Args:
        f: Takes shared values and a block (step, trial, ...); returns values that are equal on all devices.
        mesh: The mesh whose axis `data` the trials are spread over; None for a single device.
    """
    if mesh is None or mesh.size == 1 or "data" in jax.sharding.get_abstract_mesh().manual_axes:
        return f
    specs: Any = dict(in_specs=(EVERYWHERE, BLOCK), out_specs=EVERYWHERE)
    return jax.shard_map(f, mesh=mesh, **specs, axis_names=set(mesh.axis_names), check_vma=False)


def over_trials(
    f: Callable[[Any, Any, int], tuple[Any, Any]], mesh: Mesh | None, *, at_once: int = 0
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Returns a function that runs `f` portion by portion on each device's trials, then combines the devices once.

    Call it within `on_devices` or `over_members`.

    Args:
        f: Takes shared values, arrays with the trial axis first, and the number of shares (portions of all devices).
            Returns values to average over shares, and values to sum.
        mesh: The mesh whose axis `data` the trials are spread over; None for a single device.
        at_once: Most trials that a device computes at once; 0 means all of the device's trials.
    """
    n_devices = n_data_devices(mesh)

    def on_device(shared: Any, trials: Any) -> tuple[Any, Any]:
        averages, sums = _in_portions(f, n_devices, at_once, shared, trials)
        if n_devices == 1:
            return averages, sums
        return jax.lax.psum((jax.tree.map(lambda x: x / n_devices, averages), sums), "data")

    return on_device


def _in_portions(
    f: Callable[[Any, Any, int], tuple[Any, Any]], n_devices: int, at_once: int, shared: Any, trials: Any
) -> tuple[Any, Any]:
    """Runs `f` on one portion of a device's trials after the other."""
    n_trials = len(jax.tree.leaves(trials)[0])
    n = n_portions(n_trials, at_once)
    if n == 1:
        return f(shared, trials, n_devices)
    if n_trials % n:
        raise LfadsxError(
            f"{n_trials} trials of a device must make {n} equal portions of at most {at_once}. Arrange the rows of a "
            "step with `Layout`, which rounds them up, or give another `trials_at_once`."
        )
    portions = jax.tree.map(lambda x: x.reshape(n, -1, *x.shape[1:]), trials)
    traced_once = jax.jit(lambda shared, portion: f(shared, portion, n * n_devices), inline=True)

    def add(totals: Any, portion: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, totals, traced_once(shared, portion)), None

    shapes = jax.eval_shape(traced_once, shared, jax.tree.map(lambda x: x[0], portions))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    (averages, sums), _ = jax.lax.scan(add, zeros, portions)
    return jax.tree.map(lambda x: x / n, averages), sums


def over_members(
    f: Callable[[Any, Any], Any],
    mesh: Mesh | None,
    *,
    at_once: int,
    shared: Any = EVERYWHERE,
    members: Any = MEMBERS,
) -> Callable[[Any, Any], Any]:
    """Returns a function that runs `f` for every member of a population; each device computes its own members.

    With one member at a time, a member's numbers are bit-identical to those of a single model.

    Args:
        f: Takes shared values and one member's arrays; returns arrays.
        mesh: The mesh whose axis `members` the members are spread over; None for a single device.
        at_once: Number of members that a device computes at once, as one batch; with 1, one after the other.
        shared: Layout of the shared values on the mesh; a prefix of their pytree.
        members: Layout of the members' arrays; their first axis is the member.

    Returns:
        A function of shared values and of arrays (member, ...), which returns arrays (member, ...).
    """

    def own(common: Any, stacked: Any) -> Any:
        n = len(jax.tree.leaves(stacked)[0])
        batch_size = None if at_once == 1 else min(at_once, n)
        return jax.lax.map(lambda member: f(common, member), stacked, batch_size=batch_size)

    if mesh is None or mesh.size == 1:
        return own
    specs: Any = dict(in_specs=(shared, members), out_specs=MEMBERS)
    return jax.shard_map(own, mesh=mesh, **specs, axis_names={"members", "data"}, check_vma=False)


def each_trials(f: Callable[[Any, Any], tuple[Any, Any]], mesh: Mesh | None) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Returns a function that runs `f` on the trials of every device; results stay on their devices.

    Args:
        f: Takes shared values and arrays with the trial axis first. Returns arrays with the trial axis first, and
            arrays with the trial axis second.
        mesh: The mesh whose axis `data` the trials are spread over; None for a single device.
    """
    if mesh is None or n_data_devices(mesh) == 1:
        return f
    first, second = PartitionSpec("data"), PartitionSpec(None, "data")
    specs: Any = dict(in_specs=(PartitionSpec(), first), out_specs=(first, second))
    return jax.shard_map(f, mesh=mesh, **specs, axis_names={"data"}, check_vma=False)


ONE_THREAD = ("xla_cpu_multi_thread_eigen", "xla_cpu_enable_concurrency_optimized_scheduler")
"""Compiler options that are switched off so that each CPU device has one thread."""


def compiler_options(mesh: Mesh | None) -> tuple[tuple[str, bool], ...]:
    """Returns compiler options for steps. If CPU cores are devices, each gets one thread."""
    return tuple((name, False) for name in ONE_THREAD if _is_known(name)) if _are_cores(mesh) else ()


def _are_cores(mesh: Mesh | None) -> bool:
    """Returns whether each device is a CPU core. A single CPU device uses all cores instead."""
    return mesh is not None and mesh.size > 1 and mesh.devices.flat[0].platform == "cpu"


@cache
def _is_known(option: str) -> bool:
    """Returns whether the installed compiler knows an option; versions differ."""
    try:
        jax.jit(lambda: 0, compiler_options={option: False}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """Puts a copy of every array on every device."""
    if mesh is None:
        return tree
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))
