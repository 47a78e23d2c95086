"""Screens that are no 2-D clip: sweeping spectral Doppler and M-mode, four panes, nothing at all."""

from __future__ import annotations

import numpy as np

from data_pipeline.screen.fan_fit import peak_level


def is_black(frames: np.ndarray, *, level: int = 12) -> bool:
    """Whether fewer than 0.2 % of pixels of ``frames`` (uint8 [T, H, W, 3]) ever exceed ``level``."""
    return bool((peak_level(frames) > level).mean() < 0.002)


def is_quad(frames: np.ndarray) -> bool:
    """Whether the picture has content in all four quadrants and a dark cross between them."""
    lit = peak_level(frames) > 16
    height, width = lit.shape
    band_y, band_x = slice(int(0.4 * height), int(0.6 * height)), slice(int(0.35 * width), int(0.65 * width))
    rows = lit[:, int(0.1 * width) : int(0.9 * width)].mean(axis=1)[band_y]
    columns = lit[int(0.1 * height) : int(0.9 * height)].mean(axis=0)[band_x]
    if rows.min() > 0.02 or columns.min() > 0.02:
        return False
    y, x = band_y.start + int(rows.argmin()), band_x.start + int(columns.argmin())
    quadrants = (lit[:y, :x], lit[:y, x:], lit[y:, :x], lit[y:, x:])
    return all(part.mean() > 0.15 for part in quadrants)


def sweep(frames: np.ndarray) -> str | None:
    """``spectral`` or ``mmode`` when the picture changes only in a narrow band of columns that wanders, else ``None``.

    ``frames`` uint8 [T, H, W, 3], consecutive, T >= 6. Neighbouring columns of an M-mode are alike and mostly lit; those of
    a spectrum are speckle, dark on one side of the base line.
    """
    if len(frames) < 6:
        return None
    levels = np.ascontiguousarray(frames[:, ::2, ::2, 1])
    lit = levels.max(axis=0) > 16
    width = lit.shape[1]
    centres, narrow, counted = [], 0, 0
    change_rows = np.zeros(lit.shape[0])
    for before, after in zip(levels[:-1], levels[1:]):
        changed = np.abs(after.astype(np.int16) - before) > 16
        total = int(changed.sum())
        if total < 0.0005 * changed.size:
            continue
        counted += 1
        change_rows += changed.sum(axis=1)
        columns = np.cumsum(np.concatenate([[0], changed.sum(axis=0)]))
        band = max(int(0.12 * width), 4)
        window = columns[band:] - columns[:-band]
        narrow += window.max() >= 0.85 * total
        centres.append(int(window.argmax()))
    if counted < 4 or narrow < 0.9 * counted:
        return None
    rows = np.nonzero(change_rows > 0.05 * change_rows.max())[0]
    if rows[-1] - rows[0] < 0.15 * lit.shape[0]:  # an ECG trace under a frozen picture
        return None
    if max(centres) - min(centres) < 0.02 * width:
        return None
    swept = levels[-1, rows[0] : rows[-1] + 1].astype(np.float32)
    swept = swept - swept.mean()
    likeness = float((swept[:, 1:] * swept[:, :-1]).sum() / max(float((swept**2).sum()), 1.0))
    return "spectral" if likeness < 0.6 or lit[rows[0] : rows[-1] + 1].mean() < 0.4 else "mmode"
