"""Sectors of consoles that were seen before: a site's screens repeat, by manufacturer, model and size."""

from __future__ import annotations

import json
import pathlib
import threading
from typing import Any

import cv2
import numpy as np

from data_pipeline.files import atomic_path
from data_pipeline.screen.said import Polygon, polygon_mask

BY_HAND, BY_SIGHT = 0.7, 0.93
"""Intersection over union from which a sector seen is a remembered one: drawn by a person, or found with certainty."""
MOST = 32
"""Sectors kept of a console: one for each depth setting, the oldest are forgotten."""
_WRITING = threading.Lock()


def console(vendor: str, model: str, shape: tuple[int, int]) -> str:
    """The key of a console's screens of this size; nothing in it is about a patient."""
    return f"{vendor.strip() or 'unknown'} | {model.strip() or 'unknown'} | {shape[1]} x {shape[0]}"


def known_sectors(path: pathlib.Path, key: str) -> tuple[tuple[Polygon, float], ...]:
    """Sectors remembered of a console, those drawn by hand first, each with the overlap from which it counts.

    Raises:
      ValueError: a file that was not written by `remember`.
    """
    entries = sorted(_read(path).get(key, []), key=lambda entry: not entry["by_hand"])
    return tuple((_corners(entry), BY_HAND if entry["by_hand"] else BY_SIGHT) for entry in entries)


def remember(path: pathlib.Path, key: str, sector: np.ndarray, *, by_hand: bool) -> None:
    """Keep a sector, bool [H, W], unless it is remembered already; one drawn by hand replaces those that it overlaps."""
    contours, _ = cv2.findContours(sector.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if len(contours) != 1:
        return  # several sectors: their layout changes from clip to clip
    outline = cv2.approxPolyDP(contours[0], 1.0, True)[:, 0]
    if len(outline) < 3:
        return
    entry = {"sector": outline.tolist(), "by_hand": by_hand}
    with _WRITING:
        memory = _read(path)
        kept = memory.get(key, [])
        least = BY_HAND if by_hand else BY_SIGHT
        same = [old for old in kept if _overlap(_corners(old), sector) >= least]
        if same and not by_hand:
            return
        memory[key] = [*(old for old in kept if old not in same), entry][-MOST:]
        with atomic_path(path) as part:
            part.write_text(json.dumps({"sectors of consoles": memory}, indent=1))


def _corners(entry: dict[str, Any]) -> Polygon:
    return tuple((float(x), float(y)) for x, y in entry["sector"])


def _overlap(corners: Polygon, sector: np.ndarray) -> float:
    mask = polygon_mask("sector", corners, sector.shape)
    return np.count_nonzero(mask & sector) / max(np.count_nonzero(mask | sector), 1)


def _read(path: pathlib.Path) -> dict[str, list[dict[str, Any]]]:
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text())["sectors of consoles"]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path} holds no remembered sectors; name another file, or a new one") from None
