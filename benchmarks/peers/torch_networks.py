"""The generator, the discriminator and VGG16 in PyTorch: the same functions of the same parameters, channels last.

Written as one would write them in PyTorch: strided and 1x1 convolutions, pixel shuffle, bilinear interpolation. Parameters
come from the JAX networks (`load`), so that outputs can be compared.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfd2gray.models.generator import EVIDENCE_CHANNELS, GeneratorSpec
from cfd2gray.models.vgg import LAYERS, VGG

LUMA = (0.299, 0.587, 0.114)


def luma(cfd: Tensor) -> Tensor:
    """``[N, T, 3, H, W] -> [N, T, H, W]``."""
    return LUMA[0] * cfd[:, :, 0] + LUMA[1] * cfd[:, :, 1] + LUMA[2] * cfd[:, :, 2]


def act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1)


def load(module: nn.Module, flat: dict[str, np.ndarray]) -> None:
    """Parameters of a JAX network, as `cfd2gray.weights.pretrained.flat_params` names them."""
    for name, part in module.named_modules():
        if hasattr(part, "take"):
            part.take({key[len(name) + 1 :]: value for key, value in flat.items() if key.startswith(name + ".")})


class Conv3(nn.Conv2d):
    """3x3 on pixel-unshuffled input (``unshuffled``) or plain."""

    def __init__(self, c_in: int, c_out: int, *, unshuffled: bool = False):
        super().__init__(c_in, c_out, 3, padding=1)
        self.unshuffled = unshuffled

    def take(self, flat: dict[str, np.ndarray]) -> None:
        kernel = flat["conv.kernel"]  # [3, 3, I, O]; unshuffled: I is (by, bx, c) there and (c, by, bx) here
        if self.unshuffled:
            h, w, i, o = kernel.shape
            kernel = kernel.reshape(h, w, 2, 2, i // 4, o).transpose(0, 1, 4, 2, 3, 5).reshape(h, w, i, o)
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))))
            self.bias.copy_(torch.from_numpy(np.array(flat["conv.bias"])))


class Point(nn.Conv2d):
    """1x1."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__(c_in, c_out, 1)

    def take(self, flat: dict[str, np.ndarray]) -> None:
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(np.array(flat["kernel"].T[..., None, None])))
            self.bias.copy_(torch.from_numpy(np.array(flat["bias"])))


class Down(nn.Conv2d):
    """2x2 with stride 2."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__(c_in, c_out, 2, stride=2)

    def take(self, flat: dict[str, np.ndarray]) -> None:
        kernel = flat["project.kernel"]
        kernel = kernel.reshape(2, 2, kernel.shape[0] // 4, -1).transpose(3, 2, 0, 1)
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))
            self.bias.copy_(torch.from_numpy(np.array(flat["project.bias"])))


class Up(nn.Conv2d):
    """1x1 to four sub-pixels, then pixel shuffle."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__(c_in, 4 * c_out, 1)

    def take(self, flat: dict[str, np.ndarray]) -> None:
        kernel, bias = flat["project.kernel"], flat["project.bias"]  # outputs (by, bx, c) there, (c, by, bx) here
        kernel = kernel.reshape(kernel.shape[0], 4, -1).transpose(2, 1, 0).reshape(kernel.shape[1], -1)
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel))[..., None, None])
            self.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias.reshape(4, -1).T)).reshape(-1))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(super().forward(x), 2)


