"""The report: one self-contained HTML page from an evaluation JSON and a few clips.

Nothing is fetched: style, script, plots and clips are all inside. The page works without scripts except for playback.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from cfd2gray.evaluation.report import sections, task_sections
from cfd2gray.evaluation.report.gallery import ReportClip
from cfd2gray.evaluation.report.sprites import ERROR_FULL_SCALE, SheetOptions, clip_panels
from cfd2gray.evaluation.results import patients_text

__all__ = ["ReportClip", "write_report"]

_NAV = {
    "summary": "In short",
    "clips": "Clips",
    "measures": "Measures",
    "clips-spread": "Spread",
    "groups": "Where it works",
    "downstream": "As real ones?",
    "recovery": "Recovery",
    "audit": "Audit",
    "confidence": "Confidence",
    "training": "Training",
    "readers": "Readers",
    "readers-table": "Reader by reader",
    "power": "Power",
    "settings": "Settings",
}


def write_report(
    path: str | os.PathLike,
    result: Mapping[str, Any],
    clips: Sequence[ReportClip | Mapping[str, Any]],
    *,
    history: Sequence[Mapping[str, Any]] | None = None,
    title: str = "Evaluation",
    sheets: SheetOptions | None = None,
) -> Path:
    """Write the page for ``result`` (see `evaluate`) to ``path`` and return it.

    Args:
      path: the HTML file; written under a temporary name and renamed.
      result: the evaluation JSON.
      clips: shown in this order, playable in lock-step; `ReportClip`, or what `clips_of` found in another page.
      history: rows of a run's ``metrics.jsonl``, for the training curves.
      title: heading of the page.
      sheets: bounds on frames, size and JPEG quality of the embedded clips.

    Raises:
      ValueError: ``result`` is not an evaluation JSON.
    """
    missing = [key for key in ("ssim", "n_clips", "settings", "per_clip") if key not in result]
    if missing:
        raise ValueError(f"this is not an evaluation result: it lacks {missing}; make one with `cfd2gray evaluate`")
    sheets = sheets or SheetOptions()
    described = [clip_panels(clip, options=sheets) if isinstance(clip, ReportClip) else clip for clip in clips]
    parts = [
        sections.summary(result),
        clips_section(described),
        sections.measures(result),
        sections.distributions(result),
        sections.groups(result),
        task_sections.downstream(result),
        task_sections.recovery(result),
        task_sections.audit(result),
        sections.confidence(result),
        sections.training(history),
        sections.settings(result) + _download(result),
    ]
    return write_page(path, title=title, facts=_facts(result), parts=parts, clips=described)


def write_page(
    path: str | os.PathLike, *, title: str, facts: str, parts: Sequence[str], clips: Sequence[Mapping[str, Any]]
) -> Path:
    """Fill the page template; ``parts`` are HTML, ``title`` and ``facts`` plain text."""
    body = "\n".join(part for part in parts if part)
    nav = "".join(f'<a href="#{anchor}">{name}</a>' for anchor, name in _NAV.items() if f'id="{anchor}"' in body)
    page = Template(_asset("page.html")).substitute(
        title=escape(title),
        facts=escape(facts),
        nav=nav,
        sections=body,
        css=_asset("page.css"),
        js=_asset("page.js"),
        clips=script_json(list(clips)),
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    return path


def clips_of(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The clips that the ``report.html`` of an evaluation's folder carries; none where there is no such page."""
    path = Path(path)
    pages = [folder / "report.html" for folder in (path, path / "evaluation", path.parent) if folder.is_dir()]
    page = next((page for page in pages if page.is_file()), None)
    found = page and re.search(r'id="clips-data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    return json.loads(found[1]) if found else []


def clips_section(described: Sequence[Mapping[str, Any]]) -> str:
    """Players; the script fills their canvases from the embedded sheets."""
    if not described:
        return ""
    players = "".join(player(facts) for facts in described)
    lead = (
        "Worst, median and best by SSIM in flow; random ones are the same in every report on the same clips. Each row "
        "plays in lock-step. 'Translation' is the composited output; error is its absolute difference from "
        f"the truth, from black (0) to yellow ({ERROR_FULL_SCALE} grey levels or more). The pictures are compressed "
        "for this page; the scores were taken before."
    )
    return sections.section("clips", "Clips: worst, median, best, random, and other failures", lead, players)


def player(facts: Mapping[str, Any]) -> str:
    """One clip's canvases and controls; ``facts`` as `sprites.clip_panels` gives them."""
    figures = "".join(
        f'<figure><canvas width="{facts["width"]}" height="{facts["height"]}" role="img" '
        f'aria-label="{escape(panel["name"])} of {escape(facts["name"])}"></canvas>'
        f"<figcaption>{escape(panel['name'])}</figcaption></figure>"
        for panel in facts["panels"]
    )
    numbers = " · ".join(
        f"{name} {v if isinstance(v, str) else format(v, '.3g')}" for name, v in facts["metrics"].items()
    )
    if facts["frames"] < facts["total"]:
        numbers += f" · first {facts['frames']} of {facts['total']} frames shown"
    tag = f'<span class="tag">{escape(facts["tag"])}</span>' if facts["tag"] else ""
    speeds = "".join(
        f'<option value="{speed}"{" selected" if speed == 1 else ""}>{speed:g}×</option>' for speed in (0.25, 0.5, 1, 2)
    )
    return (
        f'<article class="clip"><header>{tag}<b>{escape(facts["name"])}</b>'
        f'<span class="numbers">{escape(numbers)}</span></header>'
        f'<div class="frames">{figures}</div><div class="transport"><button type="button" class="play">Play</button>'
        f'<input type="range" min="0" max="{facts["frames"] - 1}" value="0" aria-label="frame">'
        f"<output>1 / {facts['frames']}</output><select aria-label='speed'>{speeds}</select>"
        f'<button type="button" class="outline" aria-pressed="false">Outline flow</button></div></article>'
    )


def _facts(result: Mapping[str, Any]) -> str:
    sizes = ", ".join("×".join(str(n) for n in size) for size in result["settings"].get("frame_sizes", ()))
    people = patients_text(result["n_patients"])
    clips = "1 clip" if result["n_clips"] == 1 else f"{result['n_clips']} clips"
    return f"{clips} of {people}" + (f" · {sizes} frames×height×width" if sizes else "")


def _download(result: Mapping[str, Any]) -> str:
    encoded = base64.b64encode(json.dumps(result).encode()).decode()
    link = f'<a download="evaluation.json" href="data:application/json;base64,{encoded}">'
    return f"<p>{link}Download the numbers (JSON)</a></p>"


def script_json(value: Any) -> str:
    """JSON that cannot close the script element it stands in."""
    return json.dumps(value).replace("</", "<\\/")


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
