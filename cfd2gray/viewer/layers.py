"""Frames of a clip and what can be laid over them, as PNG: lossless, since texture is what is being judged."""

from __future__ import annotations

import cv2
import numpy as np

from cfd2gray.viewer.corrections import around
from cfd2gray.viewer.work import Seen
from data_pipeline import pixels
from data_pipeline.schema import BOX, FLOW, OUTLINE
from data_pipeline.screen.explain import COLOURS
from data_pipeline.screen.hidden import hidden_mask

DOUBT = (225, 60, 40)
MADE = (0, 200, 180)
"""RGB of what is little trusted and of what was synthesised; those of `screen.explain.COLOURS` for the rest."""
LAYERS = ("colour", "grey", "confidence", "synthesised", "sector", "box", "hidden")
OF_RESULT = ("grey", "confidence", "synthesised")
"""Layers that a clip has only once it was translated."""
_THUMBNAIL = 200
"""Rows of a picture in the gallery, at most."""
_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]
"""Ten times the speed of the best compression, for a fifth more bytes that go nowhere."""


def layer_png(seen: Seen, layer: str, frame: int) -> bytes:
    """One frame of one of `LAYERS`: colour RGB and grey as they are, the others RGBA to be laid over them.

    Raises:
      ValueError: For another layer, a frame that is not there, or a layer of a clip that is not translated.
    """
    if layer not in LAYERS:
        raise ValueError(f"a layer is one of {', '.join(LAYERS)}, got {layer!r}")
    if not 0 <= frame < len(seen.clip.frames):
        raise ValueError(f"frames are 0 to {len(seen.clip.frames) - 1}, got {frame}")
    if layer in OF_RESULT and seen.result is None:
        raise ValueError(f"the clip is not translated, so there is no layer {layer}")
    return _png(_PAINTERS[layer](seen, frame))


def thumbnail(seen: Seen) -> bytes:
    """JPEG of the sector in the middle frame: colour, and greyscale right of its middle once there is one."""
    frame = len(seen.clip.frames) // 2
    x, y, width, height = around(seen.analysis.sector) or (0, 0, *seen.clip.frames.shape[2:0:-1])
    picture = seen.clip.frames[frame, y : y + height, x : x + width].copy()
    if seen.result is not None:
        half = width // 2
        picture[:, half:] = seen.result.grey[frame, y : y + height, x + half : x + width, None]
        picture[:, half - 1 : half + 1] = 255
    height = min(_THUMBNAIL, round(picture.shape[0] * max(seen.clip.info.pixel_aspect, 0.1)))
    width = max(1, round(height * picture.shape[1] / (picture.shape[0] * seen.clip.info.pixel_aspect)))
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()


def _confidence(seen: Seen, k: int) -> np.ndarray:
    return _tint(DOUBT, 0.75 * (1.0 - seen.result.confidence[k]))


def _synthesised(seen: Seen, k: int) -> np.ndarray:
    made = (seen.result.confidence[k] < 1) | (seen.result.grey[k] != pixels.luma(seen.clip.frames[k : k + 1])[0])
    return _tint(MADE, 0.4 * made + 0.6 * _border(made))


def _sector(seen: Seen, k: int) -> np.ndarray:
    return _tint(COLOURS["sector"], _border(seen.analysis.sector).astype(float))


def _box(seen: Seen, k: int) -> np.ndarray:
    return _tint(COLOURS["box"], _border((seen.analysis.strata[k] & BOX) > 0).astype(float))


def _hidden(seen: Seen, k: int) -> np.ndarray:
    """Flow and what is drawn over the sector in the colours of ``--explain``, their bleed paler."""
    strata = seen.analysis.strata[k]
    covered = hidden_mask(seen.analysis.strata[k : k + 1], seen.clip.frames[k : k + 1])[0] > 0
    picture = _tint(COLOURS["flow"], 0.35 * covered)
    for flag, name in ((FLOW, "flow"), (OUTLINE, "outline")):
        where = (strata & flag) > 0
        picture[where] = (*COLOURS[name], 165)
    return picture


_PAINTERS = {
    "colour": lambda seen, k: seen.clip.frames[k],
    "grey": lambda seen, k: seen.result.grey[k],
    "confidence": _confidence,
    "synthesised": _synthesised,
    "sector": _sector,
    "box": _box,
    "hidden": _hidden,
}


def _tint(colour: tuple[int, int, int], alpha: np.ndarray) -> np.ndarray:
    """RGBA uint8 [H, W, 4] of one colour under ``alpha`` float [H, W] in [0, 1]."""
    picture = np.empty((*alpha.shape, 4), np.uint8)
    picture[..., :3] = colour
    picture[..., 3] = np.rint(255 * np.clip(alpha, 0, 1))
    return picture


def _border(mask: np.ndarray) -> np.ndarray:
    """Its inner border, bool [H, W]; two pixels wide on a screen, one on a clip that was made smaller."""
    side = 5 if len(mask) >= 450 else 3
    # Pixels beside the frame count as outside, or a mask that fills it had no border.
    kernel, beside = np.ones((side, side), np.uint8), {"borderType": cv2.BORDER_CONSTANT, "borderValue": 0}
    inner = cv2.erode(mask.astype(np.uint8), kernel, **beside)
    return mask & (inner == 0)


def _png(picture: np.ndarray) -> bytes:
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    return cv2.imencode(".png", picture, _FAST)[1].tobytes()
