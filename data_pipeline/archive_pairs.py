"""Packing jobs for an archive: one picklable job a file, which reads it and gives the pairs it holds."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipeline.census import files_below, forms
from data_pipeline.deidentify import KeyedHasher
from data_pipeline.pairing import PairingOptions, pairs_from_clip
from data_pipeline.readers import read_clip
from data_pipeline.schema import Clip, PairRecord
from data_pipeline.simulation import painter


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArchiveJob:
    """Read one file and pair it; raises `readers.IngestError` or `pairing.NoPairError`, which `pack` counts by code."""

    path: str
    hasher: KeyedHasher
    view: str = ""
    """Overrides the header's."""
    patient: str = ""
    """Raw identifier; overrides the header's."""
    options: PairingOptions = PairingOptions()
    paint_seeds: tuple[int, ...] = ()
    painting: painter.PainterOptions = painter.TRAIN

    def __call__(self) -> list[PairRecord]:
        clip = read_clip(self.path)
        identity = dataclasses.replace(clip.info.identity, patient=self.patient or clip.info.identity.patient)
        info = dataclasses.replace(clip.info, identity=identity, view=self.view or clip.info.view)
        return pairs_from_clip(
            Clip(frames=clip.frames, info=info), hasher=self.hasher, options=self.options,
            paint_seeds=self.paint_seeds, painting=self.painting,
        )  # fmt: skip


def archive_jobs(
    archive_dir: str | os.PathLike,
    *,
    key: bytes,
    views: Mapping[str, Mapping[str, str]] | None = None,
    patient_from: str = "tags",
    options: PairingOptions | None = None,
    paint_seeds: Sequence[int] = (),
    painting: painter.PainterOptions = painter.TRAIN,
) -> list[ArchiveJob]:
    """A job for every file below a folder, in a fixed order.

    Args:
        key: secret of the pseudonyms; the same key gives the same ids and splits again.
        views: from `census.read_view_csv`.
        patient_from: ``tags`` or ``folder``, as for `census.CensusOptions`.
        paint_seeds: greyscale clips give one painted pair for each.

    Raises:
        ValueError: when there is no such folder, or no file in it.
    """
    archive, hasher = Path(archive_dir), KeyedHasher(key)
    if patient_from not in ("tags", "folder"):
        raise ValueError(f"patient_from must be 'tags' or 'folder', got {patient_from!r}")
    jobs = []
    for file in files_below(archive):
        told = next((views[form] for form in forms(file, archive) if form in views), {}) if views else {}
        parts = file.relative_to(archive).parts
        folder = parts[0] if patient_from == "folder" and len(parts) > 1 else ""
        jobs.append(
            ArchiveJob(
                path=str(file),
                hasher=hasher,
                view=told.get("view", ""),
                patient=told.get("patient", "") or folder,
                options=options or PairingOptions(),
                paint_seeds=tuple(paint_seeds),
                painting=painting,
            )
        )
    return jobs
