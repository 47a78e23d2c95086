"""What is colour in a clip: sector, colour box, painted pixels, drawn outline, and which kind of clip this is.

Decisions that hold for the whole clip (sector, tint, static user interface, box) come from a subset of frames; the
colour mask is made frame by frame.
"""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np

from data_pipeline.geometry import Fan, Geometry
from data_pipeline.pixels import extremes, grown
from data_pipeline.schema import BOX, FLOW, SECTOR, Region, check_frames
from data_pipeline.screen import kind as clip_kind
from data_pipeline.screen import learned
from data_pipeline.screen.colour import box as colour_box
from data_pipeline.screen.colour import mask as colour_mask
from data_pipeline.screen.fan_fit import FanFit, FanOptions, agreed, fit_fan, recognised, spread
from data_pipeline.screen.marker import Marker, drawn_over
from data_pipeline.screen.said import Said, polygon_mask
from data_pipeline.threads import each

NOTHING = Said()


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowOptions:
    """Every threshold of the analysis."""

    fan: FanOptions = FanOptions()
    colour: colour_mask.ColourOptions = colour_mask.ColourOptions()
    box: colour_box.BoxOptions = colour_box.BoxOptions()
    kind: clip_kind.KindOptions = clip_kind.KindOptions()
    learned: learned.LearnedOptions = learned.LearnedOptions()
    static_frames: int = 24
    """Frames that static decisions look at."""
    window: int = 10
    """Frames within which a moving box stands still."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FlowAnalysis:
    """What `analyse` found, or what is known already (then the defaults do)."""

    geometry: Geometry = Fan()
    sector: np.ndarray
    """bool [H, W]."""
    strata: np.ndarray
    """uint8 [T, H, W], flags of the schema."""
    kind: str = "cfd"
    """``cfd``, ``power``, ``tissue``, ``bmode``, ``spectral``, ``mmode``, ``quad`` or ``other``."""
    score: float = 1.0
    """How certain the kind is, 0..1."""
    reason: str = "known beforehand"
    """One sentence for a person."""
    box_found: bool = True
    """The drawn outline of the box was seen (otherwise the box is the colour's extent)."""
    colour_seen: float = 0.0
    """Share of frames that show colour, whatever the verdict: such a clip is no greyscale target."""

    @property
    def unsure(self) -> bool:
        """The kind had better be looked at by a person."""
        return self.score < clip_kind.SURE

    @property
    def is_cfd(self) -> bool:
        return self.kind == "cfd"


def analyse(
    frames: np.ndarray,
    *,
    regions: tuple[Region, ...] = (),
    image_type: tuple[str, ...] = (),
    options: FlowOptions | None = None,
    said: Said = NOTHING,
) -> FlowAnalysis:
    """Analyse one clip.

    Args:
      frames: uint8 ``[T, H, W, 3]`` RGB, T >= 1; meant for 64..1024 px.
      regions, image_type: of the DICOM header (`schema.ClipInfo`). Pixels decide, tags only break ties.
      said: what a person knows better.

    Returns:
      `FlowAnalysis`. A clip without colour has ``SECTOR`` only in its strata.

    Raises:
      ValueError: wrong shape or dtype.
    """
    check_frames(frames, channels=3)
    options = options or FlowOptions()
    fan, state, verdict = _decide(frames, regions, image_type, options, said)
    strata = np.repeat((fan.sector * np.uint8(SECTOR))[None], len(frames), axis=0)
    geometry = fan.geometry
    masks = said.masks_for(frames.shape[:3])
    if verdict.has_colour and masks is not None:
        strata |= (masks & fan.sector) * np.uint8(FLOW | BOX)
    elif verdict.has_colour:
        geometry = state.steered
        for span, box, seen in _boxes_over_time(frames, state, options):
            marker = state.marker(box, seen)
            if marker is not None:
                mark = functools.partial(marker.mark, tint=state.tint, options=options.colour)
                each(mark, frames[span], strata[span])
            strata[span] |= drawn_over(seen, fan.sector)
    return FlowAnalysis(
        geometry=geometry,
        sector=fan.sector,
        strata=strata,
        kind=verdict.kind,
        score=verdict.score,
        reason=verdict.reason,
        colour_seen=verdict.colour_seen if verdict.has_colour else _colour_seen(frames, state, options),
        box_found=verdict.has_colour and state.outlined,
    )


class LiveMasks:
    """`analyse` for frames that are still coming: static decisions from ``frames``, masks one frame at a time.

    The box is taken to stand still. Arguments and errors are those of `analyse`.

    Attributes:
      kind, score, reason: see `FlowAnalysis`.
      sector: bool [H, W]. geometry: of the sector.
      box: bool [H, W]: where colour is looked for, and marks; nowhere when the kind has no colour.
      tint: of the grey map.
    """

    def __init__(
        self,
        frames: np.ndarray,
        *,
        regions: tuple[Region, ...] = (),
        image_type: tuple[str, ...] = (),
        options: FlowOptions | None = None,
        said: Said = NOTHING,
    ):
        check_frames(frames, channels=3)
        self._options = options or FlowOptions()
        fan, state, verdict = _decide(frames, regions, image_type, self._options, said)
        self.kind, self.score, self.reason, self.sector = verdict.kind, verdict.score, verdict.reason, fan.sector
        self.geometry = fan.geometry
        self.tint, self._marker, self._drawn = state.tint or colour_mask.PLAIN, None, np.uint8(0)
        self.box = np.zeros_like(fan.sector)
        mask = said.masks_for((1, *frames.shape[1:3]))
        if verdict.has_colour and mask is not None:
            self._drawn = (mask[0] & fan.sector) * np.uint8(FLOW | BOX)
        elif verdict.has_colour:
            self._marker, self._drawn = state.marker(state.box, state.seen), drawn_over(state.seen, fan.sector)
        if self._marker is not None:
            self.box[self._marker.part] = self._marker.near | self._marker.outline
        self.box |= self._drawn > 0

    def strata(self, frame: np.ndarray) -> np.ndarray:
        """Flags of the schema, uint8 [H, W], for a frame uint8 [H, W, 3] of the same size."""
        if frame.shape != (*self.sector.shape, 3) or frame.dtype != np.uint8:
            raise ValueError(
                f"frames of this stream must be uint8 {[*self.sector.shape, 3]}, got {frame.dtype} {list(frame.shape)}"
            )
        plane = self.sector * np.uint8(SECTOR) | self._drawn
        if self._marker is not None:
            self._marker.mark(frame, plane, self.tint, self._options.colour)
        return plane


def _decide(
    frames: np.ndarray, regions: tuple[Region, ...], image_type: tuple[str, ...], options: FlowOptions, said: Said
) -> tuple[FanFit, _Static, clip_kind.Verdict]:
    """What holds for the whole clip."""
    some = spread(frames, options.static_frames)
    darkest = _darkest(some)
    seen = learned.see(some, darkest, options=options.learned)
    if said.box is not None:
        box = polygon_mask("box", said.box, frames.shape[1:3])
        seen = dataclasses.replace(seen, box=box, outline=seen.outline & box, flow=box)
    fan = _sector(agreed(fit_fan(some, options=options.fan), seen.sector), said)
    state = _Static.of(some, darkest, fan, seen, options)
    if said.box is not None:
        state = dataclasses.replace(state, box=None)
    evidence = clip_kind.evidence(
        frames, some, state.coloured, state.ground, fan.sector, state.box, state.geometry, options.kind
    )
    verdict = clip_kind.judge(evidence, seen.parse, regions=regions, image_type=image_type, options=options.kind)
    kind = said.kind or ("cfd" if said.mask is not None and not verdict.has_colour else None)
    if kind is not None:
        verdict = dataclasses.replace(
            verdict, kind=kind, has_colour=kind != "bmode", score=1.0, reason="said by the user",
            colour_seen=evidence.coloured_frames,
        )  # fmt: skip
    return fan, state, verdict


def _sector(fan: FanFit, said: Said) -> FanFit:
    """The sector that is said, or the remembered one that is like the one found."""
    if said.sector is not None:
        return recognised(fan, polygon_mask("sector", said.sector, fan.sector.shape))
    for corners, least in said.known:
        mask = polygon_mask("sector", corners, fan.sector.shape)
        if np.count_nonzero(mask & fan.sector) >= least * np.count_nonzero(mask | fan.sector):
            return recognised(fan, mask)
    return fan


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Static:
    """Decisions that hold for the whole clip; arrays are cut to ``ground``, the bounding box of the sector."""

    ground: tuple[slice, slice]
    sector: np.ndarray
    geometry: Geometry
    """In coordinates of ``ground``, without steer."""
    tint: colour_mask.Tint | None
    interface: np.ndarray
    """bool [h, w]: static colour, grown by 1 px."""
    coloured: np.ndarray
    """bool [n, h, w] of the frames looked at, without traces."""
    box: colour_box.ColourBox | None
    steered: Geometry
    """The clip's geometry (full frame), with the steer of the box."""
    seen: learned.Learned
    """What the learned parser sees (full frame)."""

    @property
    def outlined(self) -> bool:
        """An outline of the box was seen."""
        drawn = self.box is not None and self.box.outlined
        return bool(drawn or np.count_nonzero(self.seen.outline) > 0.2 * sum(self.seen.outline.shape))

    def marker(self, box: colour_box.ColourBox | None, seen: learned.Learned) -> Marker | None:
        """How frames with this box are marked."""
        return Marker.of(
            box, seen, ground=self.ground, sector=self.sector, geometry=self.geometry, interface=self.interface
        )

    @staticmethod
    def of(some: np.ndarray, darkest: np.ndarray, fan: FanFit, seen: learned.Learned, options: FlowOptions) -> _Static:
        ys, xs = np.nonzero(fan.sector.any(axis=1))[0], np.nonzero(fan.sector.any(axis=0))[0]
        ground = (slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1))
        sector = fan.sector[ground]
        cut = np.ascontiguousarray(some[(slice(None), *ground)])
        tint = colour_mask.fit_tint(cut, sector)
        coloured = np.stack(each(lambda frame: colour_mask.coloured(frame, sector, tint, options.colour), cut))
        interface = np.zeros(sector.shape, bool)
        if not colour_mask.is_frozen(cut, sector):
            interface = colour_mask.static_colour(cut, coloured, options=options.colour, area=int(sector.sum()))
            interface = grown(interface, 1)
        coloured = np.stack(each(colour_mask.without_traces, coloured & ~interface))
        geometry = fan.geometry.moved(ground[1].start, ground[0].start)
        box = _locate(cut, coloured, darkest[ground], geometry, options)
        return _Static(
            ground=ground,
            sector=sector,
            geometry=geometry,
            tint=tint,
            interface=interface,
            coloured=coloured,
            box=box,
            steered=fan.geometry.leaning(box.steer) if box is not None else fan.geometry,
            seen=seen,
        )


