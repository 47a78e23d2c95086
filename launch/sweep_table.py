"""What a sweep found: one row per run, as CSV, JSON and a page with a sortable table and parallel coordinates.

The Markdown table has one row per setting instead: runs that the sweep file gives one name, or that differ in their seed
alone, become a mean and a spread.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from cfd2gray.launch import search

from cfd2gray.config import flatten, from_json
from cfd2gray.pages.blocks import Cell, Chart, Panel, Section, Table, Text
from cfd2gray.pages.charts import parallel_plot
from cfd2gray.pages.markdown import markdown_table
from cfd2gray.pages.page import write_page
from cfd2gray.training.writer import read_history, tensorboard_writer, warn_only
from data_pipeline.files import atomic_path, write_atomically, write_json

_SHOWN = ("loss/total", "val/ssim_frame", "val/ssim_flow", "val/flicker_ratio_flow", "val/texture_std_ratio_flow")
_STRATA = ("frame", "sector", "box", "flow", "flow_eroded")
_RATIOS = ("texture_std_ratio", "flicker_ratio")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parallel:
    """Parallel coordinates: per run its place in [0, 1] on every axis, and what each axis ends at."""

    names: Sequence[str]
    heights: Sequence[Sequence[float | None]]
    ends: Sequence[tuple[str, str]]
    said: Sequence[str]


def read_result(folder: pathlib.Path) -> dict[str, Any]:
    """Last metrics of a run and, where it was evaluated, SSIM by stratum. Empty for a run that has not written yet."""
    if not (folder / "metrics.jsonl").is_file():
        return {}
    found: dict[str, Any] = {}
    for line in read_history(folder):
        found |= {"step": int(line["step"])} | {key: line[key] for key in _SHOWN if key in line}
    evaluation = folder / "evaluation" / "evaluation.json"
    if evaluation.is_file():
        result = json.loads(evaluation.read_text())
        found |= {"test/clips": result["n_clips"]} | _scores(result)
    return found


def write_hparams(folder: pathlib.Path, settings: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """What a run changed and how it ended, beside its curves: ``tensorboard --logdir SWEEP`` then has an HPARAMS page.

    Nothing where the run itself wrote no TensorBoard files (``log.tensorboard``).
    """
    if not flatten(from_json((folder / "config.json").read_text()))["log.tensorboard"]:
        return
    with warn_only("TensorBoard"):
        board = tensorboard_writer(folder / "tensorboard")
        if board is not None:
            known = bool | int | float | str
            board.write_hparams({key: v if isinstance(v, known) else repr(v) for key, v in settings.items()})
            board.write_scalars(result.get("step", 0), {key: v for key, v in result.items() if key != "step"})
            board.close()


def _scores(result: Mapping[str, Any]) -> dict[str, float]:
    found = {f"test/ssim_{stratum}": result["ssim"][stratum] for stratum in _STRATA if stratum in result["ssim"]}
    return found | {f"test/{name}": result[name]["flow"] for name in _RATIOS if name in result}


def do_nothing(folders: Sequence[pathlib.Path]) -> list[dict[str, Any]]:
    """Rows of the do-nothing methods, from the first of ``folders`` that holds an evaluation; empty when none does."""
    for folder in folders:
        path = folder / "evaluation" / "evaluation.json"
        if path.is_file():
            result = json.loads(path.read_text())
            clips = {"test/clips": result["n_clips"]}
            return [
                {"setting": f"*{name.replace('_', ' ')}*", "run": ""} | clips | _scores(scores)
                for name, scores in result["baselines"].items()
            ]
    return []


def rows_of(workdir: pathlib.Path) -> tuple[list[str], list[str], list[dict[str, Any]]]:
    """Names of the swept keys, names of the results, and a row for each run.

    Raises:
      ValueError: When the folder holds no sweep.
    """
    path = workdir / "sweep.json"
    if not path.is_file():
        raise ValueError(f"{workdir}: no sweep.json; give the --workdir of a sweep")
    sweep = json.loads(path.read_text())
    runs = sweep["runs"]
    if sweep.get("search"):
        runs = [run | {"overrides": search.chosen(workdir, run["number"])} for run in runs]
    keys = list(dict.fromkeys(key for run in runs for key in run["overrides"]))
    rows, results = [], {}
    for run in runs:
        found = read_result(workdir / run["name"])
        results |= dict.fromkeys(found)
        done = (workdir / run["name"] / "sweep_result.json").is_file()
        state = "done" if done else "begun" if found else "waiting"
        setting = {"setting": run["setting"]} if run["setting"] else {}
        rows.append({"run": run["name"], "state": state, **setting, **run["overrides"], **found})
    return keys, list(results), rows


def collect(workdir: pathlib.Path) -> pathlib.Path:
    """Write ``table.csv``, ``table.json``, ``table.md`` and ``table.html`` into ``workdir``. Returns the page's path."""
    keys, results, rows = rows_of(workdir)
    columns = ["run", "state", *(["setting"] if any("setting" in row for row in rows) else []), *keys, *results]
    write_json(workdir / "table.json", rows)
    with atomic_path(workdir / "table.csv") as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    compared = do_nothing([workdir / row["run"] for row in rows])
    table = markdown([key for key in keys if key != "seed"], results, [*rows, *compared])
    write_atomically(workdir / "table.md", table)
    sections = _sections(columns, rows, parallel_coordinates([*keys, *results], rows))
    done = sum(row["state"] == "done" for row in rows)
    facts = f"{len(rows)} runs, {done} done"
    return write_page(workdir / "table.html", title=workdir.name, facts=facts, sections=sections, eyebrow="Sweep")


