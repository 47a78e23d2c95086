import collections
import itertools

import numpy as np
import pytest

from data_pipeline import schema
from data_pipeline.loading import loader
from data_pipeline.loading.sources import Mixture
from data_pipeline.records import pack
from data_pipeline.records.tfrecord import ShardSource
from tests.data_pipeline.tiny_pairs import NO_AUGMENTATION, InMemory, make_pairs

SETTINGS = dict(batch_size=3, frames=4, size=16, seed=5)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    directory = tmp_path_factory.mktemp("loader") / "packed"
    pack.pack(make_pairs(10), directory, shard_mb=0.02, fractions=[("train", 1.0)])
    return ShardSource(directory)


def take(batches, count):
    return list(itertools.islice(iter(batches), count))


def assert_same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right):
        assert tuple(a) == tuple(b)
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def order(batches):
    return np.concatenate([batch["index"] for batch in batches]).tolist()


def test_batches_have_the_contract_s_shapes(source):
    batch = take(loader.make_loader(source, training=True, **SETTINGS), 1)[0]
    assert sorted(batch) == sorted(schema.BATCH_KEYS)
    assert batch["cfd"].shape == (3, 4, 16, 16, 3) and batch["cfd"].dtype == np.uint8
    assert batch["hidden"].shape == (3, 4, 16, 16) and batch["mask"].dtype == np.float32
    assert batch["view"].dtype == batch["index"].dtype == np.int32 and batch["view"].shape == (3,)


def test_golden_order(source):
    """The order in which clips are seen. It may change with a release of Grain, and resumed runs then change."""
    batches = take(loader.make_loader(source, training=True, **SETTINGS), 7)
    assert order(batches) == GOLDEN_ORDER
    assert sorted(GOLDEN_ORDER[:10]) == list(range(10)) == sorted(GOLDEN_ORDER[10:20])
    assert GOLDEN_ORDER[:10] != GOLDEN_ORDER[10:20]  # shuffled anew


GOLDEN_ORDER = [3, 9, 4, 8, 1, 0, 6, 5, 7, 2, 7, 6, 1, 5, 9, 0, 4, 3, 2, 8, 6]


def test_threads_and_workers_do_not_change_the_stream(source):
    plain = take(loader.make_loader(source, training=True, num_threads=0, **SETTINGS), 6)
    assert_same(plain, take(loader.make_loader(source, training=True, num_threads=4, **SETTINGS), 6))
    assert_same(plain, take(loader.make_loader(source, training=True, num_workers=2, **SETTINGS), 6))
    other = take(loader.make_loader(source, training=True, **{**SETTINGS, "seed": 6}), 6)
    assert order(other) != order(plain)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_resume_is_exact(source, num_workers):
    batches = loader.make_loader(source, training=True, num_workers=num_workers, **SETTINGS)
    iterator = iter(batches)
    for _ in range(5):
        next(iterator)
    state = iterator.get_state()
    expected = [next(iterator) for _ in range(4)]
    again = iter(loader.make_loader(source, training=True, num_workers=num_workers, **SETTINGS))
    again.set_state(state)
    assert_same([next(again) for _ in range(4)], expected)


