"""One clip that is open on the page: where it lies, how far its work is, and what there is to tell of it."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from cfd2gray.viewer.corrections import Corrections, around, outline
from cfd2gray.viewer.names import shown_name
from cfd2gray.viewer.work import Seen
from data_pipeline.readers import IngestError
from data_pipeline.readers.walk import Source
from data_pipeline.schema import BOX
from data_pipeline.screen.kind import CALLED

BUSY = ("glancing", "waiting", "looking", "reading", "translating")
MISSEEN = "If it was taken for the wrong kind, say what it is under Correct and translate again."
"""What can be done about a refusal for the layout; the others say it themselves."""


@dataclasses.dataclass(eq=False)
class Viewed:
    """A clip on the page. Only the desk's worker changes it once it is there, but for ``mark``.

    Attributes:
      state: ``listed`` (of a folder), one of `BUSY`, ``glanced`` (a few frames were looked at, for the gallery), ``ready``
        or ``refused``.
      version: counts what was made of it; pictures belong to a version.
      error: why the last thing that was asked for was not done.
    """

    id: str
    name: str
    source: Source
    owned: pathlib.Path | None = None
    """A copy that goes with the clip."""
    state: str = "listed"
    doing: tuple[int, int] = (0, 0)
    version: int = 0
    error: str = ""
    remedy: str = ""
    mark: str = ""
    corrections: Corrections = dataclasses.field(default_factory=Corrections)
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    picture: bytes = b""

    @property
    def in_folder(self) -> bool:
        return self.owned is None and bool(self.source.name.name)

    def saw(self, seen: Seen, *, whole: bool) -> None:
        """Take over what was seen; ``whole``: of all frames, not of a few."""
        info, analysis = seen.clip.info, seen.analysis
        frames, height, width = seen.clip.frames.shape[:3]
        self.facts = {
            "kind": analysis.kind, "called": CALLED.get(analysis.kind, analysis.kind), "reason": analysis.reason,
            "certainty": round(float(analysis.score), 3), "unsure": bool(analysis.unsure),
            "frames": frames if whole else info.n_frames or frames, "height": height, "width": width,
            "fps": float(info.fps), "aspect": float(info.pixel_aspect), "format": info.format,
            "translated": seen.result is not None,
        }  # fmt: skip
        if whole:
            boxes = (analysis.strata & BOX) > 0
            self.facts |= {"box": outline(boxes.any(axis=0)), "sector": outline(analysis.sector)}
            self.facts["window"] = around(analysis.sector)
        if seen.result is not None:
            self.facts |= {
                "synthesised": round(float(seen.result.synthesised.mean()), 5),
                "coloured": seen.result.coloured,
                "model": seen.result.weights.name,
            }

    def refuse(self, error: Exception) -> None:
        """Say why the last thing was not done, without a path."""
        if isinstance(error, IngestError):
            self.error, self.remedy = error.detail, MISSEEN if error.code == "unsupported_layout" else ""
        else:
            self.error, self.remedy = str(error) or type(error).__name__, ""

    def summary(self) -> dict[str, Any]:
        """For the gallery."""
        names = ("kind", "called", "certainty", "unsure", "frames", "reason", "synthesised", "coloured")
        return {
            "id": self.id, "name": shown_name(self.name), "state": self.state, "doing": self.doing, "error": self.error,
            "version": self.version, "picture": len(self.picture), "mark": self.mark, "folder": self.in_folder,
            **{name: self.facts[name] for name in names if name in self.facts},
        }  # fmt: skip

    def told(self) -> dict[str, Any]:
        """Everything about it."""
        said = self.corrections
        command = said.command(shown_name(pathlib.PurePath(self.name).name))
        return {**self.facts, **self.summary(), "remedy": self.remedy, "said": said.as_json(), "command": command}
