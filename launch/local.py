"""Several real processes of one run on this machine: CPU collectives, or one GPU each.

    python -m launch.local --processes 2 -- train --config tiny --config.data.dir=records --workdir run
    python -m launch.local --processes 8 --platform cuda --max-restarts 3 -- train --config echo_128 --workdir run

What follows ``--`` are the arguments of ``cfd2gray``. Every line of output carries the number of its process. When one
process dies the others are ended too, and with ``--max-restarts`` all are started again and resume from the newest
checkpoint. SIGTERM and Ctrl-C are passed on once: the run saves, and the launcher leaves with 75 as the run does.
With ``--processes 1`` it is a supervisor for a plain run.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from cfd2gray.launch.distributed import COORDINATOR, PROCESS, PROCESSES

from cfd2gray.exit_codes import EXIT_MISTAKE, EXIT_STOPPED

POLL = 0.05
"""Seconds between looks at the processes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How to start a run here."""

    processes: int
    platform: str = "cpu"
    devices: int = 1
    """Devices of each process: fake ones on ``cpu``, GPUs on ``cuda``."""
    max_restarts: int = 0
    grace: float = 10.0
    """Seconds that the others get to end by themselves once one process has failed."""

    def __post_init__(self) -> None:
        if self.processes < 1 or self.devices < 1 or self.max_restarts < 0:
            raise ValueError(
                f"processes and devices must be at least 1 and max_restarts not negative, got {self.processes}, "
                f"{self.devices}, {self.max_restarts}"
            )
        if self.platform not in ("cpu", "cuda"):
            raise ValueError(f"platform must be cpu or cuda, got {self.platform!r}")


def environment(options: Options, process: int, port: int, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of one process."""
    # With GPUs the CPU stays a platform too: arrays wait there.
    platforms = {"cpu": "cpu", "cuda": "cuda,cpu"}[options.platform]
    env = dict(base) | {"JAX_PLATFORMS": platforms, "PYTHONUNBUFFERED": "1"}
    if options.processes > 1:
        env |= {COORDINATOR: f"127.0.0.1:{port}", PROCESSES: str(options.processes), PROCESS: str(process)}
    if options.platform == "cpu":
        flags = [f for f in env.get("XLA_FLAGS", "").split() if "force_host_platform_device_count" not in f]
        env["XLA_FLAGS"] = " ".join([*flags, f"--xla_force_host_platform_device_count={options.devices}"])
    else:
        first = process * options.devices
        env["JAX_LOCAL_DEVICE_IDS"] = ",".join(str(first + i) for i in range(options.devices))
    return env


def launch(
    command: Sequence[str],
    options: Options,
    *,
    out: IO[str] | None = None,
    started: Callable[[list[subprocess.Popen]], None] | None = None,
) -> int:
    """Run ``command`` in every process until all are done. Returns the exit code of the run.

    Args:
      command: Program and arguments, the same for all.
      options: See `Options`.
      out: Where the prefixed lines go; standard output by default.
      started: Called with the processes after every start.

    Returns:
      0 when all ended with 0; 75 when they were asked to stop; otherwise the code of the process that failed first, 1
      where it was killed.
    """
    out = out or sys.stdout
    with _ForwardSignals() as asked:
        for attempt in range(options.max_restarts + 1):
            code = _once(command, options, out, asked, started)
            if code in (0, EXIT_STOPPED, EXIT_MISTAKE) or asked.times:
                return EXIT_STOPPED if asked.times and code not in (0, EXIT_MISTAKE) else code
            left = options.max_restarts - attempt
            print(f"[launch] failed with {code}; {left} restarts left", file=out, flush=True)
    return code


def _once(command, options: Options, out: IO[str], asked: _ForwardSignals, started) -> int:
    port, lock, children, readers = _free_port(), threading.Lock(), [], []
    try:
        for process in range(options.processes):
            child = subprocess.Popen(
                command,
                env=environment(options, process, port, os.environ),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C reaches the launcher alone, which passes it on once
            )
            children.append(child)
            prefix = f"[{process}] " if options.processes > 1 else ""
            readers.append(threading.Thread(target=_copy, args=(child.stdout, out, prefix, lock), daemon=True))
            readers[-1].start()
        asked.watch(children)
        if started:
            started(children)
        return _wait(children, options.grace, asked)
    finally:
        asked.watch([])
        for child in children:
            if child.poll() is None:
                child.kill()
            child.wait()
        for reader in readers:
            reader.join(timeout=5.0)


def _wait(children: list[subprocess.Popen], grace: float, asked: _ForwardSignals) -> int:
    """The run's exit code, once all have ended or the first has failed and the others had their time."""
    failed: int | None = None
    deadline = float("inf")
    while any(child.poll() is None for child in children) and time.monotonic() < deadline:
        codes = [child.poll() for child in children]
        bad = [code for code in codes if code not in (None, 0, EXIT_STOPPED)]
        if bad and failed is None:
            # Of several at once, a death says more than the complaints of those who lost it.
            failed, deadline = min(bad), time.monotonic() + grace
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    child.terminate()
        if asked.times > 1:
            break
        time.sleep(POLL)
    codes = [child.poll() for child in children]
    if failed is None:
        bad = [code for code in codes if code not in (None, 0, EXIT_STOPPED)]
        failed = min(bad) if bad else None
    if failed is not None:
        return failed if failed > 0 else 1
    return EXIT_STOPPED if EXIT_STOPPED in codes or None in codes else 0


class _ForwardSignals:
    """Passes the first SIGTERM or SIGINT on to the processes; a second one makes the launcher end them."""

    def __init__(self) -> None:
        self.times, self._children, self._before = 0, [], {}

    def watch(self, children: list[subprocess.Popen]) -> None:
        self._children = children

    def _note(self, number: int, frame: object) -> None:
        self.times += 1
        if self.times == 1:
            for child in self._children:
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(signal.SIGTERM)

    def __enter__(self) -> _ForwardSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _copy(source: IO[str], out: IO[str], prefix: str, lock: threading.Lock) -> None:
    for line in source:
        with lock:
            out.write(prefix + line)
            out.flush()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m launch.local", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", "-n", type=int, default=2)
    parser.add_argument("--platform", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--devices", type=int, default=1, help="devices per process: fake ones on cpu, GPUs on cuda")
    parser.add_argument("--max-restarts", type=int, default=0)
    parser.add_argument("arguments", nargs="+", metavar="ARGUMENT", help="of cfd2gray, after --")
    args = parser.parse_args(argv)
    try:
        options = Options(
            processes=args.processes, platform=args.platform, devices=args.devices, max_restarts=args.max_restarts
        )
    except ValueError as error:
        parser.error(str(error))
    return launch([sys.executable, "-m", "cfd2gray.cli", *args.arguments], options)


if __name__ == "__main__":
    sys.exit(main())