@pytest.mark.parametrize("process_count, num_workers", [(2, 0), (3, 0), (2, 2)])
def test_processes_together_see_what_one_would(source, process_count, num_workers):
    """Same clips, same order, same augmentation, over the end of an epoch, and from any batch on."""
    settings = {**SETTINGS, "batch_size": 6}
    whole = take(loader.make_loader(source, training=True, **settings), 4)
    for first_batch in (2,) if num_workers else (0, 2):  # to start workers takes seconds
        parts = [
            take(
                loader.make_loader(
                    source, training=True, process_index=index, process_count=process_count, num_workers=num_workers,
                    first_batch=first_batch, **{**settings, "batch_size": 6 // process_count},
                ),
                4 - first_batch,
            )
            for index in range(process_count)
        ]  # fmt: skip
        joined = [{key: np.concatenate([part[key] for part in step]) for key in step[0]} for step in zip(*parts)]
        assert_same(joined, whole[first_batch:])


def test_a_finite_stream_ends_on_all_processes_at_once(source):
    lengths = [
        len(take(loader.make_loader(
            source, training=True, process_index=index, process_count=3, num_epochs=2, **{**SETTINGS, "batch_size": 3}
        ), 100))
        for index in range(3)
    ]  # fmt: skip
    assert lengths == [2, 2, 2]  # 20 clips are six batches of three, and two clips are left out


@pytest.mark.parametrize("process_count, batch_size", [(1, 3), (1, 10), (1, 16), (3, 2), (4, 1)])
def test_evaluation_sees_every_clip_once(source, process_count, batch_size):
    seen, counts = [], set()
    for process_index in range(process_count):
        batches = take(
            loader.make_loader(
                source, training=False, process_index=process_index, process_count=process_count,
                **{**SETTINGS, "batch_size": batch_size},
            ),
            100,
        )  # fmt: skip
        counts.add(len(batches))
        for batch in batches:
            assert batch["cfd"].shape[0] == batch_size
            seen += batch["index"][batch["mask"] == 1].tolist()
    assert sorted(seen) == list(range(10))
    assert counts == {loader.num_batches(10, batch_size=batch_size, process_count=process_count)}


def test_evaluation_is_in_order_and_can_be_traced(source):
    batches = take(loader.make_loader(source, training=False, **SETTINGS), 100)
    assert order(batches)[:10] == list(range(10))
    middle = source[4]
    np.testing.assert_array_equal(batches[1]["cfd"][1, :, 2:14], middle.cfd[:4])
    assert source.ids(4).clip_id == middle.clip_id


def test_bad_arguments(source):
    for change, message in [
        ({"batch_size": 0}, "batch_size"),
        ({"process_index": 2, "process_count": 2}, "process_index"),
        ({"num_workers": -1}, "num_workers"),
        ({"process_count": 11}, "cannot be shared by 11"),
        ({"num_epochs": 1, "batch_size": 11}, "do not fill one batch of 11"),
        ({"first_batch": -1}, "first_batch"),
    ]:
        with pytest.raises(ValueError, match=message):
            loader.make_loader(source, training=True, **{**SETTINGS, **change})
    with pytest.raises(ValueError, match="leave num_epochs out"):
        loader.make_loader(source, training=False, num_epochs=3, **SETTINGS)


def test_mixture_honours_weights_and_shows_every_clip():
    small, large = InMemory(make_pairs(3)), InMemory(make_pairs(40)[10:])
    mixture = Mixture([(small, 1), (large, 3)])
    ids = [mixture.ids(i).clip_id for i in range(len(mixture))]
    assert [mixture[i].clip_id for i in range(len(mixture))] == ids
    assert set(ids) == {small.ids(i).clip_id for i in range(3)} | {large.ids(i).clip_id for i in range(30)}
    small_share = sum(int(name[4:]) < 3 for name in ids) / len(ids)
    assert abs(small_share - 0.25) < 0.03
    for start in range(0, len(ids) - 8, 8):  # evenly spread, not in blocks
        assert sum(int(name[4:]) < 3 for name in ids[start : start + 8]) == 2
    counts = collections.Counter(name for name in ids if int(name[4:]) >= 10)
    assert set(counts.values()) <= {1, 2}
    with pytest.raises(IndexError):
        mixture[len(mixture)]


def test_mixture_feeds_the_loader_and_names_itself(source):
    mixture = Mixture([(source, 0.5), (InMemory(make_pairs(4)), 0.5)])
    batches = take(loader.make_loader(mixture, training=True, augment=NO_AUGMENTATION, num_workers=2, **SETTINGS), 4)
    for batch in batches:
        for place, index in enumerate(batch["index"]):
            view = schema.VIEWS[batch["view"][place]]
            assert mixture.ids(int(index)).view == view
    assert mixture.digest == Mixture([(source, 1), (InMemory(make_pairs(4)), 1)]).digest
    assert mixture.digest != Mixture([(source, 1), (InMemory(make_pairs(4)), 2)]).digest


@pytest.mark.parametrize("weights", [[], [0.0], [1.0, -1.0], [1.0, float("nan")], [1.0, 1e-6]])
def test_mixture_refuses_bad_weights(weights):
    with pytest.raises(ValueError, match="weight"):
        Mixture([(InMemory(make_pairs(2)), weight) for weight in weights])
    with pytest.raises(ValueError, match="empty"):
        Mixture([(InMemory([]), 1.0)])
