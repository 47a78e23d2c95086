"""True pairs out of recordings that keep B-mode and colour apart (EchoXFlow): the colour is painted where the scanner would.

The target is the B-mode of the same acquisition, so untouched pixels agree bit for bit and truth is known everywhere.
That B-mode has fewer lines and frames than a dedicated one: it teaches clean colour-flow grey, not diagnostic B-mode.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math

import cv2
import numpy as np

from data_pipeline.geometry import Fan, Geometry
from data_pipeline.readers.datasets.echoxflow import Sector, StreamRecording
from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR, PairRecord
from data_pipeline.screen.colour.box import ColourBox, box_masks
from data_pipeline.screen.deidentify import KeyedHasher
from data_pipeline.simulation.console.colour_maps import ColourMap, draw_colour_map


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How colour is written over the B-mode. Ranges are drawn from, since every scanner has its own priority."""

    size: int = 256
    """Side of the square frame, px."""
    min_power: tuple[float, float] = (0.22, 0.38)
    power_over_grey: tuple[float, float] = (0.06, 0.18)
    """Power must exceed the B-mode (both 0..1) by this much."""
    max_grey: float = 0.9
    min_velocity: tuple[float, float] = (0.03, 0.08)
    """Slowest velocity that is painted, over Nyquist."""
    outline_share: float = 0.9
    """Share of clips whose box is drawn."""


def pair_from_recording(
    recording: StreamRecording, *, hasher: KeyedHasher, seed: int = 0, options: StreamOptions | None = None
) -> PairRecord:
    """Render one recording as a colour-flow clip beside its own B-mode.

    Colour frames without a B-mode frame within half a frame interval are left out. Velocity is interpolated as a phasor,
    so aliased edges stay sharp. The same recording, seed and options give the same bytes.

    Raises:
      ValueError: the two streams do not overlap in time.
    """
    options = options or StreamOptions()
    identity = f"echoxflow/{recording.exam}/{recording.name}"
    rng = np.random.default_rng(np.frombuffer(hashlib.sha256(f"{identity}/{seed}".encode()).digest(), np.uint32))
    kept, partner = _partners(recording)
    geometry = frame_geometry(recording.bmode_sector, options.size)
    box = _colour_box(recording.colour_sector, geometry, drawn=rng.random() < options.outline_share)
    colours = draw_colour_map(rng)
    gate = {
        name: float(rng.uniform(*getattr(options, name))) for name in ("min_power", "power_over_grey", "min_velocity")
    }
    cfd, grey, strata = _written(
        recording, kept, partner, geometry, box, colours, max_grey=options.max_grey, size=options.size, **gate
    )
    step = float(np.median(np.diff(recording.colour_times[kept]))) if len(kept) > 1 else 1 / 30
    return PairRecord(
        cfd=cfd,
        grey=grey[..., None],
        strata=strata,
        labels=np.zeros_like(strata),
        clip_id=hasher.clip(f"{identity}/{seed}"),
        patient_id=hasher.patient(f"echoxflow/{recording.exam}"),
        view="UNKNOWN",
        kind="streams",
        shared=True,
        fps=float(np.clip(1 / step, 1, 400)),
        vendor=colours.family,
        source_digest=hashlib.sha256(recording.bmode.tobytes()).hexdigest(),
        geometry=geometry,
        params={
            "dataset": "echoxflow",
            "seed": seed,
            "fold": recording.fold,
            "nyquist_cm_s": 100 * recording.nyquist,
            "gate": gate,
            "colour_map": colours.settings,
            "frames_without_partner": len(recording.velocity) - len(kept),
        },
    )


