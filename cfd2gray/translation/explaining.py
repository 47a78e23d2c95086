"""A picture or video of what was seen in one clip: nothing is translated."""

from __future__ import annotations

import pathlib

import cv2
import numpy as np

from cfd2gray.translation.consoles import keep_sector, with_known_sectors
from cfd2gray.translation.files import HELD_BYTES, Output
from cfd2gray.translation.long_clip import sampled
from cfd2gray.translation.output.video import CODECS, growing_video
from cfd2gray.translation.square import SquareMasks, analyse_square
from data_pipeline.files import atomic_path
from data_pipeline.readers import ClipStream
from data_pipeline.screen.analysis import FlowAnalysis
from data_pipeline.screen.explain import explain_picture, explained


def explain_file(source: pathlib.Path, target: pathlib.Path, output: Output) -> FlowAnalysis:
    """Draw what was seen over a few frames (an image), or over all of them (a video).

    Raises:
      ValueError: unreadable input, a target that exists or that is neither image nor video.
    """
    if target.exists():
        raise ValueError(f"{target} exists and is not overwritten; remove it or name another file")
    video = target.suffix.lower() in CODECS
    if not video and not cv2.haveImageWriter(str(target)):
        raise ValueError(f"{target}: what was seen is drawn as .png, .jpg or {', '.join(CODECS)}")
    with output.open(source) as stream:
        samples, info = sampled(stream), stream.info
        said = with_known_sectors(output.said, stream, output.remember)
        if video:
            found = _explain_video(stream, samples, target, said)
        else:
            found = analyse_square(samples, regions=info.regions, aspect=info.pixel_aspect, said=said)
            _, data = cv2.imencode(target.suffix, explain_picture(samples, found)[..., ::-1])
            with atomic_path(target) as part:
                part.write_bytes(data.tobytes())
        keep_sector(output.remember, stream, found, said)
    return found


def _explain_video(stream: ClipStream, samples: np.ndarray, target: pathlib.Path, said) -> FlowAnalysis:
    """Each frame beside itself with what was seen in it; long clips frame by frame, as they are translated."""
    info = stream.info
    held = len(samples) == info.n_frames or (info.n_frames or 0) * info.height * info.width * 3 <= HELD_BYTES
    whole = masks = None
    if held:
        frames = samples if len(samples) == info.n_frames else np.stack(list(stream))
        whole = analyse_square(frames, regions=info.regions, aspect=info.pixel_aspect, said=said)
    else:
        frames = stream
        masks = SquareMasks(samples, regions=info.regions, aspect=info.pixel_aspect, said=said)
    size = {"height": info.height, "width": 2 * info.width}
    with growing_video(target, **size, fps=info.fps, colour=True, title="What was seen: no translation") as add:
        for k, frame in enumerate(frames):
            seen = masks.analysis([frame]) if masks is not None else whole
            add(np.concatenate([frame, explained(frame, seen.strata[0 if whole is None else k], seen.sector)], axis=1))
    return seen
