"""What is decided about a simulated clip before it is formed: options, identity, generators, scene, acquisition."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from typing import Any

import numpy as np

from data_pipeline.records.manifest import ClipRow
from data_pipeline.schema import SPLITS, VIEW_DOMAIN, VIEWS
from data_pipeline.simulation.console.acquisition import Acquisition, AcquisitionOptions, draw_acquisition, draw_palette
from data_pipeline.simulation.console.colour_maps import ColourMap
from data_pipeline.simulation.scan_grid import ScanGrid
from data_pipeline.simulation.scene import Scene, SceneOptions, draw_fan, make_scene

SIMULATOR_VERSION = "2"
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
      shared: ``True``: the target is the same duplex B-mode as under the colour (a true dual clip); ``False``: the
        target is the full-quality B-mode; ``None`` draws, ``True`` in ``shared_share`` of the clips.
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


@dataclasses.dataclass(frozen=True)
class ClipRequest:
    """Which clip to simulate, and how large: the same request and version give the same bytes.

    Attributes:
      view: one of the simulator's views (``schema.VIEWS`` without ``UNKNOWN``).
      seed: 0..``SEEDS_PER_SPLIT - 1``.
      height, width: frame size in pixels, 32..2048. The sector fills the frame; what lies outside it is black.
      frames: T, 1..4096.
      options: what to fix.
      split: ``train``, ``val`` or ``test``; their seeds never meet.

    Raises: ValueError naming the parameter, its value and the allowed range.
    """

    view: str
    seed: int
    _: dataclasses.KW_ONLY
    height: int = 128
    width: int = 128
    frames: int = 32
    options: SimulationOptions = SimulationOptions()
    split: str = "train"

    def __post_init__(self) -> None:
        known = tuple(v for v in VIEWS if v != "UNKNOWN")
        if self.view not in known:
            raise ValueError(f"view must be one of {known}, got {self.view!r}")
        if self.split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, got {self.split!r}")
        limits = {"seed": (0, SEEDS_PER_SPLIT - 1), "height": (32, 2048), "width": (32, 2048), "frames": (1, 4096)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if isinstance(value, bool) or int(value) != value or not math.isfinite(value) or not low <= value <= high:
                raise ValueError(f"{name} must be a whole number in {low}..{high}, got {value!r}")

    @property
    def clip_id(self) -> str:
        """Stable hash (32 hex digits): version, split, view, seed, ``(T, H, W)`` and options."""
        shape = (int(self.frames), int(self.height), int(self.width))
        identity = f"{SIMULATOR_VERSION}/{self.split}/{self.view}/{int(self.seed)}/{shape}/{self.options.digest()}"
        return digest_of(f"simulated/{identity}")[:32]

    @property
    def patient_id(self) -> str:
        """Stable hash (32 hex digits) of the simulated patient that the seed belongs to."""
        number = int(self.seed) // self.options.clips_per_patient
        return digest_of(f"simulated-patient/{SIMULATOR_VERSION}/{self.split}/{number}")[:32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipHead:
    """What is known of a clip before its scene is built: cheap, so that a source can list its clips."""

    fps: float
    shared: bool
    colour_map: ColourMap
    streams: tuple[np.random.SeedSequence, ...]

    @classmethod
    def draw(cls, request: ClipRequest) -> ClipHead:
        view, options = request.view, request.options
        number = SPLITS.index(request.split) * SEEDS_PER_SPLIT + int(request.seed)
        head, *streams = np.random.SeedSequence([int(SIMULATOR_VERSION), 1, number, VIEWS.index(view)]).spawn(6)
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
class ClipPlan:
    """A clip ready to be formed: sector, scene, acquisition and the generators of what follows."""

    fan: ScanGrid
    scene: Scene
    acquisition: Acquisition
    shared: bool
    rng_flow: np.random.Generator
    rng_screen: np.random.Generator

    @classmethod
    def draw(cls, request: ClipRequest, *, speckle: int = 0) -> ClipPlan:
        """``speckle``: other numbers draw other speckle over the same anatomy."""
        view, options, frames = request.view, request.options, request.frames
        head = ClipHead.draw(request)
        rng_draw, rng_scene, rng_flow, rng_screen, rng_speckle = (np.random.default_rng(s) for s in head.streams)
        place = _fan_on_screen if options.screen else draw_fan
        fan = place(view, rng_draw, height=request.height, width=request.width)
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


def _jittered(rng: np.random.Generator, fan: ScanGrid, centre: tuple[float, float]) -> tuple[float, float]:
    """Nobody centres a box exactly; one clip in twelve looks somewhere else altogether."""
    r_span, t_span = float(fan.r[-1] - fan.r[0]), float(fan.t[-1] - fan.t[0])
    near, anywhere = rng.normal(0, 1, 2), rng.uniform(0.2, 0.8, 2)
    if rng.random() < 1 / 12:
        return float(fan.r[0] + anywhere[0] * r_span), float(fan.t[0] + anywhere[1] * t_span)
    return centre[0] + float(near[0]) * 0.04 * r_span, centre[1] + float(near[1]) * 0.04 * t_span


def _fan_on_screen(view: str, rng: np.random.Generator, *, height: int, width: int) -> ScanGrid:
    """A sector with room round it for bars, text and the ECG."""
    top, bottom, side = 0.06, 0.10, 0.15
    inner_h, inner_w = int(height * (1 - top - bottom)), int(width * (1 - 2 * side))
    g = draw_fan(view, rng, height=inner_h, width=inner_w).geometry
    dx, dy = (width - inner_w) / 2, height * top
    moved = dataclasses.replace(g.moved(-dx, -dy), native_height=height, native_width=width)
    return ScanGrid.from_geometry(moved, height=height, width=width)


def row_of_seed(view: str, seed: int, **request: Any) -> ClipRow:
    """The manifest row of the record that `simulate_pair` gives for the same arguments, without simulating it."""
    wanted = ClipRequest(view, seed, **request)
    head = ClipHead.draw(wanted)
    return ClipRow(
        clip_id=wanted.clip_id, patient_id=wanted.patient_id, view=view, kind="simulated", shared=head.shared,
        n_frames=int(wanted.frames), height=int(wanted.height), width=int(wanted.width), fps=head.fps, score=1.0,
        vendor=head.colour_map.family, source_digest=digest_of(wanted.clip_id), split=wanted.split,
    )  # fmt: skip


def digest_of(text: str) -> str:
    """SHA-256 of a text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
