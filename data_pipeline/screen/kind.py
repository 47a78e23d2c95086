"""Is it colour flow? A kind, a score and a reason from the pixels; tags only break ties."""

from __future__ import annotations

import dataclasses
import re

import cv2
import numpy as np

from data_pipeline.geometry import Geometry
from data_pipeline.pixels import saturation
from data_pipeline.schema import Region
from data_pipeline.screen import layout as screen_layout
from data_pipeline.screen.colour.bar import ColourBar, find_colour_bar, hue_shares
from data_pipeline.screen.colour.box import ColourBox, box_masks
from data_pipeline.screen.parser.network import KINDS, Parse

SURE = 0.7
"""Certainty below which a person had better look."""

CALLED = {
    "cfd": "colour flow",
    "power": "power Doppler",
    "bmode": "greyscale",
    "tissue": "tissue Doppler",
    "spectral": "a spectrum",
    "mmode": "M-mode",
    "quad": "a quad screen",
    "other": "nothing known",
}
"""What a clip is (`Verdict.kind`), for people."""


def named(kind: str) -> str:
    """A kind with the words beside it where it is an abbreviation."""
    return f"{CALLED[kind]} ({kind})" if kind in ("cfd", "bmode") else kind


def in_words(kind: str, score: float) -> str:
    """How sure it is that a clip is of its kind; not how good it is."""
    name = named(kind)
    return f"{100 * score:.0f} % sure that this is {CALLED.get(name, name)}"


_COLOUR, _POWER = 0x0010, 0x0100
"""Bits of Image Type value 4: colour Doppler, colour power mode."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class KindOptions:
    """Thresholds: priors, to be changed where they do not fit."""

    present: float = 0.001
    """Share of the sector that must be coloured, in pieces thicker than text, for a frame to count."""
    frames: float = 0.2
    """Share of frames that must count,"""
    brief: float = 0.005
    """unless those that count are coloured over this share of the sector: a short jet, colour switched on late."""
    everywhere: float = 0.6
    """Share of the sector above which colour is an overlay of another kind (elastography, colour B-mode, contrast)."""
    marks_green: float = 0.5
    """Share of the coloured pixels that are green from which they are markers, unless the colour bar has green."""
    tissue_box: float = 0.4
    """Tissue Doppler colours at least this share of the box,"""
    tissue_bright: float = 0.08
    """leaves at most this share of it bright and uncoloured,"""
    tissue_steady: float = 0.85
    """and at least this share of what is ever coloured is coloured nearly always."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the pixels say."""

    black: bool
    quad: bool
    swept: str | None
    coloured_frames: float
    """Share of frames with colour."""
    share: float
    """Median share of the sector that is coloured, over frames with colour."""
    red: float
    blue: float
    green: float
    """Shares of the coloured pixels by hue: 340..60, 160..260, 70..160 degrees."""
    orange: float
    """Share of the coloured pixels that are light orange to yellow."""
    outlined: bool
    bar: ColourBar | None
    """The legend beside the sector."""
    box_share: float
    bright_uncoloured: float
    steady: float
    """Of the box and its frames, see `KindOptions`."""
    dithered: bool = False
    """Colour is in single pixels only and cancels out over any 4 x 4 of them: a grey picture with a small palette."""

    @property
    def variance(self) -> bool:
        """The legend shows a variance map."""
        return self.bar is not None and self.bar.green > 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """A kind with its certainty."""

    kind: str
    has_colour: bool
    score: float
    reason: str
    colour_seen: float = 0.0
    """Share of the frames looked at that show colour."""