class TemporalMix(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.mix = Point(3 * channels, channels)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        y = act(x).unflatten(0, (-1, frames))
        before = torch.cat([y[:, :1], y[:, :-1]], 1)
        after = torch.cat([y[:, 1:], y[:, -1:]], 1)
        return x + self.mix(torch.cat([before, y, after], 2).flatten(0, 1))


class Block(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.first, self.second = Conv3(channels, channels), Conv3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(act(self.first(act(x))))


class Stage(nn.Module):
    def __init__(self, channels: int, *, blocks: int, temporal: bool):
        super().__init__()
        self.count = blocks
        for i in range(blocks):
            setattr(self, f"block{i}", Block(channels))
        self.time = TemporalMix(channels) if temporal else None

    def forward(self, x: Tensor, frames: int) -> Tensor:
        for i in range(self.count):
            x = getattr(self, f"block{i}")(x)
        return x if self.time is None else self.time(x, frames)


class Anatomy(nn.Module):
    def __init__(self, spec: GeneratorSpec):
        super().__init__()
        self.levels = spec.levels
        channels = [spec.width * 2**i for i in range(spec.levels + 1)]
        self.stem = Conv3(4 * EVIDENCE_CHANNELS, spec.width, unshuffled=True)
        for i, c in enumerate(channels):
            setattr(self, f"encoder{i}", Stage(c, blocks=spec.blocks, temporal=spec.temporal))
            if i < spec.levels:
                setattr(self, f"down{i}", Down(c, channels[i + 1]))
                setattr(self, f"up{i}", Up(channels[i + 1], c))
                setattr(self, f"decoder{i}", Stage(c, blocks=spec.blocks, temporal=False))
        self.head = Conv3(spec.width, 4)

    def forward(self, seen: Tensor, guess: Tensor, frames: int) -> Tensor:
        x, skips = self.stem(F.pixel_unshuffle(seen, 2)), []
        for i in range(self.levels + 1):
            x = getattr(self, f"encoder{i}")(x, frames)
            if i < self.levels:
                skips.append(x)
                x = getattr(self, f"down{i}")(x)
        for i in reversed(range(self.levels)):
            x = getattr(self, f"decoder{i}")(getattr(self, f"up{i}")(x) + skips[i], frames)
        return guess + F.pixel_shuffle(self.head(act(x)), 2)


class Denoise(nn.Module):
    def __init__(self, spec: GeneratorSpec):
        super().__init__()
        width = spec.denoise_width
        self.stem = Conv3(4 * (EVIDENCE_CHANNELS + 1), width, unshuffled=True)
        self.body = Stage(width, blocks=spec.denoise_blocks, temporal=spec.temporal)
        self.head, self.weigh, self.doubt = Conv3(width, 4), Conv3(width, width), Conv3(width, 4)

    def forward(self, anatomy: Tensor, seen: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        x = self.stem(F.pixel_unshuffle(torch.cat([anatomy, seen], 1), 2))
        x = act(self.body(x, frames))
        doubt = F.pixel_shuffle(self.doubt(act(self.weigh(x.detach()))), 2)
        return anatomy + F.pixel_shuffle(self.head(x), 2), doubt - 3.0


def last_sight(values: Tensor, seen: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """``[N, T, H, W]``: as `cfd2gray.models.fill.last_sight`, without its loop over frames."""
    t = torch.arange(values.shape[1], device=values.device)[None, :, None, None]
    last = torch.cummax(torch.where(seen, t, -1), 1).values
    age = t - last
    known = (last >= 0) & (age <= radius)
    found = torch.gather(values, 1, last.clamp(min=0))
    return torch.where(known, found, 0.0), torch.where(known, 1.0 / (1.0 + age), 0.0)


def usual_sight(values: Tensor, seen: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """``[N, T, H, W]``: as `cfd2gray.models.fill.usual_sight`, by a cumulative sum."""

    def window_sum(x: Tensor) -> Tensor:
        total = F.pad(x, (0, 0, 0, 0, radius + 1, radius)).cumsum(1)
        return total[:, 2 * radius + 1 :] - total[:, : -2 * radius - 1]

    total, count = window_sum(values * seen), window_sum(seen.float())
    return total / count.clamp(min=1.0), count / (2 * radius + 1)


def spatial_fill(values: Tensor, weight: Tensor, levels: int) -> Tensor:
    """``[B, 1, H, W]``: push-pull."""
    pyramid = [(values * weight, weight)]
    for _ in range(levels):
        pyramid.append(tuple(F.avg_pool2d(x, 2) for x in pyramid[-1]))
    total, support = pyramid[-1]
    filled = total / support.clamp(min=1e-6)
    for total, support in reversed(pyramid[:-1]):
        trust = support.clamp(max=1.0)
        coarse = F.interpolate(filled, scale_factor=2, mode="bilinear", align_corners=False)
        filled = trust * (total / support.clamp(min=1e-6)) + (1.0 - trust) * coarse
    return filled


class Generator(nn.Module):
    """``cfd [N, T, 3, H, W]``, ``hidden [N, T, H, W]`` -> anatomy, grey, log scale, each ``[N, T - 2 * margin, H, W]``."""

    def __init__(self, spec: GeneratorSpec):
        super().__init__()
        self.spec = spec
        self.anatomy, self.denoise = Anatomy(spec), Denoise(spec)

    def forward(self, cfd: Tensor, hidden: Tensor, margin: int) -> tuple[Tensor, Tensor, Tensor]:
        grey = luma(cfd)
        seen = hidden < 0.5
        past, past_trust = last_sight(grey, seen, self.spec.margin)
        future, future_trust = (x.flip(1) for x in last_sight(grey.flip(1), seen.flip(1), self.spec.margin))
        usual = usual_sight(grey, seen, self.spec.margin)
        kept = slice(margin, cfd.shape[1] - margin)
        parts = (cfd, grey, hidden, past, past_trust, future, future_trust)
        cfd, grey, hidden, past, past_trust, future, future_trust = (x[:, kept] for x in parts)
        usual = [x[:, kept] for x in usual]
        trust = past_trust + future_trust
        mixed = (past * past_trust + future * future_trust) / trust.clamp(min=1e-6)
        n, frames = grey.shape[:2]

        def plane(x: Tensor) -> Tensor:
            return x.flatten(0, 1)[:, None]

        filled = spatial_fill(plane(mixed), plane((trust > 0).float()), self.spec.levels + 1)
        guess = plane((1.0 - hidden) * grey) + plane(hidden) * filled
        colour = (cfd - grey[:, :, None]).flatten(0, 1)
        planes = [plane(x) for x in (hidden, past, past_trust, future, future_trust, *usual)]
        evidence = torch.cat([colour, plane(grey * (1.0 - hidden)), guess, *planes], 1)
        evidence = evidence.contiguous(memory_format=torch.channels_last)
        anatomy = self.anatomy(evidence, guess, frames)
        final, log_scale = self.denoise(anatomy, evidence, frames)
        return tuple(x[:, 0].unflatten(0, (n, frames)) for x in (anatomy, final, log_scale))


class Discriminator(nn.Module):
    """``cfd [N, T, 3, H, W]``, ``hidden`` and ``grey [N, T, H, W]`` -> logits ``[N, T, h, w]``."""

    def __init__(self, *, width: int, levels: int):
        super().__init__()
        self.levels = levels
        self.stem = Conv3(20, width, unshuffled=True)
        for i in range(levels):
            c = width * 2**i
            setattr(self, f"time{i}", TemporalMix(c))
            setattr(self, f"down{i}", Down(c, 2 * c))
            setattr(self, f"conv{i}", Conv3(2 * c, 2 * c))
        self.head = Point(width * 2**levels, 1)

    def forward(self, cfd: Tensor, hidden: Tensor, grey: Tensor) -> Tensor:
        n, frames = grey.shape[:2]
        x = torch.cat([cfd, hidden[:, :, None], grey[:, :, None]], 2).flatten(0, 1)
        x = F.pixel_unshuffle((2.0 * x - 1.0).contiguous(memory_format=torch.channels_last), 2)
        x = act(self.stem(x))
        for i in range(self.levels):
            x = getattr(self, f"down{i}")(getattr(self, f"time{i}")(x, frames))
            x = act(getattr(self, f"conv{i}")(act(x)))
        return self.head(x)[:, 0].unflatten(0, (n, frames))


class Vgg(nn.Module):
    """Frozen VGG16 features of grey frames ``[B, 1, H, W]`` in [0, 1]."""

    def __init__(self, vgg: VGG, layers: tuple[str, ...]):
        super().__init__()
        self.layers, self.pre = layers, vgg.preprocessing
        names = [name for name, _, _ in LAYERS if name in vgg.kernels]
        self.names = names[: 1 + max(names.index(layer.replace("relu", "conv")) for layer in layers)]
        for name in self.names:
            kernel, bias = np.array(vgg.kernels[name], np.float32), np.array(vgg.biases[name], np.float32)
            conv = nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=1)
            with torch.no_grad():
                conv.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))))
                conv.bias.copy_(torch.from_numpy(bias))
            setattr(self, name, conv)
        self.register_buffer("mean", torch.tensor(vgg.preprocessing.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(vgg.preprocessing.std)[:, None, None])
        self.requires_grad_(False)

    def forward(self, grey: Tensor) -> list[Tensor]:
        x = (grey.expand(-1, 3, -1, -1) * self.pre.scale - self.mean) / self.std
        x, found = x.contiguous(memory_format=torch.channels_last), []
        for name in self.names:
            if name.endswith("_1") and name != "conv1_1":
                x = F.max_pool2d(x, 2)
            x = F.relu(getattr(self, name)(x))
            if name.replace("conv", "relu") in self.layers:
                found.append(x)
        return found
