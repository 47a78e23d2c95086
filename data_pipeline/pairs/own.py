"""Pairs that this software wrote itself: `simulate --format dicom` and `paint` leave a clip and its target side by side."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from data_pipeline.pairs.door import Door, NoPairError, check_no_colour, provenance
from data_pipeline.pairs.pairing import PairingOptions, verified_pair
from data_pipeline.pixels import luma
from data_pipeline.readers.datasets import Item
from data_pipeline.readers.square import square_clip
from data_pipeline.schema import Clip, PairRecord
from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.deidentify import KeyedHasher

_PAINTED = ("colour_flow", "greyscale")
"""Stems of what `paint` writes into its folder."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnPairJob:
    """Read a clip and the target beside it."""

    cfd: Item
    grey: Item
    hasher: KeyedHasher
    options: PairingOptions = PairingOptions()

    def __call__(self) -> list[PairRecord]:
        return [own_pair(self.cfd.read(), self.grey.read(), hasher=self.hasher, options=self.options)]


def split_own(items: Sequence[Item]) -> tuple[tuple[tuple[Item, Item], ...], Sequence[Item]]:
    """``(pairs of items, the others)``: ``STEM.SUFFIX`` with ``STEM.grey.SUFFIX``, ``colour_flow`` with ``greyscale``.

    Only what is named like a target is held; of an archive without such names the items come back as they are.
    """
    targets = {clip: item for item in items if (clip := _clip_of(item.path))}
    pairs = tuple((item, targets[item.path]) for item in items if item.path in targets) if targets else ()
    if not pairs:
        return (), items
    taken = {item.path for pair in pairs for item in pair}
    return pairs, [item for item in items if item.path not in taken]


def _clip_of(target: str) -> str:
    """The clip whose target a file of this name would be; empty for all other names."""
    folder, name = os.path.split(target)
    stem, suffix = os.path.splitext(name)
    if stem == _PAINTED[1]:
        return os.path.join(folder, _PAINTED[0] + suffix)
    return os.path.join(folder, stem.removesuffix(".grey") + suffix) if stem.endswith(".grey") else ""


def own_pair(cfd: Clip, grey: Clip, *, hasher: KeyedHasher, options: PairingOptions | None = None) -> PairRecord:
    """The pair of two clips of one simulated or painted acquisition, of equal shape and frame by frame.

    Where the untouched pixels agree it is shared, as two streams of one acquisition are; otherwise the target is the
    full-quality B-mode that no scanner shows beside colour.

    Raises:
      NoPairError: when the clips have different shapes, the coloured one shows no colour flow, or the target shows colour.
    """
    options, cfd, grey = options or PairingOptions(), square_clip(cfd), square_clip(grey)
    if cfd.frames.shape != grey.frames.shape:
        raise NoPairError(
            "unpaired", f"clip and target must have one shape, got {cfd.frames.shape} and {grey.frames.shape}"
        )
    check_no_colour(analyse(grey.frames))
    try:
        return verified_pair(
            cfd.info, cfd.frames, grey.frames, kind="simulated", evidence={}, hasher=hasher, options=options
        )
    except NoPairError as error:
        if error.code not in ("unpaired", "lagged"):
            raise
    flow = analyse(cfd.frames, image_type=cfd.info.image_type)
    door = Door.of(flow, cfd.frames, grey.frames, size=options.size)
    evidence = {"text_px": door.text_px, "flow_reason": flow.reason}
    return door.record(
        cfd.frames, luma(grey.frames), kind="simulated", shared=False, score=1.0,
        source=provenance(cfd.info, evidence, hasher),
    )  # fmt: skip
