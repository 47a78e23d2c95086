"""Grain transforms that turn a `PairRecord` into an example of a batch.

All randomness comes from the generator that Grain passes in, which it seeds by position: the same seed gives the same
examples, whatever the number of threads or worker processes.

Order in training: `RandomClip` (when and where to look) -> `ToExample` (cut, resize) -> `Augment` (how it looks). In
evaluation `ToExample` alone, which then takes the middle frames and the whole picture.
"""

from __future__ import annotations

import dataclasses

import cv2
import grain
import numpy as np

from data_pipeline.records.example import ARRAYS, StoredPair
from data_pipeline.schema import BOX, DOMAINS, FLOW, OUTLINE, SECTOR, VIEWS, PairRecord
from data_pipeline.screen.hidden import hidden_mask

SOFT_MASK_LEVEL = 0.25
"""A mask keeps a resized pixel when more than this share of it was masked: thin outlines survive a reduction by 3."""


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must lie in {low} .. {high}, got {value}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentOptions:
    """What training may vary. Every ``*_probability`` is per clip; ranges are drawn uniformly."""

    crop_probability: float = 0.5
    min_scale: float = 0.8
    """Smallest side of the random square crop, as a share of the whole picture's; small and large are as likely
    (log-uniform). Speckle thus comes at every grain."""
    max_stride: int = 2
    """Frame-rate jitter: every 1st .. ``max_stride``-th frame, as far as the clip is long enough."""
    flip_probability: float = 0.0
    """Left-right mirror. Off: left and right are diagnostic."""
    reverse_probability: float = 0.0
    """Time runs backwards. Off: filling and ejection differ."""
    gain: float = 0.15
    """The grey level is multiplied by 1 +- gain, in the input's tissue and in the target alike."""
    gamma: float = 0.15
    contrast: float = 0.15
    smooth_probability: float = 0.0
    """Chance that the tissue of input and target is smoothed, as many scanners do."""
    max_smooth: float = 1.5
    """Largest sigma of that smoothing, px of the example."""
    jpeg_probability: float = 0.3
    """Chance that the input (only) goes through a JPEG codec."""
    jpeg_quality: tuple[int, int] = (60, 95)
    max_dilation: int = 3
    """``hidden`` grows by 1 .. ``max_dilation`` px in half of the clips (0: never)."""
    hold_probability: float = 0.0
    """Chance that colour stays where it was: what it hides is then seen rarely or never, as under real jets."""
    max_hold: int = 32
    """Frames that it stays at most; few and many are as likely (log-uniform)."""

    def __post_init__(self) -> None:
        for name in ("crop", "flip", "reverse", "smooth", "jpeg", "hold"):
            _check_range(f"{name}_probability", getattr(self, f"{name}_probability"), 0.0, 1.0)
        _check_range("min_scale", self.min_scale, 0.1, 1.0)
        for name in ("gain", "gamma", "contrast"):
            _check_range(name, getattr(self, name), 0.0, 0.9)
        _check_range("max_stride", self.max_stride, 1, 64)
        _check_range("max_smooth", self.max_smooth, 0.1, 8.0)
        _check_range("max_dilation", self.max_dilation, 0, 16)
        _check_range("max_hold", self.max_hold, 1, 4096)
        low, high = self.jpeg_quality
        _check_range("jpeg_quality[0]", low, 1, high)
        _check_range("jpeg_quality[1]", high, low, 100)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A record on its way to an example. ``square`` is ``(y, x, side)`` in px, and may reach beyond the frame."""

    record: PairRecord | StoredPair
    index: int
    mask: float = 1.0
    square: tuple[int, int, int] | None = None


@dataclasses.dataclass(frozen=True)
class RandomClip(grain.transforms.RandomMap):
    """Draw a window of ``frames`` frames, a stride, a crop; sample -> sample. Only that window is decompressed."""

    frames: int
    options: AugmentOptions = dataclasses.field(default_factory=AugmentOptions)

    def random_map(self, element: Sample, rng: np.random.Generator) -> Sample:
        options, record = self.options, element.record
        n_frames, height, width = record.shape
        # Every draw is made for every clip, so that one option does not change what another one draws.
        stride = int(rng.integers(1, options.max_stride + 1))
        start_share = rng.random()
        reverse, flip, crop = rng.random(3) < (
            options.reverse_probability,
            options.flip_probability,
            options.crop_probability,
        )
        scale, y_share, x_share = options.min_scale ** rng.random(), rng.random(), rng.random()

        if self.frames > 1:
            stride = max(1, min(stride, (n_frames - 1) // (self.frames - 1)))
        span = (self.frames - 1) * stride + 1
        start = int(start_share * (max(0, n_frames - span) + 1))
        record = record.at(slice(start, start + span, stride))
        times, columns = slice(None, None, -1 if reverse else 1), slice(None, None, -1 if flip else 1)
        square = whole_square(height, width)
        if crop:
            y, x, side = square
            own = max(1, round(scale * side))
            y_share, x_share = _towards_flow(record.strata[0], square, own, y_share, x_share)
            square = (y + int(y_share * (side - own + 1)), x + int(x_share * (side - own + 1)), own)
        record = dataclasses.replace(record, **{name: getattr(record, name)[times, :, columns] for name in ARRAYS})
        return dataclasses.replace(element, record=record, square=square)


def _towards_flow(
    plane: np.ndarray, square: tuple[int, int, int], own: int, y_share: float, x_share: float
) -> tuple[float, float]:
    """Shares that place a crop of side ``own`` so that the colour's middle lies somewhere in its middle half.

    A crop without colour teaches nothing; where there is none the shares are returned as they are.
    """
    rows, columns = np.nonzero(plane & FLOW)
    y, x, side = square
    if not len(rows) or own == side:
        return y_share, x_share
    shares = []
    for middle, share in ((rows.mean() - y, y_share), (columns.mean() - x, x_share)):
        wanted = middle - own * (0.25 + 0.5 * share)
        shares.append(float(np.clip(wanted / (side - own), 0.0, 1.0 - 1e-9)))
    return shares[0], shares[1]


@dataclasses.dataclass(frozen=True)
class ToExample(grain.transforms.Map):
    """Make an example of ``frames`` frames of ``size`` x ``size`` px, with the keys of `schema.BATCH_KEYS`.

    The middle frames are taken; a shorter clip is continued by running back and forth (reflection). The picture is
    padded to a square with black and resized: area averaging down, bilinear up; masks through their resized soft mask,
    labels by the nearest pixel. Flow is never detected after a resize: ``hidden`` is made at native resolution.
    """

    frames: int
    size: int

    def __post_init__(self) -> None:
        _check_range("frames", self.frames, 1, 4096)
        _check_range("size", self.size, 8, 8192)

    def map(self, element: Sample | PairRecord) -> dict[str, np.ndarray]:
        sample = element if isinstance(element, Sample) else Sample(record=element, index=0)
        n_frames, height, width = sample.record.shape
        record = sample.record.at(window(n_frames, self.frames))
        square = sample.square or whole_square(height, width)
        return {
            "cfd": _resample(record.cfd, square, self.size),
            "grey": _resample(record.grey, square, self.size),
            "strata": _resample_flags(record.strata, square, self.size),
            "hidden": _resample_flags(hidden_mask(record.strata, record.cfd), square, self.size),
            "labels": _resample(record.labels[..., None], square, self.size, nearest=True)[..., 0],
            "view": np.int32(VIEWS.index(record.view)),
            "domain": np.int32(DOMAINS.index(record.domain)),
            "shared": np.uint8(record.shared),
            "index": np.int32(sample.index),
            "mask": np.float32(sample.mask),
        }


@dataclasses.dataclass(frozen=True)
class Augment(grain.transforms.RandomMap):
    """Vary how an example looks: smoothing and grey curve of both sides, JPEG of the input, extent of ``hidden``."""

    options: AugmentOptions = dataclasses.field(default_factory=AugmentOptions)

    def random_map(self, element: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        options = self.options
        gain, gamma, contrast = rng.uniform(-1, 1, 3) * (options.gain, options.gamma, options.contrast)
        jpeg = rng.random() < options.jpeg_probability
        quality = int(rng.integers(options.jpeg_quality[0], options.jpeg_quality[1] + 1))
        subsampling = _SUBSAMPLING[int(rng.integers(len(_SUBSAMPLING)))]
        dilate, radius = rng.random() < 0.5, int(rng.integers(1, max(1, options.max_dilation) + 1))
        smooth, sigma = rng.random() < options.smooth_probability, rng.uniform(0.3, max(0.3, options.max_smooth))
        hold, stays = rng.random() < options.hold_probability, options.max_hold ** rng.random()

        out = dict(element := held(element, frames=round(stays)) if hold else element)
        # The B-mode settings of a scanner do not touch the colour map: paint keeps its colour.
        painted = (element["strata"] & (FLOW | OUTLINE)) != 0
        if smooth:
            out["grey"] = np.stack([_smoothed(frame, sigma) for frame in element["grey"]])
            out["cfd"] = np.stack(
                [_smoothed_around(*pair, sigma) for pair in zip(element["cfd"], painted, strict=True)]
            )
        if options.gain or options.gamma or options.contrast:
            curve = grey_curve(gain=1 + gain, gamma=1 + gamma, contrast=1 + contrast)
            out["cfd"], out["grey"] = _through_table(out["cfd"], curve), _through_table(out["grey"], curve)
            out["cfd"][painted] = element["cfd"][painted]
        if jpeg:
            out["cfd"] = np.stack([_through_jpeg(frame, quality, subsampling) for frame in out["cfd"]])
        if dilate and options.max_dilation:
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
            out["hidden"] = np.stack([cv2.dilate(frame, kernel) for frame in element["hidden"]])
        return out


def held(example: dict[str, np.ndarray], *, frames: int) -> dict[str, np.ndarray]:
    """An example whose colour stays for some frames after it was there, as a scanner's persistence has it."""
    out = example | {name: example[name].copy() for name in ("cfd", "strata", "hidden")}
    left = np.zeros(out["hidden"].shape[1:], np.int32)
    for t, hidden in enumerate(example["hidden"]):
        stays = (hidden == 0) & (left > 0)
        out["cfd"][t][stays] = out["cfd"][t - 1][stays]
        out["hidden"][t][stays] = 1
        out["strata"][t][stays] |= FLOW
        left = np.where(hidden > 0, frames, left - 1)
    return out


