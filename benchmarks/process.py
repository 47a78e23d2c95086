"""Contenders in processes of their own, so that frameworks do not share threads, and one's crash is not another's.

A worker (`cfd2gray.benchmarks.worker`) holds any number of contenders. It sleeps while others are measured.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cfd2gray.benchmarks.timing import Ready, Timing, paired

from cfd2gray import cpu_cores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """What to measure and where.

    Attributes:
      name: What it is called in tables.
      target: ``module:function``; ``function(**options)`` returns ``(call, facts)``. ``call()`` does the work once and
        returns when it is done; ``facts`` is JSON.
      options: JSON.
      process: Contenders with the same word share a worker.
      cores: Whether JAX takes every core as a device, as the commands let it. Such contenders have workers of their own.
    """

    name: str
    target: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    process: str = "jax"
    cores: bool = False

    @property
    def worker(self) -> tuple[str, bool]:
        """Which worker it shares."""
        return self.process, self.cores


class Worker:
    """One process that builds contenders and runs them on request; a line of JSON each way."""

    def __init__(self, *, cores: bool = False) -> None:
        # Several processes share a GPU, so none may take all of its memory at the start.
        environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_CPP_MIN_LOG_LEVEL": "3"}
        # OpenMP's threads (PyTorch's) spin while they wait, which costs them a factor of five when others want the cores.
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        environment.pop("TF_ENABLE_ONEDNN_OPTS", None)  # our own command switches TensorFlow's fast kernels off
        environment.pop(cpu_cores.ENVIRONMENT, None)
        if cores:
            environment[cpu_cores.ENVIRONMENT] = str(len(os.sched_getaffinity(0)))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cfd2gray.benchmarks.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip

    def ask(self, **request: Any) -> dict[str, Any]:
        """The worker's answer.

        Raises:
          ValueError: With what went wrong in the worker, in one line.
        """
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ValueError(f"the measuring process died (exit code {self._process.wait()}) at {request}")
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def _workers(names: Iterable[tuple[str, bool]]) -> Iterator[dict[tuple[str, bool], Worker]]:
    found: dict[tuple[str, bool], Worker] = {}
    try:
        for name in names:
            if name not in found:
                found[name] = Worker(cores=name[1])
        yield found
    finally:
        for worker in found.values():
            worker.close()


def facts_of(contender: Contender) -> dict[str, Any]:
    """What a contender says of itself once it is built, in a process of its own.

    Raises:
      ValueError: When it cannot be built.
    """
    with _workers([contender.worker]) as workers:
        (worker,) = workers.values()
        options = dict(contender.options)
        return worker.ask(do="build", name=contender.name, target=contender.target, options=options)["facts"]


@dataclasses.dataclass(frozen=True)
class PairedRun:
    """Timings of one paired run, and in one line each the contenders that could not take part."""

    timings: list[Timing]
    missing: dict[str, str]

    def __getitem__(self, name: str) -> Timing:
        for timing in self.timings:
            if timing.name == name:
                return timing
        raise KeyError(f"{name}: {self.missing.get(name, 'not in this run')}")

    def __contains__(self, name: object) -> bool:
        return any(timing.name == name for timing in self.timings)


def run_paired(contenders: Sequence[Contender], *, rounds: int, block_s: float) -> PairedRun:
    """Build every contender, then measure those that could be built in alternation.

    Raises:
      ValueError: When none could be built.
    """
    with _workers(one.worker for one in contenders) as workers:
        ready, missing = [], {}
        for one in contenders:
            worker = workers[one.worker]
            try:
                built = worker.ask(do="build", name=one.name, target=one.target, options=dict(one.options))
            except ValueError as error:
                missing[one.name] = str(error)
                continue

            def block(calls: int, worker: Worker = worker, name: str = one.name) -> tuple[float, float]:
                done = worker.ask(do="run", name=name, calls=calls)
                return done["seconds"], done["cpu_seconds"]

            ready.append(Ready(name=one.name, first_call_s=built["first_call_s"], facts=built["facts"], block=block))
        if not ready:
            raise ValueError(f"nothing could be measured: {'; '.join(missing.values())}")
        return PairedRun(paired(ready, rounds=rounds, block_s=block_s), missing)
