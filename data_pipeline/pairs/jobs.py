"""Packing jobs for an archive: one picklable job a clip, which reads it and gives the pairs it holds."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

from data_pipeline.census.rows import CensusRow
from data_pipeline.pairs.door import NoPairError
from data_pipeline.pairs.own import OwnPairJob, split_own
from data_pipeline.pairs.pairing import PairingOptions, pairs_from_clip
from data_pipeline.pairs.streams import StreamOptions, pair_from_recording
from data_pipeline.pairs.weak import weak_pairs
from data_pipeline.readers import IngestError, Limits
from data_pipeline.readers.datasets import Item, echoxflow
from data_pipeline.readers.square import square_clip
from data_pipeline.schema import PairRecord
from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.deidentify import KeyedHasher
from data_pipeline.screen.repeats import drop_repeats


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArchiveJob:
    """Read one clip and pair it; raises `readers.IngestError` or `door.NoPairError`, which `pack` counts by code."""

    item: Item
    hasher: KeyedHasher
    options: PairingOptions = PairingOptions()
    paint_seeds: tuple[int, ...] = ()
    salvage: bool = False
    """Use the whole frames of a truncated file."""
    limits: Limits = dataclasses.field(default=Limits(), repr=False)  # jobs are known by what they read, not how

    def __call__(self) -> list[PairRecord]:
        clip = self.item.read(limits=self.limits, salvage=self.salvage)
        # Screen recorders write frames twice; what counts is the picture, not the black around it.
        clip = drop_repeats(clip, sector=clip.frames.max(axis=(0, 3)) >= 8)
        pairs = pairs_from_clip(clip, hasher=self.hasher, options=self.options, paint_seeds=self.paint_seeds)
        return [_of_set(pair, self.item) for pair in pairs]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamJob:
    """Read one recording of separate streams and render it once for every seed."""

    item: echoxflow.StreamItem
    hasher: KeyedHasher
    seeds: tuple[int, ...] = (0,)
    options: StreamOptions = StreamOptions()

    def __call__(self) -> list[PairRecord]:
        recording = self.item.load()
        if recording is None:
            raise NoPairError("no_streams", "a pair needs B-mode, velocity and power")
        pairs = [pair_from_recording(recording, hasher=self.hasher, seed=n, options=self.options) for n in self.seeds]
        return [_of_set(pair, self.item) for pair in pairs]


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeakJob:
    """Read the colour and greyscale clips of one study and view, and offer the best neighbours as weak pairs."""

    items: tuple[Item, ...]
    hasher: KeyedHasher
    options: PairingOptions = PairingOptions()
    limits: Limits = dataclasses.field(default=Limits(), repr=False)

    def __call__(self) -> list[PairRecord]:
        clips = []
        for item in self.items:
            with contextlib.suppress(IngestError):  # counted where the clip is a job of its own
                clips.append(square_clip(item.read(limits=self.limits)))
        looked = [
            (clip, analyse(clip.frames, regions=clip.info.regions, image_type=clip.info.image_type)) for clip in clips
        ]
        pairs = weak_pairs(looked, hasher=self.hasher, options=self.options)
        if not pairs:
            raise NoPairError("unpaired", "no greyscale clip of the study and view agrees with the colour clip")
        return [_of_set(pair, self.items[0]) for pair in pairs]


TOGETHER = 12
"""Clips of a study and view that are held in memory at once; what lies beyond is left out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArchiveJobs(Sequence["ArchiveJob | StreamJob | OwnPairJob"]):
    """A job for every clip of an archive, and before them one for every pair that this software wrote into it; made when
    they are asked for: a million of them take no memory.

    Records of a public data set keep the set's own split in ``params["split"]``, which `pack` respects.
    """

    items: Sequence[Item]
    """From `readers.archive.list_archive`."""
    hasher: KeyedHasher
    options: PairingOptions = PairingOptions()
    paint_seeds: tuple[int, ...] = ()
    """Greyscale clips give one painted pair for each, recordings of separate streams one rendering."""
    salvage: bool = False
    """Use the whole frames of truncated files."""
    limits: Limits = Limits()
    own: tuple[tuple[Item, Item], ...] = ()
    """Clip and target of `split_own`."""

    def __len__(self) -> int:
        return len(self.own) + len(self.items)

    def __getitem__(self, place):
        before = len(self.own)
        if isinstance(place, slice):
            chosen = range(len(self))[place]
            own = tuple(self.own[k] for k in chosen if k < before)
            rest = chosen[len(own) :]
            items = self.items[rest.start - before : rest.stop - before : rest.step] if rest else []
            return dataclasses.replace(self, own=own, items=items)
        place = range(len(self))[place]
        if place < before:
            cfd, grey = self.own[place]
            return OwnPairJob(cfd=cfd, grey=grey, hasher=self.hasher, options=self.options)
        item = self.items[place - before]
        if isinstance(item, echoxflow.StreamItem):
            return StreamJob(item=item, hasher=self.hasher, seeds=self.paint_seeds or (0,))
        return ArchiveJob(
            item=item, hasher=self.hasher, options=self.options, paint_seeds=self.paint_seeds, salvage=self.salvage,
            limits=self.limits,
        )  # fmt: skip


def archive_jobs(
    items: Sequence[Item],
    *,
    key: bytes,
    options: PairingOptions | None = None,
    paint_seeds: Sequence[int] = (),
    **how: Any,
) -> ArchiveJobs:
    """`ArchiveJobs` with the pseudonyms of a secret ``key``; the same key gives the same ids and splits again."""
    own, others = split_own(items)
    return ArchiveJobs(
        items=others, own=own, hasher=KeyedHasher(key), options=options or PairingOptions(),
        paint_seeds=tuple(paint_seeds), **how,
    )  # fmt: skip


def weak_jobs(
    items: Sequence[Item],
    rows: Sequence[CensusRow],
    *,
    hasher: KeyedHasher,
    limits: Limits | None = None,
) -> list[WeakJob]:
    """A job for every study and view that has both colour-flow and greyscale clips.

    Args:
        items, rows: of one census, in its order.
    """
    groups: dict[tuple[str, str, str], dict[str, list[Item]]] = {}
    for item, row in zip(items, rows, strict=True):
        if row.patient_known and row.study and row.view != "UNKNOWN" and row.modality in ("cfd", "bmode"):
            group = groups.setdefault((row.patient, row.study, row.view), {"cfd": [], "bmode": []})
            group[row.modality].append(item)
    return [
        WeakJob(
            items=tuple(group["cfd"][: TOGETHER // 2] + group["bmode"][: TOGETHER // 2]),
            hasher=hasher,
            limits=limits or Limits(),
        )
        for group in groups.values()
        if group["cfd"] and group["bmode"]
    ]


def _of_set(pair: PairRecord, item: Item) -> PairRecord:
    """The pair with the public data set it comes from, and that set's own split."""
    told = {"dataset": item.dataset} if item.dataset else {}
    told |= {"split": item.split} if item.split else {}
    return dataclasses.replace(pair, params={**pair.params, **told}) if told else pair
