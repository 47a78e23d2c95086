"""Colour bars: how a velocity, a variance or a power becomes a colour.

A bar is two paths through RGB, one for flow towards the probe and one for flow away, each given by a few anchors over
``|v| / nyquist``. The anchors of ``fire_ice`` were measured on a scanner's own bar; the other families are plausible
styles of the field. Every clip draws its own jitter of them, so that a network cannot learn one vendor's table.
"""

from __future__ import annotations

import colorsys
import dataclasses

import numpy as np

KINDS = ("velocity", "variance", "power")

VELOCITY_FAMILIES: dict[str, tuple[tuple[tuple[float, tuple[int, int, int]], ...], ...]] = {
    "fire_ice": (
        (
            (0.0, (20, 0, 2)), (0.07, (60, 1, 3)), (0.14, (84, 2, 4)), (0.21, (106, 4, 6)), (0.28, (124, 5, 3)),
            (0.36, (144, 7, 3)), (0.43, (160, 18, 1)), (0.5, (175, 53, 0)), (0.57, (191, 88, 0)),
            (0.71, (220, 160, 2)), (0.85, (247, 228, 1)), (1.0, (255, 253, 3)),
        ),
        (
            (0.0, (0, 0, 40)), (0.07, (2, 3, 90)), (0.14, (3, 7, 118)), (0.21, (4, 12, 150)), (0.28, (5, 19, 180)),
            (0.36, (6, 44, 207)), (0.43, (12, 70, 226)), (0.5, (23, 96, 231)), (0.64, (47, 147, 243)),
            (0.78, (71, 200, 253)), (0.86, (94, 219, 255)), (1.0, (149, 249, 255)),
        ),
    ),
    "red_blue": (
        ((0.0, (30, 0, 0)), (0.1, (80, 0, 0)), (0.5, (200, 20, 10)), (0.8, (245, 120, 70)), (1.0, (255, 205, 160))),
        ((0.0, (0, 0, 40)), (0.1, (0, 0, 90)), (0.5, (20, 40, 215)), (0.8, (80, 140, 250)), (1.0, (170, 215, 255))),
    ),
    "fire_sky": (
        ((0.0, (25, 0, 0)), (0.15, (110, 0, 0)), (0.45, (225, 30, 0)), (0.7, (255, 140, 0)), (1.0, (255, 240, 120))),
        ((0.0, (0, 0, 30)), (0.15, (0, 0, 120)), (0.45, (0, 60, 240)), (0.7, (0, 150, 255)), (1.0, (150, 255, 240))),
    ),
    "ember_sea": (
        ((0.0, (36, 0, 0)), (0.2, (120, 8, 0)), (0.5, (214, 70, 0)), (0.75, (246, 176, 10)), (1.0, (255, 246, 40))),
        ((0.0, (0, 4, 44)), (0.2, (0, 20, 128)), (0.5, (0, 92, 200)), (0.75, (0, 186, 186)), (1.0, (60, 246, 160))),
    ),
    "rust_frost": (
        ((0.0, (40, 4, 0)), (0.25, (128, 24, 0)), (0.5, (204, 76, 14)), (0.75, (246, 168, 84)), (1.0, (255, 250, 240))),
        ((0.0, (0, 6, 46)), (0.25, (6, 34, 132)), (0.5, (30, 92, 212)),
         (0.75, (112, 180, 248)), (1.0, (242, 252, 255))),
    ),
    "rose_teal": (
        ((0.0, (34, 0, 10)), (0.2, (118, 0, 24)), (0.5, (206, 14, 48)), (0.75, (250, 92, 96)), (1.0, (255, 190, 176))),
        ((0.0, (0, 10, 34)), (0.2, (0, 44, 104)), (0.5, (0, 100, 190)), (0.75, (20, 168, 226)), (1.0, (150, 240, 250))),
    ),
    "scarlet_navy": (
        ((0.0, (48, 0, 0)), (0.3, (140, 0, 0)), (0.7, (220, 8, 4)), (1.0, (255, 40, 24))),
        ((0.0, (0, 0, 56)), (0.3, (0, 0, 150)), (0.7, (10, 20, 230)), (1.0, (40, 84, 255))),
    ),
    "amber_azure": (
        ((0.0, (60, 14, 0)), (0.3, (158, 54, 0)), (0.6, (226, 122, 0)), (0.85, (252, 200, 30)), (1.0, (255, 252, 150))),
        ((0.0, (0, 20, 62)), (0.3, (0, 66, 148)), (0.6, (10, 128, 226)),
         (0.85, (70, 196, 252)), (1.0, (196, 250, 255))),
    ),
}  # fmt: skip
"""Family -> (anchors towards the probe, anchors away), each ``(|v|/nyquist, RGB)``."""

