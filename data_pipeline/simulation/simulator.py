"""Simulated pairs: a scene, its duplex acquisition, and everything that is known about it."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np

from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR, PairRecord
from data_pipeline.simulation.console.acquisition import Acquisition, compose, store_target, thin_lines
from data_pipeline.simulation.plan import (
    SEEDS_PER_SPLIT,
    SIMULATOR_VERSION,
    ClipPlan,
    ClipRequest,
    SimulationOptions,
    digest_of,
    row_of_seed,
)
from data_pipeline.simulation.scan_grid import ScanGrid

__all__ = [
    "SEEDS_PER_SPLIT", "SIMULATOR_VERSION", "SimulatedClip", "SimulatedGrey", "SimulationOptions", "row_of_seed",
    "simulate_clip", "simulate_grey", "simulate_pair", "simulate_truths",
]  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulatedClip(PairRecord):
    """A pair and everything else that is known about it. ``H x W`` is the frame, masks are per frame since boxes may move.

    Attributes:
      full: uint8 ``[T, H, W]``, full-quality B-mode before storage; duplex: likewise, as acquired next to colour.
      velocity: float16 ``[T, H, W]``, painted velocity towards the probe in cm/s, wrapped at Nyquist, NaN off the flow.
      phase: float32 ``[T]``, cardiac phase 0..1, R wave = 0.
      acquisition: the drawn colour acquisition.

    ``mask``, ``box``, ``outline`` and ``fan`` are the bool planes of ``strata``.
    """

    full: np.ndarray
    duplex: np.ndarray
    velocity: np.ndarray
    phase: np.ndarray
    acquisition: Acquisition

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
        """The pair alone."""
        return PairRecord(**{field.name: getattr(self, field.name) for field in dataclasses.fields(PairRecord)})


def simulate_pair(view: str, seed: int, **request: Any) -> PairRecord:
    """Simulate one pair.

    Args:
      view, seed, request: see `plan.ClipRequest`, which refuses what is out of range with a ``ValueError``.

    Returns: a record of kind ``simulated``; clip and patient id are hashes of (version, split, seed).
    """
    return simulate_clip(view, seed, **request).record()


def simulate_clip(view: str, seed: int, **request: Any) -> SimulatedClip:
    """Like `simulate_pair`, with velocity, phase, both B-modes and masks beside the record."""
    wanted = ClipRequest(view, seed, **request)
    plan = ClipPlan.draw(wanted)
    fan, scene, acquisition, whole = plan.fan, plan.scene, plan.acquisition, wanted.options.screen
    flow = acquisition.flow(fan, plan.rng_flow, fps=scene.fps)
    duplex = np.zeros((wanted.frames, wanted.height, wanted.width), np.uint8)
    full = np.zeros_like(duplex)
    labels = np.zeros_like(duplex)
    velocity = np.full(duplex.shape, np.nan, np.float16)
    phase = np.zeros(wanted.frames, np.float32)
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
    screen = acquisition.screen(plan.rng_screen, fan, phase=phase, fps=scene.fps, whole=whole)
    cfd, strata = compose(duplex, layers, acquisition, fan, screen=screen, whole_screen=whole)
    facts = {"simulator_version": SIMULATOR_VERSION, "seed": int(seed), "split": wanted.split, "scene": scene.params}
    return SimulatedClip(
        cfd=cfd, grey=store_target(duplex if plan.shared else full, acquisition, fan), strata=strata, labels=labels,
        clip_id=wanted.clip_id, patient_id=wanted.patient_id, view=view, kind="simulated", shared=plan.shared,
        fps=scene.fps, vendor=acquisition.colour_map.family, source_digest=digest_of(wanted.clip_id),
        geometry=fan.geometry, params=facts | acquisition.params(),
        full=full, duplex=duplex, velocity=velocity, phase=phase, acquisition=acquisition,
    )  # fmt: skip


def simulate_truths(view: str, seed: int, *, count: int, **request: Any) -> np.ndarray:
    """Equally good answers to the same input: the pair's anatomy, motion and settings with new speckle.

    What no predictor can know differs between them, so their mutual score is the ceiling of the task.

    Returns: uint8 ``[count, T, H, W, 1]``, targets of the same kind (shared or restored) as `simulate_pair` gives.
    """
    if count < 1:
        raise ValueError(f"count must be >= 1, got {count}")
    wanted, out = ClipRequest(view, seed, **request), []
    for number in range(count):
        plan = ClipPlan.draw(wanted, speckle=number + 1)
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


def simulate_grey(view: str, seed: int, **request: Any) -> SimulatedGrey:
    """The greyscale half of `simulate_pair` alone: same arguments, same anatomy."""
    wanted = ClipRequest(view, seed, **request)
    plan = ClipPlan.draw(wanted)
    grey, labels = np.zeros((2, wanted.frames, wanted.height, wanted.width), np.uint8)
    phase = np.zeros(wanted.frames, np.float32)
    for k, now in enumerate(plan.scene.frames()):
        grey[k], labels[k] = plan.fan.to_image(_to_uint8(now.grey)), plan.fan.to_image(now.labels, nearest=True)
        phase[k] = now.phase
    return SimulatedGrey(grey=grey, labels=labels, phase=phase, fan=plan.fan, fps=plan.scene.fps)


def _to_uint8(polar: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(np.maximum(polar, 0))
