"""The page of a card: tables in Markdown and a picture of the worst, median and best clips of every set."""

from __future__ import annotations

import datetime
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import jax
import numpy as np

from cfd2gray.evaluation.card.judge import Card
from cfd2gray.evaluation.report.findings import best_baseline
from cfd2gray.evaluation.report.gallery import ReportClip
from cfd2gray.evaluation.results import patients_text, write_result
from cfd2gray.pages.markdown import markdown_table
from cfd2gray.pages.numbers import bare, number
from data_pipeline.files import atomic_path, write_atomically

STRATA = ("frame", "sector", "box", "flow", "flow_eroded")
METHODS = {
    "luma": "luma", "desaturate": "desaturate", "inpaint": "inpaint", "temporal_median": "temporal median",
    "speckle_redraw": "yardstick: new speckle", "speckle_mean": "yardstick: mean of draws",
}  # fmt: skip
RATIOS = ("texture_std_ratio", "flicker_ratio")
MEASURES = ("ssim", *RATIOS)
SPEARMAN = "confidence_spearman_flow"
TILE = 224


def write_card(folder: pathlib.Path, card: Card, *, title: str, commit: str = "", curves: str = "") -> pathlib.Path:
    """Write ``NAME.md``, ``NAME.json`` and ``NAME.jpg`` into ``folder`` (NAME: ``title`` in lower case); returns the page.

    ``curves``: SVG of the training run, written as ``NAME_training.svg``.
    """
    stem = title.lower().replace(" ", "_")
    page = folder / f"{stem}.md"
    write_result(folder / f"{stem}.json", _numbers(card))
    with atomic_path(folder / f"{stem}.jpg") as temporary:
        cv2.imwrite(str(temporary), picture(card.clips)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    text = markdown(card, title=title, picture=f"{stem}.jpg", commit=commit)
    if curves:
        text += f"\n## Training\n\n![losses and validation over steps]({stem}_training.svg)\n"
        write_atomically(folder / f"{stem}_training.svg", curves)
    write_atomically(page, text)
    return page


def markdown(card: Card, *, title: str, picture: str, commit: str = "") -> str:
    """The page as text."""
    facts = card.facts
    lines = [
        f"# {title}",
        "",
        f"Made by `cfd2gray card` on {datetime.date.today().isoformat()}, {_machine()}"
        + (f", at commit {commit}" if commit else "")
        + f". Model `{facts['model']}`, {facts['parameters'] / 1e6:.2f} million parameters, SHA-256 "
        f"`{facts['digest'][:16]}`. Real echo: `{facts['real_echo']}` (pydicom), one patient; never trained on, painted "
        "with colour maps, boxes and flow that are held out of training.",
        "",
        "SSIM is the mean over clips; brackets are 95 % patient-bootstrap intervals (none for one patient). `inner` is the",
        "flow stratum without its outer 5 px. Texture and flicker are ratios to truth in the flow stratum: 1 is right, below",
        "is too smooth or too calm.",
        "",
        f"![worst, median and best clips of every set]({picture})",
        "*Per clip and moment: colour flow, translation, truth.*",
    ]
    for name, result in card.results.items():
        lines += ["", f"## {name[0].upper() + name[1:]}", "", *_set_table(result)]
    lines += ["", "## By domain", "", *_domain_table(card.results)]
    lines += ["", "## Other sizes", "", *_size_table(card.sizes)]
    if card.no_truth.get("clips"):
        lines += ["", "## Real colour flow as it is", "", *_no_truth_table(card.no_truth)]
    lines += ["", "## Masses under colour", "", *_mass_table(card.masses)]
    lines += ["", "## Chambers under colour", "", *_lumen_table(card.lumens)]
    return "\n".join(lines) + "\n"


def picture(clips: Mapping[str, Sequence[ReportClip]]) -> np.ndarray:
    """uint8 RGB: a row per clip, two moments each of colour flow, translation and truth."""
    rows = []
    for name, chosen in clips.items():
        for clip in chosen:
            tiles = []
            for moment in (len(clip.grey) // 4, 3 * len(clip.grey) // 4):
                for frames in (clip.cfd, clip.grey, clip.truth):
                    tiles.append(_tile(frames[moment]))
            row = np.concatenate(tiles, axis=1)
            flow = clip.metrics.get("SSIM flow", clip.metrics.get("ssim_flow"))
            text = f"{name}, {clip.tag}" + (f", SSIM flow {flow:.2f}" if isinstance(flow, float) else "")
            cv2.putText(row, text, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 120), 1, cv2.LINE_AA)
            rows.append(row)
    return np.concatenate(rows, axis=0)


def _tile(frame: np.ndarray) -> np.ndarray:
    rgb = frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=-1)
    return cv2.resize(np.ascontiguousarray(rgb), (TILE, TILE), interpolation=cv2.INTER_CUBIC)


def _set_table(result: Mapping[str, Any]) -> list[str]:
    rows = [_row("**model**", result)]
    if "anatomy" in result:
        rows.append(_row("AnatomyNet alone", result["anatomy"]))
    for key, label in METHODS.items():
        part = result["baselines"].get(key) or result.get("yardsticks", {}).get(key)
        if part:
            rows.append(_row(label, part))
    head = ["", *("inner" if s == "flow_eroded" else s for s in STRATA), "texture", "flicker"]
    about = f"{result['n_clips']} clips of {patients_text(result['n_patients'])}."
    spearman = result.get(SPEARMAN)
    tail = [] if spearman is None else ["", f"Claimed doubt against found error in flow: Spearman {spearman:.2f}."]
    return [about, "", *markdown_table(head, rows), *tail]


