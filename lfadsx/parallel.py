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

from lfadsx import processes
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
    # Devices of a process are neighbours along `data`: exchanges of a member's gradient stay within it if they can.
    shape, names = (members, n_devices // members), ("members", "data")
    return jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * 2, devices=_chosen(n_devices))


def _chosen(n: int) -> list[jax.Device]:
    """Returns the first devices, as many of each process."""
    n_processes = jax.process_count()
    if n % n_processes:
        raise LfadsxError(f"The number of devices must be a multiple of the {n_processes} processes, got {n}.")
    own = [[d for d in jax.devices() if d.process_index == index] for index in range(n_processes)]
    if (least := min(map(len, own))) < n // n_processes:
        raise LfadsxError(
            f"Every process must have {n // n_processes} devices, but one has {least}. Give fewer, or start all "
            "processes with the same number of CPU devices (JAX_NUM_CPU_DEVICES) or GPUs."
        )
    return [device for devices in own for device in devices[: n // n_processes]]


def meet(mesh: Mesh | None) -> None:
    """Lets the devices of several processes meet once, before programs whose compilation takes them unequal times.

    CPU devices that exchange for the first time wait 30 s for each other, and later half an hour.

    Raises:
        LfadsxError: If the mesh does not have devices of every process.
    """
    if processes.count() == 1:
        return
    own = set() if mesh is None else {device.process_index for device in mesh.devices.flat}
    if mesh is None or len(own) < processes.count():
        raise LfadsxError(
            f"With {processes.count()} processes, `mesh` must have devices of all of them, got devices of {len(own)}. "
            "Give mesh=lfadsx.make_mesh()."
        )

    def sums(x: jax.Array) -> list[jax.Array]:
        return [jax.lax.psum(x, axes) for axes in ("data", "members", ("data", "members"))]

    processes.wait()
    specs: Any = dict(in_specs=EVERYWHERE, out_specs=EVERYWHERE, check_vma=False)
    jax.block_until_ready(jax.jit(jax.shard_map(sums, mesh=mesh, **specs))(np.float32(1)))


def all_data(mesh: Mesh | None) -> Mesh | None:
    """Returns the mesh for inference after training: all devices of this process on the axis `data`."""
    if mesh is None:
        return None
    own = [device for device in mesh.devices.flat if device.process_index == jax.process_index()]
    return jax.make_mesh((1, len(own)), ("members", "data"), axis_types=mesh.axis_types, devices=own)


def n_data_devices(mesh: Mesh | None) -> int:
    """Returns the number of devices that trials are spread over."""
    return 1 if mesh is None else mesh.shape["data"]


def load_block(take: Callable[[slice], Batch], shape: tuple[int, int], mesh: Mesh | None) -> Batch:
    """Puts a block (step, trial, ...) of NumPy arrays on the devices, trials spread over `data`.

    Args:
        take: Returns the given rows of every step. Each process asks only for the rows of its devices.
        shape: Number of steps and of rows.
        mesh: The devices.
    """
    return _place(lambda index: take(index[1]), shape, mesh, BLOCK)


def load_member_blocks(take: Callable[[slice, slice], Batch], shape: tuple[int, int, int], mesh: Mesh | None) -> Batch:
    """Puts blocks (member, step, trial, ...) on the devices, members over `members` and trials over `data`.

    `take` returns the given rows of every step of the given members, and `shape` is members, steps and rows.
    """
    return _place(lambda index: take(index[0], index[2]), shape, mesh, MEMBER_BLOCKS)


def place_block(block: Batch, mesh: Mesh | None) -> Batch:
    """Puts a block (step, trial, ...) of NumPy arrays on the devices, as `load_block` does."""
    return _place_arrays(block, 2, mesh, BLOCK)


def place_member_blocks(blocks: Batch, mesh: Mesh | None) -> Batch:
    """Puts NumPy arrays (member, step, trial, ...) on the devices, as `load_member_blocks` does."""
    return _place_arrays(blocks, 3, mesh, MEMBER_BLOCKS)


def place_trials(batch: Batch, mesh: Mesh | None) -> Batch:
    """Puts a batch (trial, ...) of NumPy arrays on the devices, trials spread over `data`."""
    return _place_arrays(batch, 1, mesh, PartitionSpec("data"))


def _place_arrays(tree: Batch, n_axes: int, mesh: Mesh | None, spec: PartitionSpec) -> Batch:
    shape = jax.tree.leaves(tree)[0].shape[:n_axes]
    return _place(lambda index: jax.tree.map(lambda x: x[index], tree), shape, mesh, spec)


def _place(take: Callable[[tuple[slice, ...]], Batch], shape: tuple[int, ...], mesh: Mesh | None, spec: Any) -> Batch:
    """Puts on every device of this process its part of arrays whose first axes have a shape."""
    if mesh is None:
        return jax.device_put(take((slice(None),) * len(shape)))
    sharding = NamedSharding(mesh, spec)
    indices: Any = sharding.addressable_devices_indices_map(shape).values()
    places = {_bounds(index): index for index in indices}
    parts = {bounds: take(index) for bounds, index in places.items()}

    def join(*arrays: np.ndarray) -> jax.Array:
        of = dict(zip(parts, arrays, strict=True))
        whole = (*shape, *arrays[0].shape[len(shape) :])
        part: Callable[[Any], np.ndarray] = lambda index: of[_bounds(index[: len(shape)])]  # noqa: E731
        return jax.make_array_from_callback(whole, sharding, part)

    return jax.tree.map(join, *parts.values())


def _bounds(index: tuple[slice, ...]) -> tuple[Any, ...]:
    return tuple((of.start, of.stop) for of in index)


def place_members(tree: Any, mesh: Mesh | None) -> Any:
    """Puts arrays (member, ...) on the devices, members spread over `members`."""
    return jax.device_put(tree) if mesh is None else _spread(tree, NamedSharding(mesh, MEMBERS))


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """Puts a copy of every array on every device."""
    return tree if mesh is None else _spread(tree, NamedSharding(mesh, EVERYWHERE))


def _spread(tree: Any, sharding: NamedSharding) -> Any:
    """Puts arrays, which are equal in all processes, on the devices."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return _spreader(sharding)(jax.tree.map(_uncommitted, tree))


@cache
def _spreader(sharding: NamedSharding) -> Any:
    """Returns a compiled identity, since `device_put` compares arrays between the processes, one after the other."""
    return jax.jit(lambda tree: tree, out_shardings=sharding)


def _uncommitted(array: Any) -> Any:
    """Returns an array that is not bound to a device of this process."""
    if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        bits = jnp.asarray(np.asarray(jax.random.key_data(array)))
        return jax.random.wrap_key_data(bits, impl=jax.random.key_impl(array))
    return np.asarray(array)


def to_host(array: jax.Array) -> np.ndarray:
    """Returns an array, which may be spread over devices of several hosts, as a NumPy array."""
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def of_member(array: Any, member: int) -> jax.Array:
    """Returns a member's part of an array (member, ...).

    Raises:
        LfadsxError: If the member is on a device of another process.
    """
    if not isinstance(array, jax.Array) or array.is_fully_addressable:
        return jnp.asarray(array[member])
    for shard in array.addressable_shards:
        first, last, _ = shard.index[0].indices(len(array))
        if first <= member < last:
            return jnp.asarray(shard.data[member - first])
    raise LfadsxError(f"The model of member {member} is in another process of this run. Ask for a member of this one.")


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
