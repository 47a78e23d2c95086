import gc
import pickle
import threading

import numpy as np
import pytest

from data_pipeline.loading.batching import SPARE, ReusingStack


def elements(seed, count=3, shape=(4, 64, 64, 3)):
    rng = np.random.default_rng(seed)
    return [{"cfd": rng.integers(0, 256, shape, np.uint8), "score": np.float32(k)} for k in range(count)]


def check(batch, own):
    np.testing.assert_array_equal(batch["cfd"], np.stack([element["cfd"] for element in own]))
    np.testing.assert_array_equal(batch["score"], [0, 1, 2])
    assert batch["score"].dtype == np.float32


def test_memory_comes_back_only_when_nothing_refers_to_it():
    stack = ReusingStack()
    first = stack(elements(1))
    address = first["cfd"].ctypes.data
    view = first["cfd"][1, 2, ::2, 5:].transpose(1, 0, 2)
    kept = view.copy()
    del first
    gc.collect()
    second = stack(elements(2))
    assert second["cfd"].ctypes.data != address  # the view still looks at it
    np.testing.assert_array_equal(view, kept)
    del view
    third = stack(elements(3))
    assert third["cfd"].ctypes.data == address
    check(second, elements(2))
    check(third, elements(3))


def test_jax_may_keep_a_batch_where_it_lies():
    jax = pytest.importorskip("jax")
    stack = ReusingStack()
    own = elements(1)
    kept = jax.device_put(stack(own)["cfd"])
    for seed in range(2, 6):
        stack(elements(seed))
    np.testing.assert_array_equal(np.asarray(kept), np.stack([element["cfd"] for element in own]))


def test_threads_never_share_a_batch():
    stack, wrong = ReusingStack(), []

    def work(seed):
        for step in range(20):
            own = elements(seed * 100 + step)
            batch = stack(own)
            try:
                check(batch, own)
            except AssertionError as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_is_kept_is_bounded_and_does_not_travel():
    stack = ReusingStack()
    batches = [stack(elements(seed)) for seed in range(SPARE + 4)]
    del batches
    gc.collect()
    (spare,) = stack._spare.values()
    assert len(spare) == SPARE
    assert not pickle.loads(pickle.dumps(stack))._spare


def test_other_dtypes_and_unequal_shapes():
    stack = ReusingStack()
    wide = [{"x": np.full((100, 50), k, np.float64)} for k in range(5)]
    np.testing.assert_array_equal(stack(wide)["x"][:, 0, 0], range(5))
    with pytest.raises(ValueError, match="same shape"):
        stack([{"x": np.zeros((300, 300))}, {"x": np.zeros((300, 301))}])