def _written(
    recording: StreamRecording, kept: np.ndarray, partner: np.ndarray, geometry: Fan, box: ColourBox, colours: ColourMap, *,
    min_power: float, power_over_grey: float, min_velocity: float, max_grey: float, size: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Colour frames ``kept`` over the B-mode frames ``partner``: ``cfd`` ``[T, S, S, 3]``, ``grey``, ``strata`` uint8."""
    shape = (size, size)
    inside = geometry.mask(shape)
    in_box, _, outline = box_masks(box, geometry, shape)
    in_box, outline = in_box & inside, outline & inside
    to_grey = _beam_map(recording.bmode_sector, recording.bmode.shape[1:], geometry, shape)
    to_colour = _beam_map(recording.colour_sector, recording.velocity.shape[1:], geometry, shape)
    grey = np.stack([cv2.remap(recording.bmode[k], *to_grey, cv2.INTER_LINEAR) for k in partner])
    grey *= inside.astype(np.uint8)
    cfd = np.repeat(grey[..., None], 3, axis=-1)
    strata = np.empty_like(grey)
    strata[:] = inside * np.uint8(SECTOR) | in_box * np.uint8(BOX) | outline * np.uint8(OUTLINE)
    for index, frame in enumerate(kept):
        velocity, power = _colour(recording, frame, to_colour)
        level = grey[index] / 255.0
        flow = (power > min_power) & (power - level > power_over_grey) & (level <= max_grey)
        flow &= (np.abs(velocity) > min_velocity) & in_box & ~outline
        cfd[index][flow] = colours.colours(velocity[flow])
        strata[index][flow] |= np.uint8(FLOW)
    cfd[:, outline] = 250
    return cfd, grey, strata


def frame_geometry(sector: Sector, size: int) -> Fan:
    """The sector (cm, rad) centred in a square of ``size`` px with a margin of 2 %."""
    edge = max(abs(sector.angle_start), abs(sector.angle_end))
    top = sector.depth_start * math.cos(min(edge, math.pi / 2))
    left, right = sector.depth_end * math.sin(sector.angle_start), sector.depth_end * math.sin(sector.angle_end)
    left, right = min(left, 0.0), max(right, 0.0)
    scale = max(sector.depth_end - top, right - left) / (0.96 * size)  # cm per px
    return Fan(
        kind="curvilinear" if sector.depth_start > 0.12 * sector.depth_end else "phased",
        apex_x=size / 2 - 0.5 - 0.5 * (left + right) / scale,
        apex_y=size / 2 - 0.5 - 0.5 * (top + sector.depth_end) / scale,
        r0=sector.depth_start / scale,
        r1=sector.depth_end / scale,
        t0=sector.angle_start,
        t1=sector.angle_end,
        cm_per_px=scale,
        native_height=size,
        native_width=size,
    )


def _partners(recording: StreamRecording) -> tuple[np.ndarray, np.ndarray]:
    """Colour frames that have a B-mode frame near in time, and which."""
    gaps = np.abs(recording.colour_times[:, None] - recording.bmode_times[None])
    nearest = gaps.argmin(axis=1)
    steps = [np.median(np.diff(times)) for times in (recording.colour_times, recording.bmode_times) if len(times) > 1]
    near = gaps.min(axis=1) <= 0.5 * max(steps, default=1.0) + 1e-9
    if not near.any():
        raise ValueError("B-mode and colour do not overlap in time; the recording gives no pair")
    kept = np.nonzero(near)[0]
    return kept, nearest[kept]


def _colour_box(sector: Sector, geometry: Geometry, *, drawn: bool) -> ColourBox:
    scale = geometry.cm_per_px
    return ColourBox(
        depth=(sector.depth_start / scale, sector.depth_end / scale),
        lateral=(sector.angle_start, sector.angle_end),
        steer=0.0,
        drawn=(drawn,) * 4,
        line_px=1.0 if geometry.native_height <= 320 else 2.0,
    )


def _beam_map(
    sector: Sector, samples: tuple[int, int], geometry: Geometry, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """``cv2.remap`` maps (column, row) from the frame to samples ``[depth, beam]`` of a stream."""
    depth, lateral = geometry.coordinates(shape)
    rows = (
        (depth * geometry.cm_per_px - sector.depth_start) / (sector.depth_end - sector.depth_start) * (samples[0] - 1)
    )
    columns = (lateral - sector.angle_start) / (sector.angle_end - sector.angle_start) * (samples[1] - 1)
    return columns.astype(np.float32), rows.astype(np.float32)


def _colour(
    recording: StreamRecording, frame: int, to_colour: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """``(velocity over Nyquist -1..1, power 0..1)``, float32 [H, W], 0 outside the colour sector."""
    power = recording.power[frame]
    phase = recording.velocity[frame] * np.float32(math.pi / recording.nyquist)
    phasor = np.stack([power * np.cos(phase), power * np.sin(phase)], axis=-1)
    phasor = cv2.remap(phasor, *to_colour, cv2.INTER_LINEAR)
    power = cv2.remap(power, *to_colour, cv2.INTER_LINEAR)
    return (np.arctan2(phasor[..., 1], phasor[..., 0]) / np.float32(math.pi)), power
