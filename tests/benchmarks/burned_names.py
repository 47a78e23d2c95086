"""Names burned into the sector: the share that is found whole, and how much clean tissue is blanked for it.

    python -m tests.benchmarks.burned_names [--names 400] [--real FOLDER]

Names of 3..30 glyphs in any font at Hershey scales .4..2, any ink above the tissue, over simulated clips and single frames,
over pydicom's ultrasound files, and over clips of a folder, as they are or as JPEG.
"""

from __future__ import annotations

import argparse
import collections
import pathlib
from collections.abc import Iterator

import cv2
import numpy as np
from pydicom.data import get_testdata_file

from cfd2gray.parsing.names import HELD_OUT, HERSHEY, TRUETYPE, Name, burn, draw_name, random_ink
from data_pipeline.readers import Limits, read_clip
from data_pipeline.schema import SECTOR
from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.burned_text import find_burned_text
from data_pipeline.simulation.plan import SimulationOptions
from data_pipeline.simulation.simulator import simulate_pair

WHOLE = 0.97
"""Share of a name's ink that must be covered for the name to be gone."""
REAL = ("examples_ybr_color.dcm", "US1_UNCR.dcm", "OBXXXX1A.dcm", "examples_palette.dcm", "color3d_jpeg_baseline.dcm")
VIEWS = ("A4C", "A2C", "PLAX", "PSAX", "SUBCOSTAL", "FETAL_4CH", "CAROTID_LONG", "KIDNEY", "LIVER")


def simulated(rng: np.random.Generator, count: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """``(kind, frames, sector)`` of clips that nothing was trained on (their split is ``test``)."""
    for _ in range(count):
        side = int(np.exp(rng.uniform(np.log(128), np.log(640))))
        pair = simulate_pair(
            str(rng.choice(VIEWS)), int(rng.integers(1 << 16)), height=side, width=round(side * rng.uniform(1, 1.3)),
            frames=int(rng.integers(6, 13)), options=SimulationOptions(ui_share=0.0), split="test",
        )  # fmt: skip
        frames = pair.cfd if rng.random() < 0.5 else np.repeat(pair.grey, 3, axis=3)
        sector = (pair.strata[0] & SECTOR) > 0
        yield "simulated, clip", frames, sector
        yield "simulated, one frame", frames[:1], sector


def real(folder: pathlib.Path | None) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """pydicom's ultrasound files that are on this machine, and folders of frames below ``folder``."""
    for name in REAL:
        path = get_testdata_file(name, download=False)
        if path:
            frames = read_clip(path, limits=Limits(min_side=32), any_modality=True).frames[:12]
            yield f"pydicom, {'clip' if len(frames) > 1 else 'one frame'}", frames, analyse(frames).sector
    for place in sorted(folder.iterdir()) if folder else ():
        frames = read_clip(place).frames[:12]
        yield "folder, clip", frames, analyse(frames).sector
        yield "folder, one frame", frames[:1], analyse(frames).sector


def place(
    rng: np.random.Generator, frames: np.ndarray, sector: np.ndarray, name: Name
) -> tuple[np.ndarray, np.ndarray] | None:
    """``(frames with the name, its ink bool [H, W])`` somewhere inside the sector; None where it finds no room."""
    height, width = name.cover.shape
    if height >= sector.shape[0] or width >= sector.shape[1]:
        return None
    sums = cv2.integral(sector.astype(np.uint8))
    room = (
        sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
        == height * width
    )
    spots = np.argwhere(room)
    if not len(spots):
        return None
    row, column = (int(n) for n in spots[rng.integers(len(spots))])
    box = (slice(row, row + height), slice(column, column + width))
    marked = frames.copy()
    burn(
        marked,
        name,
        row,
        column,
        random_ink(rng, float(np.percentile(frames[(slice(None), *box)].max(axis=-1), 99)) + 10),
    )
    ink = np.zeros(sector.shape, bool)
    ink[box] = name.cover > 0.3
    return marked, ink


def as_jpeg(rng: np.random.Generator, frames: np.ndarray) -> np.ndarray:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 96))]
    return np.stack([cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_COLOR) for frame in frames])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=400)
    parser.add_argument("--real", type=pathlib.Path, help="a folder of folders of frames")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--missed", type=pathlib.Path, help="save pictures of what was missed to this folder")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    scenes = [*simulated(rng, max(args.names // 12, 2)), *real(args.real)]
    clean: dict[str, list[float]] = collections.defaultdict(list)
    for kind, frames, sector in scenes:
        clean[kind].append(float(find_burned_text(frames, sector).sum() / sector.sum()))
    found: dict[str, list[bool]] = collections.defaultdict(list)
    count = 0
    while count < args.names:
        kind, frames, sector = scenes[int(rng.integers(len(scenes)))]
        unseen = rng.random() < 0.3
        extent = int(np.flatnonzero(sector.any(axis=0)).size * 0.9)
        name = draw_name(rng, fonts=HELD_OUT if unseen else HERSHEY + TRUETYPE, widest=extent)
        drawn = place(rng, frames, sector, name)
        if drawn is None:
            continue
        marked, ink = drawn
        marked = as_jpeg(rng, marked) if rng.random() < 0.3 else marked
        gone = float(find_burned_text(marked, sector)[ink].mean())
        for group in ("all", kind, "unseen fonts" if unseen else "fonts", _size(name)):
            found[group].append(gone >= WHOLE)
        if gone < WHOLE and args.missed:
            args.missed.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(args.missed / f"{count:04d} {kind} {gone:.2f}.png"), marked[0][..., ::-1])
        count += 1
    print("| names | drawn | found whole |\n| --- | --- | --- |")
    for group, hits in sorted(found.items()):
        print(f"| {group} | {len(hits)} | {np.mean(hits):.3f} |")
    print("| clean | clips | mean share of the sector blanked | most |\n| --- | --- | --- | --- |")
    for group, shares in sorted(clean.items()):
        print(f"| {group} | {len(shares)} | {100 * np.mean(shares):.2f} % | {100 * max(shares):.2f} % |")


def _size(name: Name) -> str:
    tall = name.cover.shape[0]
    return "up to 12 px" if tall <= 12 else "13..24 px" if tall <= 24 else "over 24 px"


if __name__ == "__main__":
    main()
