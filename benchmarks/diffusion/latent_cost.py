"""The arithmetic behind "x times faster than diffusion": what one evaluation of a latent-diffusion U-Net costs.

The shape is that of Rombach et al. 2022 (CVPR, "High-resolution image synthesis with latent diffusion models") as released:
latents an eighth of the picture's side, 320 channels times 1, 2, 4, 4, two residual blocks a level, transformers on the
upper three levels, text of 77 tokens. Multiplications are counted; nothing is measured.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class LatentUnet:
    """Shape of the network; the defaults are the released one's."""

    width: int = 320
    factors: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    attended: int = 3
    """Upper levels with a transformer after every block; the middle has one too."""
    tokens: int = 77
    context: int = 768
    reduction: int = 8
    """Picture's side over latent's side."""
    attention_products: bool = True
    """Count queries times keys and weights times values, which profilers of layers miss."""

    def macs(self, size: int) -> float:
        """Multiply-accumulates of one evaluation for a picture of ``size`` px.

        Raises:
          ValueError: When the latent cannot be halved at every level.
        """
        step = self.reduction * 2 ** (len(self.factors) - 1)
        if size % step:
            raise ValueError(f"size must be a multiple of {step} for this latent network, got {size}")
        side, channels = size // self.reduction, [self.width * factor for factor in self.factors]
        total, current = _conv(side, 4, self.width), self.width
        skips = [self.width]
        for level, c in enumerate(channels):
            for _ in range(self.blocks):
                total += self._block(side, current, c, attended=level < self.attended)
                current = c
                skips.append(c)
            if level < len(channels) - 1:
                side //= 2
                total += _conv(side, c, c)
                skips.append(c)
        total += 2 * _residual(side, current, current) + self._transformer(side, current)
        for level, c in reversed(list(enumerate(channels))):
            for _ in range(self.blocks + 1):
                total += self._block(side, current + skips.pop(), c, attended=level < self.attended)
                current = c
            if level:
                side *= 2
                total += _conv(side, c, c)
        return total + _conv(side, self.width, 4)

    def _block(self, side: int, c_in: int, c_out: int, *, attended: bool) -> float:
        return _residual(side, c_in, c_out) + (self._transformer(side, c_out) if attended else 0.0)

    def _transformer(self, side: int, c: int) -> float:
        places = side * side
        self_attention = 4 * places * c * c
        cross = 2 * places * c * c + 2 * self.tokens * self.context * c
        if self.attention_products:
            self_attention += 2 * places**2 * c
            cross += 2 * places * self.tokens * c
        feed_forward = places * (8 + 4) * c * c
        return 2 * places * c * c + self_attention + cross + feed_forward


DECODER_MACS_512 = 1240e9
"""One picture of 512 px out of the latent, as commonly reported for the released decoder; falls with the area."""


def _conv(side: int, c_in: int, c_out: int, kernel: int = 3) -> float:
    return float(side * side * kernel * kernel * c_in * c_out)


def _residual(side: int, c_in: int, c_out: int) -> float:
    skip = _conv(side, c_in, c_out, 1) if c_in != c_out else 0.0
    return _conv(side, c_in, c_out) + _conv(side, c_out, c_out) + skip


def diffusion_flops(size: int, *, steps: int, guided: bool) -> float:
    """FLOPs for one frame of ``size`` px: ``steps`` evaluations (twice as many with guidance) and one decoding."""
    evaluations = steps * (2 if guided else 1)
    return 2.0 * (evaluations * LatentUnet().macs(size) + DECODER_MACS_512 * (size / 512) ** 2)
