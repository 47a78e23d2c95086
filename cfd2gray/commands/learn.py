"""Training, and VGG weights for its loss."""

from __future__ import annotations

import argparse
import pathlib

from cfd2gray.commands.parsers import AddCommand, add_config, write_result


def add_commands(add: AddCommand) -> None:
    """Declare the commands of this file."""
    sub = add(
        "train",
        run_train,
        "train, or continue a run",
        "train --config tiny --config.data.dir=records --workdir run",
    )
    sub.set_defaults(restarts=True)
    add_config(sub)
    sub.add_argument(
        "--workdir", required=True, metavar="FOLDER", help="of this run; a path, or gs:// with the extra [gcs]"
    )
    about = "join the other processes of this run: when the scheduler says so (auto), always, or never"
    sub.add_argument("--distributed", choices=("auto", "on", "off"), default="auto", help=about)

    sub = add(
        "sweep", run_sweep, "many trainings from one file, and one table of them",
        "sweep rates --workdir sweeps/rates --config.data.dir=records",
    )  # fmt: skip
    sub.passes_on = True

    sub = add(
        "convert-vgg", run_convert_vgg, "VGG16 weights of any common file for the perceptual loss",
        "convert-vgg vgg16.pth --preprocessing torchvision -o vgg.safetensors",
    )  # fmt: skip
    sub.add_argument("source", type=pathlib.Path)
    sub.add_argument("--preprocessing", choices=("caffe", "torchvision"), required=True)
    sub.add_argument("--last", default="conv4_3", help="last layer to keep")
    sub.add_argument("--dtype", choices=("float32", "float16"), default="float32")
    sub.add_argument("-o", "--out", type=pathlib.Path, required=True)


def run_train(args: argparse.Namespace) -> int:
    from cfd2gray.config import load_config
    from cfd2gray.exit_codes import EXIT_STOPPED
    from cfd2gray.run_folder import run_folder
    from data_pipeline.mistakes import named_mistakes

    with named_mistakes():  # what is refused is refused before JAX takes its seconds
        run_folder(args.workdir)
        config = load_config(args.config, args.overrides)

    from cfd2gray.launch.distributed import leave, together

    with together(args.distributed) as several:  # before anything else of JAX
        import jax

        from cfd2gray.compile_cache import use_compile_cache
        from cfd2gray.cpu_cores import device_per_core
        from cfd2gray.evaluation.validation import validate
        from cfd2gray.training.loop import train

        use_compile_cache()
        if not several and config.mesh.data == -1 and config.mesh.fsdp == 1:
            device_per_core(shares=config.data.batch_size // max(config.train.accumulate, 1))

        def stop_now() -> None:
            if jax.process_index() == 0:
                print(f"stopped between steps; {args.workdir} holds the run, and the same command goes on with it")
            leave(EXIT_STOPPED)

        outcome = train(config, args.workdir, validate=validate, leave=stop_now)
        if jax.process_index() == 0:
            write_result(args, {"step": outcome.step, "stopped": outcome.stopped, "metrics": outcome.metrics})
            if outcome.stopped:
                print(
                    f"stopped at step {outcome.step}; {args.workdir} holds the run, and the same command goes on with it"
                )
            else:
                print(f"done at step {outcome.step}; {args.workdir} holds the run")
                print(f"next: cfd2gray evaluate --config {args.config} ... --checkpoint {args.workdir} -o evaluation")
    return EXIT_STOPPED if outcome.stopped else 0


def run_sweep(args: argparse.Namespace) -> int:
    from cfd2gray.launch import sweep

    return sweep.main(args.words)


def run_convert_vgg(args: argparse.Namespace) -> int:
    from cfd2gray.weights.vgg_convert import convert

    shapes = convert(args.source, args.out, preprocessing=args.preprocessing, last=args.last, dtype=args.dtype)
    write_result(args, shapes)
    print(f"{args.out}: {len(shapes)} tensors, {args.preprocessing} preprocessing")
    return 0