def _row(label: str, part: Mapping[str, Any]) -> list[str]:
    ssim = part.get("ssim", part)
    cells = [label]
    for stratum in STRATA:
        ends = (ssim.get("ci95") or {}).get(stratum)
        cells.append(_number(ssim.get(stratum)) + (f" [{_number(ends[0])}, {_number(ends[1])}]" if ends else ""))
    return cells + [_number((part.get(name) or {}).get("flow"), digits=2) for name in RATIOS]


def _best(result: Mapping[str, Any], stratum: str) -> float | None:
    return (best_baseline(result, stratum) or ("", None))[1]


def _number(value: float | None, *, digits: int = 3) -> str:
    return bare(number(value, digits))


def _size_table(sizes: Mapping[int, Mapping[str, Any]]) -> list[str]:
    head = ["px", "model flow", "best do-nothing flow", "model box", "best do-nothing box", "texture"]
    rows = []
    for size, result in sizes.items():
        scores = [value for s in ("flow", "box") for value in (result["ssim"][s], _best(result, s))]
        rows.append([str(size), *map(_number, (*scores, result["texture_std_ratio"]["flow"]))])
    return [
        *markdown_table(head, rows),
        "",
        "The real echo, shared target, painted as above, through `Translator`, which works at its own size and pastes back.",
    ]


def _no_truth_table(no_truth: Mapping[str, Any]) -> list[str]:
    head = ["clip", "px", "patches", "finest octave", "second", "third", "change", "grain along the beam", "across", "seam",
            "levels"]  # fmt: skip
    rows = [
        [str(k), f"{clip['height']}x{clip['width']}", str(clip["patches"]),
         *(_number(value, digits=2) for value in (*clip["ratios"], clip["seam"])), f"{clip['levels']:.0f}"]
        for k, clip in enumerate(no_truth["clips"], 1)
    ]  # fmt: skip
    told = [
        f"{about} {_number(found['mean'], digits=2)} [{', '.join(_number(end, digits=2) for end in found['ci95'])}]"
        for about, found in (
            ("by one frame", no_truth["auc"]["frame"]),
            ("with change and grain", no_truth["auc"]["clip"]),
            ("the same shapes over visible tissue", no_truth["auc"]["visible"]),
        )
        if found["mean"] is not None
    ]
    about = (
        "Colour clips that have no truth, at their own size, masks as found: detail, change to the next frame and size of "
        "grain under colour over that of visible tissue of the same grey level beside it (1 is right); steps across the border "
        "over those beside it; by how many grey levels what was under colour differs from what is beside it (blood is darker)."
    )
    told_in_words = (
        f'AUC of "was this patch under colour?", clips left out in turn, .5 cannot be told: {", ".join(told)}.'
    )
    return [*markdown_table(head, rows), "", about, *(["", told_in_words] if told else [])]


def _mass_table(masses: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = [[name.replace("_", " "), f"{m['kept']:.2f}", f"{m['contrast']:.2f}"] for name, m in masses.items()]
    some = next(iter(masses.values()))
    about = (
        f"{some['frames']} frames of {some['clips']} simulated clips in which colour hides part of a mass. Kept: at least half"
        " of that part's contrast to the blood around it is there. Truth is the view without colour."
    )
    return [*markdown_table(["", "kept", "share of contrast"], rows), "", about]


def _lumen_table(lumens: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = [[name.replace("_", " "), *map(_number, (f["invented"], f["closed"]))] for name, f in lumens.items()]
    about = (
        "Invented: share of hidden tissue that came out as dark as blood; closed: share of hidden blood that came out as "
        f"bright as tissue (5 px averages, {next(iter(lumens.values()))['clips']} simulated clips). Truth is the view without "
        "colour."
    )
    return [*markdown_table(["", "invented", "closed"], rows), "", about]


def _machine() -> str:
    kinds = sorted({device.device_kind for device in jax.devices()})
    return f"{len(jax.devices())} x {', '.join(kinds)} ({platform.machine()})"


def _domain_table(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The strata of the sets that have several domains."""
    rows = []
    for name, result in results.items():
        for domain, part in result["by_domain"].items() if len(result["by_domain"]) > 1 else ():
            scores = [part["ssim"]["flow"], _best(part, "flow"), part["ssim"]["box"]]
            ratios = [_number(part[key].get("flow"), digits=2) for key in RATIOS]
            rows.append([f"{name}, {domain}", str(part["n_clips"]), *map(_number, scores), *ratios])
    return markdown_table(["", "clips", "flow", "best do-nothing flow", "box", "texture", "flicker"], rows)


def _numbers(card: Card) -> dict[str, Any]:
    sets = {name: _brief(result) for name, result in card.results.items()}
    sizes = {str(size): _brief(result) for size, result in card.sizes.items()}
    return {
        "facts": card.facts,
        "sets": sets,
        "sizes": sizes,
        "masses": card.masses,
        "lumens": card.lumens,
        "no_truth": card.no_truth,
    }


def _brief(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows, at every depth: the measures of its tables in its strata."""
    found = {
        key: result[key] for key in (*STRATA, "ci95", "n_clips", "n_patients", SPEARMAN, "identity") if key in result
    }
    found |= {key: _brief(result[key]) for key in (*MEASURES, "anatomy") if key in result}
    for key in ("baselines", "by_domain"):
        if key in result:
            found[key] = {name: _brief(part) for name, part in result[key].items()}
    return found
