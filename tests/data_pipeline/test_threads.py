"""Frames by several threads: in order, and by one in a worker process."""

import threading

import cv2
import pytest

from data_pipeline.threads import each


def test_results_are_in_order_and_errors_come_through():
    assert each(lambda a, b: a * b, range(50), range(1, 51)) == [k * (k + 1) for k in range(50)]
    with pytest.raises(ZeroDivisionError):
        each(lambda a: 1 // a, [1, 0])


@pytest.mark.parametrize("threads", [1, 3])
def test_as_many_threads_as_opencv_may_use(threads, monkeypatch):
    monkeypatch.setattr(cv2, "getNumThreads", lambda: threads)
    together = threading.Barrier(threads)
    each(lambda _: together.wait(timeout=20), range(threads))
