"""What can be taken away from the page: the same files that ``cfd2gray translate`` writes, made when they are asked for."""

from __future__ import annotations

import pathlib

import numpy as np

from cfd2gray.translation.cleaning import Cleaning
from cfd2gray.translation.result import Result, describe_result
from cfd2gray.translation.square import sampled
from cfd2gray.viewer.work import Seen
from data_pipeline.files import atomic_path
from data_pipeline.schema import FLOW, OUTLINE

FORMATS = {
    "dcm": "application/dicom",
    "mp4": "video/mp4",
    "npz": "application/zip",
    "html": "text/html; charset=utf-8",
    "mask.npy": "application/octet-stream",
}
"""What is offered, with its media type: DICOM, video, arrays, a page that plays, and the mask for ``--mask``."""


def download_name(seen: Seen, format: str, version: int) -> str:
    """``grey-1a2b3c4d.dcm`` after the source's digest: the name that a file had can name a patient."""
    return format if format == "mask.npy" else f"grey-{(seen.clip.info.source_digest or f'v{version}')[:8]}.{format}"


def write_download(seen: Seen, format: str, target: pathlib.Path, *, keep_screen: bool) -> None:
    """Write the new file ``target``.

    Args:
      keep_screen: The whole screen; by default what is outside the sector, and text that was found, is black.

    Raises:
      ValueError: For another format, or a clip that is not translated.
    """
    if format not in FORMATS:
        raise ValueError(f"a download is one of {', '.join(FORMATS)}, got {format[:40]!r}")
    if format == "mask.npy":
        with atomic_path(target) as temporary:
            np.save(temporary, (seen.analysis.strata & (FLOW | OUTLINE)) > 0)
        return
    result = seen.result
    if result is None:
        raise ValueError("this clip is not translated, so there is nothing to take away")
    if format == "npz":
        _write_npz(result, target, keep_screen=keep_screen)
    elif format == "html":
        result.player(keep_screen=keep_screen).save(target)
    else:
        result.save(target, clean=not keep_screen)
        target.with_name(target.name + ".json").unlink(missing_ok=True)


def _write_npz(result: Result, target: pathlib.Path, *, keep_screen: bool) -> None:
    """``grey``, ``confidence`` uint8 [T, H, W], ``strata``, and what every result says of itself."""
    facts = describe_result(result.weights, result.clip.info, result)
    grey = result.grey
    if not keep_screen:
        cleaning = Cleaning.of(sampled(result.clip.frames), result.analysis)
        grey = np.stack([cleaning(frame) for frame in grey])
    arrays = {
        "grey": grey,
        "confidence": np.rint(255.0 * result.confidence).astype(np.uint8),
        "strata": result.analysis.strata,
        **{name: np.array(value) for name, value in facts.items()},
        "synthetic": np.array(result.coloured),
        "cleaned": np.array(not keep_screen),
    }
    with atomic_path(target) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
