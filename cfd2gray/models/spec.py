"""The shape of the translator network and what follows from it, for those who use it without JAX too."""

from __future__ import annotations

import dataclasses

DEPTH = 2
"""Frames that a causal temporal layer looks back."""


@dataclasses.dataclass(frozen=True)
class GeneratorSpec:
    """What decides the generator's parameters and its reach. Stored with every checkpoint and weights file.

    Attributes:
      width: Channels of AnatomyNet at half resolution; 0 leaves it out (an ablation: DenoiseNet works on the first guess).
      levels: Halvings below half resolution.
      blocks: Residual blocks per stage of AnatomyNet.
      denoise_width: Channels of DenoiseNet.
      denoise_blocks: Residual blocks of DenoiseNet; 0 leaves it out (an ablation: the output is AnatomyNet's).
      fill_radius: Frames either way in which the first guess looks for a sight of what is hidden.
      temporal: Whether frames see their neighbours at all.
      dtype: Compute dtype, ``float32`` or ``bfloat16``; parameters are always float32.
      causal: Whether frames see earlier frames only, which is what streaming needs. Parameters have the same shapes.
      remat: Whether the gradient recomputes each stage instead of keeping its activations. Changes no result.
    """

    width: int
    levels: int
    blocks: int
    denoise_width: int
    denoise_blocks: int
    fill_radius: int
    temporal: bool
    dtype: str
    causal: bool = False
    remat: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"model.dtype must be 'float32' or 'bfloat16', got {self.dtype!r}")
        for name, least in (("width", 0), ("levels", 1), ("blocks", 1), ("denoise_width", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"model.{name} must be at least {least}, got {getattr(self, name)}")

    @property
    def multiple(self) -> int:
        """Height and width of the frames must be multiples of this; `translation` pads, `training` checks."""
        return 2 ** (self.levels + 1)

    @property
    def margin(self) -> int:
        """Frames either way that a frame's evidence comes from, before any network."""
        return self.fill_radius if self.temporal else 0

    @property
    def radius(self) -> int:
        """Reach in time: frames either way (back only, when causal) that can change a frame's result."""
        if not self.temporal:
            return 0
        layers = (self.levels + 1 if self.width else 0) + (1 if self.denoise_blocks else 0)
        return self.margin + layers * (DEPTH if self.causal else 1)
