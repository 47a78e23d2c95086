"""Distance between deep features: plain VGG, or LPIPS when its linear weights are supplied.

Both follow Zhang, Isola, Efros, Shechtman and Wang (CVPR 2018): activations are scaled to unit length across channels
at each position and compared there. Plain VGG takes the mean square over channels; LPIPS weighs each channel with
learned, non-negative weights. The maps are averaged per region at each layer's own resolution.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cfd2gray.metrics.frames import as_frames
from cfd2gray.models.vgg import VGG, features

LAYERS = ("relu1_2", "relu2_2", "relu3_3")
LPIPS_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")


@dataclasses.dataclass(frozen=True)
class PerceptualNet:
    """VGG weights and, for LPIPS, one weight per channel and layer. A JAX pytree."""

    vgg: VGG
    linear: Mapping[str, jax.Array] | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        return LAYERS if self.linear is None else tuple(self.linear)


jax.tree_util.register_dataclass(PerceptualNet, ["vgg", "linear"], [])


def deep_features(net: PerceptualNet, clip: jax.Array, *, frames: int) -> dict[str, jax.Array]:
    """Unit-length activations of evenly spaced frames, per layer float32 ``[N, frames, h, w, C]``."""
    clip = as_frames(clip, name="the clip")
    times = evenly(clip.shape[1], frames)
    n, t = clip.shape[0], len(times)
    found = features(net.vgg, clip[:, times].reshape(n * t, *clip.shape[2:])[..., None], net.layers)
    return {name: _unit(x.astype(jnp.float32)).reshape(n, t, *x.shape[1:]) for name, x in found.items()}


def feature_distance(
    net: PerceptualNet, a: Mapping[str, jax.Array], b: Mapping[str, jax.Array], *, mask: jax.Array | None = None
) -> jax.Array:
    """Distance of two `deep_features` under ``mask [..., N, frames, H, W]`` (of those same frames) -> ``[..., N]``."""
    total = 0.0
    for layer in net.layers:
        square = jnp.square(a[layer] - b[layer])
        place = square.mean(axis=-1) if net.linear is None else jnp.tensordot(square, net.linear[layer], axes=1)
        share = jnp.ones(place.shape) if mask is None else _shrink(mask.astype(jnp.float32), place.shape[-2:])
        covered = share.sum(axis=(-3, -2, -1))
        distance = (share * place).sum(axis=(-3, -2, -1)) / jnp.maximum(covered, 1e-12)
        total = total + jnp.where(covered > 0, distance, jnp.nan)
    return total / len(net.layers) if net.linear is None else total


def evenly(length: int, count: int) -> np.ndarray:
    """Indices of ``count`` frames at the middles of equal parts of a clip."""
    count = min(count, length)
    return ((np.arange(count) + 0.5) * length / count).astype(int)


def _unit(x: jax.Array) -> jax.Array:
    return x / (jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True)) + 1e-10)


def _shrink(mask: jax.Array, size: Sequence[int]) -> jax.Array:
    """Mean of each block of ``[..., H, W]`` -> ``[..., *size]``; VGG's pools drop odd last rows, and so does this."""
    by, bx = mask.shape[-2] // size[0], mask.shape[-1] // size[1]
    cut = mask[..., : by * size[0], : bx * size[1]]
    return cut.reshape(*cut.shape[:-2], size[0], by, size[1], bx).mean(axis=(-3, -1))


def load_lpips(path: str | os.PathLike, vgg: VGG) -> PerceptualNet:
    """LPIPS from VGG weights and a file (``.npz``, ``.safetensors``) of its linear weights ``lin0`` .. ``lin4``.

    Raises:
      ValueError: the file, a tensor, a shape or a VGG layer is not what LPIPS needs; everything wrong is named.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give LPIPS's linear weights as .npz or .safetensors")
    if path.suffix == ".npz":
        with np.load(path) as archive:
            tensors = {name: archive[name] for name in archive.files}
    elif path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        tensors = load_file(path)
    else:
        raise ValueError(f"{path}: LPIPS weights are read from .npz or .safetensors, got {path.suffix!r}")
    numbered = {int(m[1]): np.asarray(v).reshape(-1) for k, v in tensors.items() if (m := re.search(r"lin(\d)", k))}
    linear, wrong = {}, []
    for number, layer in enumerate(LPIPS_LAYERS):
        kernel = vgg.kernels.get(layer.replace("relu", "conv"))
        if kernel is None:
            wrong.append(f"the VGG weights hold no {layer}")
        elif number not in numbered:
            wrong.append(f"lin{number} is missing")
        elif numbered[number].size != kernel.shape[-1]:
            wrong.append(f"lin{number} has {numbered[number].size} values, {layer} has {kernel.shape[-1]} channels")
        else:
            linear[layer] = jnp.asarray(numbered[number], jnp.float32)
    if wrong:
        raise ValueError(f"{path}: not LPIPS weights for this VGG: {'; '.join(wrong)}")
    return PerceptualNet(vgg=vgg, linear=linear)