def _colour_seen(frames: np.ndarray, state: _Static, options: FlowOptions) -> float:
    """Share of ``frames`` with colour in pieces thicker than strokes, looked at with half the resolution."""
    sector, interface = state.sector[::2, ::2], state.interface[::2, ::2]
    least, seen = options.kind.present * max(int(sector.sum()), 1), 0
    for frame in frames[(slice(None), *state.ground)]:
        level = colour_mask.colour_level(np.ascontiguousarray(frame[::2, ::2]), state.tint)
        strong = (level > options.colour.strong) & sector & ~interface
        if np.count_nonzero(strong) >= least:
            seen += clip_kind.thick_share(colour_mask.without_traces(strong), 1.0) >= least
    return seen / len(frames)


def _locate(
    cut: np.ndarray, coloured: np.ndarray, darkest: np.ndarray, geometry: Geometry, options: FlowOptions
) -> colour_box.ColourBox | None:
    """The box of frames uint8 [n, h, w, 3] with colour masks bool [n, h, w] and the level that none falls below."""
    weight = np.zeros(coloured.shape[1:], np.float32)
    for mask in each(lambda frame, mask: colour_mask.thick(_flow_like(frame, mask)), cut, coloured):
        weight += mask
    return colour_box.locate_box(_without_specks(weight), darkest, geometry, options=options.box)


