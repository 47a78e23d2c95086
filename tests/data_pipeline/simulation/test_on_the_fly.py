"""Sources: pure functions of the index, rows without simulating, disjoint seeds, painting over records."""

import pickle

import numpy as np
import pytest

from data_pipeline.records.manifest import row_of
from data_pipeline.simulation.on_the_fly import PaintedSource, SimulationSource
from data_pipeline.simulation.painter import HELD_OUT
from tests.data_pipeline.tiny_pairs import InMemory

TINY = {"height": 40, "width": 40, "frames": 2, "length": 6, "views": ("A4C", "CAROTID_LONG")}
SOURCES = [SimulationSource(**TINY), PaintedSource(**TINY)]


def _same(a, b):
    return (
        all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("cfd", "grey", "strata", "labels"))
        and a.params == b.params
    )


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: type(s).__name__)
def test_elements_repeat_through_a_pickle(source):
    copy = pickle.loads(pickle.dumps(source))
    assert copy.digest == source.digest and len(copy) == 6
    assert _same(source[3], copy[3]) and not _same(source[3], source[1])
    assert source[0].view == "A4C" and source[1].view == "CAROTID_LONG"


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: type(s).__name__)
def test_rows_are_known_without_simulating(source):
    for index in range(3):
        row, made = source.ids(index), row_of(source[index])
        for name in ("clip_id", "patient_id", "view", "kind", "shared", "n_frames", "height", "width", "fps", "vendor"):
            assert getattr(row, name) == getattr(made, name), name


def test_splits_and_seeds_share_nothing():
    sources = [
        SimulationSource(split=split, seed=seed, **TINY) for split in ("train", "val", "test") for seed in (0, 1)
    ]
    ids = {source.ids(k).clip_id for source in sources for k in range(6)}
    patients = {source.ids(k).patient_id for source in sources for k in range(6)}
    assert len(ids) == len(patients) == 36
    assert len({source.digest for source in sources}) == 6


def test_painting_over_records():
    greys = InMemory([SimulationSource(**TINY)[k] for k in range(2)])
    source = PaintedSource(greys=greys, length=4, options=HELD_OUT)
    first, third = source[0], source[2]
    assert first.kind == "painted" and first.patient_id == third.patient_id == greys[0].patient_id
    assert first.clip_id != third.clip_id and not np.array_equal(first.cfd, third.cfd)
    assert first.vendor in HELD_OUT.families and source.ids(2).clip_id == third.clip_id


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split": "dev"}, "split"),
        ({"length": 0}, "length"),
        ({"seed": -1}, "seed"),
        ({"views": ("X",)}, "views"),
        ({"views": ()}, "views"),
    ],
)  # fmt: skip
def test_bad_plans(change, words):
    for kind in (SimulationSource, PaintedSource):
        with pytest.raises(ValueError, match=words):
            kind(**{**TINY, **change})
    with pytest.raises(IndexError):
        SOURCES[0][6]
