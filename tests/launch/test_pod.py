"""A pod played on this machine: four processes, records and run in a bucket, kills, a lost write and a preemption.

Whatever happens, the losses of every step and the weights at the end are bit for bit those of a run that nothing happened to.
One kill by default; ``CFD2GRAY_KILLS=20 make test-cluster`` makes twenty.
"""

import contextlib
import os
import random
import signal
import threading
import time

import pytest

from cfd2gray.exit_codes import EXIT_STOPPED
from cfd2gray.run_folder import run_folder
from cfd2gray.weights.find import checkpoint_weights
from tests.launch import bucket, runs

pytestmark = [
    pytest.mark.skipif(bool(bucket.MISSING), reason=f"{bucket.MISSING} not installed: extra [gcs]"),
    pytest.mark.skipif(not os.environ.get("CFD2GRAY_CLUSTER"), reason="takes minutes: make test-cluster"),
]
KILLS = int(os.environ.get("CFD2GRAY_KILLS", "1"))
STEPS = 6 + 2 * KILLS
SETTINGS = (
    f"train.steps={STEPS}", "checkpoint.every=1", "checkpoint.keep=4", "checkpoint.timeout=1.0", "log.every=1",
    # A start is mostly tracing: two networks and two terms are enough of a state.
    "loss.structure=0.0", "loss.texture=0.0", "loss.shimmer=0.0", "loss.temporal=0.0", "loss.confidence=0.0",
)  # fmt: skip
LOST = r"/checkpoints/\d+/state/(ocdbt\.process_\d+/)?d/"
"""Objects that hold what is trained; one of them is taken by the store and forgotten."""


class Drill:
    """Does to the running processes, one after another, what it has on its list."""

    def __init__(self, workdir: str, events: list[str], rng: random.Random):
        self.workdir, self.events, self.rng = run_folder(workdir), events, rng
        self.done: list[tuple[str, int]] = []

    def steps(self) -> int:
        """Of the newest whole checkpoint."""
        folder = self.workdir / "checkpoints"
        with contextlib.suppress(
            FileNotFoundError
        ):  # there is no folder yet, or what was begun there was just swept away
            for step in sorted((int(path.name) for path in folder.iterdir() if path.name.isdigit()), reverse=True):
                if (folder / str(step) / "commit_success.txt").exists():
                    return step
        return 0

    def started(self, children) -> None:
        threading.Thread(target=self._next, args=(children,), daemon=True).start()

    def _next(self, children) -> None:
        """One event a start: a kill may come anywhere from the first import on, the others among steps."""
        if not self.events:
            return
        event = self.events[0]
        alive = lambda: all(child.poll() is None for child in children)  # noqa: E731
        if event == "kill" and self.rng.random() < 0.5:
            time.sleep(self.rng.uniform(0.0, 8.0))
        else:
            seen = self.steps()
            if event == "lose":
                bucket.tell(lose=LOST)
            while alive() and not (self.steps() > seen and (event != "lose" or bucket.tell()["lost"])):
                time.sleep(0.2)
            time.sleep(self.rng.uniform(0.0, 0.5))
        if event == "lose" and not bucket.tell()["lost"]:
            return
        if not alive():  # it ended by itself: a run that meets its own lost object does
            self.events.pop(0) if event == "lose" else None
            return
        self.events.pop(0)
        self.done.append((event, self.steps()))
        how = signal.SIGTERM if event == "preempt" else signal.SIGKILL
        self.rng.choice(children).send_signal(how)


def test_the_pod_trains_what_an_unbroken_run_trains(machine, data, tmp_path):
    with bucket.server() as place:
        records = bucket.upload(data, f"{place}/records")
        unbroken, workdir = f"{place}/runs/unbroken", f"{place}/runs/broken"
        code, output = runs.run(records, unbroken, *SETTINGS, processes=4)
        assert code == 0, output
        rng = random.Random(KILLS)
        events = ["kill"] * KILLS + ["lose", "preempt"]
        rng.shuffle(events)
        drill = Drill(workdir, events, rng)
        outputs = []
        for _ in range(len(events) + 4):
            code, output = runs.run(
                records, workdir, *SETTINGS, processes=4, max_restarts=2 * KILLS + 4, started=drill.started
            )
            outputs.append(output)
            if code == 0:
                break
            assert code == EXIT_STOPPED, output  # the preemption; whoever runs pods starts it again
        print("done (event, checkpoint):", drill.done, "left:", drill.events)
        assert code == 0 and not drill.events, outputs[-1]
        assert bucket.tell()["lost"] == 1
        assert runs.losses(workdir) == runs.losses(unbroken)
        assert len(runs.losses(workdir)) == STEPS
        assert checkpoint_weights(workdir).digest == checkpoint_weights(unbroken).digest
