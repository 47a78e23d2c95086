"""Build a blinded reader study: can people tell translated clips from real ones?

One HTML page, usable offline, shows the clips one by one in an order of each reader's own, takes answers from the
keyboard, survives a reload and hands back a signed answer file. What is real is written in a key file that stays with
whoever runs the study.

Nothing in the page tells the two apart: ids are random, every clip has the same number of frames, size, frame rate and
encoding, and all are padded to the same number of bytes.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cfd2gray.pages.page import render
from data_pipeline.files import write_atomically, write_json
from data_pipeline.schema import FLOW

KEY_FORMAT, ANSWER_FORMAT = "cfd2gray-reader-key-1", "cfd2gray-reader-answers-1"
CONFIDENCES = (1, 2, 3, 4, 5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyClip:
    """A clip that may be shown: the acquired greyscale and the translation, uint8 ``[T, H, W]`` both."""

    clip_id: str
    patient_id: str
    view: str
    real: np.ndarray
    synthetic: np.ndarray

    def __post_init__(self) -> None:
        for name in ("real", "synthetic"):
            array = getattr(self, name)
            if array.dtype != np.uint8 or array.ndim != 3 or array.shape != self.real.shape:
                raise ValueError(
                    f"clip {self.clip_id}: {name} must be uint8 {list(self.real.shape)}, got {array.dtype} "
                    f"{list(array.shape)}; real and translated clip must have the same frames and size"
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """How a study is put together."""

    items: int = 60
    """Clips shown, half of them real; even."""
    repeats: int = 0
    """Clips shown twice, for each reader's agreement with themselves."""
    fps: float = 15.0
    """Of every clip alike."""
    quality: int = 92
    """JPEG quality of every clip alike."""
    seed: int = 0
    title: str = "Real or synthetic?"

    def __post_init__(self) -> None:
        if self.items < 2 or self.items % 2:
            raise ValueError(f"a balanced study shows an even number of clips, at least 2, got {self.items}")
        if not 0 <= self.repeats <= self.items:
            raise ValueError(f"repeats must lie in 0..{self.items} (the number of items), got {self.repeats}")


def build_study(folder: str | os.PathLike, clips: Sequence[StudyClip], *, options: StudyOptions) -> dict[str, Any]:
    """Write ``study.html`` (for readers) and ``key.json`` (for you) into a new or empty ``folder``.

    A clip is shown once, as real or as translated; halves are balanced within each view as far as numbers allow.

    Returns:
      The key.

    Raises:
      ValueError: too few clips, clips of different shape, or a folder that holds something.
    """
    folder = Path(folder)
    check_folder(folder)
    shown = _draw(clips, options)
    rng = np.random.default_rng(options.seed)
    again = [shown[i] for i in rng.permutation(len(shown))[: options.repeats]]
    frames = [(clip, synthetic, False) for clip, synthetic in shown] + [(c, s, True) for c, s in again]
    sheets = _equal_length([_sheet(c.synthetic if s else c.real, options.quality) for c, s, _ in frames])
    names = [secrets.token_hex(6) for _ in frames]
    study = secrets.token_hex(8)
    secret = secrets.token_hex(32)
    order = rng.permutation(len(frames))  # the order of the page's source tells nothing either
    items = [
        {
            "item": names[i],
            "synthetic": bool(frames[i][1]),
            "repeat": frames[i][2],
            "clip_id": frames[i][0].clip_id,
            "patient_id": frames[i][0].patient_id,
            "view": frames[i][0].view,
        }
        for i in order
    ]
    t, height, width = shown[0][0].real.shape
    data = {
        "format": ANSWER_FORMAT,
        "study": study,
        "secret": secret,
        "title": options.title,
        "frames": t,
        "width": width,
        "height": height,
        "columns": math.ceil(math.sqrt(t)),
        "fps": options.fps,
        "items": [{"item": names[i], "sheet": sheets[i]} for i in order],
    }
    page = render("study.html", title=options.title, data=data)
    key = {
        "format": KEY_FORMAT,
        "study": study,
        "secret": secret,
        "page_sha256": hashlib.sha256(page.encode()).hexdigest(),
        "options": dataclasses.asdict(options),
        "items": items,
    }
    write_atomically(folder / "study.html", page)
    write_json(folder / "key.json", key)
    return key


def check_folder(folder: Path) -> None:
    """Raise ``ValueError`` unless the folder is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not empty; nothing there is touched, name another folder")


def _draw(clips: Sequence[StudyClip], options: StudyOptions) -> list[tuple[StudyClip, bool]]:
    """``(clip, is it shown translated?)``: half and half, balanced by view."""
    if len(clips) < options.items:
        raise ValueError(f"{options.items} clips are to be shown but only {len(clips)} were given; each is shown once")
    shapes = {clip.real.shape for clip in clips}
    if len(shapes) > 1:
        raise ValueError(f"all clips of a study must have one shape, or it would give them away; got {sorted(shapes)}")
    rng = np.random.default_rng(options.seed)
    by_view: dict[str, list[StudyClip]] = {}
    for i in rng.permutation(len(clips)):
        by_view.setdefault(clips[i].view, []).append(clips[i])
    # Views in turn, two clips at a time, one of each kind: any even prefix is balanced.
    shown: list[tuple[StudyClip, bool]] = []
    left = {view: list(found) for view, found in sorted(by_view.items())}
    while len(shown) < options.items and any(len(found) > 1 for found in left.values()):
        for found in left.values():
            if len(found) > 1 and len(shown) < options.items:
                first = bool(rng.integers(2))
                shown += [(found.pop(), first), (found.pop(), not first)]
    singles = [found.pop() for found in left.values() if found]
    for i, clip in enumerate(singles[: options.items - len(shown)]):
        shown.append((clip, i % 2 == 0))
    return shown


def _sheet(clip: np.ndarray, quality: int) -> bytes:
    """All frames in one JPEG."""
    t, height, width = clip.shape
    columns = math.ceil(math.sqrt(t))
    canvas = np.zeros((math.ceil(t / columns) * height, columns * width), np.uint8)
    for i, frame in enumerate(clip):
        canvas[i // columns * height : (i // columns + 1) * height, i % columns * width : (i % columns + 1) * width] = (
            frame
        )
    return cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _equal_length(encoded: Sequence[bytes]) -> list[str]:
    """Data URIs of one length: what follows a JPEG's end marker is ignored, so the shorter ones are padded there.

    The padding is random, so that it cannot be measured by compressing it.
    """
    longest = max(len(data) for data in encoded)
    longest += -longest % 3  # no base64 padding either
    padded = [data + secrets.token_bytes(longest - len(data)) for data in encoded]
    return [f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" for data in padded]


class StudyCollector:
    """Keeps a random sample of the clips with flow that pass by, for a study; bounded in memory."""

    def __init__(self, *, keep: int, seed: int = 0) -> None:
        self._keep, self._seen = keep, 0
        self._rng = np.random.default_rng(seed)
        self._clips: list[StudyClip] = []

    def offer(self, row: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """See `evaluate.Observer`."""
        if not ((arrays["strata"] & FLOW) > 0).any():
            return
        self._seen += 1
        clip = StudyClip(
            clip_id=row["clip_id"],
            patient_id=row["patient_id"],
            view=row["view"],
            real=np.array(arrays["grey"][..., 0]),
            synthetic=np.array(arrays["output_composited"]),
        )
        if len(self._clips) < self._keep:
            self._clips.append(clip)
        elif (slot := int(self._rng.integers(self._seen))) < self._keep:
            self._clips[slot] = clip

    def clips(self) -> list[StudyClip]:
        """The sample."""
        return list(self._clips)
