"""Smooth fields on the beam-space grid: blurs, steps and noise. All float32; widths in grid samples."""

from __future__ import annotations

import cv2
import numpy as np

from data_pipeline.simulation import steady


def gaussian_blur(polar: np.ndarray, axial: float, lateral: float) -> np.ndarray:
    """Separable Gaussian of ``[n_r, n_t(, C)]`` with standard deviations in samples; 0 leaves that axis alone."""
    sizes = [2 * int(round(2.5 * sigma)) + 1 if sigma >= 0.2 else 1 for sigma in (lateral, axial)]
    if sizes == [1, 1]:
        return polar
    return cv2.GaussianBlur(
        polar, tuple(sizes), sigmaX=max(lateral, 0.01), sigmaY=max(axial, 0.01), borderType=cv2.BORDER_REFLECT
    )


def smoothstep(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, cubic between, float32. ``low < high``."""
    u = np.clip((value - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return (u * u * (3 - 2 * u)).astype(np.float32)


def noise_field(rng: np.random.Generator, shape: tuple[int, int], axial: float, lateral: float) -> np.ndarray:
    """Gaussian noise, smooth over ``axial x lateral`` samples, mean about 0, standard deviation 1, float32 ``shape``.

    Wide kernels are drawn on a coarse grid and interpolated: ten times faster, the same to the eye.
    """
    steps = [max(1, int(sigma / 3)) for sigma in (axial, lateral)]
    coarse = [-(-n // step) + 2 for n, step in zip(shape, steps)]
    noise = gaussian_blur(rng.standard_normal(coarse, dtype=np.float32), axial / steps[0], lateral / steps[1])
    if steps != [1, 1]:
        noise = cv2.resize(noise, (coarse[1] * steps[1], coarse[0] * steps[0]), interpolation=cv2.INTER_CUBIC)
    noise = noise[: shape[0], : shape[1]]
    mean, deviation = cv2.meanStdDev(noise)
    return (noise - np.float32(0.5 * mean[0, 0])) * np.float32(1 / (deviation[0, 0] + 1e-6))


def ridge_noise(
    rng: np.random.Generator, shape: tuple[int, int], axial: float, lateral: float, *, width: float = 0.12
) -> np.ndarray:
    """Thin winding ridges, 0..1: ``exp(-(n / width)^2)`` of smooth anisotropic noise; fasciae, fat planes, pleura."""
    return steady.exp(-((noise_field(rng, shape, axial, lateral) * np.float32(1 / width)) ** 2))
