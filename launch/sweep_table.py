"""What a sweep found: one row per run, as CSV, JSON and a page with a sortable table and parallel coordinates.

The Markdown table has one row per setting instead: runs that the sweep file gives one name, or that differ in their seed
alone, become a mean and a spread.
"""

from __future__ import annotations

import csv
import html
import json
import math
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from cfd2gray.files import atomic_path, write_json
from cfd2gray.training.writer import read_history

_SHOWN = ("loss/total", "val/ssim_frame", "val/ssim_flow", "val/flicker_ratio_flow", "val/texture_std_ratio_flow")
_STRATA = ("frame", "sector", "box", "flow", "flow_eroded")
_RATIOS = ("texture_std_ratio", "flicker_ratio")
_WIDTH, _HEIGHT, _MARGIN = 1040, 320, 60


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
    runs = json.loads(path.read_text())["runs"]
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
    with atomic_path(workdir / "table.md") as temporary:
        compared = do_nothing([workdir / row["run"] for row in rows])
        temporary.write_text(markdown([key for key in keys if key != "seed"], results, [*rows, *compared]))
    page = workdir / "table.html"
    with atomic_path(page) as temporary:
        temporary.write_text(_page(workdir.name, columns, rows, parallel_coordinates([*keys, *results], rows)))
    return page


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
    lines = ["| | runs | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(shown)]
    for setting, members in groups.items():
        cells = [_joined([row[name] for row in members if name in row]) for name in shown]
        trained = sum(bool(row["run"]) for row in members)
        lines.append(f"| {setting} | {trained or ''} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _joined(values: Sequence[Any]) -> str:
    """What all agree on, or mean and spread of numbers."""
    if not values:
        return ""
    if isinstance(values[0], int) and len(set(values)) == 1:
        return str(values[0])
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def parallel_coordinates(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """One upright axis per column whose values differ, one line per run, coloured by the last column, as SVG.

    Numbers stand at their height (logarithmic where all are positive and span a factor of 20), other values are spread
    evenly in the order in which they appear. A run without a value is not drawn across that axis.
    """
    used = [column for column in columns if len({repr(row.get(column)) for row in rows if column in row}) > 1]
    if len(used) < 2:
        return "<p>Nothing differs in two columns yet.</p>"
    heights = {column: _heights([row.get(column) for row in rows]) for column in used}
    gap = (_WIDTH - 2 * _MARGIN) / (len(used) - 1)
    x = {column: _MARGIN + gap * i for i, column in enumerate(used)}

    def y(share: float) -> float:
        return 40 + (_HEIGHT - 60) * (1 - share)

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="parallel coordinates of the runs">']
    for i, row in enumerate(rows):
        points = [(x[c], y(heights[c][i])) for c in used if heights[c][i] is not None]
        last = heights[used[-1]][i]
        colour = "#999" if last is None else f"hsl({250 - 190 * last:.0f} 75% 45%)"
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        title = html.escape(", ".join(f"{c}={row[c]}" for c in ("run", *used) if c in row))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"><title>{title}</title></polyline>')
    for column in used:
        values = [(h, row[column]) for h, row in zip(heights[column], rows) if h is not None]
        ends = [min(values, key=lambda item: item[0]), max(values, key=lambda item: item[0])]
        parts.append(f'<line x1="{x[column]:.1f}" x2="{x[column]:.1f}" y1="{y(0):.1f}" y2="{y(1):.1f}" stroke="#555"/>')
        parts.append(f'<text x="{x[column]:.1f}" y="16" text-anchor="middle">{html.escape(column)}</text>')
        for share, value in ends:
            place = y(share) + (14 if share < 0.5 else -4)
            parts.append(f'<text x="{x[column]:.1f}" y="{place:.1f}" text-anchor="middle">{_short(value)}</text>')
    return "".join([*parts, "</svg>"])


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
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def _page(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], plot: str) -> str:
    head = "".join(f'<th><button type="button">{html.escape(column)}</button></th>' for column in columns)
    body = "".join(
        "<tr>" + "".join(f'<td data-v="{html.escape(str(row.get(c, "")))}">{_short(row.get(c, ""))}</td>' for c in columns)
        + "</tr>"
        for row in rows
    )  # fmt: skip
    return (
        _TEMPLATE.replace("TITLE", html.escape(title)).replace("HEAD", head).replace("BODY", body).replace("PLOT", plot)
    )


_TEMPLATE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>TITLE</title><style>
body{font:14px system-ui;margin:2em;color:#222;background:#fff}table{border-collapse:collapse}svg{max-width:1040px}
td,th{padding:.2em .6em;border-bottom:1px solid #ddd;text-align:right;font-variant-numeric:tabular-nums}
td:first-child{text-align:left}th button{font:inherit;font-weight:600;border:0;background:none;cursor:pointer}
svg text{font-size:10px}polyline:hover{stroke-width:4}@media(prefers-color-scheme:dark){
body{color:#ddd;background:#181818}svg text{fill:#ddd}td,th{border-color:#444}th button{color:inherit}}
</style><h1>TITLE</h1>PLOT<table><thead><tr>HEAD</tr></thead><tbody>BODY</tbody></table><script>
document.querySelectorAll("th button").forEach((b,i)=>{let up=true;b.onclick=()=>{
const t=document.querySelector("tbody"),n=x=>{const v=x.children[i].dataset.v;return v===""||isNaN(v)?v:+v};
[...t.children].sort((a,c)=>{const p=n(a),q=n(c);const d=typeof p=="number"&&typeof q=="number"?p-q:
String(p).localeCompare(String(q));return up?d:-d}).forEach(r=>t.append(r));up=!up}});
</script></html>
"""
