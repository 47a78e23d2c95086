"""cfd2gray: colour-flow-Doppler ultrasound video to greyscale video.

    import cfd2gray
    grey = cfd2gray.Translator.from_pretrained()(frames)     # uint8 [T, H, W, 3] -> uint8 [T, H, W]

For research, not for diagnosis.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfd2gray.translation.translator import Translator


def _version() -> str:
    for distribution in ("cfd2gray", "cfd2gray-light"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "0.0.0"  # a source tree on the path, not installed


__version__ = _version()

__all__ = ["Translator", "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded on use: `cfd2gray --help` should not wait for JAX.
    if name == "Translator":
        from cfd2gray.translation.translator import Translator

        return Translator
    raise AttributeError(f"module 'cfd2gray' has no attribute {name!r}")
