"""The painter: a colour-flow acquisition over any greyscale clip, real or simulated.

Blood is found relative to the tissue around it, its motion is invented from the clip's own beat, and the chain of
`colour` does the rest. Because blood is dark, colour painted this way would teach a network to paint black: a share
of the clips therefore has colour over walls, over bright structures, over no blood at all, or bursts of flash.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipeline.geometry import Geometry, Hull, Rectangle
from data_pipeline.schema import VIEW_DOMAIN, VIEWS, PairRecord
from data_pipeline.simulation import steady
from data_pipeline.simulation.console.acquisition import (
    Acquisition,
    AcquisitionOptions,
    compose,
    draw_acquisition,
    draw_palette,
    store_target,
    thin_lines,
)
from data_pipeline.simulation.console.box import ScanBox
from data_pipeline.simulation.console.colour import ColourFlow, ColourLayer
from data_pipeline.simulation.console.colour_maps import ColourMap
from data_pipeline.simulation.painter_flow import find_blood, invent_flow, misplace, tissue_velocity
from data_pipeline.simulation.scan_grid import KINDS, ScanGrid

PAINTER_VERSION = "2"
"""Part of every painted clip's identity; raised when the same seed no longer gives the same bytes."""

NYQUIST_CM_S = {
    "heart": (40.0, 80.0), "fetal": (30.0, 60.0), "vessel": (12.0, 45.0), "kidney": (10.0, 40.0), "liver": (10.0, 40.0),
}  # fmt: skip
"""Range to draw the Nyquist velocity from, by domain."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PainterOptions(AcquisitionOptions):
    """How to paint; see `AcquisitionOptions` for what it shares with the simulator.

    Attributes:
      no_blood_share: share of clips whose box lies where there is no blood.
      bright_share: share of clips with invented flow over tissue, bright structures included.
      speed: factor on the invented velocities.
      eddy_cm: sizes of the invented vortices, falling; each is weaker than the one before.
      box: fixed box; ``None`` draws one near blood.
    """

    no_blood_share: float = 0.08
    bright_share: float = 0.18
    speed: float = 1.0
    eddy_cm: tuple[float, ...] = (3.2, 1.6, 0.9, 0.5)
    box: ScanBox | None = None


TRAIN = PainterOptions(
    families=("fire_ice", "red_blue", "fire_sky", "ember_sea", "scarlet_navy", "power_ember", "power_gold"),
    packet=(8, 16),
    angle_deg=(26.0, 48.0),
    width_share=(0.45, 0.8),
    depth_share=(0.32, 0.56),
)
"""Painter of training clips."""
HELD_OUT = PainterOptions(
    families=("rust_frost", "rose_teal", "amber_azure", "power_magenta", "power_copper"),
    packet=(5, 7),
    angle_deg=(16.0, 25.0),
    width_share=(0.3, 0.44),
    depth_share=(0.2, 0.31),
    speed=1.35,
    eddy_cm=(2.4, 1.2, 0.7, 0.4),
    line_keep=(0.3, 0.8),
)
"""Painter to judge a translator with: other bars, smaller boxes, fewer pulses, other flow than ``TRAIN``."""


def paint_pair(
    grey: np.ndarray,
    seed: int,
    *,
    fps: float,
    fan: ScanGrid | Geometry | None = None,
    options: PainterOptions = TRAIN,
    clip_id: str,
    patient_id: str,
    view: str = "UNKNOWN",
    shared: bool = True,
    phase: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    velocity_out: np.ndarray | None = None,
) -> PairRecord:
    """Paint colour flow over a greyscale clip.

    Args:
      grey: uint8 ``[T, H, W]`` or ``[T, H, W, 1]``; what lies outside the sector is dropped.
      seed: >= 0; the same clip, seed, options and version give the same bytes.
      fps: frames per second.
      fan: the sector; a `Geometry` is taken as measured in these frames; ``None`` fits one.
      clip_id, patient_id: keyed hashes; the clip's id in the record is derived from it, the patient's kept.
      view: one of ``schema.VIEWS``; decides the pulse repetition range and the kind of flow.
      shared: target is the same duplex B-mode as under the colour; otherwise the untouched input.
      phase: float ``[T]`` cardiac phase for the ECG trace, when known.
      labels: uint8 ``[T, H, W]`` anatomy, when known; zero otherwise.
      velocity_out: float ``[T, H, W]``; filled with the painted velocity in cm/s, wrapped at Nyquist, NaN off the flow.

    Returns: a record of kind ``painted``.

    Raises: ValueError for frames of a wrong shape, no frames, an unknown view, no fan, or a clip without tissue.
    """
    frames = _check(grey, seed, fps, view)
    fan = _as_fan(fan, frames)
    colour_map, streams = _head(seed, options)
    rng_draw, rng_field, rng_flow, rng_screen = (np.random.default_rng(s) for s in streams)
    frames = frames * fan.mask.astype(np.uint8)
    polar = np.stack([fan.to_polar(frame) for frame in frames])
    bright = _bright_level(polar, frames)
    domain = VIEW_DOMAIN[view]
    preview = find_blood(polar[:: max(1, len(polar) // 6)], fan, bright=bright).mean(0)
    place, acquisition = _draw_acquisition(
        rng_draw, fan, preview, options=options, frames=len(frames), fps=fps, domain=domain, shared=shared,
        colour_map=colour_map,
    )  # fmt: skip
    flow = acquisition.flow(fan, rng_flow, fps=fps)
    held = np.arange(len(frames)) // acquisition.hold * acquisition.hold
    duplex, duplex_polar = _duplex(frames, polar, held, acquisition, fan)
    layers = _layers(
        flow, duplex_polar, held, fan, rng_field, place=place, bright=bright, fps=fps, domain=domain, options=options
    )
    if velocity_out is not None:
        velocity_out[:], layers = np.nan, list(layers)
        for plane, layer in zip(velocity_out, layers):
            plane[layer.window] = layer.velocity
    beat = np.arange(len(frames)) / fps * 1.2 % 1 if phase is None else phase
    screen = acquisition.screen(rng_screen, fan, phase=beat, fps=fps, whole=options.screen)
    cfd, strata = compose(duplex, layers, acquisition, fan, screen=screen, whole_screen=options.screen)
    target = store_target(duplex if shared else frames, acquisition, fan)
    return PairRecord(
        cfd=cfd,
        grey=target,
        strata=strata,
        labels=np.zeros(frames.shape, np.uint8) if labels is None else labels,
        clip_id=painted_id(clip_id, seed, options, shared),
        patient_id=patient_id,
        view=view,
        kind="painted",
        shared=shared,
        fps=float(fps),
        vendor=acquisition.colour_map.family,
        geometry=fan.geometry,
        params={
            "painter_version": PAINTER_VERSION,
            "seed": int(seed),
            "place": place,
            "source_clip": clip_id,
            **acquisition.params(),
        },
    )


def _layers(
    flow: ColourFlow, polar: np.ndarray, held: np.ndarray, fan: ScanGrid, rng: np.random.Generator, *,
    place: str, bright: float, fps: float, domain: str, options: PainterOptions,
) -> Iterator[ColourLayer]:  # fmt: skip
    """The colour of every frame: flow invented where blood is, or where ``place`` says, as the acquisition shows it.

    ``polar``: duplex B-mode ``[T, n_r, n_t]``; ``held``: the frame whose colour each frame shows.
    """
    rows, columns = flow.polar_window
    blood = find_blood(polar, fan, bright=bright, columns=columns)[:, rows]
    soft = polar[:, rows, columns].astype(np.float32)
    if place != "blood":
        blood = misplace(rng, blood, fan, place)
    nyquist = flow.settings.nyquist_cm_s
    velocity = invent_flow(
        rng, blood, fan, flow.polar_window, nyquist_cm_s=nyquist, fps=fps, domain=domain, eddy_cm=options.eddy_cm,
        speed=options.speed,
    )  # fmt: skip
    tissue = tissue_velocity(soft, fan, bright, nyquist)
    field = None
    for k, shown in enumerate(held):
        if shown == k:
            field = flow.estimate(k, grey=soft[k], velocity=velocity[k], blood=blood[k], tissue_velocity=tissue[k])
        yield flow.paint(k, field, soft[k])


def painted_id(clip_id: str, seed: int, options: PainterOptions, shared: bool) -> str:
    """Stable hash (32 hex digits) of a painted clip: version, source clip, seed, options and target."""
    identity = f"painted/{PAINTER_VERSION}/{clip_id}/{int(seed)}/{options.digest()}/{shared}"
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def painted_vendor(seed: int, options: PainterOptions) -> str:
    """Colour-map family that `paint_pair` draws for a seed, without painting."""
    return _head(seed, options)[0].family


def _head(seed: int, options: PainterOptions) -> tuple[ColourMap, list[np.random.SeedSequence]]:
    first, *streams = np.random.SeedSequence([int(PAINTER_VERSION), 2, int(seed)]).spawn(5)
    return draw_palette(np.random.default_rng(first), options), streams


def _draw_acquisition(
    rng: np.random.Generator, fan: ScanGrid, blood: np.ndarray, *, options: PainterOptions, domain: str, **clip: Any
) -> tuple[str, Acquisition]:
    """What colour lies over (``blood``, ``no_blood``, ``bright``) and the acquisition of it; ``clip``: what else
    `draw_acquisition` takes."""
    place = _draw_place(rng, options)
    centre = _draw_centre(rng, fan, blood, place)
    nyquist = NYQUIST_CM_S.get(domain, (25.0, 75.0))
    acquisition = draw_acquisition(
        rng, fan, centre, options=options, domain=domain, nyquist_range=nyquist, box=options.box, **clip
    )
    if place == "bright":  # colour that must win over bright pixels
        slope, priority = min(acquisition.settings.priority_slope, 1.2), float(rng.uniform(170, 256))
        settings = dataclasses.replace(acquisition.settings, priority=priority, priority_slope=slope)
        acquisition = dataclasses.replace(acquisition, settings=settings)
    return place, acquisition


def _draw_place(rng: np.random.Generator, options: PainterOptions) -> str:
    pick = rng.random()
    if pick < options.no_blood_share:
        return "no_blood"
    return "bright" if pick < options.no_blood_share + options.bright_share else "blood"


def _draw_centre(rng: np.random.Generator, fan: ScanGrid, blood: np.ndarray, place: str) -> tuple[float, float]:
    """Where the box goes, as ``(r px, t)``: by preference where blood is (or is not) and near the middle of the fan."""
    across = steady.cos(np.linspace(-1.1, 1.1, fan.n_t))[None]
    depth = fan.depth_cm / fan.depth_cm[-1]
    reach = ((depth > 0.12) & (depth < 0.92)).astype(np.float32)[:, None]
    on_tissue = rng.random() < 0.6
    if place == "blood":
        wanted = blood
    elif place == "bright" and on_tissue:
        wanted = np.ones_like(blood)
    else:
        wanted = blood if place == "bright" else np.clip(1 - 2 * blood, 0, 1)
    weight = np.square(wanted * across) * reach
    weight = weight.astype(np.float64).ravel() + 1e-9 * np.broadcast_to(reach, blood.shape).ravel()
    index = int(np.searchsorted(np.cumsum(weight), rng.random() * weight.sum()))
    row, column = divmod(min(index, weight.size - 1), fan.n_t)
    return float(fan.r[row]), float(fan.t[column])


def _duplex(frames, polar, held, acquisition: Acquisition, fan: ScanGrid) -> tuple[np.ndarray, np.ndarray]:
    """B-mode as acquired next to colour, image uint8 ``[T, H, W]`` and polar uint8 ``[T, n_r, n_t]``."""
    if acquisition.line_keep < 1:
        polar = np.stack([thin_lines(p, acquisition.line_keep) for p in polar])
        frames = np.stack([fan.to_image(p) for p in polar])
    return frames[held], polar[held]


def _check(grey: np.ndarray, seed: int, fps: float, view: str) -> np.ndarray:
    if view not in VIEWS:
        raise ValueError(f"view must be one of {VIEWS}, got {view!r}")
    if seed < 0:
        raise ValueError(f"seed must be >= 0, got {seed}")
    if not 0 < fps <= 1000:
        raise ValueError(f"fps must lie in (0, 1000], got {fps}")
    grey = np.asarray(grey)
    if grey.ndim == 4 and grey.shape[3] == 1:
        grey = grey[..., 0]
    if grey.ndim != 3 or grey.dtype != np.uint8 or 0 in grey.shape:
        raise ValueError(
            f"grey must be uint8 [T >= 1, H, W] or [T, H, W, 1], got {grey.dtype} {list(grey.shape)}; "
            "convert colour to grey first"
        )
    return grey


def _as_fan(fan: ScanGrid | Geometry | None, frames: np.ndarray) -> ScanGrid:
    height, width = frames.shape[1:]
    if fan is None:
        from data_pipeline.screen.fan_fit import fit_sector  # only clips of unknown geometry need the fit

        fan = fit_sector(np.repeat(frames[..., None], 3, axis=3))
    if isinstance(fan, Geometry):
        near, far = fan.depth
        if isinstance(fan, Hull) or not far > near:
            raise ValueError(
                f"no sector found: the geometry must be of kind {KINDS} and have a depth, got {fan.kind!r} "
                f"of depth {near:.1f}..{far:.1f} px; give the fan of the clip, or check that it is ultrasound"
            )
        if fan.cm_per_px <= 0:  # unknown scale: a usual depth is better than none, it only sets the PSF
            usual = 4.0 if isinstance(fan, Rectangle) else 15.0
            fan = dataclasses.replace(fan, cm_per_px=usual / (far - near))
        fan = ScanGrid.from_geometry(fan, height=height, width=width)
    if (fan.height, fan.width) != (height, width):
        raise ValueError(f"the fan is for frames of {fan.height} x {fan.width}, got frames of {height} x {width}")
    return fan


def _bright_level(polar: np.ndarray, frames: np.ndarray) -> float:
    """The clip's tissue level: 93rd percentile of the sector; raises when there is nothing to call tissue."""
    sample = polar[:: max(1, len(polar) // 4), ::2, 4:-4:2]
    bright, dim = float(np.percentile(sample, 93)), float(np.percentile(sample, 20))
    if bright < 12 or bright - dim < 8:
        raise ValueError(
            "grey does not look like ultrasound: its sector needs tissue with a 93rd percentile of at least 12 grey "
            f"levels and 8 above its 20th, got {bright:.0f} and {dim:.0f}; check the fan, or the file"
        )
    return bright
