"""The translator network: evidence from the colour clip -> AnatomyNet -> DenoiseNet -> greyscale."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from cfd2gray.models.anatomy import AnatomyNet
from cfd2gray.models.denoise import DenoiseNet
from cfd2gray.models.fill import first_guess, luma

Array = jax.Array
EVIDENCE_CHANNELS = 7


@dataclasses.dataclass(frozen=True)
class GeneratorSpec:
    """What decides the generator's parameters and its reach. Stored with every checkpoint and weights file.

    Attributes:
      width: Channels of AnatomyNet at half resolution.
      levels: Halvings below half resolution.
      blocks: Residual blocks per stage of AnatomyNet.
      denoise_width: Channels of DenoiseNet.
      denoise_blocks: Residual blocks of DenoiseNet; 0 leaves it out (an ablation: the output is AnatomyNet's).
      fill_radius: Frames either way that the first guess looks at.
      temporal: Whether frames see their neighbours at all.
      dtype: Compute dtype, ``float32`` or ``bfloat16``; parameters are always float32.
    """

    width: int
    levels: int
    blocks: int
    denoise_width: int
    denoise_blocks: int
    fill_radius: int
    temporal: bool
    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"model.dtype must be 'float32' or 'bfloat16', got {self.dtype!r}")
        for name in ("width", "levels", "blocks", "denoise_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} must be at least 1, got {getattr(self, name)}")

    @property
    def multiple(self) -> int:
        """Height and width of the frames must be multiples of this; `translation` pads, `training` checks."""
        return 2 ** (self.levels + 1)

    @property
    def radius(self) -> int:
        """Reach in time: frames either way that can change a frame's result."""
        if not self.temporal:
            return 0
        return self.fill_radius + (self.levels + 1) + (1 if self.denoise_blocks else 0)


@dataclasses.dataclass(frozen=True)
class Translation:
    """What the generator returns; all float32 ``[N, T, H, W, 1]``, nominally in [0, 1] and not clipped.

    ``anatomy`` is AnatomyNet's output, ``grey`` the final one, ``log_scale`` the logarithm of the expected absolute
    error of ``grey``.
    """

    anatomy: Array
    grey: Array
    log_scale: Array


jax.tree_util.register_dataclass(Translation, ["anatomy", "grey", "log_scale"], [])


def evidence(cfd: Array, hidden: Array, *, fill_radius: int, levels: int) -> tuple[Array, Array]:
    """What the networks see: colour, visible luma, mask, first guess and its support.

    Args:
      cfd: ``[N, T, H, W, 3]`` float in [0, 1].
      hidden: ``[N, T, H, W, 1]`` float, 1 under colour and outline.
      fill_radius: Frames either way for the first guess.
      levels: Pyramid levels of the first guess.

    Returns:
      ``(evidence [N, T, H, W, 7] in about [-1, 1], guess [N, T, H, W, 1])``.
    """
    grey = luma(cfd)
    guess, support = first_guess(grey, hidden, radius=fill_radius, levels=levels)
    channels = [cfd - grey, grey * (1.0 - hidden), guess, hidden, support]  # colour as its distance from grey
    return jnp.concatenate(channels, axis=-1), guess


class Generator(nnx.Module):
    """Both networks. ``generator(cfd, hidden) -> Translation``; deterministic, without train and eval modes."""

    def __init__(self, spec: GeneratorSpec, *, rngs: nnx.Rngs):
        self.spec = spec
        dtype = jnp.dtype(spec.dtype)
        common = {"temporal": spec.temporal, "dtype": dtype, "rngs": rngs}
        self.anatomy = AnatomyNet(EVIDENCE_CHANNELS, width=spec.width, levels=spec.levels, blocks=spec.blocks, **common)
        self.denoise = DenoiseNet(
            EVIDENCE_CHANNELS, width=spec.denoise_width, blocks=max(spec.denoise_blocks, 1), **common
        )

    def __call__(self, cfd: Array, hidden: Array) -> Translation:
        """Shapes as in `evidence`; H and W must be multiples of ``spec.multiple``."""
        h, w = cfd.shape[2:4]
        if h % self.spec.multiple or w % self.spec.multiple:
            raise ValueError(f"frames must be multiples of {self.spec.multiple} px for this model, got {h}x{w}")
        radius = self.spec.fill_radius if self.spec.temporal else 0
        seen, guess = evidence(cfd, hidden, fill_radius=radius, levels=self.spec.levels + 1)
        seen = seen.astype(self.spec.dtype)
        anatomy, _ = self.anatomy(seen, guess)
        grey, log_scale = self.denoise(anatomy, seen)
        if not self.spec.denoise_blocks:
            grey = anatomy
        return Translation(anatomy=anatomy, grey=grey, log_scale=log_scale)
