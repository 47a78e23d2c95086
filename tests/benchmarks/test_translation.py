"""What users get, as contenders: each does its work once."""

import pytest
from cfd2gray.benchmarks import translation
from cfd2gray.benchmarks.work import Task

TASK = Task(config="tiny", size=32, frames=4).options()


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    path = tmp_path_factory.mktemp("screen") / "clip.mkv"
    translation.write_screen(path, frames=5, height=48, width=64)
    return path


@pytest.mark.parametrize(
    ("work", "options", "units"),
    [("graph", {}, 4), ("clip", {"frames": 5}, 5), ("file", {"frames": 5}, 5), ("live", {}, 1)],
)
def test_contenders_do_their_work_and_say_how_much_it_was(work, options, units, screen):
    options = options | ({"source": str(screen)} if work == "file" else {})
    call, facts = getattr(translation, work)(TASK, runtime="onnxruntime", **options)
    for _ in range(2):  # a file is written again
        call()
    assert facts == {"units": units}


def test_a_new_size_is_timed_before_and_after_it_is_known(monkeypatch):
    monkeypatch.setenv("CFD2GRAY_CACHE", "kept")  # is put back
    _, facts = translation.new_sizes(TASK, runtime="onnxruntime", sizes=2, frames=2)
    assert len(facts["first_s"]) == len(facts["again_s"]) == 2 and min(facts["first_s"]) > 0
