"""Real colour over real greyscale: what colour hid in clips of one's own, hidden in the real echo, where the truth is known.

Masks and colours of a painter have a painter's shapes; these have a scanner's, and flicker, tear and speckle as it does.
"""

from __future__ import annotations

import pathlib

import cv2
import numpy as np

from cfd2gray.evaluation.card.sets import FRAMES, CardSet, card_set, real_echo
from cfd2gray.translation.square import analyse_square
from data_pipeline.pixels import around
from data_pipeline.readers import read_clip
from data_pipeline.readers.walk import find_sources
from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR, Clip, PairRecord


def real_colour(folder: pathlib.Path, *, size: int) -> CardSet:
    """The clips with colour flow below ``folder``, each laid over the real echo, at ``size``.

    Raises:
      ValueError: When none of them has colour flow, or the echo is not installed.
    """
    grey, fps, _ = real_echo()
    grey = grey[:FRAMES]
    sector = analyse_square(np.repeat(grey[..., None], 3, axis=-1), regions=(), aspect=1.0).sector
    pairs = []
    for source in find_sources([folder]).sources:
        pair = laid_over(read_clip(source.path), grey, sector, fps=fps, name=f"real-colour-{len(pairs)}")
        if pair is not None:
            pairs.append(pair)
    if not pairs:
        raise ValueError(f"{folder} holds no clip with colour flow to lay over the real echo; name another folder")
    about = f"a real echo under the flow of {len(pairs)} real colour clips, shared target, {size} px"
    return card_set(f"real colour {size}", about, size, pairs)


def laid_over(clip: Clip, grey: np.ndarray, sector: np.ndarray, *, fps: float, name: str) -> PairRecord | None:
    """Colour and outline of ``clip``, its sector stretched to ``sector`` (bool ``[H, W]``) of ``grey`` (uint8 ``[T, H, W]``).

    A shorter clip runs forth and back. None for a clip without colour flow.
    """
    found = analyse_square(clip.frames, regions=clip.info.regions, aspect=clip.info.pixel_aspect)
    if not found.is_cfd:
        return None
    ours, theirs = around(sector), around(found.sector)
    place = (ours[1].stop - ours[1].start, ours[0].stop - ours[0].start)
    cfd, strata = np.repeat(grey[..., None], 3, axis=-1), np.zeros(grey.shape, np.uint8)
    order = np.abs(
        (np.arange(len(grey)) + len(clip.frames) - 1) % max(2 * len(clip.frames) - 2, 1) - len(clip.frames) + 1
    )
    for t, source in enumerate(order):
        seen = cv2.resize(found.strata[source][theirs], place, interpolation=cv2.INTER_NEAREST)
        colour = cv2.resize(clip.frames[source][theirs], place, interpolation=cv2.INTER_NEAREST)
        hidden = (seen & (FLOW | OUTLINE)) > 0
        cfd[t][ours] = np.where((hidden & sector[ours])[..., None], colour, cfd[t][ours])
        strata[t][ours] = np.where(sector[ours], SECTOR | seen & (FLOW | OUTLINE | BOX), 0)
    return PairRecord(
        cfd=cfd, grey=grey[..., None], strata=strata, labels=np.zeros(grey.shape, np.uint8), clip_id=name,
        patient_id="real-echo", view="A4C", kind="painted", shared=True, fps=fps,
    )  # fmt: skip
