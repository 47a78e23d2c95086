"""Pair records of random pixels, and picklable jobs that make them."""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

from data_pipeline.geometry import Fan
from data_pipeline.loading.transforms import AugmentOptions
from data_pipeline.records.manifest import ClipRow, row_of
from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR, PairRecord


def make_pair(number: int = 0, *, frames=5, height=12, width=16, patient: int | None = None, **changes) -> PairRecord:
    rng = np.random.default_rng(number)
    shape = (frames, height, width)
    strata = np.full(shape, SECTOR, np.uint8)
    strata[:, 3:9, 4:12] |= BOX
    strata[:, 3, 4:12] |= OUTLINE
    strata[:, 5:8, 6:10] |= FLOW
    fields = dict(
        cfd=rng.integers(0, 256, (*shape, 3), np.uint8),
        grey=rng.integers(0, 256, (*shape, 1), np.uint8),
        strata=strata,
        labels=rng.integers(0, 10, shape, np.uint8),
        clip_id=f"clip{number:04d}",
        patient_id=f"patient{number if patient is None else patient:04d}",
        view="A4C" if number % 2 else "KIDNEY",
        kind="simulated",
        shared=bool(number % 3),
        fps=18.4375,
        score=0.75,
        vendor="map 3",
        source_digest=f"{number:064x}",
        geometry=Fan(kind="curvilinear", apex_x=1 / 3, r1=40.0, cm_per_px=0.0308),
        params={"seed": number, "name": "é", "list": [1, 2.5, None]},
    )
    return PairRecord(**{**fields, **changes})


def make_pairs(count: int, **options) -> list[PairRecord]:
    return [make_pair(number, **options) for number in range(count)]


def assert_equal_pairs(left: PairRecord, right: PairRecord) -> None:
    for field in dataclasses.fields(PairRecord):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
        else:
            assert a == b, field.name


@dataclasses.dataclass(frozen=True)
class Job:
    number: int
    frames: int = 5

    def __call__(self) -> PairRecord:
        return make_pair(self.number, frames=self.frames)


@dataclasses.dataclass(frozen=True)
class FailingJob:
    error: type[Exception] = ValueError

    def __call__(self) -> PairRecord:
        raise self.error("secret-file-name.dcm is broken")


class TypedError(ValueError):
    code = "truncated"


@dataclasses.dataclass(frozen=True)
class InMemory:
    """Records held in memory."""

    records: Sequence[PairRecord]

    @property
    def digest(self) -> str:
        names = "\n".join(f"{r.clip_id} {r.cfd.shape}" for r in self.records)
        return hashlib.sha256(f"memory\n{names}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> PairRecord:
        return self.records[index]

    def ids(self, index: int) -> ClipRow:
        return row_of(self.records[index])


NO_AUGMENTATION = AugmentOptions(
    crop_probability=0, max_stride=1, gain=0, gamma=0, contrast=0, jpeg_probability=0, max_dilation=0
)
"""Only the temporal window is random."""
