"""What drawn speckle does at the size of the screen: `python tests/benchmarks/native_speckle.py [--clips 4] [--real FOLDER]`.

With true masks, on simulated test patients and pydicom's real echo with held-out paint, at each texture: SSIM under
colour, detail of three octaves and flicker against the truth, and how well "was this patch under colour?" can be told
(`card.no_reference`; clips left out in turn; .5 cannot be told, `truth` is what the place alone gives away, and where there is
none, the same shapes laid over visible tissue).
Clips of a folder (a folder of images each) have no truth: detail is then that of visible tissue of the same grey level.
"""

from __future__ import annotations

import argparse
import pathlib

import cv2
import numpy as np

from cfd2gray.evaluation.card.no_reference import BESIDE, LIT, OCTAVES, STILL, Patches, elsewhere, told_apart
from cfd2gray.evaluation.card.sets import FIRST_SEED, real_echo
from cfd2gray.metrics.ssim import ssim_map
from cfd2gray.translation.areas import beams_of
from cfd2gray.translation.speckle.octaves import octaves_of
from cfd2gray.translation.translator import Translator
from data_pipeline.pixels import grown, luma
from data_pipeline.schema import SECTOR, VIEWS
from data_pipeline.screen.analysis import FlowAnalysis, analyse
from data_pipeline.screen.fan_fit import fit_fan
from data_pipeline.screen.hidden import hidden_mask
from data_pipeline.simulation.painter import HELD_OUT, paint_pair
from data_pipeline.simulation.simulator import simulate_pair

FRAMES = 16
TEXTURES = (0.0, 0.5, 1.0)


def simulated(index: int, size: int):
    view = VIEWS[1:][index % (len(VIEWS) - 1)]
    pair = simulate_pair(view, FIRST_SEED + index, height=size, width=size, frames=FRAMES, split="test")
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


def detail(shown: np.ndarray, truth: np.ndarray, hidden: np.ndarray) -> list[float]:
    """Ratios of detail by octave and of flicker, and SSIM, under colour."""
    ratios = []
    for a, b, mask in zip(shown[::4], truth[::4], hidden[::4]):
        core = ~grown(mask == 0, 2)
        if core.sum() > 30:
            pairs = zip(*(octaves_of(frame.astype(np.float32), OCTAVES)[1] for frame in (a, b)))
            ratios.append([p[core].std() / max(q[core].std(), 1e-6) for p, q in pairs])
    both = (hidden[1:] > 0) & (hidden[:-1] > 0)
    changes = [np.abs(np.diff(clip.astype(int), axis=0))[both].mean() for clip in (shown, truth)]
    a, b = (clip[None].astype(np.float32) / 255 for clip in (shown, truth))
    similar = float(np.asarray(ssim_map(a, b, data_range=1.0))[0][hidden > 0].mean())
    return [*(np.mean(ratios, axis=0) if ratios else [np.nan] * 3), changes[0] / changes[1], similar]


def judge(name: str, clips: list) -> None:
    """Table rows of one set."""
    translator = Translator.from_pretrained()
    known = clips[0][1] is not None
    for texture in (*TEXTURES, "truth" if known else "visible tissue"):
        rows, told = [], []
        for frames, truth, analysis in clips:
            hidden, sector = hidden_mask(analysis.strata, frames), analysis.sector
            beams = beams_of(sector, analysis.geometry)
            if texture == "truth":
                shown = truth
            elif texture == "visible tissue":
                shown = luma(frames)
                clear = sector & ~grown(hidden.any(axis=0), BESIDE[0])
                hidden, sector = elsewhere(hidden, sector, shown.mean(axis=0) > LIT), clear
            else:
                translator.texture = texture
                shown = translator.translate(frames, analysis=analysis, confidence=False).grey
            seen = Patches.of(shown, hidden, sector, beams)
            told.append(seen)
            if truth is not None:
                rows.append([*detail(shown, truth, hidden), *(seen.ratios[4:] if seen.enough else [np.nan] * 2)])
            else:
                rows.append([*seen.ratios[:4], np.nan, *seen.ratios[4:]] if seen.enough else [np.nan] * 7)
        if rows:
            apart = [np.mean(told_apart(told, columns) or np.nan) for columns in (STILL, slice(None))]
            means = [np.nanmean(column) if np.isfinite(column).any() else np.nan for column in zip(*rows)]
            figures = [*means, *apart]
            print(
                f"| {name} | {len(rows)} | {texture} | "
                + " | ".join("" if np.isnan(f) else f"{f:.2f}" for f in figures)
                + " |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=4, help="of each set")
    parser.add_argument("--size", type=int, default=448, help="px of the simulated ones")
    parser.add_argument("--sets", nargs="+", default=["simulated", "echo"], choices=["simulated", "echo"])
    parser.add_argument("--real", type=pathlib.Path, help="folder of clips, each a folder of images")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    columns = ["set", "clips", "texture", "finest octave", "second", "third", "flicker", "SSIM under colour", "grain along",
               "across", "AUC", "with change and grain"]  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    if "simulated" in options.sets:
        judge(f"simulated, {options.size} px", [simulated(k, options.size) for k in range(options.clips)])
    if "echo" in options.sets:
        judge("real echo, painted, 480x640", [painted(k) for k in range(1, options.clips + 1)])
    if options.real:
        folders = sorted(path for path in options.real.iterdir() if path.is_dir())
        judge("real colour flow", [from_images(folder) for folder in folders])


if __name__ == "__main__":
    main()
