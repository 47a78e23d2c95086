"""The moving picture of the README: a clip before and after, side by side, cut to the sector.

cfd2gray simulate --view A4C --clips 1 --size 480 --frames 36 --seed 240 --format mp4 -o clips
python docs/examples/before_after.py clips/a4c-000240.mp4 before_after.gif
"""

import sys

import cv2
import numpy as np
import PIL.Image

import cfd2gray

source, target = sys.argv[1:]
result = cfd2gray.Translator.from_pretrained()(source)
inside = np.argwhere(result.analysis.sector)
(top, left), (bottom, right) = inside.min(axis=0), inside.max(axis=0) + 1
grey = np.repeat(result.grey[..., None], 3, axis=3)
pair = np.concatenate(
    [
        (clip * result.analysis.sector[None, ..., None])[:, top:bottom, left:right]
        for clip in (result.clip.frames, grey)
    ],
    axis=2,
)
size = (560, round(560 * pair.shape[1] / pair.shape[2]))
pair = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in pair])

# One palette for all frames, so that nothing flickers: grey levels, and the colours that there are.
coloured = pair[np.ptp(pair, axis=3) > 40].reshape(1, -1, 3)
colours = np.array(PIL.Image.fromarray(coloured).quantize(80).getpalette()[: 3 * 80])
levels = np.repeat(np.linspace(0, 255, 64).astype(np.uint8), 3)
palette = PIL.Image.new("P", (1, 1))
palette.putpalette([*levels.tolist(), *colours.tolist()])
first, *others = [PIL.Image.fromarray(f).quantize(palette=palette, dither=PIL.Image.Dither.NONE) for f in pair]
period = round(1000 / min(result.clip.info.fps, 50))
first.save(target, save_all=True, append_images=others, duration=period, loop=0, optimize=True)
