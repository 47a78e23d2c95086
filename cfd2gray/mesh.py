"""The device mesh and who holds what: batches split over all devices, large parameters over the fsdp axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ("data", "fsdp")
BATCH = PartitionSpec(AXES)
"""A batch is split over both axes: an fsdp device works on its own clips too."""


def make_mesh(*, data: int = -1, fsdp: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh with axes ``("data", "fsdp")`` over ``devices`` (all of them by default).

    Raises:
      ValueError: When the two sizes do not multiply to the number of devices.
    """
    if devices is None:  # a process's devices stand together, so that its clips are one piece of the global batch
        devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    devices = list(devices)
    if fsdp < 1 or (data < 1 and data != -1):
        raise ValueError(f"mesh sizes must be positive (data may be -1), got data={data}, fsdp={fsdp}")
    data = len(devices) // fsdp if data == -1 else data
    if data * fsdp != len(devices):
        raise ValueError(f"mesh data={data} x fsdp={fsdp} needs {data * fsdp} devices, but there are {len(devices)}")
    # Auto axes: the compiler places activations; explicit ones refuse convolutions with sharded channels.
    return Mesh(np.asarray(devices).reshape(data, fsdp), AXES, axis_types=(AxisType.Auto,) * 2)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Leading axis split over all devices."""
    return NamedSharding(mesh, BATCH)


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def _spec(shape: tuple[int, ...], fsdp: int, min_size: int) -> PartitionSpec:
    """Split the largest axis that ``fsdp`` divides; arrays below ``min_size`` elements stay whole."""
    if fsdp == 1 or int(np.prod(shape)) < min_size:
        return PartitionSpec()
    axes = [axis for axis in range(len(shape)) if shape[axis] % fsdp == 0]
    if not axes:
        return PartitionSpec()
    axis = max(axes, key=lambda a: shape[a])
    return PartitionSpec(*("fsdp" if a == axis else None for a in range(len(shape))))


def state_shardings(abstract: Any, mesh: Mesh, *, min_size: int) -> Any:
    """A `NamedSharding` for every array of ``abstract`` (parameters, optimizer moments, averages alike).

    Raises:
      ValueError: Under fsdp, when more than 5 % of the elements would stay replicated: naming the largest of them.
    """
    fsdp = mesh.shape["fsdp"]
    shardings = jax.tree.map(lambda x: NamedSharding(mesh, _spec(x.shape, fsdp, min_size)), abstract)
    if fsdp > 1:
        leaves = jax.tree_util.tree_leaves_with_path(abstract)
        specs = jax.tree.leaves(shardings)
        whole = [(int(np.prod(x.shape)), path) for (path, x), s in zip(leaves, specs) if not any(s.spec)]
        total = sum(int(np.prod(x.shape)) for _, x in leaves)
        if sum(size for size, _ in whole) > 0.05 * total:
            size, path = max(whole, key=lambda item: item[0])
            raise ValueError(
                f"mesh.fsdp={fsdp} leaves {sum(s for s, _ in whole) / total:.0%} of the state on every device (largest: "
                f"{jax.tree_util.keystr(path)}, {size} elements); lower mesh.fsdp_min_size ({min_size}) or choose widths "
                f"that {fsdp} divides"
            )
    return shardings
