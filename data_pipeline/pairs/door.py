"""The door into a record: of two clips only the sector, without what looks like text, and no identifier (contract C8)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from data_pipeline.schema import ClipInfo, PairRecord
from data_pipeline.screen.analysis import FlowAnalysis
from data_pipeline.screen.burned_text import find_burned_text
from data_pipeline.screen.crop import SectorCrop
from data_pipeline.screen.deidentify import KeyedHasher


class NoPairError(ValueError):
    """A clip that gives no pair. ``code``: ``no_panes``, ``not_cfd``, ``unpaired``, ``lagged``, ``not_bmode``, ..."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code

    def __reduce__(self):
        return type(self), (self.code, str(self).partition(": ")[2])


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Door:
    """What of a screen may enter a record.

    Attributes:
      sector: bool ``[H, W]``: the sector without what looks like text in any of the clips, since names are burned into
        pictures.
      strata: uint8 ``[T, H, W]``, zero outside it.
      crop: the cut around it.
      text_px: pixels of the sector that looked like text.
    """

    sector: np.ndarray
    strata: np.ndarray
    crop: SectorCrop
    text_px: int

    @staticmethod
    def of(analysis: FlowAnalysis, *clips: np.ndarray, size: int | None) -> Door:
        """For clips uint8 ``[T, H, W, 3]`` on the grid of ``analysis``; ``size``: see `pairing.PairingOptions`."""
        sector = analysis.sector
        for frames in clips:
            sector = sector & ~find_burned_text(frames, sector)
        return Door(
            sector=sector,
            strata=np.where(sector, analysis.strata, 0).astype(np.uint8),
            crop=SectorCrop.from_geometry(analysis.geometry, sector, size=size),
            text_px=int((analysis.sector & ~sector).sum()),
        )

    def record(
        self, cfd: np.ndarray, grey: np.ndarray, *, kind: str, shared: bool, score: float, source: dict[str, Any]
    ) -> PairRecord:
        """The record of frames uint8 ``[T, H, W, 3]`` and their target ``[T, H, W]``; ``source``: see `provenance`."""
        frames = len(cfd)
        return PairRecord(
            cfd=self.crop.apply(cfd),
            grey=self.crop.apply(grey)[..., None],
            strata=self.crop.apply_strata(self.strata[:frames]),
            labels=np.zeros((frames, self.crop.size, self.crop.size), np.uint8),
            kind=kind,
            shared=shared,
            score=score,
            geometry=self.crop.geometry,
            **source,
        )


def check_no_colour(target: FlowAnalysis) -> None:
    """Raise `NoPairError` for a target that shows colour in any frame: it would be learned as tissue."""
    if target.colour_seen:
        raise NoPairError("colour_seen", f"{target.colour_seen:.0%} of frames show colour: not a greyscale target")


def provenance(info: ClipInfo, evidence: dict[str, Any], hasher: KeyedHasher, *, suffix: str = "") -> dict[str, Any]:
    """The fields of a `PairRecord` that say where it comes from, without any identifier."""
    identity = info.identity
    # Without a patient the study, or else the clip, is one: never lumped together with others, but a leak cannot be excluded.
    unknown = f"study {identity.study}" if identity.study else f"clip {identity.instance or info.source_digest}"
    patient = identity.patient or unknown
    return {
        "clip_id": clip_pseudonym(info, hasher, suffix=suffix),
        "patient_id": hasher.patient(patient),
        "view": info.view,
        "fps": info.fps,
        "vendor": info.vendor,
        "source_digest": hasher.clip(info.source_digest) if info.source_digest else "",
        "params": {
            "pairing": evidence,
            "flags": list(info.flags),
            "fps_source": info.fps_source,
            "lossy": info.lossy,
            "patient_known": bool(identity.patient),
        },
    }


def clip_pseudonym(info: ClipInfo, hasher: KeyedHasher, *, suffix: str = "") -> str:
    """The clip id of what is made of a clip; ``suffix`` tells several apart."""
    return hasher.clip((info.identity.instance or info.source_digest) + suffix)
