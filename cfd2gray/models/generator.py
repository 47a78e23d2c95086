"""The translator network: evidence from the colour clip -> AnatomyNet -> DenoiseNet -> greyscale."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from cfd2gray.models.anatomy import AnatomyNet
from cfd2gray.models.denoise import DenoiseNet
from cfd2gray.models.fill import FirstGuess, Seen, first_guess, guess_so_far, luma, never_seen
from cfd2gray.models.layers import middle
from cfd2gray.models.recall import Recall
from cfd2gray.models.spec import GeneratorSpec

Array = jax.Array
EVIDENCE_CHANNELS = 12


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


def evidence(cfd: Array, hidden: Array, *, fill_radius: int, levels: int, margin: int = 0) -> tuple[Array, Array]:
    """What the networks see: colour, visible luma, mask, first guess, what the pixel last, next and usually shows.

    Args:
      cfd: ``[N, T, H, W, 3]`` float in [0, 1].
      hidden: ``[N, T, H, W, 1]`` float, 1 under colour and outline.
      fill_radius: Frames either way for the first guess.
      levels: Pyramid levels of the first guess.
      margin: Frames at either end that are only looked at.

    Returns:
      ``(evidence [N, T - 2 * margin, H, W, 12] in about [-1, 1], guess [N, T - 2 * margin, H, W, 1])``.
    """
    found = first_guess(luma(cfd), hidden, radius=fill_radius, levels=levels, margin=margin)
    kept = slice(margin, cfd.shape[1] - margin)
    return _stacked(cfd[:, kept], hidden[:, kept], found), found.guess


def _stacked(cfd: Array, hidden: Array, found: FirstGuess) -> Array:
    grey = luma(cfd)
    colour = cfd - grey  # as its distance from grey
    sights = [found.past, found.past_trust, found.future, found.future_trust, found.usual, found.usual_share]
    return jnp.concatenate([colour, grey * (1.0 - hidden), found.guess, hidden, *sights], axis=-1)


@dataclasses.dataclass(frozen=True)
class Memory:
    """What a causal generator carries from frame to frame of a stream.

    ``started``: bool scalar, False before the first frame. ``seen``: see `models.fill.Seen`. ``features``: per causal
    layer, see `models.recall.Recall`.
    """

    started: Array
    seen: Seen
    features: tuple[Array, ...]


jax.tree_util.register_dataclass(Memory, ["started", "seen", "features"], [])


class Generator(nnx.Module):
    """Both networks. ``generator(cfd, hidden) -> Translation``; deterministic, without train and eval modes."""

    def __init__(self, spec: GeneratorSpec, *, rngs: nnx.Rngs):
        self.spec = spec
        dtype = jnp.dtype(spec.dtype)
        common = {"temporal": spec.temporal, "dtype": dtype, "rngs": rngs, "remat": spec.remat}
        self.anatomy = AnatomyNet(
            EVIDENCE_CHANNELS, width=max(spec.width, 1), levels=spec.levels, blocks=spec.blocks, **common
        )
        self.denoise = DenoiseNet(
            EVIDENCE_CHANNELS, width=spec.denoise_width, blocks=max(spec.denoise_blocks, 1), **common
        )

    def __call__(self, cfd: Array, hidden: Array, *, margin: int = 0, trim: bool = False) -> Translation:
        """Shapes as in `evidence`; H and W must be multiples of ``spec.multiple``.

        The first and last ``margin`` frames are evidence only: the result has ``T - 2 * margin`` frames.
        With ``trim`` those whose neighbours are missing are left out as well: ``T - 2 * spec.radius`` frames for a margin of
        ``spec.margin``, each as in any longer clip. Networks that do not see their neighbours both ways have none.
        """
        frames = cfd.shape[1]
        self._check_size(cfd)
        if not 0 <= 2 * margin < frames:
            raise ValueError(f"margin must leave frames to translate: got {margin} of {frames} frames at either end")
        if self.spec.causal:
            grey = luma(cfd)
            nothing = never_seen(grey[:, 0], radius=self.spec.margin)
            found, _ = guess_so_far(grey, hidden, nothing, **self._evidence)
            kept = slice(margin, frames - margin)
            return self._translate(_stacked(cfd, hidden, found)[:, kept], found.guess[:, kept], Recall())
        seen, guess = evidence(cfd, hidden, fill_radius=self.spec.margin, levels=self.spec.levels + 1, margin=margin)
        return self._translate(seen, guess, None, trim=trim)

    def advance(self, cfd: Array, hidden: Array, memory: Memory) -> tuple[Translation, Memory]:
        """The next frames of a stream: what a call on the whole clip returns for them, at the cost of these frames alone.

        Raises:
          ValueError: When the network is not causal.
        """
        if not self.spec.causal:
            raise ValueError("only a causal network can stream; train one with model.causal = True")
        self._check_size(cfd)
        found, seen = guess_so_far(luma(cfd), hidden, memory.seen, **self._evidence)
        recall = Recall(memory.features, memory.started)
        out = self._translate(_stacked(cfd, hidden, found), found.guess, recall)
        return out, Memory(started=jnp.ones((), bool), seen=seen, features=recall.latest)

    def start(self, height: int, width: int) -> Memory:
        """The memory of one stream of frames of this size before its first frame; zeros that stand for nothing."""

        def features(cfd: Array) -> tuple[Array, ...]:
            recall = Recall()
            seen = jnp.zeros((*cfd.shape[:-1], EVIDENCE_CHANNELS))
            self._translate(seen, seen[..., :1], recall)
            return recall.latest

        shapes = jax.eval_shape(features, jax.ShapeDtypeStruct((1, 1, height, width, 3), jnp.float32))
        return Memory(
            started=jnp.zeros((), bool),
            seen=never_seen(jnp.zeros((1, height, width, 1)), radius=self.spec.margin),
            features=jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes),
        )

    @property
    def _evidence(self) -> dict[str, int]:
        return {"radius": self.spec.margin, "levels": self.spec.levels + 1}

    def _check_size(self, cfd: Array) -> None:
        h, w = cfd.shape[2:4]
        if h % self.spec.multiple or w % self.spec.multiple:
            raise ValueError(f"frames must be multiples of {self.spec.multiple} px for this model, got {h}x{w}")

    def _translate(self, seen: Array, guess: Array, recall: Recall | None, *, trim: bool = False) -> Translation:
        seen = seen.astype(self.spec.dtype)
        anatomy = self.anatomy(seen, guess, recall, trim=trim)[0] if self.spec.width else guess
        frames = anatomy.shape[1]
        trim = trim and self.spec.denoise_blocks > 0
        grey, log_scale = self.denoise(anatomy, middle(seen, frames), recall, trim=trim)
        if not self.spec.denoise_blocks:
            grey = anatomy
        anatomy = middle(anatomy, grey.shape[1])
        return Translation(anatomy=anatomy, grey=grey, log_scale=log_scale)
