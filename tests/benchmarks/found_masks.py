"""What detection costs: the shipped networks with true masks against found ones, on the real echo of pydicom's data.

    python tests/benchmarks/found_masks.py --clips 8 [--picture FILE.png]

Colour of held-out styles is painted over real greyscale, so that both the truth and the true masks are known. SSIM under
colour, in the box and over the frame; recall and precision of hidden pixels; and the best that does nothing.
"""

from __future__ import annotations

import argparse
import collections
import pathlib

import cv2
import numpy as np

from cfd2gray.evaluation.card.sets import real_echo
from cfd2gray.metrics.ssim import ssim_map
from cfd2gray.translation.translator import Translator
from data_pipeline.pixels import luma
from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR, PairRecord
from data_pipeline.screen.analysis import FlowAnalysis, analyse
from data_pipeline.screen.explain import explained
from data_pipeline.simulation.painter import HELD_OUT, paint_pair

FRAMES = 16


def painted(size: int, seed: int) -> PairRecord:
    """A part of the real echo at ``size`` x ``size`` px (0: its own size) with colour of this seed."""
    grey, fps, _ = real_echo()
    start = (seed % 3) * 40 % max(len(grey) - FRAMES, 1)
    part = grey[start : start + FRAMES]
    if size:
        part = np.stack([cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA) for frame in part])
    return paint_pair(part, seed, fps=fps, options=HELD_OUT, clip_id="real", patient_id="real", view="A4C", shared=True)


def scores(shown: np.ndarray, pair: PairRecord) -> tuple[float, float, float]:
    """SSIM of uint8 [T, H, W] under colour, in the box, over the frame."""
    truth = pair.grey[..., 0]
    a, b = (plane[None].astype(np.float32) / 255 for plane in (shown, truth))
    similar = np.asarray(ssim_map(a, b, data_range=1.0))[0]
    flow, box = ((pair.strata & flag) > 0 for flag in (FLOW, BOX))
    return float(similar[flow].mean()), float(similar[box].mean()), float(similar.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=8, help="of each size")
    parser.add_argument("--sizes", type=int, nargs="+", default=[112, 224, 0], help="px; 0 is the clip's own size")
    parser.add_argument("--picture", type=pathlib.Path, help="clip, found masks, result with them and truth")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    translator, strips = Translator.from_pretrained(), []
    print(
        "| size | masks | clips | under colour | box | frame | hidden recall | precision |\n|---|---|---|---|---|---|---|---|"
    )
    for size in options.sizes:
        rows = collections.defaultdict(list)
        for seed in range(1, options.clips + 1):
            pair = painted(size, seed)
            found = analyse(pair.cfd)
            hides = [(strata & (FLOW | OUTLINE)) > 0 for strata in (pair.strata, found.strata)]
            known = FlowAnalysis(sector=((pair.strata & SECTOR) > 0).any(axis=0), strata=pair.strata)
            recall, precision = hides[1][hides[0]].mean(), hides[0][hides[1]].mean()
            rows["none: colour as luma"].append((*scores(luma(pair.cfd), pair), np.nan, np.nan))
            rows["true"].append((*scores(translator.translate(pair.cfd, analysis=known).grey, pair), 1, 1))
            shown = translator.translate(pair.cfd, analysis=found).grey
            rows["found"].append((*scores(shown, pair), recall, precision))
            t = FRAMES // 2
            strip = [pair.cfd[t], explained(pair.cfd[t], found.strata[t], found.sector)]
            strip += [np.repeat(plane[..., None], 3, axis=-1) for plane in (shown[t], pair.grey[t, ..., 0])]
            row = np.concatenate(strip, axis=1)
            strips.append(cv2.resize(row, (1280, round(1280 * row.shape[0] / row.shape[1]))))
        for name, figures in rows.items():
            told = " | ".join("" if np.isnan(value) else f"{value:.3f}" for value in np.mean(figures, axis=0))
            print(f"| {size or 'native'} | {name} | {len(figures)} | {told} |", flush=True)
    if options.picture:
        cv2.imwrite(str(options.picture), np.concatenate(strips)[..., ::-1])


if __name__ == "__main__":
    main()
