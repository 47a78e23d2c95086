"""NumPy files that are written frame by frame."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from data_pipeline.files import atomic_path


@contextlib.contextmanager
def growing_array(path: pathlib.Path, shape: tuple[int, ...]) -> Iterator[Callable[[np.ndarray], None]]:
    """An ``.npy`` file of uint8 ``shape``: yields ``add(frame)`` for one item of the first axis after the other.

    Raises:
      ValueError: for another number of items than announced.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": tuple(int(n) for n in shape)}
    count = 0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)

        def add(frame: np.ndarray) -> None:
            nonlocal count
            file.write(np.ascontiguousarray(frame, np.uint8).tobytes())
            count += 1

        yield add
        if count != shape[0]:
            raise ValueError(f"{shape[0]} frames were announced and {count} came")
        file.flush()
