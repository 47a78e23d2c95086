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

try:
    __version__ = metadata.version("cfd2gray")
except metadata.PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0.0.0"

__all__ = ["Translator", "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded on use: `cfd2gray --help` should not wait for JAX.
    if name == "Translator":
        from cfd2gray.translation.translator import Translator

        return Translator
    raise AttributeError(f"module 'cfd2gray' has no attribute {name!r}")
