"""Several processes as one run: when and how `jax.distributed` starts, before any other JAX call.

A scheduler starts the same command many times. Each copy learns from its environment how many there are, which one it
is and where the first one listens:

- ``CFD2GRAY_COORDINATOR`` (host:port), ``CFD2GRAY_PROCESSES``, ``CFD2GRAY_PROCESS``: set by ``launch.local`` and by the
  Kubernetes manifest here; anything else may set them too;
- SLURM (inside ``srun``), Open MPI, and Cloud TPU pods under GKE: JAX reads what these set.

With ``--distributed on`` JAX's own search is used wherever none of these is seen (a TPU pod outside of GKE, which only
its metadata server knows about).
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import logging
import os
import sys
from collections.abc import Iterator, Mapping

import jax

from cfd2gray.exit_codes import exit_code
from data_pipeline.mistakes import Mistake

MODES = ("auto", "on", "off")
COORDINATOR, PROCESSES, PROCESS = "CFD2GRAY_COORDINATOR", "CFD2GRAY_PROCESSES", "CFD2GRAY_PROCESS"


@dataclasses.dataclass(frozen=True)
class Place:
    """This process's place in a run. ``coordinator`` is None where JAX finds everything by itself."""

    found_in: str
    processes: int
    coordinator: str | None = None
    process: int | None = None


def find_place(environ: Mapping[str, str]) -> Place | None:
    """What the environment says, or None when this process is alone.

    Raises:
      Mistake: When only a part of the variables is set, or one makes no sense.
    """
    own = {name: environ[name] for name in (COORDINATOR, PROCESSES, PROCESS) if name in environ}
    if own:
        return _own_place(own)
    if "SLURM_STEP_NODELIST" in environ and "SLURM_PROCID" in environ:
        # In the batch script itself and in an interactive shell the step has one task, whatever the job has.
        count, name = environ.get("SLURM_STEP_NUM_TASKS") or environ.get("SLURM_NTASKS", "1"), "SLURM"
    elif "OMPI_COMM_WORLD_SIZE" in environ:
        count, name = environ["OMPI_COMM_WORLD_SIZE"], "Open MPI"
    elif "TPU_WORKER_HOSTNAMES" in environ or "TPU_PROCESS_ADDRESSES" in environ:
        hosts = environ.get("TPU_PROCESS_ADDRESSES") or environ["TPU_WORKER_HOSTNAMES"]
        slices = _integer(environ, "MEGASCALE_NUM_SLICES", environ.get("MEGASCALE_NUM_SLICES") or "1")
        count, name = str(slices * len(hosts.split(","))), "Cloud TPU"
    else:
        return None
    processes = _integer(environ, name, count)
    return Place(found_in=name, processes=processes) if processes > 1 else None


def _own_place(own: Mapping[str, str]) -> Place | None:
    missing = [name for name in (COORDINATOR, PROCESSES, PROCESS) if name not in own]
    if missing:
        raise Mistake(f"{', '.join(own)} set but not {', '.join(missing)}; set all three or none")
    processes, process = _integer(own, PROCESSES, own[PROCESSES]), _integer(own, PROCESS, own[PROCESS])
    if not 0 <= process < processes:
        raise Mistake(f"{PROCESS} must be in 0 .. {PROCESSES} - 1, got {process} of {processes}")
    if ":" not in own[COORDINATOR]:
        raise Mistake(f"{COORDINATOR} must be host:port of the first process, got {own[COORDINATOR]!r}")
    if processes == 1:
        return None
    return Place(found_in="CFD2GRAY_*", processes=processes, coordinator=own[COORDINATOR], process=process)


def _integer(environ: Mapping[str, str], name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Mistake(f"{name} must be a whole number, got {text!r} in the environment") from None


def initialise(mode: str = "auto") -> bool:
    """Join the other processes of this run. Must come before any other JAX call. Returns whether there are others.

    Args:
      mode: ``auto``: when the environment names several processes; ``on``: or else as JAX finds out; ``off``: never.

    Raises:
      Mistake: For an unknown mode, a half-set environment, or when ``on`` finds nothing to join.
    """
    if mode not in MODES:
        raise Mistake(f"--distributed must be one of {', '.join(MODES)}, got {mode!r}")
    place = find_place(os.environ) if mode != "off" else None
    if place is None and mode != "on":
        return False
    # JAX's preemption service would swallow SIGTERM; `cfd2gray.training.stop` acts on it.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        if place is None or place.coordinator is None:
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(
                place.coordinator, place.processes, place.process, cluster_detection_method="deactivate"
            )
    except (ValueError, TypeError) as error:
        where = place.found_in if place else "this machine"
        raise Mistake(
            f"could not join a distributed run ({error}); {where} was asked. Start the command with launch.local, srun or "
            f"on a TPU pod, set {COORDINATOR}, {PROCESSES} and {PROCESS}, or leave --distributed out"
        ) from error
    return jax.process_count() > 1


@contextlib.contextmanager
def together(mode: str = "auto") -> Iterator[bool]:
    """Join the other processes, and if this one fails leave at once: the others wait for it in vain otherwise.

    Yields whether there are others.

    The first process speaks for all: the others log warnings and errors only.
    """
    if not initialise(mode):
        yield False
        return
    if jax.process_index():
        for name in ("cfd2gray", "data_pipeline"):
            logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield True
    except BaseException as error:
        # Handlers run last in, first out: this one comes before JAX's, which would wait for everybody.
        atexit.register(leave, exit_code(error))
        raise


def leave(code: int) -> None:
    """End this process now: no waiting for threads, or for the other processes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
