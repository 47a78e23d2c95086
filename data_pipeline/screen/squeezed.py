"""Fans that were squeezed: pictures brought to another shape keep their beams, but no longer as rays of a circle."""

from __future__ import annotations

import cv2
import numpy as np

from data_pipeline.geometry import Fan
from data_pipeline.screen.fan_fit import fan_of

SIDE = 256
"""Largest side in px at which the aspect is looked for."""
COARSE = tuple(0.5 * 1.15**k for k in range(11))
"""Heights over widths of a pixel that are tried first, .5 to 2; 4:3 made square is .75, the reverse 1.33."""
BELIEVED = 0.93
"""Intersection over union with the sector from which the squeezed fan is believed."""


def squeezed_fan(sector: np.ndarray) -> tuple[Fan, float] | None:
    """The fan and the aspect at which a sector is one: the fan lies on the grid ``(x, aspect * y)``.

    Args:
      sector: bool ``[H, W]``.

    Returns:
      None where no aspect makes it a fan. A sector that is one as it stands gives an aspect of about 1.
    """
    scale = min(1.0, SIDE / max(sector.shape))
    mask = cv2.resize(sector.astype(np.uint8) * 255, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mask = cv2.copyMakeBorder(mask, 4, 4, 4, 4, cv2.BORDER_CONSTANT)
    fits = {aspect: _fit(mask, aspect) for aspect in COARSE}
    best = max(fits, key=lambda aspect: fits[aspect][1])
    fits |= {aspect: _fit(mask, aspect) for aspect in (best / 1.07, best / 1.035, best * 1.035, best * 1.07)}
    best = max(fits, key=lambda aspect: fits[aspect][1])
    fan, agreement = fits[best]
    if fan is None or agreement < BELIEVED:
        return None
    return fan.moved(4, 4 * best).moved(0, 0, scale=scale), best


def _fit(mask: np.ndarray, aspect: float) -> tuple[Fan | None, float]:
    """The fan of a mask (uint8 [h, w]) whose rows are stretched, and its intersection over union with it."""
    tall = cv2.resize(mask, (mask.shape[1], max(round(mask.shape[0] * aspect), 8)), interpolation=cv2.INTER_AREA)
    return fan_of(tall > 127)
