"""The report: one self-contained HTML page from an evaluation JSON and a few clips.

Nothing is fetched: style, script, plots and clips are all inside. The page works without scripts except for playback.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cfd2gray.evaluation.report import sections, task_sections
from cfd2gray.evaluation.report.gallery import ReportClip
from cfd2gray.evaluation.report.sprites import clip_panels
from cfd2gray.evaluation.results import patients_text
from cfd2gray.pages.page import clips_of, write_page

__all__ = ["ReportClip", "clips_of", "write_report"]


def write_report(
    path: str | os.PathLike,
    result: Mapping[str, Any],
    clips: Sequence[ReportClip | Mapping[str, Any]],
    *,
    history: Sequence[Mapping[str, Any]] | None = None,
    title: str = "Evaluation",
) -> Path:
    """Write the page for ``result`` (see `evaluate`) to ``path`` and return it.

    Args:
      path: the HTML file; written under a temporary name and renamed.
      result: the evaluation JSON.
      clips: shown in this order, playable in lock-step; `ReportClip`, or what `clips_of` found in another page.
      history: rows of a run's ``metrics.jsonl``, for the training curves.
      title: heading of the page.

    Raises:
      ValueError: ``result`` is not an evaluation JSON.
    """
    missing = [key for key in ("ssim", "n_clips", "settings", "per_clip") if key not in result]
    if missing:
        raise ValueError(f"this is not an evaluation result: it lacks {missing}; make one with `cfd2gray evaluate`")
    described = [clip_panels(clip) if isinstance(clip, ReportClip) else clip for clip in clips]
    parts = [
        sections.summary(result),
        sections.clips(described),
        sections.measures(result),
        sections.distributions(result),
        sections.groups(result),
        task_sections.downstream(result),
        task_sections.recovery(result),
        task_sections.audit(result),
        sections.confidence(result),
        sections.training(history),
        sections.settings(result),
    ]
    return write_page(path, title=title, facts=_facts(result), sections=parts, clips=described)


def _facts(result: Mapping[str, Any]) -> str:
    sizes = ", ".join("×".join(str(n) for n in size) for size in result["settings"].get("frame_sizes", ()))
    people = patients_text(result["n_patients"])
    clips = "1 clip" if result["n_clips"] == 1 else f"{result['n_clips']} clips"
    return f"{clips} of {people}" + (f" · {sizes} frames×height×width" if sizes else "")
