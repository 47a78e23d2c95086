"""What the numbers say, in sentences: the first lines of every report.

Each finding has a ``level``: ``good``, ``note`` or ``warning``. Nothing is called better or worse unless the patient
interval of the paired difference says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cfd2gray.evaluation.results import YARDSTICKS, patients_text
from cfd2gray.pages import numbers

FLICKER_RANGE = (0.85, 1.15)
TEXTURE_RANGE = (0.85, 1.15)
FEW_PATIENTS = 20
F1_TARGET, DICE_TARGET = 0.01, 0.97
"""F1 on translated clips within this of real; Dice between segmentations of the two."""

IDENTITY_SSIM = 0.99
"""From which a clip without colour counts as unchanged."""
CONFIDENCE_GAP = 0.1
"""Mean gap between claimed and found share from which confidence is called off."""

Finding = dict[str, str]


def findings(result: Mapping[str, Any]) -> list[Finding]:
    """Findings of an evaluation JSON, the most important first."""
    found = [*_downstream(result), *_audit(result)]
    found += [_against_baselines(result, stratum) for stratum in ("flow", "box")]
    found += [_yardstick(result)]
    found += [_band(result, "flicker_ratio", FLICKER_RANGE, "Flicker in flow", "calmer than", "more restless than")]
    found += [_band(result, "texture_std_ratio", TEXTURE_RANGE, "Texture in flow", "smoother than", "rougher than")]
    found += [_confidence(result), _identity(result), _pass_through(result), _few_patients(result)]
    return [finding for finding in found if finding]


def best_baseline(result: Mapping[str, Any], stratum: str) -> tuple[str, float] | None:
    """Name and mean SSIM of the do-nothing baseline that is best in ``stratum``."""
    known = {
        name: values[stratum]
        for name, values in result.get("baselines", {}).items()
        if name not in YARDSTICKS and values.get(stratum) is not None
    }
    return max(known.items(), key=lambda item: item[1]) if known else None


def _against_baselines(result: Mapping[str, Any], stratum: str) -> Finding | None:
    own, best = result["ssim"].get(stratum), best_baseline(result, stratum)
    if own is None:
        return {"level": "note", "text": f"No clip has a {stratum} stratum, so nothing can be said about it."}
    scored = f"In the {stratum} stratum the translation scores SSIM {own:.3f}{_spoken(result['ssim'], stratum)}"
    if best is None:
        return {"level": "warning", "text": f"{scored}; no baseline was run, so the number stands alone."}
    name, value = best
    gain = result["gain"][name]
    interval = gain["ci95"][stratum]
    compared = f"best do-nothing baseline ({name.replace('_', ' ')}, {value:.3f})"
    difference = f"{abs(gain[stratum]):.3f}"
    if interval is None:
        above = gain[stratum] > 0
        text = f"{scored}, {difference} {'above' if above else 'below'} the {compared}; one patient, no interval."
        return {"level": "note" if above else "warning", "text": text}
    spoken = f"{difference} (95 % interval of the difference {interval[0]:+.3f} to {interval[1]:+.3f})"
    if interval[0] > 0:
        return {"level": "good", "text": f"{scored}: {spoken} above the {compared}."}
    if interval[1] < 0:
        return {"level": "warning", "text": f"{scored}: {spoken} below the {compared}."}
    return {"level": "warning", "text": f"{scored}, not distinguishable from the {compared}: {spoken}."}


def _yardstick(result: Mapping[str, Any]) -> Finding | None:
    """Speckle cannot be known, so the best that can be had is less than 1; only the simulator can say how much less."""
    redraw, mean = (result["baselines"].get(name) for name in YARDSTICKS)
    if not redraw or redraw["flow"] is None or mean["flow"] is None:
        return None
    n, own = redraw["ssim"]["n"]["flow"], result["ssim"]["n"]["flow"]
    text = (
        f"The same anatomy with new speckle scores SSIM {redraw['flow']:.3f} in flow, the mean of several such draws "
        f"{mean['flow']:.3f}: what right anatomy without knowledge of the speckle is worth. True motion can pass it"
    )
    return {"level": "note", "text": text + ("." if n == own else f" (over the {n} clips that can be drawn again).")}


def _band(
    result: Mapping[str, Any], measure: str, accepted: tuple[float, float], title: str, low: str, high: str
) -> Finding | None:
    value = result.get(measure, {}).get("flow")
    if value is None:
        return None
    share = f"{title} is {value:.2f} times that of the real clips{_spoken(result[measure], 'flow', digits=2)}"
    if accepted[0] <= value <= accepted[1]:
        interval = result[measure]["ci95"].get("flow")
        if interval and (interval[0] < accepted[0] or interval[1] > accepted[1]):
            return {
                "level": "note",
                "text": f"{share}: within {accepted[0]}-{accepted[1]} on average, but patients differ.",
            }
        return {"level": "good", "text": f"{share}, within {accepted[0]}-{accepted[1]}."}
    return {"level": "warning", "text": f"{share}: {low if value < accepted[0] else high} real ultrasound."}


def _downstream(result: Mapping[str, Any]) -> list[Finding]:
    facts = result.get("downstream", {})
    found = []
    if "f1_real" in facts:
        gap = facts["f1_difference"]
        text = f"View F1 is {facts['f1_synthetic']:.3f} on translated and {facts['f1_real']:.3f} on real clips ({gap:+.3f})"
        good = gap >= -F1_TARGET
        found.append(
            {"level": "good", "text": f"{text}, within {F1_TARGET:g}."}
            if good
            else {"level": "warning", "text": f"{text}: translated clips do not classify as real ones do."}
        )
    elif "note" in facts:
        found.append({"level": "warning", "text": facts["note"][0].upper() + facts["note"][1:] + "."})
    if facts.get("dice") is not None:
        text = f"Segmentations of real and translated clips overlap with Dice {facts['dice']:.3f}"
        yardstick = facts.get("dice_controls", {}).get("speckle_redraw", {}).get("dice")
        text += f" (target {DICE_TARGET:g}"
        text += ")." if yardstick is None else f"; the right anatomy with new speckle scores {yardstick:.3f})."
        found.append({"level": "good" if facts["dice"] >= DICE_TARGET else "warning", "text": text})
    return found


def _audit(result: Mapping[str, Any]) -> list[Finding]:
    facts = result.get("audit", {})
    warnings = [facts.get(part, {}).get("warning") for part in ("translation", "label")]
    return [{"level": "warning", "text": text} for text in warnings if text]


def _confidence(result: Mapping[str, Any]) -> Finding | None:
    """Whether the claimed chance of being right is the found one, and whether it tells good pixels from bad."""
    facts = result.get("confidence")
    if not facts:
        return None
    gap, order = facts["reliability"]["ece"], facts["sparsification"]["ause"]
    text = f"Confidence is off by {gap:.3f} on average (claimed against found share of pixels within tolerance)"
    ranks = (
        "does not tell good pixels from bad ones" if order >= 1 else f"its order is {100 * (1 - order):.0f} % of ideal"
    )
    return {"level": "warning" if gap > CONFIDENCE_GAP or order >= 1 else "note", "text": f"{text}, and {ranks}."}


def _identity(result: Mapping[str, Any]) -> Finding | None:
    """Clips without colour must come back unchanged: those of the set, and some with their colour taken away."""
    identity = result["identity"]
    plain, own = identity.get("without_colour"), identity["ssim_without_flow"]
    if plain is None:
        return None
    worst = min(plain["ssim"], 1.0 if own is None else own)
    text = f"Clips without colour come back with SSIM {worst:.4f} ({plain['n_clips']} with their colour taken away"
    n = identity["n_clips_without_flow"]
    text += f", {n} acquired without)" if n else ", none acquired without)"
    if worst >= IDENTITY_SSIM:
        return {"level": "good", "text": f"{text}: unchanged but for rounding."}
    return {"level": "warning", "text": f"{text}: they are changed although nothing was hidden."}


def _pass_through(result: Mapping[str, Any]) -> Finding:
    identity = result["identity"]
    share = 100 * identity["mean_synthesised_fraction"]
    change = identity["max_change_outside_box"]
    if change == 0:
        text = f"Outside the colour box the input came through bit for bit; {share:.1f} % of the frame area was hidden."
        return {"level": "good", "text": text}
    text = f"Outside the colour box pixels were changed by up to {change} grey levels; {share:.1f} % of the area was hidden."
    return {"level": "note" if change <= 1 else "warning", "text": text}


def _few_patients(result: Mapping[str, Any]) -> Finding | None:
    n = result["n_patients"]
    if n >= FEW_PATIENTS:
        return None
    people = patients_text(n)
    return {"level": "note", "text": f"The test set has {people}: read the intervals as rough."}


def _spoken(measure: Mapping[str, Any], stratum: str, *, digits: int = 3) -> str:
    spoken = numbers.interval(measure.get("ci95", {}).get(stratum), digits)
    return spoken and f" ({spoken})"
