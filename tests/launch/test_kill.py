"""Processes of a four-process run are killed at random; what the restarts train is what an unbroken run trains.

Two kills by default, which is what CI runs; ``CFD2GRAY_KILLS=20 pytest tests/launch/test_kill.py`` makes twenty (six minutes
on two busy cores).
"""

import os
import random
import threading
import time

from tests.launch import runs

KILLS = int(os.environ.get("CFD2GRAY_KILLS", "2"))


def test_killed_processes_cost_nothing_but_time(machine, data, plain, tmp_path):
    rng, killed = random.Random(0), []
    workdir = tmp_path

    def moment(children):
        """Half of the kills come anywhere from the first import on, half among steps and checkpoints."""
        if rng.random() < 0.5:
            time.sleep(rng.uniform(0.0, 8.0))
            return
        seen = len(runs.losses(workdir))
        while len(runs.losses(workdir)) == seen and all(child.poll() is None for child in children):
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 1.0))

    def kill_one(children):
        if len(killed) >= KILLS:
            return

        def wait_and_kill():
            moment(children)
            victim = rng.randrange(len(children))
            if all(child.poll() is None for child in children):
                children[victim].kill()
                killed.append((victim, max(runs.losses(workdir), default=0)))

        threading.Thread(target=wait_and_kill, daemon=True).start()

    # A run that ends before it was killed often enough is followed by another one.
    for number in range(KILLS + 5):
        before = len(killed)
        workdir = tmp_path / f"run{number}"
        code, output = runs.run(
            data, workdir, "checkpoint.every=1", "train.steps=6", processes=4, max_restarts=KILLS, started=kill_one
        )
        print("killed (process, step):", killed[before:])
        assert code == 0, output
        assert output.count("restarts left") == len(killed) - before
        runs.assert_same_losses(workdir, plain)
        if len(killed) == KILLS:
            break
    assert len(killed) == KILLS