def evidence(
    frames: np.ndarray,
    some: np.ndarray,
    coloured: np.ndarray,
    ground: tuple[slice, slice],
    sector: np.ndarray,
    box: ColourBox | None,
    geometry: Geometry,
    options: KindOptions,
) -> Evidence:
    """Collect `Evidence`.

    Args:
      frames: uint8 [T, H, W, 3], the clip.
      some: uint8 [n, H, W, 3], frames spread over it.
      coloured: bool [n, h, w], their colour masks inside ``ground``.
      ground: rows and columns of the sector's bounding box.
      sector: bool [H, W].
      box: located colour box, if any.
      geometry: of the sector in coordinates of ``ground``.
    """
    area = max(int(sector.sum()), 1)
    counted = np.array([thick_share(mask, area) for mask in coloured]) >= options.present
    shares = coloured.sum(axis=(1, 2)) / area
    pixels = some[(slice(None), *ground)][coloured]
    pixels = pixels[:: max(len(pixels) // 100_000, 1)]
    pixels = pixels[pixels.max(axis=1).astype(int) - pixels.min(axis=1) > 60]  # codecs smear wrong hues faintly
    red, blue, green = hue_shares(pixels)
    orange = 0.0
    if len(pixels):
        r, g, b = pixels.astype(np.int16).T
        orange = float(((r > 150) & (g > 0.45 * r) & (b < 0.5 * r)).mean())
    box_share = bright = steady = 0.0
    if box is not None:
        inside = box_masks(box, geometry, coloured.shape[1:])[0] & sector[ground]
        size = max(int(inside.sum()), 1)
        painted = coloured[:, inside]
        box_share = float(painted.sum(axis=1).mean() / size)
        luma = some[(slice(None), *ground)][..., 1][:, inside]
        bright = float(((luma > 70) & ~painted).sum(axis=1).mean() / size)
        often = painted.mean(axis=0)
        steady = float((often > 0.8).sum() / max((often > 0).sum(), 1))
    return Evidence(
        black=screen_layout.is_black(some),
        quad=screen_layout.is_quad(some),
        swept=screen_layout.sweep(frames[:16]),
        coloured_frames=float(counted.mean()),
        share=float(np.median(shares[counted])) if counted.any() else 0.0,
        red=red,
        blue=blue,
        green=green,
        orange=orange,
        outlined=box is not None and box.outlined,
        bar=find_colour_bar(some[len(some) // 2], sector),
        box_share=box_share,
        bright_uncoloured=bright,
        steady=steady,
        dithered=is_dithered(some[len(some) // 2]),
    )


def is_dithered(frame: np.ndarray) -> bool:
    """Whether the colour of a frame uint8 [H, W, 3] is the dither of a palette such as FFmpeg's own for GIF."""
    strong = saturation(frame) > 40
    return bool(strong.mean() > 0.02 and np.percentile(saturation(cv2.blur(frame, (4, 4))), 99.9) < 20)


def thick_share(mask: np.ndarray, area: float) -> float:
    """Pixels of ``mask`` (bool [H, W]) in pieces thicker than strokes, over ``area`` px.

    Text, callipers and traces are one to three pixels wide on a full screen, flow is not; in small images everything is
    thin.
    """
    side = min(mask.shape)
    size = 2 if side < 160 else 3 if side < 360 else 5
    return float(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((size, size), np.uint8)).sum()) / area


def judge(
    seen: Evidence, parse: Parse, *, regions: tuple[Region, ...], image_type: tuple[str, ...], options: KindOptions
) -> Verdict:
    """The kind of a clip from the learned parser, from measured `Evidence` and from tags.

    The parser decides what colour is; measurements and tags tell power from velocity, find a layout, and make the
    verdict unsure where they contradict it.
    """
    layout = _layout(seen, parse, regions)
    if layout is not None:
        return layout
    if seen.dithered:
        reason = "colour in single pixels only, which cancels out: a grey picture with a dithered palette"
        return Verdict(kind="bmode", has_colour=False, score=0.8, reason=reason)
    shares = dict(zip(KINDS, (float(p) for p in parse.kinds)))
    tags = _type_bits(image_type)
    tagged = any(region.data_type == 2 for region in regions) or bool(tags & (_COLOUR | _POWER))
    flow = shares["cfd"] + shares["power"]
    described = (
        f"colour over {seen.share:.1%} of the sector in {seen.coloured_frames:.0%} of frames, red {seen.red:.0%}, "
        f"blue {seen.blue:.0%}, {'a' if seen.outlined else 'no'} colour box drawn on the screen"
    )
    marks = seen.green > options.marks_green and not seen.variance
    if marks and flow > 0.5 and seen.share < options.brief:
        reason = f"green marks and hardly any flow; {described}"
        return Verdict(kind="bmode", has_colour=False, score=0.6, reason=reason)
    if flow > 0.5 or (tagged and flow > 0.2):
        power = _power(seen, tags)
        one_hue = seen.bar is None and not tags and seen.blue < 0.05 and seen.green < 0.05
        is_power = power > 0 or (one_hue and shares["power"] > shares["cfd"])
        kind = "power" if is_power else "cfd"
        score = round(min(flow + 0.05 * tagged, 1.0), 3)
        if seen.coloured_frames == 0:
            score, described = min(score, 0.5), f"looks like flow, but no colour was measured; {described}"
        return Verdict(kind=kind, has_colour=True, score=score, reason=described, colour_seen=seen.coloured_frames)
    if shares["bmode"] >= max(shares["tissue"], shares["other"]):
        plain = seen.outlined and min(seen.red, seen.blue) > 0.05 and seen.coloured_frames >= options.frames
        if plain and seen.share > 0.01:
            reason = f"the parser sees no flow, yet a box with both colours was measured; {described}"
            return Verdict(kind="cfd", has_colour=True, score=0.5, reason=reason, colour_seen=seen.coloured_frames)
        score = round(min(shares["bmode"] * (0.9 if tagged else 1.0), 1.0), 3)
        reason = f"no flow, colour in {seen.coloured_frames:.0%} of frames"
        return Verdict(kind="bmode", has_colour=False, score=score, reason=reason)
    everywhere = seen.share > options.everywhere
    kind = (
        "tissue"
        if (_steady_tissue(seen, options) and not everywhere) or shares["tissue"] >= shares["other"]
        else "other"
    )
    reason = "the tissue is coloured: tissue Doppler" if kind == "tissue" else "an overlay of another mode"
    return Verdict(kind=kind, has_colour=False, score=round(shares[kind], 3), reason=f"{reason}; {described}")


def _steady_tissue(seen: Evidence, options: KindOptions) -> bool:
    """Colour lies on what is bright and stays there."""
    bright = seen.bright_uncoloured < options.tissue_bright
    return seen.box_share > options.tissue_box and bright and seen.steady > options.tissue_steady


def _layout(seen: Evidence, parse: Parse, regions: tuple[Region, ...]) -> Verdict | None:
    if seen.black:
        return Verdict(kind="other", has_colour=False, score=1.0, reason="no signal: the frames are black")
    for kind, wanted, formats in (("spectral", (3, 4), (3,)), ("mmode", (), (2,))):
        if any(r.data_type in wanted or r.spatial_format in formats for r in regions):
            return Verdict(kind=kind, has_colour=False, score=0.9, reason=f"the header names a {kind} region")
    if (parse.sector > 0.5).mean() < 0.02 and max(parse.spectrum, parse.mmode) > 0.5:
        kind = "spectral" if parse.spectrum >= parse.mmode else "mmode"
        score = round(max(parse.spectrum, parse.mmode), 3)
        return Verdict(kind=kind, has_colour=False, score=score, reason=f"the whole screen is a {kind} picture")
    if seen.swept is not None and (max(parse.spectrum, parse.mmode) > 0.2 or parse.kind == "bmode"):
        return Verdict(kind=seen.swept, has_colour=False, score=0.7, reason="only a wandering band of columns changes")
    if seen.quad and parse.several > 0.2:
        return Verdict(kind="quad", has_colour=False, score=0.7, reason="four panes with a dark cross between them")
    return None


def _power(seen: Evidence, tags: int) -> float:
    """Certainty of power Doppler, 0 when the map has a second hue path."""
    if seen.bar is not None:
        return 0.9 if max(seen.bar.blue, seen.bar.green) < 0.05 and seen.blue < 0.1 else 0.0
    if seen.blue > 0.02 or seen.green > 0.05:
        return 0.0
    if tags & _POWER:
        return 0.8
    if tags & _COLOUR:
        return 0.0
    # no legend: flow in one direction is mostly dark red, a power map runs through orange to yellow
    return 0.55 if seen.blue < 0.005 and seen.orange > 0.25 else 0.0


def _type_bits(image_type: tuple[str, ...]) -> int:
    """Value 4 of Image Type, a hexadecimal sum (PS3.3 C.8.5.6.1.1); 0 when it is absent or a word."""
    value = image_type[3] if len(image_type) > 3 else ""
    return int(value, 16) if re.fullmatch("[0-9A-F]{4}", value) else 0