def markdown(keys: Sequence[str], results: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """One row per setting (its name, or else its values of ``keys``): mean and sample standard deviation of its runs.

    Of ``results`` those on the test split, where there are any; else all but the step.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        changes = ", ".join(f"{key}={row[key]}" for key in keys if key in row) or "nothing changed"
        setting = row.get("setting", changes)
        groups.setdefault(setting, []).append(row)
    tested = [name for name in results if name.startswith("test/")]
    shown = tested or [name for name in results if name != "step"]
    heads = [name.removeprefix("test/").removesuffix("_ratio").replace("_", " ") for name in shown]
    lines = []
    for setting, members in groups.items():
        trained = sum(bool(row["run"]) for row in members)
        cells = [_joined([row[name] for row in members if name in row]) for name in shown]
        lines.append([setting, str(trained or ""), *cells])
    return "\n".join(markdown_table(["", "runs", *heads], lines)) + "\n"


def _joined(values: Sequence[Any]) -> str:
    """What all agree on, or mean and spread of numbers."""
    if not values:
        return ""
    if isinstance(values[0], int) and len(set(values)) == 1:
        return str(values[0])
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def parallel_coordinates(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Parallel | None:
    """One upright axis per column whose values differ and one line per run; ``None`` where fewer than two differ.

    Numbers stand at their height (logarithmic where all are positive and span a factor of 20), other values are spread
    evenly in the order in which they appear. A run without a value is not drawn across that axis.
    """
    used = [column for column in columns if len({repr(row.get(column)) for row in rows if column in row}) > 1]
    if len(used) < 2:
        return None
    by_column = [_heights([row.get(column) for row in rows]) for column in used]
    ends = []
    for column, heights in zip(used, by_column):
        values = [(h, row[column]) for h, row in zip(heights, rows) if h is not None]
        ends.append((_short(min(values, key=_height)[1]), _short(max(values, key=_height)[1])))
    said = [", ".join(f"{c}={row[c]}" for c in ("run", *used) if c in row) for row in rows]
    return Parallel(names=used, heights=list(zip(*by_column)), ends=ends, said=said)


def _height(item: tuple[float, Any]) -> float:
    return item[0]


def _heights(values: Sequence[Any]) -> list[float | None]:
    """Place of each value on its axis, 0 to 1."""
    given = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
        positive = min(given) > 0 and max(given) / min(given) >= 20
        scaled = [None if v is None else math.log(v) if positive else float(v) for v in values]
        low, high = min(s for s in scaled if s is not None), max(s for s in scaled if s is not None)
        return [None if s is None else (s - low) / (high - low) for s in scaled]
    order = list(dict.fromkeys(repr(value) for value in given))
    return [None if v is None else order.index(repr(v)) / max(len(order) - 1, 1) for v in values]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _sections(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], plot: Parallel | None) -> list[Section]:
    chart = Text(text="Nothing differs in two columns yet.")
    if plot is not None:
        chart = Chart(svg=parallel_plot(plot.names, plot.heights, plot.ends, plot.said))
    cells = [("", [Cell(text=_short(row.get(c, "")), sort=str(row.get(c, ""))) for c in columns]) for row in rows]
    table = Table(head=columns, rows=cells, sortable=True)
    return [
        Section(anchor="runs", nav="Runs", title="Runs", lead="One line per run, coloured by its last column.",
                blocks=[Panel(blocks=[chart])]),
        Section(anchor="table", nav="Table", title="Table", lead="A column's heading sorts by it.",
                blocks=[Panel(blocks=[table])]),
    ]  # fmt: skip
