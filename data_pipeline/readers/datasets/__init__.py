"""Public data sets by their own layouts: what is there, whose it is, how it is split, and the clips themselves.

Example::

    for item in datasets.items("echonet-dynamic", "~/EchoNet-Dynamic"):
        if item.exists:
            clip = item.read()

Verified against code and documentation of the sets, not against the data, which each user gets from its owner.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator

from data_pipeline.readers.datasets import (
    camus,
    cardiac_uda,
    echonet,
    echoxflow,
    fetal_planes,
    mimic_iv_echo,
    tmed2,
)
from data_pipeline.readers.datasets.base import Item

__all__ = ["DATASETS", "Item", "checked_name", "echoxflow", "items"]

DATASETS: dict[str, tuple[Callable[[pathlib.Path], Iterator[Item]], str]] = {
    "echonet-dynamic": (echonet.dynamic, echonet.DYNAMIC_TREE),
    "echonet-pediatric": (echonet.pediatric, echonet.PEDIATRIC_TREE),
    "echonet-lvh": (echonet.lvh, echonet.LVH_TREE),
    "camus": (camus.items, camus.TREE),
    "mimic-iv-echo": (mimic_iv_echo.items, mimic_iv_echo.TREE),
    "cardiac-uda": (cardiac_uda.items, cardiac_uda.TREE),
    "tmed2": (tmed2.items, tmed2.TREE),
    "fetal-planes": (fetal_planes.items, fetal_planes.TREE),
    "echoxflow": (echoxflow.items, echoxflow.TREE),
}
"""Name -> (generator of items, expected tree). EchoXFlow's items are recordings of streams: read by `echoxflow.load`."""


def checked_name(name: str) -> str:
    """The data set's name with hyphens; ``ValueError`` for one that is not in `DATASETS`."""
    plain = name.strip().lower().replace("_", "-")
    if plain not in DATASETS:
        raise ValueError(f"data set must be one of {', '.join(sorted(DATASETS))}, got {name!r}")
    return plain


def items(name: str, root: str | os.PathLike[str]) -> Iterator[Item]:
    """Items of data set ``name`` below ``root``. Raises ``ValueError`` for an unknown name, `IngestError` later."""
    return DATASETS[checked_name(name)][0](pathlib.Path(root).expanduser())
