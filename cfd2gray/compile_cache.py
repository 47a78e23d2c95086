"""JAX's persistent compilation cache: the second start of the same program skips the compiler."""

from __future__ import annotations

import os

import jax

from cfd2gray.cache_folder import cache_folder


def use_compile_cache() -> None:
    """Keep compiled programs in the part ``xla`` of `cache_folder`.

    Does nothing where a cache is already chosen (``JAX_COMPILATION_CACHE_DIR``, ``jax.config``), or where there is no
    place for one.
    """
    if os.environ.get("JAX_COMPILATION_CACHE_DIR") or jax.config.jax_compilation_cache_dir:
        return
    folder = cache_folder("xla")
    if folder is None:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
