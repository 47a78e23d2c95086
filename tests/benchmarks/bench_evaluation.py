"""The full evaluation of a simulated test set: how long it takes, and what the weights score. One command, repeatable.

    python tests/benchmarks/bench_evaluation.py --folder DIR [--weights FILE] [--document docs/evaluation.md]

Makes 800 training and 200 test clips of all views (16 frames of 128 x 128, every clip another patient), evaluates the
weights on the test clips with every control, trains the downstream heads on the training clips, and writes what came out
into the page between its two marks. Goals: at most 5 minutes on two cores; F1 on translated within 0.01 of real; Dice at
least 0.97. What is in the folder already is not made again: another folder starts afresh.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import time

from cfd2gray.compile_cache import use_compile_cache
from cfd2gray.config import load_config
from cfd2gray.evaluation.extras import Extras
from cfd2gray.evaluation.report.findings import findings
from cfd2gray.evaluation.report.tables import cell, output_rows
from cfd2gray.evaluation.run import evaluate_weights
from cfd2gray.weights import pretrained
from data_pipeline.files import atomic_path, write_json
from data_pipeline.records.pack import pack
from data_pipeline.schema import VIEWS
from data_pipeline.simulation.export import simulation_jobs

CLIPS = {"train": 800, "val": 20, "test": 200}
SIZE, FRAMES = 128, 16
BEGIN, END = "<!-- measured: bench_evaluation.py -->", "<!-- end of measured -->"


def measure(folder: pathlib.Path, weights: pretrained.GeneratorWeights) -> None:
    """Make the clips and evaluate; leaves ``evaluation/`` and ``timing.json``."""
    records = folder / "records"
    jobs = simulation_jobs(views=VIEWS[1:], clips=CLIPS, size=SIZE, frames=FRAMES)
    pack(jobs, records, workers=2, encoding="zstd")
    config = load_config("default", [f"data.dir={records}", f"data.size={SIZE}", f"eval.frames={FRAMES}"])
    loads, wall, cpu = [os.getloadavg()[0]], time.perf_counter(), time.process_time()
    evaluate_weights(config, weights, folder / "evaluation", extras=Extras(downstream=True))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    loads.append(os.getloadavg()[0])
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    facts = {"wall_s": wall, "cpu_s": cpu, "load": loads, "cores": os.cpu_count(), "commit": commit}
    write_json(folder / "timing.json", facts | {"date": time.strftime("%Y-%m-%d")})


def markdown(result: dict, timing: dict) -> str:
    """What was measured, as a piece of a page."""
    settings = result["settings"]
    lines = [
        BEGIN,
        f"{timing['date']}, commit {timing['commit']}, weights `{settings['model']}` ({settings['weights_digest'][:8]}), "
        f"{result['n_clips']} simulated test clips of {result['n_patients']} patients, all ten views, "
        f"{FRAMES} frames of {SIZE} x {SIZE}; heads trained on {CLIPS['train']} real greyscale clips of other patients. "
        f"It took {timing['wall_s'] / 60:.1f} min ({timing['cpu_s'] / 60:.1f} min of processor time) on {timing['cores']} "
        f"cores at a load of {min(timing['load']):.1f} to {max(timing['load']):.1f}.",
        "",
        *(f"- {finding['level']}: {finding['text']}" for finding in findings(result)),
        "",
        "| mean ± half the 95 % interval | SSIM frame | SSIM box | SSIM flow | PSNR flow | texture | flicker | F1 | Dice |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    tasks = result["downstream"]
    for key, name, values in output_rows(result):
        columns = [cell(values["ssim"], s, digits=3) for s in ("frame", "box", "flow")]
        columns.append(cell(values["psnr"], "flow", digits=1))
        columns += [cell(values[m], "flow", digits=2) for m in ("texture_std_ratio", "flicker_ratio")]
        f1, dice = tasks["f1_controls"].get(key), tasks["dice_controls"].get(key, {}).get("dice")
        f1, dice = (tasks["f1_synthetic"], tasks["dice"]) if key == "composited" else (f1, dice)
        columns += ["-" if value is None else f"{value:.3f}" for value in (f1, dice)]
        lines.append(f"| {name} | {' | '.join(columns)} |")
    lines += ["", f"F1 on the real clips themselves: {tasks['f1_real']:.3f}.", END]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--weights", type=pathlib.Path, help="a weights file; by default the ones that ship")
    parser.add_argument("--document", type=pathlib.Path, help="a page with the two marks")
    options = parser.parse_args()
    use_compile_cache()
    weights = pretrained.load_weights(options.weights) if options.weights else pretrained.load_pretrained()
    if not (options.folder / "timing.json").is_file():
        measure(options.folder, weights)
    result = json.loads((options.folder / "evaluation" / "evaluation.json").read_text())
    if result["settings"]["weights_digest"] != weights.digest:
        raise SystemExit(f"{options.folder} holds an evaluation of other weights; name another folder")
    text = markdown(result, json.loads((options.folder / "timing.json").read_text()))
    print(text)
    if options.document:
        page = options.document.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, found, after = rest.partition(END)
        if not found:
            raise SystemExit(f"{options.document} has no marks {BEGIN} and {END}; add them where the numbers belong")
        with atomic_path(options.document) as temporary:
            temporary.write_text(before + text + after, encoding="utf-8")


if __name__ == "__main__":
    main()