def _flow_like(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """``mask`` without what is green: an ECG trace must not stretch the box."""
    return mask & ~colour_mask.green_share(frame, mask) if mask.any() else mask


def _without_specks(weight: np.ndarray) -> np.ndarray:
    """``weight`` without components that hold less than 0.5 % of it: left-over text and codec noise."""
    count, labels = cv2.connectedComponents((weight > 0).astype(np.uint8))
    sums = np.bincount(labels.ravel(), weights=weight.ravel(), minlength=count)
    sums[0] = 0
    keep = sums > 0.005 * sums.sum()
    return np.where(keep[labels], weight, 0).astype(np.float32)


def _darkest(frames: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: second lowest (lowest below 8 frames) ``max(R, G, B)`` over time."""
    lowest = second = np.full(frames.shape[1:3], 255, np.uint8)
    for frame in frames:
        level = extremes(frame)[0]
        lowest, second = cv2.min(lowest, level), cv2.min(second, cv2.max(lowest, level))
    return second if len(frames) >= 8 else lowest


def _boxes_over_time(
    frames: np.ndarray, state: _Static, options: FlowOptions
) -> list[tuple[slice, colour_box.ColourBox | None, learned.Learned]]:
    """Spans of frames with the box in each: one for the whole clip, or one per window where the box moves.

    A box that moves leaves no static outline, so only clips without one are looked at window by window. Windows in
    which no outline is seen (the box is on its way) take the extent of their own colour: nothing coloured is left out.
    """
    whole = [(slice(0, len(frames)), state.box, state.seen)]
    drawn = state.box is not None and state.box.outlined
    if drawn or len(frames) < 8 or not learned.moves(state.seen.parse, options=options.learned):
        return whole
    found = []
    for part in np.array_split(np.arange(len(frames)), max(round(len(frames) / options.window), 2)):
        span = slice(int(part[0]), int(part[-1]) + 1)
        some = spread(frames[span], 6)
        cut = np.ascontiguousarray(some[(slice(None), *state.ground)])
        coloured = [
            colour_mask.coloured(frame, state.sector, state.tint, options.colour) & ~state.interface for frame in cut
        ]
        coloured = np.stack([colour_mask.without_traces(mask) for mask in coloured])
        darkest = _darkest(some)
        box = _locate(cut, coloured, darkest[state.ground], state.geometry, options)
        found.append((span, box, learned.see(some, darkest, options=options.learned, looks=2)))
    return found
