"""How well screens of held-out styles are seen: `python tests/benchmarks/screen_parser.py --clips 120 [--json FILE]`.

Screens are simulated from test seeds, in styles that training of the parser never drew (`styles.HELD_OUT`) mixed with plain
ones. Recall and precision of hidden pixels, recall of the drawn outline, overlap of sectors, kinds, and calibration.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import pathlib
import time

import cv2
import numpy as np

from data_pipeline.schema import FLOW, OUTLINE
from data_pipeline.screen.analysis import analyse
from data_pipeline.simulation.screens.compose import ScreenClip, draw_screen_clip
from data_pipeline.simulation.screens.styles import HELD_OUT, Styles
from data_pipeline.simulation.screens.tissue import make_tissue

JUDGED = Styles(
    forms=(*HELD_OUT.forms, "arc", "rectangle"), strokes=(*HELD_OUT.strokes, "solid"), inks=HELD_OUT.inks,
    tints=(*HELD_OUT.tints, "none"), codecs=HELD_OUT.codecs, text_inks=HELD_OUT.text_inks,
)  # fmt: skip


def first_frames(clip: ScreenClip, count: int) -> ScreenClip:
    """The clip's first frames only."""
    planes = ("frames", "clean", "sector", "flow", "outline", "overlay")
    return dataclasses.replace(clip, **{name: getattr(clip, name)[:count] for name in planes})


def judge(clip: ScreenClip) -> dict[str, float | str | bool]:
    """One screen's row."""
    began = time.process_time()
    found = analyse(clip.frames)
    row = {"ms": 1e3 * (time.process_time() - began) / len(clip.frames), "layout": clip.layout, "got": found.kind}
    row["kind"] = clip.kind if (clip.flow > 0.3).any() else "bmode"
    flow = {"cfd", "power"}
    row["right"] = bool(row["kind"] == found.kind or {row["kind"], found.kind} <= flow)
    row["right"] |= bool(row["kind"] == "bmode" and found.kind in ("spectral", "mmode"))
    row["score"], row["unsure"] = found.score, found.unsure
    sector = clip.sector[0] > 0.5
    if sector.any():
        row["sector"] = float((sector & found.sector).sum() / (sector | found.sector).sum())
    if row["kind"] in flow:
        marked = (found.strata & (FLOW | OUTLINE)) > 0
        painted, line = clip.flow > 0.5, clip.outline > 0.3
        touched = (clip.flow > 0.15) | (clip.outline > 0.1) | (clip.overlay > 0.1)
        row["recall"] = float(marked[painted | line].mean())
        row["precision"] = float(touched[marked].mean()) if marked.any() else float("nan")
        if (line & ~painted).any():
            row["outline"] = float(marked[line & ~painted].mean())
    return row


def calibration_error(scores: np.ndarray, right: np.ndarray, *, bins: int = 10) -> float:
    """Expected calibration error: mean distance of certainty to share of right verdicts, over bins of equal width."""
    place = np.minimum((scores * bins).astype(int), bins - 1)
    parts = [(place == k) for k in range(bins) if (place == k).any()]
    return float(sum(p.mean() * abs(scores[p].mean() - right[p].mean()) for p in parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--frames", type=int, default=8, help="of each clip; 1: how well single frames are parsed")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    tissues = [make_tissue(9_000_000 + k, size=256, split="test") for k in range(30)]
    rows = []
    for k in range(options.clips):
        rng = np.random.default_rng([77, k])
        clip = draw_screen_clip(rng, tissues, styles=JUDGED, rows=(112, 640))
        rows.append(judge(first_frames(clip, options.frames)))
    mean = lambda name, some: float(np.nanmean([r[name] for r in some if name in r]))  # noqa: E731
    groups = {"colour, one sector": [r for r in rows if r["layout"] == "single" and "recall" in r]}
    groups["colour, every layout"] = [r for r in rows if "recall" in r]
    print(f"{'':22} clips  recall  precision  outline  sector")
    for name, some in groups.items():
        figures = [mean(k, some) for k in ("recall", "precision", "outline", "sector")]
        print(f"{name:22} {len(some):5}  {figures[0]:6.3f}  {figures[1]:9.3f}  {figures[2]:7.3f}  {figures[3]:6.3f}")
    sectors = [r["sector"] for r in rows if "sector" in r]
    print(f"sector, all {len(sectors)}: mean {np.mean(sectors):.3f}, 5th percentile {np.percentile(sectors, 5):.3f}")
    right, score = np.array([r["right"] for r in rows]), np.array([r["score"] for r in rows])
    grey = [r for r in rows if r["kind"] == "bmode"]
    called = sum(r["got"] in ("cfd", "power") for r in grey)
    print(f"kind right {right.mean():.3f} of {len(rows)}; greyscale called colour {called} of {len(grey)}")
    print(f"calibration error {calibration_error(score, right):.3f}")
    print(f"{mean('ms', rows):.0f} ms a frame, clips of {options.frames} frames")
    wrong = collections.Counter((r["kind"], r["layout"], r["got"], r["unsure"]) for r in rows if not r["right"])
    for (kind, layout, got, unsure), count in wrong.items():
        print(f"  wrong: {kind} on a {layout} screen called {got}{', unsure' if unsure else ''}: {count}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
