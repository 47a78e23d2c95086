"""Where a run writes what it measures: JSON lines always, TensorBoard when TensorFlow is there. No network, ever."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cfd2gray.run_folder import in_bucket, run_folder, write_text

if TYPE_CHECKING:
    from cfd2gray.run_folder import RunFolder

logger = logging.getLogger(__name__)

METRICS = "metrics.jsonl"


class Writer:
    """Metrics of one run in ``workdir``: ``metrics.jsonl``, ``images/*.png`` and TensorBoard files.

    Only one process writes; the others get ``active=False`` and every call returns at once. A logger that fails warns
    and never stops a training. In a bucket, where nothing can be appended to, lines are kept until `flush`.
    """

    def __init__(self, workdir: RunFolder, *, tensorboard: bool, active: bool):
        self.workdir, self.active, self._board = run_folder(workdir), active, None
        if not active:
            return
        self.workdir.mkdir(parents=True, exist_ok=True)
        path = self.workdir / METRICS
        self._kept = [path.read_text() if path.is_file() else ""] if in_bucket(path) else None
        self._unwritten = False
        if tensorboard:
            with warn_only("TensorBoard"):
                self._board = tensorboard_writer(self.workdir / "tensorboard")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One line ``{"step", "time", ...values}``, values rounded to six digits."""
        if not self.active:
            return
        line = {"step": step, "time": round(time.time(), 3)} | {k: float(f"{v:.6g}") for k, v in values.items()}
        text = json.dumps(line) + "\n"
        if self._kept is not None:
            self._kept.append(text)
            self._unwritten = True
        else:
            with open(self.workdir / METRICS, "a") as file:
                file.write(text)
        if self._board is not None:
            with warn_only("TensorBoard"):
                self._board.write_scalars(step, dict(values))

    def image(self, step: int, name: str, rgb: np.ndarray | None) -> None:
        """``rgb`` uint8 ``[H, W, 3]`` as ``images/NAME-STEP.png`` and in TensorBoard."""
        if not self.active or rgb is None:
            return
        with warn_only("image"):
            path = self.workdir / "images" / f"{name}-{step:08d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())
            if self._board is not None:
                self._board.write_images(step, {name: rgb[None]})

    def flush(self) -> None:
        """What was told is where it belongs. Call it before a checkpoint: a run that goes on there repeats later lines only."""
        if not self.active or self._kept is None or not self._unwritten:
            return
        with warn_only("metrics"):
            write_text(self.workdir / METRICS, "".join(self._kept))
            self._unwritten = False

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        if self._board is not None:
            with warn_only("TensorBoard"):
                self._board.flush()
                self._board.close()


@contextlib.contextmanager
def warn_only(what: str):
    """Inside, what fails is told and forgotten."""
    try:
        yield
    except Exception as error:  # a full disk or a logger's bug must not cost a week of training
        logger.warning("%s output failed and is skipped: %s", what, error)


def tensorboard_writer(folder: RunFolder):
    """clu's writer of event files, or None where TensorFlow is missing."""
    try:
        from clu.metric_writers import SummaryWriter
    except ImportError:
        logger.info(
            "TensorFlow is not installed: metrics go to metrics.jsonl only (pip install 'cfd2gray[tensorboard]')"
        )
        return None
    return SummaryWriter(str(folder))


def read_history(workdir: RunFolder) -> list[dict[str, float]]:
    """The lines of ``metrics.jsonl``; a resumed run's later lines replace the earlier ones of the same step."""
    path = run_folder(workdir) / METRICS
    if not path.is_file():
        return []
    lines: dict[int, dict[str, float]] = {}
    for text in path.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # a line cut short by a kill
            line = json.loads(text)
            lines[line["step"]] = lines.get(line["step"], {}) | line
    return [lines[step] for step in sorted(lines)]
