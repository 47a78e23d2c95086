"""Frames by several threads: in order, and by one in a worker process; work that is done ahead."""

import threading

import cv2
import pytest

from data_pipeline.threads import ahead, each, later


def test_results_are_in_order_and_errors_come_through():
    assert each(lambda a, b: a * b, range(50), range(1, 51)) == [k * (k + 1) for k in range(50)]
    with pytest.raises(ZeroDivisionError):
        each(lambda a: 1 // a, [1, 0])


@pytest.mark.parametrize("threads", [1, 3])
def test_as_many_threads_as_opencv_may_use(threads, monkeypatch):
    monkeypatch.setattr(cv2, "getNumThreads", lambda: threads)
    together = threading.Barrier(threads)
    each(lambda _: together.wait(timeout=20), range(threads))


def test_the_next_item_is_made_while_one_is_used_and_errors_come_in_their_turn():
    begun = [threading.Event() for _ in range(4)]

    def items():
        for k in range(3):
            begun[k].set()
            yield k
        begun[3].set()
        raise OSError("at the end")

    found = []
    with pytest.raises(OSError, match="at the end"):
        for item in ahead(items()):
            assert begun[item + 1].wait(timeout=20)  # though nobody has asked for it
            found.append(item)
    assert found == [0, 1, 2]


def test_who_stops_early_waits_for_what_is_in_the_making_and_no_longer():
    made = []
    early = ahead(iter(lambda: made.append(1) or len(made), -1))
    assert next(early) == 1
    early.close()
    assert len(made) == 2


@pytest.mark.parametrize("threads", [1, 2])
def test_later_work_is_done_once_and_tells_its_error_to_whoever_asks(threads, monkeypatch):
    monkeypatch.setattr(cv2, "getNumThreads", lambda: threads)
    calls = []
    result = later(lambda: calls.append(1) or "there")
    assert (result(), result(), len(calls)) == ("there", "there", 1)
    with pytest.raises(ZeroDivisionError):
        later(lambda: 1 // 0)()
