"""One update of both networks in PyTorch: the terms, the order and the sharing of `cfd2gray.training.step`."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from cfd2gray.benchmarks.peers.torch_networks import Discriminator, Generator, Vgg, luma
from torch import Tensor

from cfd2gray.losses.total import LossSpec
from cfd2gray.metrics.ssim import K1, K2, RADIUS, SIGMA
from cfd2gray.metrics.window import gaussian_taps
from cfd2gray.training.state import TrainSpec


def _symmetric(x: Tensor, r: int) -> Tensor:
    """``[B, 1, H, W]`` with ``r`` mirrored pixels around, the edge repeated."""
    x = torch.cat([x[:, :, :r].flip(2), x, x[:, :, -r:].flip(2)], 2)
    return torch.cat([x[..., :r].flip(3), x, x[..., -r:].flip(3)], 3)


def ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """``[B, 1, H, W]`` in [0, 1]."""
    taps = torch.from_numpy(gaussian_taps(sigma=SIGMA, radius=RADIUS)).to(a.device)

    def blur(x: Tensor) -> Tensor:
        x = F.conv2d(_symmetric(x, RADIUS), taps[None, None, :, None])
        return F.conv2d(x, taps[None, None, None, :])

    mean_a, mean_b, both, squares = blur(a), blur(b), blur(a * b), blur(a * a + b * b)
    covariance, variances = both - mean_a * mean_b, squares - mean_a**2 - mean_b**2
    luminance = (2 * mean_a * mean_b + K1**2) / (mean_a**2 + mean_b**2 + K1**2)
    return luminance * (2 * covariance + K2**2) / (variances + K2**2)


def _smooth(x: Tensor, times: int) -> Tensor:
    for _ in range(times):
        x = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return x


def _magnitude(x: Tensor, epsilon: float) -> Tensor:
    return torch.sqrt(x**2 + epsilon**2) - epsilon


def _either(weights: Tensor) -> Tensor:
    return torch.maximum(weights[:, 1:], weights[:, :-1])


def _blend(hidden: Tensor, box: Tensor, feather: int) -> Tensor:
    """How much of a picture ``[N, T, H, W]`` is synthesised, as `translation.composite.blend_weights`."""
    weights = grown = (hidden > 0).float()
    for k in range(1, feather + 1):
        grown = F.max_pool2d(grown, 3, 1, 1)
        weights = torch.maximum(weights, grown * (1.0 - k / (feather + 1.0)))
    return weights * ((box > 0) | (hidden > 0))


def _texture(predicted: Tensor, truth: Tensor, weights: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """``[N, T, H, W]`` -> texture and shimmer terms."""

    def strengths(x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)[:, None]
        both = torch.sqrt(_smooth(flat**2, 4) + epsilon**2), _smooth(_magnitude(flat, epsilon), 4)
        return torch.stack([part.reshape(x.shape) for part in both])

    def fine(x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)[:, None]
        return (flat - _smooth(flat, 2)).reshape(x.shape)

    still = _magnitude(strengths(fine(predicted)) - strengths(fine(truth)), epsilon).sum(0)
    change = _magnitude(strengths(predicted.diff(dim=1)) - strengths(truth.diff(dim=1)), epsilon).sum(0)
    return (weights * still).mean(), (_either(weights) * change).mean()


class Step:
    """Networks, optimizers and the update. Every clip counts (no padding clips).

    ``frames``: the same indices ``[N, k]`` that VGG sees in every call; None: random ones.
    """

    def __init__(
        self, spec: TrainSpec, generator: Generator, discriminator: Discriminator, vgg: Vgg, *, compiled: bool = False,
        frames: Tensor | None = None, dtype: torch.dtype = torch.float32,
    ):  # fmt: skip
        self.spec, self.frames, self.dtype = spec, frames, dtype
        self.generator, self.discriminator = generator, discriminator
        self.average = copy.deepcopy(generator).requires_grad_(False)
        wrap = torch.compile if compiled else (lambda part: part)
        self._generate, self._judge, self._features = wrap(generator), wrap(discriminator), wrap(vgg)
        self._terms = wrap(self.terms)

        def adam(part: torch.nn.Module, rate: float, beta: float) -> torch.optim.Optimizer:
            options = {"betas": (beta, spec.beta2), "weight_decay": spec.weight_decay, "fused": True}
            return torch.optim.AdamW(part.parameters(), rate, **options)

        self.generator_opt = adam(generator, spec.learning_rate, spec.beta1)
        self.discriminator_opt = adam(discriminator, spec.discriminator_rate, spec.beta1_discriminator)

    def terms(
        self, loss: LossSpec, out: tuple[Tensor, ...], shown: tuple[Tensor, Tensor], truth: Tensor, hidden: Tensor,
        sector: Tensor,
    ) -> dict[str, Tensor]:  # fmt: skip
        """The terms that need neither VGG nor the discriminator, unweighted."""
        anatomy, grey, log_scale = out
        weights = 0.05 + sector + loss.hidden_gain * hidden
        weights = weights / weights.mean((1, 2, 3), keepdim=True)
        eps = loss.charbonnier_epsilon

        def charbonnier(x: Tensor) -> Tensor:
            return (weights * _magnitude(x - truth, eps)).mean()

        flat = (x.flatten(0, 1)[:, None] for x in shown)
        similarity = ssim_map(*flat).reshape(grey.shape)
        error, bounded = (grey.detach() - truth).abs(), log_scale.clamp(-7.0, 1.0)
        texture, shimmer = _texture(*shown, weights, eps)
        change = _magnitude(shown[0].diff(dim=1) - shown[1].diff(dim=1), eps) * _either(weights)
        return {
            "pixel_anatomy": charbonnier(anatomy),
            "pixel": charbonnier(grey),
            "structure": (weights * (1.0 - similarity)).mean(),
            "temporal": change.mean(),
            "texture": texture,
            "shimmer": shimmer,
            "confidence": (weights * (error * torch.exp(-bounded) + bounded)).mean(),
        }

    def perceptual(self, grey: Tensor, truth: Tensor) -> Tensor:
        n, t = grey.shape[:2]
        count = t if self.spec.loss.perceptual_frames == 0 else min(self.spec.loss.perceptual_frames, t)
        index = self.frames if self.frames is not None else torch.stack([torch.randperm(t)[:count] for _ in range(n)])
        clips = torch.arange(n)[:, None]
        fake, real = (x[clips, index].flatten(0, 1)[:, None] for x in (grey, truth))
        found, total = self._features(torch.cat([fake, real])), 0.0
        for layer in found:
            a, b = layer.chunk(2)
            b = b.detach()
            total = total + ((a - b).abs().mean((1, 2, 3)) / (b.mean() + 1e-6)).mean()
        return total / len(found)

    def __call__(self, cfd: Tensor, hidden: Tensor, truth: Tensor, sector: Tensor, box: Tensor) -> dict[str, Tensor]:
        """``cfd [N, T, 3, H, W]``, the others ``[N, T, H, W]``, with the margin's frames; returns the terms."""
        spec, loss = self.spec, self.spec.loss
        with torch.autocast(cfd.device.type, self.dtype, enabled=self.dtype != torch.float32):
            out = self._generate(cfd, hidden, spec.margin)
            kept = slice(spec.margin, cfd.shape[1] - spec.margin)
            cfd, hidden, truth, sector, box = (x[:, kept] for x in (cfd, hidden, truth, sector, box))
            out = tuple(x.float() for x in out)
            blend, seen = _blend(hidden, box, spec.feather), luma(cfd)
            shown, real_shown = (seen + blend * (x - seen) for x in (out[1], truth))
            terms = self._terms(loss, out, (shown, real_shown), truth, hidden, sector)
            terms["perceptual"] = self.perceptual(shown, real_shown)
            # One pass over the fake for both players: its graph is walked once to the picture, once to the parameters.
            grey = out[1].detach().requires_grad_()
            fake = self._judge(cfd, hidden, seen + blend * (grey - seen)).float()
            real = self._judge(cfd, hidden, real_shown).float()
        n, t, h, w = fake.shape
        patches = hidden.reshape(n, t, h, hidden.shape[2] // h, w, hidden.shape[3] // w).amax((3, 5)).clamp(min=0.05)
        game = (patches * (F.relu(1.0 - real) + F.relu(1.0 + fake))).sum() / patches.sum()
        fooled = -(patches * fake).sum() / patches.sum()
        (pull,) = torch.autograd.grad(fooled, grey, retain_graph=True)
        self.discriminator_opt.zero_grad(set_to_none=True)
        game.backward(inputs=list(self.discriminator.parameters()))
        total = sum(getattr(loss, name) * value for name, value in terms.items())
        self.generator_opt.zero_grad(set_to_none=True)
        torch.autograd.backward([total, out[1]], [None, loss.adversarial * pull])
        for part, optimizer in ((self.generator, self.generator_opt), (self.discriminator, self.discriminator_opt)):
            norm = torch.nn.utils.clip_grad_norm_(part.parameters(), spec.clip_norm)
            terms[f"gradient/{type(part).__name__.lower()}"] = norm
            optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), 1.0 - spec.ema)
        return {**terms, "adversarial": fooled, "game": game}
