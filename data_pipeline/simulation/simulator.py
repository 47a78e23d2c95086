"""Simulated pairs: a scene, its duplex acquisition, and everything that is known about it."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np

from data_pipeline.geometry import Geometry
from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR, PairRecord
from data_pipeline.simulation.console.acquisition import Acquisition, compose, store_target, thin_lines
from data_pipeline.simulation.plan import (
    SEEDS_PER_SPLIT,
    SIMULATOR_VERSION,
    ClipPlan,
    SimulationOptions,
    clip_id_of,
    digest_of,
    patient_id_of,
    row_of_seed,
)
from data_pipeline.simulation.scan_grid import ScanGrid

__all__ = [
    "SEEDS_PER_SPLIT", "SIMULATOR_VERSION", "SimulatedClip", "SimulatedGrey", "SimulationOptions", "row_of_seed",
    "simulate_clip", "simulate_grey", "simulate_pair", "simulate_truths",
]  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulatedClip:
    """Everything known about one simulated clip. ``H x W`` is the frame, masks are per frame since boxes may move.

    Attributes:
      cfd: uint8 ``[T, H, W, 3]`` RGB, stored and decoded.
      grey: uint8 ``[T, H, W, 1]``, the target.
      full: uint8 ``[T, H, W]``, full-quality B-mode before storage; duplex: likewise, as acquired next to colour.
      strata: uint8 ``[T, H, W]`` flags of ``schema`` (``SECTOR | BOX | FLOW | OUTLINE``); ``mask``, ``box``,
        ``outline``, ``fan`` are its bool planes.
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

    @property
    def fan(self) -> np.ndarray:
        return (self.strata & SECTOR) > 0

    @property
    def box(self) -> np.ndarray:
        return (self.strata & BOX) > 0

    @property
    def mask(self) -> np.ndarray:
        return (self.strata & FLOW) > 0

    @property
    def outline(self) -> np.ndarray:
        return (self.strata & OUTLINE) > 0

    def record(self) -> PairRecord:
        return PairRecord(
            cfd=self.cfd, grey=self.grey, strata=self.strata, labels=self.labels, clip_id=self.clip_id,
            patient_id=self.patient_id, view=self.view, kind="simulated", shared=self.shared, fps=self.fps,
            vendor=self.acquisition.colour_map.family, geometry=self.geometry, params=self.params,
            source_digest=digest_of(self.clip_id),
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
    plan = ClipPlan.draw(view, seed, height, width, frames, options, split)
    options = plan.options
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
    screen = acquisition.screen(plan.rng_screen, fan, phase=phase, fps=scene.fps, whole=options.screen)
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
        params={
            "simulator_version": SIMULATOR_VERSION,
            "seed": int(seed),
            "split": split,
            "scene": scene.params,
            **acquisition.params(),
        },
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
    out = []
    for number in range(count):
        plan = ClipPlan.draw(view, seed, height, width, frames, options, split, speckle=number + 1)
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
    fan: ScanGrid
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
    plan = ClipPlan.draw(view, seed, height, width, frames, options, split)
    grey, labels = np.zeros((2, frames, height, width), np.uint8)
    phase = np.zeros(frames, np.float32)
    for k, now in enumerate(plan.scene.frames()):
        grey[k], labels[k] = plan.fan.to_image(_to_uint8(now.grey)), plan.fan.to_image(now.labels, nearest=True)
        phase[k] = now.phase
    return SimulatedGrey(grey=grey, labels=labels, phase=phase, fan=plan.fan, fps=plan.scene.fps)


def _to_uint8(polar: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(np.maximum(polar, 0))
