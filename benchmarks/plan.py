"""What every topic of `cfd2gray bench` is measured with: the plan, the paired run, the rivals."""

from __future__ import annotations

import dataclasses
from typing import Any

from cfd2gray.benchmarks import machine
from cfd2gray.benchmarks.process import Contender, run_paired
from cfd2gray.benchmarks.section import Section
from cfd2gray.benchmarks.work import Task

TORCH = ("PyTorch eager", "PyTorch compiled")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """How to measure.

    Attributes:
      task: Network and sizes.
      rounds: Turns that each contender gets.
      block_s: How long a turn lasts, seconds.
      peers: Whether other frameworks take part.
      train_s: Seconds of training that the generator and the diffusion baseline get each; 0: speed only.
      peaks: What the machine can do.
    """

    task: Task
    rounds: int
    block_s: float
    peers: bool
    train_s: float
    peaks: machine.Peaks

    def settings(self, **more: Any) -> dict[str, Any]:
        """What a reader must know of the run."""
        config = self.task.load()
        return {
            "config": self.task.config,
            "size": config.data.size,
            "frames": config.data.frames - 2 * config.train.margin,
            "precision": config.model.dtype,
            "rounds": self.rounds,
        } | more


def measure(section: Section, plan: Plan, contenders: list[Contender], pairs: list[tuple[str, str]]) -> None:
    before = machine.load()
    run = run_paired(contenders, rounds=plan.rounds, block_s=plan.block_s)
    section.load = (before, machine.load())
    section.add(run, pairs, plan.peaks.best(machine.probe(seconds=1.0)))  # before and after, whichever was calmer


def ours(name: str, work: str, task: dict[str, Any], *, cores: bool = False, **more: Any) -> Contender:
    """A function of `cfd2gray.benchmarks.networks` on ``task``."""
    target = f"cfd2gray.benchmarks.networks:{work}"
    return Contender(name=name, target=target, options={"task": task, **more}, cores=cores)


def torch_peers(work: str, task: dict[str, Any]) -> list[Contender]:
    target = f"cfd2gray.benchmarks.peers.torch_contenders:{work}"
    return [
        Contender(name="PyTorch eager", target=target, options={"task": task, "compiled": False}, process="torch"),
        Contender(
            name="PyTorch compiled", target=target, options={"task": task, "compiled": True}, process="torch compiled"
        ),
    ]


def naive_peer(name: str, work: str, task: dict[str, Any]) -> Contender:
    options = {"task": task, "work": work}
    return Contender(
        name=name, target="cfd2gray.benchmarks.peers.naive_jax:contender", options=options, process="naive"
    )