POWER_FAMILIES: dict[str, tuple[tuple[float, tuple[int, int, int]], ...]] = {
    "power_ember": ((0.0, (52, 0, 0)), (0.3, (140, 22, 0)), (0.6, (226, 92, 0)),
        (0.85, (252, 186, 40)), (1.0, (255, 244, 150))),
    "power_gold": ((0.0, (56, 24, 0)), (0.4, (160, 92, 4)), (0.75, (232, 170, 24)), (1.0, (255, 240, 120))),
    "power_magenta": ((0.0, (48, 0, 24)), (0.4, (150, 10, 70)), (0.75, (236, 60, 90)), (1.0, (255, 170, 140))),
    "power_copper": ((0.0, (40, 10, 4)), (0.35, (122, 46, 20)), (0.7, (206, 110, 60)), (1.0, (255, 206, 160))),
}  # fmt: skip

VARIANCE_STEPS = 16
_LUT_SIZE = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColourMap:
    """One clip's bar. Build it with `make_colour_map` or `draw_colour_map`.

    Attributes:
      family, kind: name of the anchors; ``velocity``, ``variance`` or ``power``.
      table: uint8 ``[V, S, 3]``. Rows run over the displayed velocity from ``baseline - 1`` to ``baseline + 1``
        (times Nyquist), columns over variance 0..1 (``S`` is 1 without a variance map). For power, rows run 0..1.
      baseline: shift of the bar's zero as a fraction of Nyquist, -0.8..0.8.
      invert: flow towards the probe takes the second path.
      settings: the arguments that rebuild it, for the record's ``params``.
    """

    family: str
    kind: str
    table: np.ndarray
    baseline: float
    invert: bool
    settings: dict

    def colours(self, value: np.ndarray, variance: np.ndarray | None = None) -> np.ndarray:
        """Look up colours.

        Args:
          value: float array; wrapped velocity over Nyquist in -1..1, or for power maps the level in 0..1.
          variance: same shape, 0..1; ignored by maps without variance.
        Returns: uint8 ``[..., 3]`` RGB.
        """
        rows = self.table.shape[0]
        if self.kind == "power":
            index = np.clip(value * (rows - 1) + 0.5, 0, rows - 1).astype(np.intp)
        else:
            index = ((value + (1.0 - self.baseline)) * (rows / 2.0)).astype(np.intp) % rows
        if self.table.shape[1] == 1 or variance is None:
            return self.table[index, 0]
        column = np.clip(variance * self.table.shape[1], 0, self.table.shape[1] - 1).astype(np.intp)
        return self.table[index, column]

    def bar(self, height: int, width: int) -> np.ndarray:
        """The bar as drawn on a screen, highest velocity on top: uint8 ``[height, width, 3]``."""
        rows = np.linspace(self.table.shape[0] - 1, 0, height).round().astype(np.intp)
        columns = np.linspace(0, self.table.shape[1] - 1, width).round().astype(np.intp)
        return self.table[rows[:, None], columns[None]]


def make_colour_map(
    family: str,
    *,
    kind: str = "velocity",
    baseline: float = 0.0,
    invert: bool = False,
    hue: float = 0.0,
    gain: float = 1.0,
    gamma: float = 1.0,
    levels: int = 256,
    variance_gain: float = 0.8,
) -> ColourMap:
    """Build a bar.

    Args:
      family: a key of ``VELOCITY_FAMILIES``, or of ``POWER_FAMILIES`` when ``kind`` is ``power``.
      kind: one of ``KINDS``.
      baseline: shift of the zero line over Nyquist, -0.8..0.8; each half of the bar stretches to its new range.
      invert: swap the two paths.
      hue, gain, gamma: jitter; rotation of the hue in turns, factor on the brightness, exponent on ``|v|``.
      levels: how many different steps each path has (a scanner's bar has 32 to 256).
      variance_gain: how far a variance of one moves the colour towards green, 0..1.

    Raises: ValueError for an unknown family or kind, or a value outside its range.
    """
    if kind not in KINDS:
        raise ValueError(f"colour map kind must be one of {KINDS}, got {kind!r}")
    known = POWER_FAMILIES if kind == "power" else VELOCITY_FAMILIES
    if family not in known:
        raise ValueError(f"colour map family for kind {kind!r} must be one of {tuple(known)}, got {family!r}")
    if not -0.8 <= baseline <= 0.8:
        raise ValueError(f"baseline must lie in -0.8..0.8 (a fraction of Nyquist), got {baseline}")
    if not 2 <= levels <= 1024:
        raise ValueError(f"levels must lie in 2..1024, got {levels}")
    settings = {
        "family": family, "kind": kind, "baseline": baseline, "invert": invert, "hue": hue, "gain": gain,
        "gamma": gamma, "levels": levels, "variance_gain": variance_gain,
    }  # fmt: skip
    return ColourMap(
        family=family,
        kind=kind,
        table=np.clip(np.floor(_table(**settings) + 0.5), 0, 255).astype(np.uint8),
        baseline=float(baseline),
        invert=bool(invert),
        settings=settings,
    )


