"""A scene: one drawn patient in one view, frame by frame as the probe sees it, before any colour."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from data_pipeline.schema import VIEW_DOMAIN
from data_pipeline.simulation import steady
from data_pipeline.simulation.bmode import BModeChain, Look, Scatterers, beam_fixed_db, clutter_db, draw_look, exposed
from data_pipeline.simulation.kinematics import RHYTHMS, Kinematics, draw_kinematics
from data_pipeline.simulation.pathology import draw_pathology
from data_pipeline.simulation.scan_grid import ScanGrid
from data_pipeline.simulation.views import VIEWS, Anatomy, ViewSpec
from data_pipeline.simulation.views.valves import Valves


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneOptions:
    """What a caller may fix in a scene; everything else is drawn."""

    pathology: str = "draw"
    """``draw``, ``none`` or a name that the view has."""
    pathology_rate: float = 0.3
    rhythm: str = "draw"
    """``draw`` or one of ``kinematics.RHYTHMS``."""
    grey_map: str = "draw"
    """``draw`` or a key of ``bmode.GREY_MAPS``."""
    poor_window: float | None = None
    """0 (good) .. 1 (poor); None draws: good in three of four clips."""
    nyquist_cm_s: tuple[float, float] | None = None
    """Replaces the view's range."""

    def __post_init__(self) -> None:
        if self.rhythm not in (*RHYTHMS, "draw"):
            raise ValueError(f"SceneOptions.rhythm must be one of {(*RHYTHMS, 'draw')}, got {self.rhythm!r}")
        if not 0 <= self.pathology_rate <= 1:
            raise ValueError(f"SceneOptions.pathology_rate must be in 0..1, got {self.pathology_rate}")
        if self.poor_window is not None and not 0 <= self.poor_window <= 1:
            raise ValueError(f"SceneOptions.poor_window must be in 0..1 or None, got {self.poor_window}")
        if self.nyquist_cm_s is not None:
            low, high = self.nyquist_cm_s
            if not 0 < low <= high <= 500:
                raise ValueError(
                    f"SceneOptions.nyquist_cm_s must be 0 < low <= high <= 500 cm/s, got {self.nyquist_cm_s}"
                )


