"""The generator's objective: named terms, each logged under its name, and their weighted sum."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from cfd2gray.losses import adversarial, perceptual, pixel, temporal, texture
from cfd2gray.models.generator import Translation
from cfd2gray.models.vgg import VGG

Array = jax.Array
TERMS = (
    "pixel_anatomy", "pixel", "structure", "perceptual", "adversarial", "temporal", "texture", "shimmer", "confidence",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class LossSpec:
    """Weights of the terms and their settings, as in ``config.loss``. A term of weight 0 is not computed."""

    pixel_anatomy: float
    pixel: float
    structure: float
    perceptual: float
    adversarial: float
    temporal: float
    texture: float
    shimmer: float
    confidence: float
    adversarial_kind: str
    hidden_gain: float
    perceptual_layers: tuple[str, ...]
    perceptual_frames: int
    charbonnier_epsilon: float

    def __post_init__(self) -> None:
        adversarial.check_kind(self.adversarial_kind)
        negative = [name for name in TERMS if getattr(self, name) < 0]
        if negative:
            raise ValueError(f"loss weights must not be negative; got {negative}")


def reconstruction_terms(
    spec: LossSpec,
    out: Translation,
    shown: tuple[Array, Array],
    inputs: Mapping[str, Array],
    vgg: VGG | None,
    key: Array,
    *,
    dtype: jnp.dtype,
) -> dict[str, Array]:
    """Every term but the adversarial one, unweighted.

    Grey level by grey level the generator answers for the whole picture; how that looks is judged on what is shown, where
    its output lies among visible pixels.

    Args:
      spec: Weights and settings.
      out: The generator's output.
      shown: What becomes of its grey and of truth, each ``[N, T, H, W, 1]``, see `training.step`.
      inputs: ``truth``, ``hidden``, ``sector`` ``[N, T, H, W, 1]`` float and ``mask [N]``.
      vgg: Frozen VGG16, needed when ``spec.perceptual`` is not 0.
      key: Random key for the choice of frames that VGG sees.
      dtype: Compute dtype of VGG.
    """
    truth, mask, epsilon = inputs["truth"], inputs["mask"], spec.charbonnier_epsilon
    weights = pixel.pixel_weights(inputs["hidden"], inputs["sector"], hidden_gain=spec.hidden_gain)
    terms: dict[str, Array] = {}
    if spec.pixel_anatomy:
        terms["pixel_anatomy"] = pixel.charbonnier(out.anatomy, truth, weights, mask, epsilon=epsilon)
    if spec.pixel:
        terms["pixel"] = pixel.charbonnier(out.grey, truth, weights, mask, epsilon=epsilon)
    if spec.structure:
        terms["structure"] = pixel.structure(*shown, weights, mask)
    if spec.perceptual:
        fake, real = perceptual.choose_frames(key, shown, count=spec.perceptual_frames)
        counts = jnp.repeat(mask, fake.shape[0] // mask.shape[0])
        terms["perceptual"] = perceptual.perceptual_error(
            vgg, fake, real, counts, layers=spec.perceptual_layers, dtype=dtype
        )
    if spec.temporal:
        terms["temporal"] = temporal.change_error(*shown, weights, mask, epsilon=epsilon)
    if spec.texture:
        terms["texture"] = texture.texture_error(*shown, weights, mask, epsilon=epsilon)
    if spec.shimmer:
        terms["shimmer"] = texture.shimmer_error(*shown, weights, mask, epsilon=epsilon)
    if spec.confidence:
        terms["confidence"] = pixel.laplace_likelihood(out.log_scale, out.grey, truth, weights, mask)
    return terms


def weighted_sum(spec: LossSpec, terms: Mapping[str, Array]) -> Array:
    """``sum(weight * term)`` over the terms that were computed."""
    return sum((getattr(spec, name) * value for name, value in terms.items()), start=jnp.zeros(()))