def _table(
    *, family: str, kind: str, baseline: float, invert: bool, hue: float, gain: float, gamma: float, levels: int,
    variance_gain: float,
) -> np.ndarray:  # fmt: skip
    """Levels 0..255 of a bar, float ``[_LUT_SIZE, S, 3]``; see `make_colour_map`."""

    def path(anchors, magnitude: np.ndarray) -> np.ndarray:
        magnitude = np.floor(np.clip(magnitude, 0, 1) ** gamma * (levels - 1) + 0.5) / (levels - 1)
        places = [place for place, _ in anchors]
        colours = np.array([_jitter(colour, hue, gain) for _, colour in anchors])
        return np.stack([np.interp(magnitude, places, colours[:, i]) for i in range(3)], -1)

    if kind == "power":
        table = path(POWER_FAMILIES[family], np.linspace(0, 1, _LUT_SIZE))[:, None]
    else:
        towards, away = VELOCITY_FAMILIES[family][:: -1 if invert else 1]
        shown = baseline - 1 + (np.arange(_LUT_SIZE) + 0.5) * (2 / _LUT_SIZE)
        table = np.where(
            (shown >= 0)[:, None], path(towards, shown / (1 + baseline)), path(away, -shown / (1 - baseline))
        )[:, None]
    if kind == "variance":
        amount = variance_gain * np.linspace(0, 1, VARIANCE_STEPS)[None, :, None]
        # Red turns through yellow to green and blue through cyan: the map adds green and lets the rest fade later.
        return np.concatenate(
            [
                table[..., :1] * (1 - 0.55 * amount**2),
                np.minimum(table[..., 1:2] + 255 * amount, 255.0),
                table[..., 2:] * (1 - 0.45 * amount**2),
            ],
            axis=-1,
        )
    return table


def draw_colour_map(
    rng: np.random.Generator,
    *,
    kind: str = "velocity",
    families: tuple[str, ...] | None = None,
    jitter: float = 1.0,
    invert_chance: float = 0.1,
    baseline_chance: float = 0.15,
) -> ColourMap:
    """Draw a bar at random.

    Args:
      rng: consumed by the same number of draws whatever the outcome.
      kind: one of ``KINDS``.
      families: families to choose from; all of the kind's when ``None``.
      jitter: scale of the hue, brightness and gamma jitter; 0 gives the anchors as they are.
      invert_chance, baseline_chance: share of clips with an inverted bar, and with a shifted zero line.
    """
    known = tuple(POWER_FAMILIES if kind == "power" else VELOCITY_FAMILIES)
    chosen = tuple(f for f in (families or known) if f in known)
    if not chosen:
        raise ValueError(f"families must hold at least one of {known} for kind {kind!r}, got {families}")
    family = chosen[int(rng.integers(len(chosen)))]
    shift = float(rng.uniform(0.15, 0.5) * rng.choice((-1, 1)))
    shifted, inverted = rng.random() < baseline_chance, rng.random() < invert_chance
    hue, gain, gamma = rng.normal(0, 0.012), rng.uniform(0.86, 1.0), np.exp(rng.normal(0, 0.12))
    levels, strength = int(rng.choice((32, 64, 128, 256))), rng.uniform(0.55, 1.0)
    return make_colour_map(
        family,
        kind=kind,
        baseline=round(shift, 3) if shifted and kind != "power" else 0.0,
        invert=bool(inverted and kind != "power"),
        hue=round(float(np.clip(hue, -0.03, 0.03)) * jitter, 4),
        gain=round(1 - (1 - gain) * jitter, 3),
        gamma=round(float(1 + (np.clip(gamma, 0.75, 1.3) - 1) * jitter), 3),
        levels=levels,
        variance_gain=round(float(strength), 3),
    )


def _jitter(colour: tuple[int, int, int], hue: float, gain: float) -> tuple[float, float, float]:
    h, s, v = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    return tuple(255 * channel for channel in colorsys.hsv_to_rgb((h + hue) % 1, s, min(1.0, v * gain)))
