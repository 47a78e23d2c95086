"""Frames that a screen capture wrote twice: dropped, and the frame rate lowered to what the scanner really showed."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipeline.schema import Clip


def drop_repeats(clip: Clip, *, sector: np.ndarray | None = None, max_difference: float = 0.5) -> Clip:
    """``clip`` without frames that repeat the one before; for training data, not for translation (which keeps T).

    Args:
      sector: bool ``[H, W]``, where to compare (a running clock or ECG outside it is no new frame); default everywhere.
      max_difference: mean absolute difference in grey levels below which a frame is a repeat.

    Returns:
      The same clip when nothing repeats; else one with fewer frames, ``fps`` lowered by the same factor and the flag
      ``repeats_dropped``. A frozen clip becomes one frame with the flag ``still``.
    """
    frames = clip.frames
    where = np.ones(frames.shape[1:3], bool) if sector is None else sector
    if where.dtype != bool or where.shape != frames.shape[1:3] or not where.any():
        raise ValueError(
            f"sector must be bool {list(frames.shape[1:3])} with a pixel set, got {where.dtype} {where.shape}"
        )
    keep, last = [0], frames[0][where].astype(np.int16)
    for index in range(1, len(frames)):
        now = frames[index][where].astype(np.int16)
        if np.abs(now - last).mean() >= max_difference:
            keep.append(index)
            last = now
    if len(keep) == len(frames):
        return clip
    flags = (*clip.info.flags, "repeats_dropped") + (("still",) if len(keep) == 1 else ())
    info = dataclasses.replace(
        clip.info,
        n_frames=len(keep),
        fps=max(clip.info.fps * len(keep) / len(frames), 1.0),
        flags=tuple(dict.fromkeys(flags)),
    )
    return Clip(frames=frames[keep], info=info)
