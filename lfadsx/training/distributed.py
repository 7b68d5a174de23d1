"""Meshes of devices and how data are laid out on them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lfadsx.types import Batch


def make_mesh(n_devices: int | None = None, *, members: int = 1) -> Mesh:
    """Returns a mesh with the axes `data` (trials) and `members` (models of a population).

    Example:
        >>> from lfadsx.training import make_mesh
        >>> make_mesh(1).shape["data"]
        1

    Args:
        n_devices: Number of devices; None for all of all hosts.
        members: Number of devices along the `members` axis.

    Raises:
        ValueError: If there are fewer devices, or `members` does not divide their number.
    """
    available = len(jax.devices())
    n_devices = available if n_devices is None else n_devices
    if not 1 <= n_devices <= available:
        raise ValueError(
            f"{n_devices} devices were asked for, but JAX sees {available}: {jax.devices()}. Ask for fewer; on a "
            "CPU set the environment variable JAX_NUM_CPU_DEVICES before starting."
        )
    if n_devices % members:
        raise ValueError(f"members = {members} does not divide {n_devices} devices. Give a divisor.")
    shape, names = (n_devices // members, members), ("data", "members")
    return jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:n_devices])


def n_data_devices(mesh: Mesh | None) -> int:
    """Returns the number of devices that trials are spread over."""
    return 1 if mesh is None else mesh.shape["data"]


def place_block(block: Batch, mesh: Mesh | None) -> Batch:
    """Puts a block (step, trial, ...) of NumPy arrays on the devices, trials spread over `data`.

    Every process calls this with the same block and puts only the rows of its own devices there.
    """
    if mesh is None:
        return jax.device_put(block)
    sharding = NamedSharding(mesh, PartitionSpec(None, "data"))

    def place(array: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(place, block)


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """Puts a copy of every array on every device."""
    if mesh is None:
        return tree
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))
