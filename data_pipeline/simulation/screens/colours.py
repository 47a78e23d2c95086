"""Colour on a screen: velocity, power and tissue maps of every hue, tints of the grey map, and what other modes overlay."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

TINTS = ("none", "sepia", "blue", "pink", "orange", "green", "chroma")
"""Grey maps that are not grey. ``chroma`` runs black -> coloured middle -> near white."""
_TINT_RGB = {
    "sepia": (1.12, 1.0, 0.8), "blue": (0.82, 0.95, 1.2), "pink": (1.12, 0.95, 1.05), "orange": (1.25, 1.0, 0.6),
    "green": (0.9, 1.1, 0.9),
}  # fmt: skip


def grey_map(rng: np.random.Generator, tint: str) -> np.ndarray:
    """uint8 [256, 3]: RGB of each grey level."""
    level = np.arange(256, dtype=np.float32) / 255
    if tint == "none":
        rgb = np.repeat(level[:, None], 3, axis=1)
        if rng.random() < 0.3:  # a cast of a capture card
            rgb = rgb * rng.uniform(0.96, 1.04, 3) + rng.uniform(0, 0.03, 3) * (rng.random() < 0.5)
    elif tint == "chroma":
        middle = np.array(colorsys.hsv_to_rgb(rng.uniform(0, 1), rng.uniform(0.2, 0.45), rng.uniform(0.45, 0.62)))
        end = 0.85 + 0.15 * rng.random(3)
        rgb = np.stack([np.interp(level, (0, 0.5, 1), (0, m, e)) for m, e in zip(middle, end)], axis=1)
    else:
        gain = 1 + (np.array(_TINT_RGB[tint]) - 1) * rng.uniform(0.5, 1.3)
        rgb = level[:, None] * gain
    return np.clip(rgb * 255 + 0.5, 0, 255).astype(np.uint8)


def velocity_map(rng: np.random.Generator) -> np.ndarray:
    """uint8 [256, 3]: from -Nyquist (0) to +Nyquist (255); hues of either direction drawn anew each time."""
    towards, away = (rng.uniform(-0.04, 0.13), rng.uniform(0.5, 0.72)) if rng.random() < 0.8 else rng.random(2)
    if rng.random() < 0.35:
        towards, away = away, towards
    bright = rng.uniform(0.7, 1.0)
    rows = []
    for hue, bend in ((away, rng.uniform(-0.16, 0.1)), (towards, rng.uniform(-0.02, 0.16))):
        speed = np.linspace(0, 1, 128)
        value = np.clip(rng.uniform(0.15, 0.45) + speed * bright, 0, 1)
        pale = rng.uniform(0, 0.6) * speed**2
        rows.append([colorsys.hsv_to_rgb((hue + bend * s) % 1, 1 - p, v) for s, v, p in zip(speed, value, pale)])
    rgb = np.array(rows[0][::-1] + rows[1])
    return np.clip(rgb * 255, 0, 255).astype(np.uint8)


def power_map(rng: np.random.Generator) -> np.ndarray:
    """uint8 [256, 3] over power 0..1, one hue that grows light: red-orange-yellow, magenta, blue, gold."""
    hue, bend = rng.choice([0.0, 0.03, 0.83, 0.6, 0.1]), rng.uniform(0.02, 0.14)
    level = np.linspace(0, 1, 256)
    rgb = [colorsys.hsv_to_rgb((hue + bend * v) % 1, 1 - 0.4 * v**3, 0.25 + 0.75 * v) for v in level]
    return np.clip(np.array(rgb) * 255, 0, 255).astype(np.uint8)


def paint_flow(rng: np.random.Generator, velocity: np.ndarray, mode: str) -> np.ndarray:
    """uint8 [T, H, W, 3], the colours of ``velocity`` (float32 [T, H, W] in -1..1, NaN without flow; black there).

    ``mode``: ``velocity``, ``variance`` (green or yellow mosaic in the fast cores) or ``power``.
    """
    speed = np.nan_to_num(velocity)
    if mode == "power":
        speed = cv2_blur(np.abs(speed), 1.0)
        table = power_map(rng)
        return table[np.clip(speed * 255, 0, 255).astype(np.uint8)]
    gain, shift = rng.uniform(0.6, 1.8), rng.choice([0, 0, rng.uniform(-0.6, 0.6)])
    wrapped = (speed * gain + shift + 1) % 2 - 1  # aliasing
    table = velocity_map(rng)
    rgb = table[np.clip((wrapped + 1) * 127.5, 0, 255).astype(np.uint8)]
    if mode == "variance":
        noise = rng.random(velocity.shape, dtype=np.float32)
        disturbed = (np.abs(speed) > rng.uniform(0.3, 0.6)) & (noise < rng.uniform(0.3, 0.9))
        mosaic = np.array(colorsys.hsv_to_rgb(rng.uniform(0.15, 0.36), 1, 1)) * 255
        rgb = rgb.copy()
        rgb[disturbed] = (0.4 * rgb[disturbed] + 0.6 * mosaic * (0.6 + 0.4 * noise[disturbed, None])).astype(np.uint8)
    return rgb


def smooth_field(rng: np.random.Generator, shape: tuple[int, int, int], *, coarse: int, drift: float) -> np.ndarray:
    """float32 [T, H, W] in 0..1: a smooth random field that drifts (tissue velocity, strain, stiffness)."""
    frames, height, width = shape
    ends = rng.random((2, coarse, coarse), dtype=np.float32)
    blend = 0.5 - 0.5 * np.cos(np.linspace(0, 2 * np.pi * drift, frames))
    small = ends[0] + blend[:, None, None].astype(np.float32) * (ends[1] - ends[0])
    return np.clip(np.stack([cv2.resize(s, (width, height), interpolation=cv2.INTER_CUBIC) for s in small]), 0, 1)


def overlay_colours(
    rng: np.random.Generator, kind: str, grey: np.ndarray, sector: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours of modes that are no flow: ``tissue`` Doppler, ``strain``, ``elastography``, ``contrast``.

    Args:
      grey: uint8 [T, H, W]. sector: bool [H, W].

    Returns:
      uint8 [T, H, W, 3] and float32 [T, H, W] of how much they cover.
    """
    shape = grey.shape
    if kind == "tissue":
        field = smooth_field(rng, shape, coarse=int(rng.integers(3, 7)), drift=rng.uniform(0.3, 1.5))
        rgb = velocity_map(rng)[(field * 255).astype(np.uint8)]
        lit = np.clip((cv2_blur(grey.astype(np.float32), 2.0) - rng.uniform(20, 50)) / 15, 0, 1)
        region = _part(rng, sector, least=0.4)
        return rgb, lit * region * rng.uniform(0.7, 1.0)
    if kind == "strain":
        field = smooth_field(rng, shape, coarse=4, drift=1.0)
        band = _wall(rng, sector)
        return velocity_map(rng)[(field * 255).astype(np.uint8)], np.repeat(band[None], shape[0], 0) * rng.uniform(
            0.5, 1
        )
    if kind == "elastography":
        field = smooth_field(rng, shape, coarse=int(rng.integers(4, 9)), drift=rng.uniform(0, 0.5))
        hue = (np.linspace(0.66, 0.0, 256) + (rng.random() < 0.3) * 0.3) % 1
        table = (np.array([colorsys.hsv_to_rgb(h, 1, 1) for h in hue]) * 255).astype(np.uint8)
        region = _part(rng, sector, least=0.15)
        return table[(field * 255).astype(np.uint8)], np.repeat(region[None], shape[0], 0) * rng.uniform(0.35, 0.8)
    level = cv2_blur(grey.astype(np.float32) / 255, 1.0) * rng.uniform(0.8, 1.6)
    table = power_map(rng)
    return table[np.clip(level * 255, 0, 255).astype(np.uint8)], np.repeat(sector[None], shape[0], 0).astype(np.float32)


