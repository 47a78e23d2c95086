"""Where a run writes what it measures: JSON lines always, TensorBoard when TensorFlow is there. No network, ever."""

from __future__ import annotations

import contextlib
import json
import logging
import pathlib
import time
from collections.abc import Mapping

import cv2
import numpy as np

logger = logging.getLogger(__name__)


class Writer:
    """Metrics of one run in ``workdir``: ``metrics.jsonl``, ``images/*.png`` and TensorBoard files.

    Only one process writes; the others get ``active=False`` and every call returns at once. A logger that fails warns
    and never stops a training.
    """

    def __init__(self, workdir: pathlib.Path, *, tensorboard: bool, active: bool):
        self.workdir, self.active, self._board = pathlib.Path(workdir), active, None
        if not active:
            return
        self.workdir.mkdir(parents=True, exist_ok=True)
        if tensorboard:
            self._board = _tensorboard(self.workdir / "tensorboard")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One line ``{"step", "time", ...values}``, values rounded to six digits."""
        if not self.active:
            return
        line = {"step": step, "time": round(time.time(), 3)} | {k: float(f"{v:.6g}") for k, v in values.items()}
        with open(self.workdir / "metrics.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        if self._board is not None:
            with _warn_only("TensorBoard"):
                self._board.write_scalars(step, dict(values))

    def image(self, step: int, name: str, rgb: np.ndarray | None) -> None:
        """``rgb`` uint8 ``[H, W, 3]`` as ``images/NAME-STEP.png`` and in TensorBoard."""
        if not self.active or rgb is None:
            return
        with _warn_only("image"):
            path = self.workdir / "images" / f"{name}-{step:08d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), rgb[..., ::-1])
            if self._board is not None:
                self._board.write_images(step, {name: rgb[None]})

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._board is not None:
            with _warn_only("TensorBoard"):
                self._board.flush()
                self._board.close()


@contextlib.contextmanager
def _warn_only(what: str):
    try:
        yield
    except Exception as error:  # a full disk or a logger's bug must not cost a week of training
        logger.warning("%s output failed and is skipped: %s", what, error)


def _tensorboard(folder: pathlib.Path):
    try:
        from clu.metric_writers import SummaryWriter
    except ImportError:
        logger.info(
            "TensorFlow is not installed: metrics go to metrics.jsonl only (pip install 'cfd2gray[tensorboard]')"
        )
        return None
    return SummaryWriter(str(folder))


def read_history(workdir: pathlib.Path) -> list[dict[str, float]]:
    """The lines of ``metrics.jsonl``; a resumed run's later lines replace the earlier ones of the same step."""
    path = pathlib.Path(workdir) / "metrics.jsonl"
    if not path.is_file():
        return []
    lines: dict[int, dict[str, float]] = {}
    for text in path.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # a line cut short by a kill
            line = json.loads(text)
            lines[line["step"]] = lines.get(line["step"], {}) | line
    return [lines[step] for step in sorted(lines)]
