"""What drawn speckle does at the size of the screen: `python tests/benchmarks/native_speckle.py [--clips 4] [--real FOLDER]`.

With true masks, on simulated test patients of 448 px and pydicom's real echo with held-out paint, at each texture: SSIM under
colour, detail of three octaves and flicker against the truth, and how well "was this patch under colour?" can be told from
detail at the patch's grey level (clips left out in turn; .5 cannot be told, `truth` is what the place alone gives away).
Clips of a folder (a folder of images each) have no truth: detail is then that of visible tissue of the same grey level.
"""

from __future__ import annotations

import argparse
import pathlib

import cv2
import numpy as np

from cfd2gray.evaluation.card.sets import FIRST_SEED, real_echo
from cfd2gray.metrics.ssim import ssim_map
from cfd2gray.metrics.task import auc
from cfd2gray.translation.speckle import octaves_of
from cfd2gray.translation.translator import Translator
from data_pipeline.pixels import grown
from data_pipeline.schema import SECTOR, VIEWS
from data_pipeline.screen.analysis import FlowAnalysis, analyse
from data_pipeline.screen.fan_fit import fit_fan
from data_pipeline.screen.hidden import hidden_mask
from data_pipeline.simulation.painter import HELD_OUT, paint_pair
from data_pipeline.simulation.simulator import simulate_pair

FRAMES, PATCH = 16, 12
TEXTURES = (0.0, 0.5, 1.0)


def simulated(index: int):
    view = VIEWS[1:][index % (len(VIEWS) - 1)]
    pair = simulate_pair(view, FIRST_SEED + index, height=448, width=448, frames=FRAMES, split="test")
    return known(pair)


def painted(seed: int):
    grey, fps, _ = real_echo()
    start = seed * 40 % max(len(grey) - FRAMES, 1)
    pair = paint_pair(
        grey[start : start + FRAMES], seed, fps=fps, options=HELD_OUT, clip_id="real", patient_id="real", view="A4C"
    )
    return known(pair)


def known(pair):
    """Colour, truth and the true analysis."""
    sector = ((pair.strata & SECTOR) > 0).any(axis=0)
    geometry = fit_fan(np.repeat(pair.grey, 3, axis=3)).geometry
    return pair.cfd, pair.grey[..., 0], FlowAnalysis(sector=sector, strata=pair.strata, geometry=geometry)


def from_images(folder: pathlib.Path):
    files = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))[:FRAMES]
    frames = np.stack([cv2.imread(str(path))[..., ::-1] for path in files])
    return frames, None, analyse(frames)


def patches(clip: np.ndarray, hidden: np.ndarray, sector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log detail of three octaves and log level of patches, float [n, 4], and whether each was hidden, bool [n]."""
    rows, flags = [], []
    for frame, mask in zip(clip[::4], hidden[::4]):
        level, octaves = octaves_of(frame.astype(np.float32))
        planes = np.stack([*(octave**2 for octave in octaves), level], axis=-1)
        covered, beside = mask > 0, sector & ~grown(mask, 4) & grown(mask, 60)
        for y in range(0, frame.shape[0] - PATCH, PATCH):
            for x in range(0, frame.shape[1] - PATCH, PATCH):
                at = (slice(y, y + PATCH), slice(x, x + PATCH))
                mean = planes[at].mean(axis=(0, 1))
                if mean[3] > 8 and (covered[at].all() or beside[at].all()):
                    rows.append(np.log(np.append(np.sqrt(mean[:3]) + 0.3, mean[3])))
                    flags.append(covered[at].all())
    return np.array(rows).reshape(-1, 4), np.array(flags, bool)


def told_apart(clips: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Mean AUC over clips of a linear discriminant that was fitted to the others; NaN with fewer than two."""
    clips = [(beside_level(rows, flags), flags) for rows, flags in clips if 20 < flags.sum() < len(flags) - 20]
    found = []
    for k, (rows, flags) in enumerate(clips):
        others = [clip for index, clip in enumerate(clips) if index != k]
        if not others:
            continue
        x, y = (np.concatenate(part) for part in zip(*others))
        spread = np.cov(x[y].T) + np.cov(x[~y].T) + 1e-3 * np.eye(x.shape[1])
        found.append(float(auc(rows @ np.linalg.solve(spread, x[y].mean(axis=0) - x[~y].mean(axis=0)), flags)))
    return float(np.mean(found)) if found else float("nan")


def beside_level(rows: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Detail beyond what visible patches of that grey level have, float [n, 3]."""
    design = np.stack([np.ones(len(rows)), rows[:, 3], rows[:, 3] ** 2], axis=1)
    return rows[:, :3] - design @ np.linalg.lstsq(design[~flags], rows[~flags, :3], rcond=None)[0]


def detail(shown: np.ndarray, truth: np.ndarray, hidden: np.ndarray) -> list[float]:
    """Ratios of detail by octave and of flicker, and SSIM, under colour."""
    ratios = []
    for a, b, mask in zip(shown[::4], truth[::4], hidden[::4]):
        core = ~grown(mask == 0, 2)
        if core.sum() > 100:
            pairs = zip(*(octaves_of(frame.astype(np.float32))[1] for frame in (a, b)))
            ratios.append([p[core].std() / max(q[core].std(), 1e-6) for p, q in pairs])
    both = (hidden[1:] > 0) & (hidden[:-1] > 0)
    changes = [np.abs(np.diff(clip.astype(int), axis=0))[both].mean() for clip in (shown, truth)]
    a, b = (clip[None].astype(np.float32) / 255 for clip in (shown, truth))
    similar = float(np.asarray(ssim_map(a, b, data_range=1.0))[0][hidden > 0].mean())
    return [*np.mean(ratios, axis=0), changes[0] / changes[1], similar]


def judge(name: str, clips: list) -> None:
    """Table rows of one set."""
    translator = Translator.from_pretrained()
    for texture in (*TEXTURES, "truth"):
        rows, told = [], []
        for frames, truth, analysis in clips:
            hidden = hidden_mask(analysis.strata, frames)
            if texture == "truth":
                shown = truth
            else:
                translator.texture = texture
                shown = translator.translate(frames, analysis=analysis, confidence=False).grey
            if shown is None:
                continue
            seen = patches(shown, hidden, analysis.sector)
            told.append(seen)
            if truth is not None:
                rows.append(detail(shown, truth, hidden))
            else:
                beyond = beside_level(*seen)[seen[1]].mean(axis=0) if seen[1].sum() > 20 else np.full(3, np.nan)
                rows.append([*np.exp(beyond), np.nan, np.nan])
        if rows:
            figures = [*np.nanmean(rows, axis=0), told_apart(told)]
            print(f"| {name} | {len(rows)} | {texture} | " + " | ".join(f"{f:.2f}" for f in figures) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=4, help="of each set")
    parser.add_argument("--sets", nargs="+", default=["simulated", "echo"], choices=["simulated", "echo"])
    parser.add_argument("--real", type=pathlib.Path, help="folder of clips, each a folder of images")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print("| set | clips | texture | finest octave | second | third | flicker | SSIM under colour | AUC |")
    print("|---|---|---|---|---|---|---|---|---|")
    if "simulated" in options.sets:
        judge("simulated, 448 px", [simulated(k) for k in range(options.clips)])
    if "echo" in options.sets:
        judge("real echo, painted, 480x640", [painted(k) for k in range(1, options.clips + 1)])
    if options.real:
        folders = sorted(path for path in options.real.iterdir() if path.is_dir())
        judge("real colour flow", [from_images(folder) for folder in folders])


if __name__ == "__main__":
    main()