def window(n_frames: int, frames: int) -> slice | np.ndarray:
    """The middle ``frames`` of ``n_frames``; of a shorter clip all, continued by reflection (0 1 2 1 0 1 ...)."""
    if n_frames >= frames:
        start = (n_frames - frames) // 2
        return slice(start, start + frames)
    period = max(1, 2 * (n_frames - 1))
    place = np.arange(frames) % period
    return np.where(place < n_frames, place, period - place)


def whole_square(height: int, width: int) -> tuple[int, int, int]:
    """``(y, x, side)`` of the smallest square about a frame, centred; y or x is negative where it must be padded."""
    side = max(height, width)
    return -((side - height) // 2), -((side - width) // 2), side


def grey_curve(*, gain: float, gamma: float, contrast: float) -> np.ndarray:
    """A monotone grey curve as a table ``uint8 [256]``; 0 stays 0, so that outside the sector it stays black."""
    level = np.arange(256) / 255.0
    curved = gain * level**gamma
    curved = (curved - 0.35) * contrast + 0.35  # about the mean grey of tissue
    table = np.clip(np.rint(curved * 255), 0, 255).astype(np.uint8)
    table[0] = 0
    return table


def _resample(array: np.ndarray, square: tuple[int, int, int], size: int, *, nearest: bool = False) -> np.ndarray:
    """Cut ``square`` out of ``[T, H, W, C]`` (black beyond the frame) and resize it to ``[T, size, size, C]``."""
    n_frames, height, width, channels = array.shape
    y, x, side = square
    top, left = max(0, y), max(0, x)
    inner = array[:, top : max(top, y + side), left : max(left, x + side)]
    if inner.shape[1:3] != (side, side):
        padded = np.zeros((n_frames, side, side, channels), np.uint8)
        padded[:, top - y : top - y + inner.shape[1], left - x : left - x + inner.shape[2]] = inner
        inner = padded
    if side == size:
        return inner
    how = cv2.INTER_NEAREST_EXACT if nearest else cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    out = np.empty((n_frames, size, size, channels), np.uint8)
    for frame, target in zip(inner, out):
        target[...] = cv2.resize(np.ascontiguousarray(frame), (size, size), interpolation=how).reshape(target.shape)
    return out


def _resample_flags(flags: np.ndarray, square: tuple[int, int, int], size: int) -> np.ndarray:
    """Resize bit flags ``[T, H, W]``, each through its own soft mask."""
    if square[2] == size:
        return _resample(flags[..., None], square, size)[..., 0]
    out = np.zeros((len(flags), size, size), np.uint8)
    for flag in (SECTOR, BOX, FLOW, OUTLINE):
        plane = ((flags & flag) != 0).astype(np.uint8) * 255
        if plane.any():
            soft = _resample(plane[..., None], square, size)[..., 0]
            out |= (soft > SOFT_MASK_LEVEL * 255) * np.uint8(flag)
    return out


_SUBSAMPLING = (
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
)


def _through_table(array: np.ndarray, table: np.ndarray) -> np.ndarray:
    return cv2.LUT(np.ascontiguousarray(array).reshape(len(array), -1), table).reshape(array.shape)


def _smoothed(frame: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(frame, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE).reshape(frame.shape)


def _smoothed_around(frame: np.ndarray, painted: np.ndarray, sigma: float) -> np.ndarray:
    """``frame [H, W, 3]`` smoothed where it is not ``painted``, without colour from there."""
    clear = (~painted).astype(np.float32)[..., None]
    weight = _smoothed(clear, sigma)
    level = _smoothed(frame * clear, sigma) / np.maximum(weight, 1e-3)
    return np.where(painted[..., None], frame, np.clip(np.rint(level), 0, 255)).astype(np.uint8)


def _through_jpeg(frame: np.ndarray, quality: int, subsampling: int) -> np.ndarray:
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, subsampling]
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(frame[..., ::-1]), settings)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
