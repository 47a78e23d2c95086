"""cfd2gray: colour-flow-Doppler ultrasound video to greyscale video.

    import cfd2gray
    translator = cfd2gray.Translator.from_pretrained()
    grey = translator(frames)              # uint8 [T, H, W, 3] -> uint8 [T, H, W]
    result = translator("clip.dcm")        # a file or `cfd2gray.read(...)`: .grey, .show(), .save("grey.dcm"), .explain()

For research, not for diagnosis.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfd2gray.translation.result import Result
    from cfd2gray.translation.translator import Translator
    from data_pipeline.readers import read_clip as read
    from data_pipeline.schema import Clip


def _version() -> str:
    for distribution in ("cfd2gray", "cfd2gray-light"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "0.0.0"  # a source tree on the path, not installed


__version__ = _version()

__all__ = ["Clip", "Result", "Translator", "__version__", "read"]

_LATER = {
    "Clip": ("data_pipeline.schema", "Clip"),
    "Result": ("cfd2gray.translation.result", "Result"),
    "Translator": ("cfd2gray.translation.translator", "Translator"),
    "read": ("data_pipeline.readers", "read_clip"),
}
"""Public names and where they are: loaded on use, since `cfd2gray --help` should not wait for JAX."""


def __getattr__(name: str) -> Any:
    if name in _LATER:
        module, attribute = _LATER[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'cfd2gray' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
