"""The colour acquisition: from velocities in beam space to painted pixels.

The state is the lag-one autocorrelation ``R1 = power * exp(i pi v / nyquist)`` and its power ``R0``, never the
velocity: wall filter, noise, PSF, line density, persistence and scan conversion all act on the complex field, so that
aliasing (bright meets bright) and true changes of sign (dark meets dark) come out as they do on a scanner.
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np

from data_pipeline.simulation import steady
from data_pipeline.simulation.console.box import OUTLINE_COLOURS, OutlineStyle, ScanBox, outline_coverage
from data_pipeline.simulation.console.colour_maps import ColourMap
from data_pipeline.simulation.console.colour_settings import ColourSettings
from data_pipeline.simulation.console.noise_bank import NoiseBank
from data_pipeline.simulation.fields import gaussian_blur, smoothstep
from data_pipeline.simulation.scan_grid import ScanGrid

_FLOW_COVERAGE = 0.2  # a pixel counts as flow when colour covers this share of it: two of its nine parts are seen
_OUTLINE_COVERAGE = 0.08


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColourLayer:
    """The colour of one frame inside an image window ``h x w`` of the clip.

    ``rgb`` uint8 ``[h, w, 3]`` already multiplied by ``coverage`` float32 ``[h, w]`` 0..1; ``flow``, ``box``,
    ``outline`` bool ``[h, w]``; ``outline_coverage`` float32 or ``None``; ``velocity`` float16 cm/s, NaN off the flow.
    """

    window: tuple[slice, slice]
    rgb: np.ndarray
    coverage: np.ndarray
    flow: np.ndarray
    box: np.ndarray
    outline: np.ndarray
    outline_coverage: np.ndarray | None
    outline_rgb: tuple[int, int, int]
    velocity: np.ndarray

    def over(self, image: np.ndarray) -> None:
        """Paint onto ``image``, uint8 ``[H, W, 3]``, in place."""
        part = image[self.window]
        mixed = part * (1 - self.coverage[..., None]) + self.rgb
        if self.outline_coverage is not None:
            line = self.outline_coverage[..., None]
            mixed += line * (np.array(self.outline_rgb, np.float32) - mixed)
        np.copyto(part, np.clip(mixed + 0.5, 0, 255), casting="unsafe")


class ColourFlow:
    """One clip's colour processing; call `estimate` once per colour frame, in order (persistence has memory)."""

    def __init__(
        self,
        fan: ScanGrid,
        boxes: tuple[ScanBox, ...],
        settings: ColourSettings,
        colour_map: ColourMap,
        rng: np.random.Generator,
        *,
        fps: float,
        outline: OutlineStyle | None = None,
        supersample: int = 1,
    ) -> None:
        """``boxes``: one per frame. ``supersample``: colour is painted on a grid this much finer, then averaged."""
        if not boxes:
            raise ValueError("a clip needs at least one frame: boxes is empty, one box per frame is expected (T >= 1)")
        if not 1 <= supersample <= 4:
            raise ValueError(f"supersample must lie in 1..4, got {supersample}")
        for box in dict.fromkeys(boxes):
            box.check(fan)
        if (colour_map.kind == "power") != (settings.mode == "power"):
            raise ValueError(f"a {colour_map.kind} colour map does not show mode {settings.mode!r}")
        self.fan, self.boxes, self.settings, self.map = fan, boxes, settings, colour_map
        self._rng, self._scale = rng, supersample
        self._outline = outline or OutlineStyle(colour="none")
        s = settings
        self._axial = max(0.25, fan.axial_px(s.axial_mm) / 2.355)
        self._lateral = max(0.25, fan.angle_px(s.lateral_deg) / 2.355)
        self.polar_window, self.image_window = self._windows()
        rows, columns = self.polar_window
        depth = fan.depth_cm[rows, None]
        reference = 4.0 if fan.linear else 8.0
        loss_db = s.attenuation_db_cm * np.clip(depth - reference, 0, 20)
        self._gain = steady.power(np.float32(10), (s.gain_db - loss_db) / np.float32(10))
        self._shape = (rows.stop - rows.start, columns.stop - columns.start)
        self._noise = NoiseBank(rng, self._shape)
        self._memory: np.ndarray | None = None
        self._keep = math.exp(-1 / (fps * 0.03))  # patches of dropout and wander last about 30 ms
        self._patches: list[np.ndarray] = []
        self._map, self._r, self._t = self._image_grid()
        self._static: dict[ScanBox, tuple[np.ndarray, np.ndarray, np.ndarray | None]] = {}

    def estimate(
        self, k: int, *, grey: np.ndarray, velocity: np.ndarray, blood: np.ndarray, tissue_velocity: np.ndarray
    ) -> np.ndarray:
        """Acquire colour frame ``k``.

        Args (all float32, ``[n_r, n_t]`` or already cut to ``polar_window``): ``grey`` 0..255; ``velocity`` and
        ``tissue_velocity`` cm/s towards the probe; ``blood`` 0..1.
        Returns: float32 ``[h, w, 4]`` over ``polar_window``: real and imaginary part of R1, R0, and a factor
          on the power of R1 that only detection sees.
        """
        s, draw, shape = self.settings, self._noise.draw, self._shape
        grey, velocity, blood, tissue = (self._cut(a) for a in (grey, velocity, blood, tissue_velocity))
        if s.bloom_mm:
            velocity, blood = self._bloom(velocity, blood)
        dropout, wander, edge = self._drift()
        blood = smoothstep(blood + np.float32(0.35 * s.roughness) * edge, 0.30, 0.85)
        fine = draw(self._axial * 1.1, self._lateral * 1.15)
        broad = draw(self._axial * 2.2, self._lateral * 2.0)
        speckle = draw(self._axial, self._lateral * 1.6)
        u = velocity * np.float32(s.amplitude / s.nyquist_cm_s)
        speed = np.abs(u)
        passed = u * u / (u * u + np.float32(s.wall_filter**2))
        u = (
            u * (1 + np.float32(s.unsteady) * broad)
            + np.float32(s.jitter) * (0.35 + 0.5 * np.minimum(speed, 1.5)) * fine
            + np.float32(s.wander) * wander
        )
        power = (
            blood
            * passed
            * self._gain
            * steady.exp(np.float32(s.speckle) * speckle + np.float32(s.dropout_db / 4.34) * dropout)
        )
        clutter, clutter_phase = self._clutter(k, grey, tissue, wander)
        phase = np.float32(math.pi) * u
        field = np.empty((*shape, 3), np.float32)
        field[..., 0] = power * steady.cos(phase) + clutter * steady.cos(clutter_phase)
        field[..., 1] = power * steady.sin(phase) + clutter * steady.sin(clutter_phase)
        field[..., 2] = power + clutter
        # White noise that keeps its level through the PSF, whatever the grid.
        level = s.noise * max(1.0, 2 * math.sqrt(math.pi * self._axial * self._lateral) * 0.75)
        noise = np.float32(level) * np.stack([draw(), draw()], -1)
        field[..., :2] += noise
        field[..., 2] += np.float32(0.6 / max(level, 1e-6)) * (np.square(noise[..., 0]) + np.square(noise[..., 1]))
        field = gaussian_blur(field, self._axial * 0.75, self._lateral * 0.75)
        lines = max(4, int(round(shape[1] * s.lines_per_beam)))
        if lines < shape[1]:
            sparse = cv2.resize(field, (lines, shape[0]), interpolation=cv2.INTER_AREA)
            field = cv2.resize(sparse, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
        # Detection happens sample by sample and leaves pinholes in the colour; the velocity does not feel it.
        grain = steady.exp(np.float32(2 * s.grain) * blood * draw())
        field = np.concatenate([field, grain[..., None]], axis=-1)
        if self._memory is not None and s.persistence:
            field = (1 - np.float32(s.persistence)) * field + np.float32(s.persistence) * self._memory
        self._memory = field
        return field

    def paint(self, k: int, field: np.ndarray, grey: np.ndarray) -> ColourLayer:
        """Decide which pixels show colour, and which.

        Args: ``field`` from `estimate`; ``grey`` as there, 0..255 as shown (for the write priority).
        """
        s = self.settings
        soft = gaussian_blur(np.ascontiguousarray(self._cut(grey), dtype=np.float32), 1.2, 1.0)
        if s.twinkle:
            soft = np.where(soft > 215, np.float32(0), soft)
        image = cv2.remap(field, *self._map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        soft = cv2.remap(soft, *self._map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside, box, line = self._box_images(self.boxes[k])
        power = np.square(image[..., 0]) + np.square(image[..., 1])
        priority = 255.0 if k in s.flash_frames else max(s.priority, 1.0)
        level = np.clip(soft - np.float32(0.35 * priority), 0, None) * np.float32(s.priority_slope / priority)
        painted = (
            (power * image[..., 3] > np.square(np.float32(s.threshold) * (1 + level))) & (soft < priority) & inside
        )
        re, im = image[..., 0], image[..., 1]
        if s.mode != "power":  # |angle| > pi * v_min, without the arctangent
            painted &= (np.abs(im) > np.float32(math.tan(math.pi * s.v_min)) * np.abs(re)) | (re < 0)
        alone = cv2.boxFilter(painted.astype(np.uint8), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
        painted &= alone >= 3
        where = np.nonzero(painted.ravel())[0]
        magnitude = np.sqrt(power.ravel()[where])
        u = steady.arctan2(im.ravel()[where], re.ravel()[where]) * np.float32(1 / math.pi)
        if s.mode == "power":
            ratio = magnitude * np.float32(1 / s.threshold)
            colours = self.map.colours(10 * steady.log10(ratio) / np.float32(s.dynamic_range_db))
        else:
            spread = 1 - magnitude / np.maximum(image[..., 2].ravel()[where], 1e-6)
            colours = self.map.colours(u, np.clip((spread - 0.3) * np.float32(1 / 0.5), 0, 1))
        layer = np.zeros((painted.size, 4), np.uint8)
        if s.alpha[0] < 1:
            low, high = s.alpha
            alpha = low + (high - low) * smoothstep(magnitude, s.threshold, 3 * s.threshold)
            colours = (colours * alpha[:, None]).astype(np.uint8)
            layer[where, 3] = (255 * alpha + 0.5).astype(np.uint8)
        else:
            layer[where, 3] = 255
        layer[where, :3] = colours
        layer = layer.reshape(*painted.shape, 4)
        speed = np.full(painted.size, np.nan, np.float16)
        speed[where] = u * np.float32(s.nyquist_cm_s)
        speed = speed.reshape(painted.shape)
        flow, n = painted, self._scale
        if n > 1:
            size = (painted.shape[1] // n, painted.shape[0] // n)
            layer = cv2.resize(layer, size, interpolation=cv2.INTER_AREA)
            flow = cv2.resize(painted.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 255 * _FLOW_COVERAGE
            speed = _first_finite(speed.reshape(size[1], n, size[0], n))
            speed[~flow] = np.nan
        return ColourLayer(
            window=self.image_window, rgb=layer[..., :3], coverage=layer[..., 3] * np.float32(1 / 255), flow=flow,
            box=box,
            outline=np.zeros_like(box) if line is None else line > _OUTLINE_COVERAGE, outline_coverage=line,
            outline_rgb=OUTLINE_COLOURS.get(self._outline.colour, (0, 0, 0)), velocity=speed,
        )  # fmt: skip

    def _cut(self, polar: np.ndarray) -> np.ndarray:
        return polar if polar.shape == self._shape else polar[self.polar_window]

    def _bloom(self, velocity: np.ndarray, blood: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Blood and its velocity carried over the wall: a normalised blur, so that velocity does not fade with it."""
        axial = self.fan.axial_px(self.settings.bloom_mm) / 1.5
        lateral = self.fan.lateral_px(self.settings.bloom_mm) / 1.5
        both = gaussian_blur(np.stack([velocity * blood, blood], -1), axial, lateral)
        spread = both[..., 0] / (both[..., 1] + np.float32(0.02))
        return np.where(blood > 0.6, velocity, spread).astype(np.float32), smoothstep(both[..., 1], 0.06, 0.35)

    def _drift(self) -> list[np.ndarray]:
        """Three patchy fields that change over about 30 ms: dropout, velocity wander, edge of the flow."""
        mm = ((10.0, 10.0), (6.0, 6.0), (3.0, 4.0)) if not self.fan.linear else ((5.0, 6.0), (4.0, 4.0), (1.2, 2.0))
        sigmas = [(self.fan.axial_px(a) / 2.355, self.fan.lateral_px(b) / 2.355) for a, b in mm]
        fresh = [self._noise.draw(*sigma) for sigma in sigmas]
        if self._patches:
            keep, new = np.float32(self._keep), np.float32(math.sqrt(1 - self._keep**2))
            fresh = [keep * old + new * field for old, field in zip(self._patches, fresh)]
        self._patches = fresh
        return fresh

    def _clutter(
        self, k: int, grey: np.ndarray, tissue: np.ndarray, wander: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Power and phase of what is not blood: moving tissue, a flash burst, twinkling reflectors."""
        s = self.settings
        u = tissue * np.float32(1 / s.nyquist_cm_s)
        strength = np.float32(s.flash)
        if k in s.flash_frames:
            u = u * 2 + np.float32(s.flash_velocity) * (1 + np.float32(0.4) * wander)
            strength = np.float32(1.2)
        power = (
            np.clip(grey * np.float32(1 / 200), 0, 1)
            * strength
            * u
            * u
            / (u * u + np.float32((1.3 * s.wall_filter) ** 2))
        )
        phase = np.float32(math.pi) * u
        if s.twinkle:
            spark = smoothstep(grey, 205, 245) * np.float32(1.5 * s.twinkle)
            phase = np.where(spark > 0.05, self._rng.uniform(-math.pi, math.pi, grey.shape).astype(np.float32), phase)
            power = power + spark
        return power, phase

    def _windows(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The parts of the polar grid and of the image that hold every box of the clip, with room for the kernels."""
        fan, unique = self.fan, tuple(dict.fromkeys(self.boxes))
        lean = max(abs(box.shift(box.r1)) for box in unique)
        pad_r, pad_t = 2 + math.ceil(2.5 * self._axial), 2 + math.ceil(2.5 * self._lateral)

        def span(low: float, high: float, origin: float, step: float, pad: int, limit: int) -> slice:
            start = int(math.floor((low - origin) / step)) - pad
            stop = int(math.ceil((high - origin) / step)) + pad + 1
            return slice(max(0, start), min(limit, stop))

        rows = span(min(b.r0 for b in unique), max(b.r1 for b in unique), fan.r[0], fan.dr, pad_r, fan.n_r)
        columns = span(
            min(b.t0 for b in unique) - lean, max(b.t1 for b in unique) + lean, fan.t[0], fan.dt, pad_t, fan.n_t
        )
        points = np.concatenate([box.corners(fan) for box in unique])
        x0, y0 = np.floor(points.min(0)).astype(int) - 3
        x1, y1 = np.ceil(points.max(0)).astype(int) + 4
        image = (slice(max(0, y0), min(fan.height, y1)), slice(max(0, x0), min(fan.width, x1)))
        image = tuple(slice(int(a.start), int(a.stop)) for a in image)
        if any(a.stop - a.start < 2 for a in image):
            raise ValueError(
                f"the colour box lies outside the {fan.height} x {fan.width} frame: x {x0}..{x1}, y {y0}..{y1}"
            )
        return (rows, columns), image

    def _image_grid(self) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
        """Polar place of every fine pixel of the image window: remap maps (column, row), and its r and t."""
        fan, n, (ys, xs) = self.fan, self._scale, self.image_window
        y = ((np.arange((ys.stop - ys.start) * n) + 0.5) / n - 0.5 + ys.start).astype(np.float32)[:, None]
        x = ((np.arange((xs.stop - xs.start) * n) + 0.5) / n - 0.5 + xs.start).astype(np.float32)[None]
        r, t = fan.beam_place(x, y)
        rows, columns = self.polar_window
        column = (t - fan.t[columns.start]) * np.float32(1 / fan.dt)
        row = (r - fan.r[rows.start]) * np.float32(1 / fan.dr)
        return (np.ascontiguousarray(column, dtype=np.float32), np.ascontiguousarray(row, dtype=np.float32)), r, t

    def _box_images(self, box: ScanBox) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Fine bool mask, bool mask at image resolution, outline coverage of a box; kept, since boxes seldom move."""
        if box not in self._static:
            fine = box.contains(self._r, self._t)
            n, coarse = self._scale, fine
            if n > 1:
                size = (fine.shape[1] // n, fine.shape[0] // n)
                coarse = (
                    cv2.resize(fine.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 255 * _FLOW_COVERAGE
                )
            line = outline_coverage(box, self.fan, self._outline, window=self.image_window, supersample=n)
            self._static[box] = (fine, coarse, line)
        return self._static[box]


def _first_finite(blocks: np.ndarray) -> np.ndarray:
    """``[h, n, w, n]`` -> ``[h, w]``: a velocity of each block that has one (means would mix across the wrap)."""
    n = blocks.shape[1]
    out = blocks[:, 0, :, 0].copy()
    for i in range(n):
        for j in range(n):
            np.copyto(out, blocks[:, i, :, j], where=np.isnan(out))
    return out
