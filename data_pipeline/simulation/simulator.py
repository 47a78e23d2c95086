"""Simulated pairs: a scene, its duplex acquisition, and everything that is known about it."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from typing import Any

import cv2
import numpy as np

from data_pipeline.manifest import ClipRow
from data_pipeline.schema import SPLITS, VIEW_DOMAIN, VIEWS, Geometry, PairRecord
from data_pipeline.simulation.acquisition import (
    Acquisition,
    AcquisitionOptions,
    compose,
    draw_acquisition,
    draw_palette,
    store_target,
    thin_lines,
)
from data_pipeline.simulation.colour_maps import ColourMap
from data_pipeline.simulation.fan import Fan
from data_pipeline.simulation.scene import Scene, SceneOptions, draw_fan, make_scene
from data_pipeline.simulation.ui import make_screen

SIMULATOR_VERSION = "1"
"""Part of every simulated clip's identity; raised when the same seed no longer gives the same bytes."""

SEEDS_PER_SPLIT = 1 << 40
"""Seeds run 0..SEEDS_PER_SPLIT-1 in each split and are offset by ``SPLITS.index(split) * SEEDS_PER_SPLIT``, so that no
generator state is ever shared between train, val and test."""

FPS = {
    "heart": (12.0, 40.0),
    "fetal": (15.0, 45.0),
    "vessel": (10.0, 30.0),
    "kidney": (8.0, 24.0),
    "liver": (8.0, 24.0),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulationOptions(AcquisitionOptions):
    """What to fix of a simulated clip; see `AcquisitionOptions` for the rest.

    Attributes:
      shared: ``True``: the target is the same duplex B-mode as under the colour (a true dual clip); ``False``: the target
        is the full-quality B-mode; ``None`` draws, ``True`` in ``shared_share`` of the clips.
      fps: frames per second; ``None`` draws from ``FPS``.
      clips_per_patient: so many consecutive seeds count as one patient (the anatomy still differs).
      scene: what to fix of the anatomy, motion and greyscale.
    """

    shared: bool | None = None
    shared_share: float = 0.8
    fps: float | None = None
    clips_per_patient: int = 1
    scene: SceneOptions | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fps is not None and not 1 <= self.fps <= 400:
            raise ValueError(f"fps must lie in 1..400 or be None, got {self.fps}")
        if self.clips_per_patient < 1:
            raise ValueError(f"clips_per_patient must be >= 1, got {self.clips_per_patient}")
        if not 0 <= self.shared_share <= 1:
            raise ValueError(f"shared_share must lie in 0..1, got {self.shared_share}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulatedClip:
    """Everything known about one simulated clip. ``H x W`` is the frame, masks are per frame since boxes may move.

    Attributes:
      cfd: uint8 ``[T, H, W, 3]`` RGB, stored and decoded.
      grey: uint8 ``[T, H, W, 1]``, the target.
      full: uint8 ``[T, H, W]``, full-quality B-mode before storage; duplex: likewise, as acquired next to colour.
      strata: uint8 ``[T, H, W]`` flags of ``schema`` (``SECTOR | BOX | FLOW | OUTLINE``); ``mask``, ``box``, ``outline``,
        ``fan`` are its bool planes.
      velocity: float16 ``[T, H, W]``, painted velocity towards the probe in cm/s, wrapped at Nyquist, NaN off the flow.
      labels: uint8 ``[T, H, W]``, indices into ``schema.LABELS``.
      phase: float32 ``[T]``, cardiac phase 0..1, R wave = 0.
      geometry, fps, view, seed, split, shared, params: see `PairRecord`.
      acquisition: the drawn colour acquisition.
    """

    cfd: np.ndarray
    grey: np.ndarray
    full: np.ndarray
    duplex: np.ndarray
    strata: np.ndarray
    velocity: np.ndarray
    labels: np.ndarray
    phase: np.ndarray
    geometry: Geometry
    fps: float
    view: str
    seed: int
    split: str
    shared: bool
    params: dict[str, Any]
    acquisition: Acquisition
    clip_id: str
    patient_id: str
    provenance: str = "simulated"

    @property
    def fan(self) -> np.ndarray:
        return (self.strata & 1) > 0

    @property
    def box(self) -> np.ndarray:
        return (self.strata & 2) > 0

    @property
    def mask(self) -> np.ndarray:
        return (self.strata & 4) > 0

    @property
    def outline(self) -> np.ndarray:
        return (self.strata & 8) > 0

    def record(self) -> PairRecord:
        return PairRecord(
            cfd=self.cfd, grey=self.grey, strata=self.strata, labels=self.labels, clip_id=self.clip_id,
            patient_id=self.patient_id, view=self.view, kind="simulated", shared=self.shared, fps=self.fps,
            vendor=self.acquisition.colour_map.family, geometry=self.geometry, params=self.params,
            source_digest=_digest(self.clip_id),
        )  # fmt: skip


def simulate_pair(
    view: str,
    seed: int,
    *,
    height: int = 128,
    width: int = 128,
    frames: int = 32,
    options: SimulationOptions | None = None,
    split: str = "train",
) -> PairRecord:
    """Simulate one pair.

    Args:
      view: one of the simulator's views (``schema.VIEWS`` without ``UNKNOWN``).
      seed: 0..``SEEDS_PER_SPLIT - 1``; the same seed, split, size, options and version give the same bytes.
      height, width: frame size in pixels, 32..2048. The sector fills the frame; what lies outside it is black.
      frames: T, 1..4096.
      split: ``train``, ``val`` or ``test``; their seeds never meet.

    Returns: a record of kind ``simulated``; clip and patient id are hashes of (version, split, seed).

    Raises: ValueError naming the parameter, its value and the allowed range.
    """
    clip = simulate_clip(view, seed, height=height, width=width, frames=frames, options=options, split=split)
    return clip.record()


def simulate_clip(
    view: str,
    seed: int,
    *,
    height: int = 128,
    width: int = 128,
    frames: int = 32,
    options: SimulationOptions | None = None,
    split: str = "train",
) -> SimulatedClip:
    """Like `simulate_pair`, with velocity, phase, both B-modes and masks beside the record."""
    options = options or SimulationOptions()
    _check(view, seed, height, width, frames, split)
    plan = _Plan.draw(view, seed, height, width, frames, options, split)
    fan, scene, acquisition = plan.fan, plan.scene, plan.acquisition
    flow = acquisition.flow(fan, plan.rng_flow, fps=scene.fps)
    duplex = np.zeros((frames, height, width), np.uint8)
    full = np.zeros_like(duplex)
    labels = np.zeros_like(duplex)
    velocity = np.full(duplex.shape, np.nan, np.float16)
    phase = np.zeros(frames, np.float32)
    layers, field, shown = [], None, None
    for k, now in enumerate(scene.frames()):
        phase[k] = now.phase
        labels[k] = fan.to_image(now.labels, nearest=True)
        polar = _to_uint8(now.grey)
        held = k % acquisition.hold != 0
        if not held:
            shown = thin_lines(polar, acquisition.line_keep)
            field = flow.estimate(
                k, grey=now.grey, velocity=now.velocity, blood=now.blood, tissue_velocity=now.tissue_velocity
            )
        duplex[k] = duplex[k - 1] if held else fan.to_image(shown)
        full[k] = duplex[k] if shown is polar and not held else fan.to_image(polar)
        layer = flow.paint(k, field, shown)
        velocity[k][layer.window] = layer.velocity
        layers.append(layer)
    screen = None
    if options.screen or acquisition.overlay:
        screen = make_screen(
            plan.rng_screen, fan, acquisition.colour_map, nyquist_cm_s=acquisition.settings.nyquist_cm_s,
            shown=acquisition.shown, phase=phase, fps=scene.fps, over_sector=not options.screen,
        )  # fmt: skip
    cfd, strata = compose(duplex, layers, acquisition, fan, screen=screen, whole_screen=options.screen)
    return SimulatedClip(
        cfd=cfd,
        grey=store_target(duplex if plan.shared else full, acquisition, fan),
        full=full,
        duplex=duplex,
        strata=strata,
        velocity=velocity,
        labels=labels,
        phase=phase,
        geometry=fan.geometry,
        fps=scene.fps,
        view=view,
        seed=int(seed),
        split=split,
        shared=plan.shared,
        params={"simulator_version": SIMULATOR_VERSION, "seed": int(seed), "split": split, "scene": scene.params, **acquisition.params()},
        acquisition=acquisition,
        clip_id=clip_id_of(view, seed, split, (frames, height, width), options),
        patient_id=patient_id_of(seed, split, options.clips_per_patient),
    )  # fmt: skip


def simulate_truths(
    view: str,
    seed: int,
    *,
    count: int,
    height: int = 128,
    width: int = 128,
    frames: int = 32,
    options: SimulationOptions | None = None,
    split: str = "train",
) -> np.ndarray:
    """Equally good answers to the same input: the pair's anatomy, motion and settings with new speckle.

    What no predictor can know differs between them, so their mutual score is the ceiling of the task.

    Returns: uint8 ``[count, T, H, W, 1]``, targets of the same kind (shared or restored) as `simulate_pair` gives.
    """
    if count < 1:
        raise ValueError(f"count must be >= 1, got {count}")
    options = options or SimulationOptions()
    _check(view, seed, height, width, frames, split)
    out = []
    for number in range(count):
        plan = _Plan.draw(view, seed, height, width, frames, options, split, speckle=number + 1)
        images, hold = [], plan.acquisition.hold
        for k, now in enumerate(plan.scene.frames()):
            polar = _to_uint8(now.grey)
            if plan.shared and k % hold:
                images.append(images[-1])
                continue
            images.append(plan.fan.to_image(thin_lines(polar, plan.acquisition.line_keep) if plan.shared else polar))
        out.append(store_target(np.stack(images), plan.acquisition, plan.fan))
    return np.stack(out)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulatedGrey:
    """A full-quality greyscale clip without colour: what the painter works on.

    ``grey`` uint8 ``[T, H, W]``, ``labels`` uint8 ``[T, H, W]``, ``phase`` float32 ``[T]``, ``fan``, ``fps``.
    """

    grey: np.ndarray
    labels: np.ndarray
    phase: np.ndarray
    fan: Fan
    fps: float


def simulate_grey(
    view: str,
    seed: int,
    *,
    height: int = 128,
    width: int = 128,
    frames: int = 32,
    options: SimulationOptions | None = None,
    split: str = "train",
) -> SimulatedGrey:
    """The greyscale half of `simulate_pair` alone: same arguments, same anatomy."""
    options = options or SimulationOptions()
    _check(view, seed, height, width, frames, split)
    plan = _Plan.draw(view, seed, height, width, frames, options, split)
    grey, labels = np.zeros((2, frames, height, width), np.uint8)
    phase = np.zeros(frames, np.float32)
    for k, now in enumerate(plan.scene.frames()):
        grey[k], labels[k] = plan.fan.to_image(_to_uint8(now.grey)), plan.fan.to_image(now.labels, nearest=True)
        phase[k] = now.phase
    return SimulatedGrey(grey=grey, labels=labels, phase=phase, fan=plan.fan, fps=plan.scene.fps)


def row_of_seed(
    view: str,
    seed: int,
    *,
    height: int = 128,
    width: int = 128,
    frames: int = 32,
    options: SimulationOptions | None = None,
    split: str = "train",
) -> ClipRow:
    """The manifest row of the record that `simulate_pair` gives for the same arguments, without simulating it."""
    options = options or SimulationOptions()
    _check(view, seed, height, width, frames, split)
    head = _Head.draw(view, seed, options, split)
    clip_id = clip_id_of(view, seed, split, (frames, height, width), options)
    return ClipRow(
        clip_id=clip_id, patient_id=patient_id_of(seed, split, options.clips_per_patient), view=view, kind="simulated",
        shared=head.shared, n_frames=int(frames), height=int(height), width=int(width), fps=head.fps, score=1.0,
        vendor=head.colour_map.family, source_digest=_digest(clip_id), split=split,
    )  # fmt: skip


def clip_id_of(view: str, seed: int, split: str, shape: tuple[int, int, int], options: SimulationOptions) -> str:
    """Stable hash (32 hex digits) of a simulated clip: version, split, view, seed, ``(T, H, W)`` and options."""
    shape = tuple(int(n) for n in shape)
    return _digest(f"simulated/{SIMULATOR_VERSION}/{split}/{view}/{int(seed)}/{shape}/{options.digest()}")[:32]


def patient_id_of(seed: int, split: str, clips_per_patient: int = 1) -> str:
    """Stable hash (32 hex digits) of the simulated patient a seed belongs to."""
    return _digest(f"simulated-patient/{SIMULATOR_VERSION}/{split}/{int(seed) // clips_per_patient}")[:32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Head:
    """What is known of a clip before its scene is built: cheap, so that a source can list its clips."""

    fps: float
    shared: bool
    colour_map: ColourMap
    streams: tuple[np.random.SeedSequence, ...]

    @classmethod
    def draw(cls, view: str, seed: int, options: SimulationOptions, split: str) -> _Head:
        entropy = [int(SIMULATOR_VERSION), 1, SPLITS.index(split) * SEEDS_PER_SPLIT + int(seed), VIEWS.index(view)]
        head, *streams = np.random.SeedSequence(entropy).spawn(6)
        rng = np.random.default_rng(head)
        fps = float(np.round(rng.uniform(*FPS[VIEW_DOMAIN[view]]), 2))
        shared = bool(rng.random() < options.shared_share)
        return cls(
            fps=fps if options.fps is None else float(options.fps),
            shared=shared if options.shared is None else bool(options.shared),
            colour_map=draw_palette(rng, options),
            streams=tuple(streams),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Plan:
    """A clip ready to be formed: sector, scene, acquisition and the generators of what follows."""

    fan: Fan
    scene: Scene
    acquisition: Acquisition
    shared: bool
    rng_flow: np.random.Generator
    rng_screen: np.random.Generator

    @classmethod
    def draw(cls, view, seed, height, width, frames, options: SimulationOptions, split, *, speckle: int = 0) -> _Plan:
        head = _Head.draw(view, seed, options, split)
        rng_draw, rng_scene, rng_flow, rng_screen, rng_speckle = (np.random.default_rng(s) for s in head.streams)
        if options.screen:
            fan = _fan_on_screen(view, rng_draw, height, width)
        else:
            fan = draw_fan(view, rng_draw, height=height, width=width)
        speckle_seed = int(rng_speckle.integers(1 << 62)) + speckle if speckle else None
        scene = make_scene(
            view, rng_scene, fan=fan, frames=frames, fps=head.fps, speckle_seed=speckle_seed, options=options.scene
        )
        centre = _jittered(rng_draw, fan, scene.focus[int(rng_draw.integers(len(scene.focus)))])
        acquisition = draw_acquisition(
            rng_draw, fan, centre, options=options, frames=frames, fps=head.fps, domain=VIEW_DOMAIN[view],
            nyquist_range=scene.nyquist_range, shared=head.shared, colour_map=head.colour_map,
        )  # fmt: skip
        return cls(
            fan=fan, scene=scene, acquisition=acquisition, shared=head.shared, rng_flow=rng_flow, rng_screen=rng_screen
        )


def _jittered(rng: np.random.Generator, fan: Fan, centre: tuple[float, float]) -> tuple[float, float]:
    """Nobody centres a box exactly; one clip in twelve looks somewhere else altogether."""
    r_span, t_span = float(fan.r[-1] - fan.r[0]), float(fan.t[-1] - fan.t[0])
    near, anywhere = rng.normal(0, 1, 2), rng.uniform(0.2, 0.8, 2)
    if rng.random() < 1 / 12:
        return float(fan.r[0] + anywhere[0] * r_span), float(fan.t[0] + anywhere[1] * t_span)
    return centre[0] + float(near[0]) * 0.04 * r_span, centre[1] + float(near[1]) * 0.04 * t_span


def _fan_on_screen(view: str, rng: np.random.Generator, height: int, width: int) -> Fan:
    """A sector with room round it for bars, text and the ECG."""
    top, bottom, side = 0.06, 0.10, 0.15
    inner_h, inner_w = int(height * (1 - top - bottom)), int(width * (1 - 2 * side))
    g = draw_fan(view, rng, height=inner_h, width=inner_w).geometry
    dx, dy = (width - inner_w) / 2, height * top
    moved = {"native_height": height, "native_width": width}
    if g.kind == "linear":
        moved |= {"x0": g.x0 + dx, "x1": g.x1 + dx, "r0": g.r0 + dy, "r1": g.r1 + dy}
    else:
        moved |= {"apex_x": g.apex_x + dx, "apex_y": g.apex_y + dy}
    return Fan.from_geometry(dataclasses.replace(g, **moved), height=height, width=width)


def _to_uint8(polar: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(np.maximum(polar, 0))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check(view: str, seed: int, height: int, width: int, frames: int, split: str) -> None:
    known = tuple(v for v in VIEWS if v != "UNKNOWN")
    if view not in known:
        raise ValueError(f"view must be one of {known}, got {view!r}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
    for name, value, low, high in (
        ("seed", seed, 0, SEEDS_PER_SPLIT - 1), ("height", height, 32, 2048), ("width", width, 32, 2048), ("frames", frames, 1, 4096),
    ):  # fmt: skip
        if isinstance(value, bool) or int(value) != value or not math.isfinite(value) or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number in {low}..{high}, got {value!r}")
