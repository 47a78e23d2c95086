"""Image, video and task measures.

The contract of the whole package: images are floats in ``[0, 1]``, shaped ``[N, T, H, W]`` or ``[N, T, H, W, 1]``;
the first is the prediction, the second the truth; everything after the two is keyword-only; every function returns one
value per example (``[N]``, or ``[S, N]`` for a stack of S masks). A mask that selects nothing gives NaN, never a
made-up number. Reduction over examples and intervals over patients happen in `accumulate` alone.
"""

from cfd2gray.metrics.image import histogram_distance, mae, psnr, spectrum_distance, texture_std_ratio
from cfd2gray.metrics.ssim import ssim, ssim_map
from cfd2gray.metrics.strata import STRATA, strata_masks
from cfd2gray.metrics.temporal import flicker_ratio, temporal_difference_error

__all__ = [
    "STRATA",
    "flicker_ratio",
    "histogram_distance",
    "mae",
    "psnr",
    "spectrum_distance",
    "ssim",
    "ssim_map",
    "strata_masks",
    "temporal_difference_error",
    "texture_std_ratio",
]