def cv2_blur(planes: np.ndarray, sigma: float) -> np.ndarray:
    """Each plane of float32 [T, H, W] blurred."""
    return np.stack([cv2.GaussianBlur(p.astype(np.float32), (0, 0), sigma) for p in planes])


def _part(rng: np.random.Generator, sector: np.ndarray, *, least: float) -> np.ndarray:
    """float32 [H, W]: the whole sector or a rectangle of it."""
    if rng.random() < 0.4:
        return sector.astype(np.float32)
    height, width = sector.shape
    tall, wide = (rng.uniform(least, 1.0, 2) * (height, width)).astype(int).clip(8)
    y, x = int(rng.integers(0, max(height - tall, 1))), int(rng.integers(0, max(width - wide, 1)))
    region = np.zeros_like(sector)
    region[y : y + tall, x : x + wide] = sector[y : y + tall, x : x + wide]
    return region.astype(np.float32)


def _wall(rng: np.random.Generator, sector: np.ndarray) -> np.ndarray:
    """float32 [H, W]: a horseshoe band, as speckle tracking draws over a ventricle's wall."""
    height, width = sector.shape
    mask = np.zeros(sector.shape, np.uint8)
    centre = (int(width * rng.uniform(0.4, 0.6)), int(height * rng.uniform(0.45, 0.6)))
    axes = (max(int(width * rng.uniform(0.1, 0.2)), 4), max(int(height * rng.uniform(0.2, 0.35)), 6))
    thick = max(int(0.05 * height * rng.uniform(0.6, 1.6)), 2)
    cv2.ellipse(mask, centre, axes, 0, float(rng.uniform(100, 160)), float(rng.uniform(380, 440)), 255, thick)
    return mask.astype(np.float32) / 255 * sector
