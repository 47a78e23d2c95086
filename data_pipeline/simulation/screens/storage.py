"""What storage does to a screen: JPEG of every sampling, video codecs, palettes with dither."""

from __future__ import annotations

import numpy as np
from PIL import Image

from data_pipeline.simulation.console.codec import Codec, transcode

CODECS = ("none", "jpeg444", "jpeg422", "jpeg420", "ybr422", "h264", "hevc", "mpeg4", "palette")


def store(rng: np.random.Generator, frames: np.ndarray, codec: str) -> np.ndarray:
    """Encode and decode uint8 [T, H, W, 3] by a codec of `CODECS` at a drawn quality."""
    if codec == "none":
        return frames
    if codec == "palette":
        return np.stack([_palette(frame, adaptive=bool(rng.random() < 0.6)) for frame in frames])
    if codec.startswith("jpeg"):
        return transcode(frames, Codec(name="jpeg", quality=int(rng.integers(50, 98)), chroma=codec[4:]))
    if codec == "ybr422":
        return transcode(frames, Codec(name="ybr", quality=90, chroma="422"))
    quality = int(rng.integers(18, 35)) if codec in ("h264", "hevc") else int(rng.integers(2, 9))
    even = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    done = frames.copy()
    done[:, : even.shape[1], : even.shape[2]] = transcode(
        np.ascontiguousarray(even), Codec(name=codec, quality=quality, chroma="420")
    )
    return done


def _palette(frame: np.ndarray, *, adaptive: bool) -> np.ndarray:
    picture = Image.fromarray(frame)
    if adaptive:
        return np.asarray(picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB"))
    small = np.clip(
        frame.astype(np.int16)
        + _BAYER[np.arange(frame.shape[0])[:, None] % 4, np.arange(frame.shape[1]) % 4][..., None],
        0,
        255,
    )
    levels = np.array([36, 36, 85])  # 3-3-2 bits, as ffmpeg writes by default
    return np.clip(np.round(small / levels) * levels, 0, 255).astype(np.uint8)


_BAYER = (np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) * 2 - 15).astype(np.int16)
