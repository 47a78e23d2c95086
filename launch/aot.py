"""Compile a config's true steps for machines that are not here: does it fit, what moves, how fast could it be?

    python -m launch.aot --config paper_scale --topology v5e:16x16
    python -m launch.aot --config fsdp --topology v5p:2x2x2 --mesh data=1,fsdp=8 --json fsdp.json
    python -m launch.aot --config echo_256 --topology h100:8 --programs train

TPU slices are compiled by the real compiler, from PyPI: `pip install 'cfd2gray[tpu-aot]'`; no TPU is needed. GPUs are
stood in for by fake devices of this machine's processor: collectives and FLOPs are then true, memory is what
the processor's compiler makes of it, and no time is predicted. Exit code 1 when a program does not fit.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

from cfd2gray.launch.chips import GIB, Topology, parse_topology

NAMES = ("train", "warm-up", "eval", "translate")
QUICK = {"exec_time_optimization_effort": -1.0}
"""Compiler options of --quick: a fifth of the compile time, memory a tenth more than the full effort's."""


class DoesNotFit(ValueError):
    """A program needs more memory than a chip has."""


def prepare_environment(topology: Topology) -> None:
    """Before JAX is imported: this machine's processor, as many fake devices as are asked for, no search for a TPU."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    if topology.chip.platform == "cuda":
        # Nobody runs the machine code, so it need not be good.
        cheap = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
        flags = f"{cheap} --xla_force_host_platform_device_count={topology.chips}"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
        return
    # Without these libtpu asks the network what machine this is, and complains; its lock is for
    # chips, and there are none.
    for name, value in (
        ("TPU_SKIP_MDS_QUERY", "1"), ("TPU_ACCELERATOR_TYPE", "v5litepod-4"), ("TPU_WORKER_HOSTNAMES", "localhost"),
        ("ALLOW_MULTIPLE_LIBTPU_LOAD", "1"),
    ):  # fmt: skip
        os.environ.setdefault(name, value)


def topology_devices(topology: Topology) -> list[Any]:
    """The devices of a described TPU slice, or this process's fake ones.

    Raises:
      ValueError: When libtpu is missing or knows no such slice.
    """
    import jax
    from jax.experimental import topologies

    if topology.chip.platform == "cuda":
        return jax.devices()[: topology.chips]
    options: dict[str, Any] = {}
    sides = [int(side) for side in topology.layout.split("x")]
    if topology.chip.name == "v4":
        options["chip_config_name"] = "megacore"  # as on Cloud TPU: a chip's two cores are one device
    if topology.chips < 4:
        options["chips_per_host_bounds"] = [*sides, 1, 1][:3]
    try:
        described = topologies.get_topology_desc(topology_name=str(topology), platform="tpu", **options)
    except Exception as error:  # jaxlib's own classes, by version
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"cannot describe {topology} ({reason}); the TPU compiler comes with pip install 'cfd2gray[tpu-aot]'"
        ) from error
    return list(described.devices)


def analyse(config: Any, topology: Topology, programs: Sequence[str], *, quick: bool) -> dict[str, Any]:
    """Compile ``programs`` of ``config`` for ``topology``. Returns name -> `launch.program.Cost`.

    Raises:
      DoesNotFit: When the compiler itself gives up for lack of memory.
      ValueError: For settings that do not go together.
    """
    from cfd2gray.launch.lowering import PROGRAMS
    from cfd2gray.launch.program import cost_of

    from cfd2gray.mesh import make_mesh

    mesh = make_mesh(data=config.mesh.data, fsdp=config.mesh.fsdp, devices=topology_devices(topology))
    options = QUICK if quick and topology.chip.platform == "tpu" else None
    costs = {}
    for name in programs:
        began = time.perf_counter()
        try:
            compiled = PROGRAMS[name](config, mesh).compile(compiler_options=options)
        except Exception as error:
            if "RESOURCE_EXHAUSTED" not in str(error) and "Ran out of memory" not in str(error):
                raise
            reason = next((line for line in str(error).splitlines() if "Used" in line or "xceeded" in line), "")
            raise DoesNotFit(
                f"{name} does not fit {topology}: {reason.strip() or 'the compiler ran out of memory'}; lower "
                "data.batch_size, raise mesh.fsdp or take more chips"
            ) from error
        print(f"compiled {name} in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        costs[name] = cost_of(compiled, topology, devices=1 if name == "translate" else mesh.size)
    return costs


def parse_mesh(text: str) -> list[str]:
    """``data=64,fsdp=4`` as overrides of the config. Raises ``ValueError`` for anything else."""
    overrides = []
    for part in text.split(","):
        name, _, size = part.partition("=")
        if name not in ("data", "fsdp") or not size.lstrip("-").isdigit():
            raise ValueError(f"--mesh must be like data=64,fsdp=4, got {text!r}")
        overrides.append(f"mesh.{name}={size}")
    return overrides


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m launch.aot", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="default", metavar="FILE", help="--config.KEY=VALUE changes one key")
    parser.add_argument(
        "--topology", required=True, help="v5e:16x16, v4:4x4x4, v5p:..., v6e:..., or h100:8 and the like"
    )
    parser.add_argument("--mesh", default="", help="data=64,fsdp=4; the config's own when left out")
    parser.add_argument("--programs", default=",".join(NAMES), help=f"some of {','.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="less optimisation: memory comes out a little higher")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write the result as JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    parser = build_parser()
    args, extra = parser.parse_known_args(argv)
    overrides = [text.removeprefix("--config.") for text in extra if text.startswith("--config.")]
    if len(overrides) != len(extra):
        parser.error(f"unknown argument {next(t for t in extra if not t.startswith('--config.'))!r}")
    try:
        topology = parse_topology(args.topology)
        programs = tuple(args.programs.split(","))
        if not set(programs) <= set(NAMES):
            raise ValueError(f"--programs must be among {','.join(NAMES)}, got {args.programs!r}")
        overrides += parse_mesh(args.mesh) if args.mesh else []
        prepare_environment(topology)
        return _run(args, topology, programs, overrides)
    except DoesNotFit as error:
        print(error, file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"launch.aot: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _run(args: argparse.Namespace, topology: Topology, programs: Sequence[str], overrides: Sequence[str]) -> int:
    import jax
    from cfd2gray.launch.program import describe

    from cfd2gray.config import load_config
    from data_pipeline.files import write_json

    config = load_config(args.config, overrides)
    costs = analyse(config, topology, programs, quick=args.quick)
    print(
        f"{args.config} on {topology} ({topology.chips} chips, {topology.chip.memory // GIB} GiB each), mesh data="
        f"{config.mesh.data} fsdp={config.mesh.fsdp}, {config.data.batch_size} clips of {config.data.frames} x "
        f"{config.data.size} px a step, JAX {jax.__version__}"
    )
    for name, cost in costs.items():
        print("\n".join(describe(name, cost)))
    if args.json:
        result = {
            "config": args.config,
            "overrides": list(overrides),
            "topology": str(topology),
            "chip": dataclasses.asdict(topology.chip),
            "chips": topology.chips,
            "batch_size": config.data.batch_size,
            "frames": config.data.frames,
            "size": config.data.size,
            "mesh": {"data": config.mesh.data, "fsdp": config.mesh.fsdp},
            "jax": jax.__version__,
            "quick": args.quick,
            "programs": {name: cost.as_json() for name, cost in costs.items()},
        }
        write_json(args.json, result)
    large = [name for name, cost in costs.items() if not cost.fits]
    if large:
        raise DoesNotFit(f"{', '.join(large)}: more than a {topology.chip.name} chip holds; lower data.batch_size")
    return 0


if __name__ == "__main__":
    sys.exit(main())