@dataclasses.dataclass(frozen=True)
class FrameFields:
    """One frame in beam space; all arrays [n_r, n_t].

    ``grey`` float32 0..255 after the whole B-mode chain. ``velocity`` float32 cm/s of blood along the beam, towards the
    probe positive, not aliased, 0 outside blood. ``blood`` float32 0..1. ``tissue_velocity`` float32 cm/s likewise,
    everywhere.
    ``labels`` uint8, indices into ``schema.LABELS``. ``phase`` 0..1, R wave = 0.
    """

    grey: np.ndarray
    velocity: np.ndarray
    blood: np.ndarray
    tissue_velocity: np.ndarray
    labels: np.ndarray
    phase: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """A drawn scene; `frames` may be called again and gives the same frames."""

    view: str
    domain: str
    fan: ScanGrid
    fps: float
    params: dict[str, Any]
    """The draw, JSON-serialisable."""
    focus: tuple[tuple[float, float], ...]
    """Candidates for the middle of the colour box, ``(r px, t)``."""
    nyquist_range: tuple[float, float]
    """cm/s, usual for the view."""
    look: Look
    anatomy: Anatomy
    kinematics: Kinematics
    fixed_db: np.ndarray
    clutter: np.ndarray
    scatter_seed: int
    flicker_seed: int

    def __len__(self) -> int:
        return self.kinematics.frames

    @functools.cached_property
    def _fields(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Displacement fields [K, 2, n_r * n_t] (columns, rows), their amplitudes [K, T] and the rates of these."""
        motions, kin = self.anatomy.motions, self.kinematics
        fields = np.stack([np.stack([m.columns.ravel(), m.rows.ravel()]) for m in motions])
        gains = np.array([m.gain for m in motions], np.float32)[:, None]
        drives, rates = (np.stack([table[m.drive] for m in motions]) for table in (kin.drives, kin.rates))
        return fields, gains * drives, gains * rates

    def displacement(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """How far what is seen in a frame has moved since end-diastole.

        float32 [n_r, n_t] each: ``(columns, rows)`` in grid samples.
        """
        fields, amplitudes, _ = self._fields
        # einsum, not BLAS: its sums have one order on every machine
        columns, rows = np.einsum("k,kcn->cn", amplitudes[:, frame], fields).reshape(2, *self.fan.shape)
        return columns, rows

    def frames(self) -> Iterator[FrameFields]:
        """Form the frames in order."""
        fan, body, kin = self.fan, self.anatomy, self.kinematics
        scatterers = Scatterers(_generator(self.scatter_seed), fan)
        chain = BModeChain(self.look, fan, scatterers, fixed_db=self.fixed_db, clutter=self.clutter)
        twinkling = _generator(self.flicker_seed)
        columns, rows = np.meshgrid(np.arange(fan.n_t, dtype=np.float32), np.arange(fan.n_r, dtype=np.float32))
        fields, _, rates = self._fields
        basis = np.stack([term.basis.ravel() for term in body.flows])
        coefficients = np.stack([term.coefficient for term in body.flows])  # [F, T]
        material = np.dstack([body.echo_db, body.blood, np.zeros(fan.shape, np.float32)]).astype(np.float32)
        valves = Valves(body, fan, fps=self.fps)
        for k in range(kin.frames):
            moved = self.displacement(k)
            at = columns - moved[0], rows - moved[1]
            material[..., 2] = np.einsum("f,fn->n", coefficients[:, k], basis).reshape(fan.shape)
            echo, blood, velocity = cv2.split(cv2.remap(material, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
            labels = cv2.remap(body.labels, *at, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
            tissue = np.einsum("k,kn->n", rates[:, k], fields[:, 1]).reshape(fan.shape)
            tissue *= np.float32(-fan.axial_step_cm)
            valves.draw(k, at, echo=echo, blood=blood, labels=labels, tissue=tissue)
            velocity *= np.minimum(blood * np.float32(2), 1)
            grey = chain.form(echo, blood, *at)
            if body.twinkle is not None:
                spark = cv2.remap(body.twinkle, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
                chance = twinkling.standard_normal(fan.shape, dtype=np.float32)
                velocity += spark * chance * np.float32(2.0 * self.nyquist_range[1])
                blood = np.maximum(blood, np.float32(0.8) * spark * (np.abs(chance) > 0.5))
            yield FrameFields(grey, velocity, blood, tissue, labels, float(kin.phase[k]))


def make_scene(
    view: str, rng: np.random.Generator, *, fan: ScanGrid, frames: int, fps: float, speckle_seed: int | None = None,
    options: SceneOptions | None = None,
) -> Scene:  # fmt: skip
    """Draw a scene of a view.

    Args:
        view: a key of ``views.VIEWS``.
        rng: source of anatomy, motion and acquisition; the same state gives the same scene.
        fan: the sector; see `draw_fan` for one that suits the view.
        frames: 1..4096.
        fps: frames per second, 1..400.
        speckle_seed: same anatomy, motion and settings with other scatterers: what no predictor can know.
        options: what to fix instead of drawing.

    Raises:
        ValueError: naming the parameter, its value and the allowed range.
    """
    spec, options = _spec(view), options or SceneOptions()
    domain = VIEW_DOMAIN[view]
    seeds = rng.integers(0, 2**63, size=5)
    kinematics = draw_kinematics(
        _generator(seeds[0]), frames=frames, fps=fps, heart_rate=spec.heart_rate, rhythm=options.rhythm
    )
    draw = _generator(seeds[1])
    pathology = draw_pathology(draw, spec.pathologies, name=options.pathology, rate=options.pathology_rate)
    poor = float(max(0.0, draw.uniform(-3, 1))) if options.poor_window is None else float(options.poor_window)
    anatomy = spec.build(_generator(seeds[2]), fan, kinematics, pathology)
    acquisition = _generator(seeds[3])
    look = draw_look(acquisition, domain=domain, poor=poor, grey_map=options.grey_map)
    fixed = beam_fixed_db(acquisition, fan, poor=poor)
    if anatomy.fixed_db is not None:
        fixed = fixed + anatomy.fixed_db
    clutter = clutter_db(acquisition, fan, look)
    shown = 10 * steady.log10(steady.power(10, (anatomy.echo_db + fixed) / 10) + steady.power(10, clutter / 10))
    look = exposed(look, shown, fan.lateral_step_cm, mean_grey=look.mean_grey)
    nyquist = tuple(float(v) for v in options.nyquist_cm_s or spec.nyquist_cm_s)
    flicker, scatter = (int(v) for v in _generator(seeds[4]).integers(0, 2**63, size=2))
    params = {
        "view": view, "frames": int(frames), "fps": float(fps), "heart_rate_bpm": 60 / kinematics.period_s,
        "rhythm": kinematics.rhythm, "pathology": dataclasses.asdict(pathology), "poor_window": poor,
        "grey_map": look.grey_map, "dynamic_range_db": look.dynamic_range_db, "gain_db": look.gain_db,
        "mean_grey": look.mean_grey, "axial_mm": look.axial_mm, "lateral_deg": look.lateral_deg,
        "persistence": look.persistence, "anatomy": anatomy.params,
    }  # fmt: skip
    return Scene(
        view=view, domain=domain, fan=fan, fps=float(fps), params=params, focus=anatomy.focus, nyquist_range=nyquist,
        look=look, anatomy=anatomy, kinematics=kinematics, fixed_db=fixed, clutter=clutter,
        scatter_seed=scatter if speckle_seed is None else int(speckle_seed), flicker_seed=flicker,
    )  # fmt: skip


def draw_fan(view: str, rng: np.random.Generator, *, height: int, width: int) -> ScanGrid:
    """A sector as this view is usually acquired, filling an image of ``height x width`` pixels."""
    spec = _spec(view)
    depth, half, surface = (float(rng.uniform(*r)) for r in (spec.depth_cm, spec.half_angle_deg, spec.surface_cm))
    steer = float(math.radians(rng.uniform(12, 20)) * rng.choice((-1, 1)))
    overfill = float(rng.uniform(1.0, 1.12)) if rng.random() < 0.4 else 1.0
    if spec.kind == "linear":
        return ScanGrid.for_size(
            "linear", height, width, depth_cm=depth, width_cm=float(rng.uniform(3.4, 4.4)), steer=steer
        )
    return ScanGrid.for_size(
        spec.kind, height, width, depth_cm=depth, half_angle=math.radians(half), surface_cm=surface, overfill=overfill,
        margin=float(rng.uniform(0.0, 0.04)),
    )  # fmt: skip


def _spec(view: str) -> ViewSpec:
    if view not in VIEWS:
        raise ValueError(f"view must be one of {tuple(VIEWS)}, got {view!r}")
    return VIEWS[view]


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(int(seed)))
