"""The folder of a run: a path of this machine or of a shared file system, or a place in a bucket (``gs://``).

Runs are written by Orbax, which reaches Google Cloud Storage and file systems. Records are only read, and may lie anywhere
that `data_pipeline.storage` reaches.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
from typing import TYPE_CHECKING, TypeAlias

from data_pipeline.files import write_atomically
from data_pipeline.mistakes import Mistake
from data_pipeline.storage import EXTRAS, only_here

if TYPE_CHECKING:
    from etils import epath

    RunFolder: TypeAlias = pathlib.Path | epath.Path
    """Both have the methods of `pathlib.Path`."""

os.environ.setdefault("EPATH_USE_TF", "false")  # gcsfs is enough, and TensorFlow takes seconds to import
_BUCKET = re.compile(r"gs:/+(.*)", re.DOTALL)  # pathlib squeezes the slashes


def run_folder(place: str | os.PathLike[str], what: str = "--workdir") -> RunFolder:
    """``place`` as something with the methods of `pathlib.Path`.

    Args:
      place: A path, ``file://`` or ``gs://``, also one that `pathlib` has squeezed to ``gs:/bucket``.
      what: What the place is called in messages.

    Raises:
      Mistake: For other stores, or where the packages for ``gs://`` are missing.
    """
    text = os.fspath(place)
    if bucket := _BUCKET.fullmatch(text):
        missing = [name for name in ("gcsfs", "google.cloud.storage") if not _installed(name)]
        if missing:
            raise Mistake(f"{what} {text} needs {' and '.join(missing)}; pip install 'cfd2gray[gcs]'")
        import fsspec
        from etils import epath

        # TensorStore and other processes write too: a remembered listing would miss, or keep, what they changed.
        fsspec.config.conf.setdefault("gs", {})["use_listings_cache"] = False
        return epath.Path(f"gs://{bucket[1].rstrip('/')}")
    scheme = text.partition(":/")[0]
    if scheme in EXTRAS:
        raise Mistake(
            f"{what} cannot be in {scheme}://, where checkpoints cannot be written yet (records can be read from there), got "
            f"{text}; give gs://, or a path on a shared file system"
        )
    return only_here(place, what).absolute()


def in_bucket(folder: RunFolder) -> bool:
    """Whether a folder of `run_folder` is in a bucket: files there are written whole, in one step, and never appended to."""
    return os.fspath(folder).startswith("gs://")


def write_text(path: RunFolder, text: str) -> None:
    """Write a small file so that readers see the old one or the new."""
    if in_bucket(path):
        path.write_text(text)  # a bucket shows an object when all of it is there
    else:
        write_atomically(path, text)


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of a parent
        return False
