"""JAX's persistent compilation cache: the second start of the same program skips the compiler."""

from __future__ import annotations

import os
import pathlib

import jax


def use_compile_cache() -> None:
    """Keep compiled programs in ``$CFD2GRAY_CACHE`` (default: ``cfd2gray`` in the user's cache folder).

    Does nothing where JAX's own ``JAX_COMPILATION_CACHE_DIR`` is set, or where the folder cannot be made.
    """
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    base = os.environ.get("XDG_CACHE_HOME") or str(pathlib.Path.home() / ".cache")
    folder = pathlib.Path(os.environ.get("CFD2GRAY_CACHE") or pathlib.Path(base) / "cfd2gray") / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
