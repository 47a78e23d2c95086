"""The evaluation's tables in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cfd2gray.evaluation.report.findings import findings
from cfd2gray.evaluation.results import MODEL_OUTPUTS, YARDSTICKS, patients_text
from cfd2gray.pages.numbers import plus_minus

TERMINAL_STRATA = {"frame": "frame", "sector": "sector", "box": "box", "flow": "flow", "flow_eroded": "inner flow"}
OUTPUT_NAMES = {"composited": "model", "raw": "model, raw", "anatomy": "anatomy alone"}
_MARKS = {"good": "[green]+[/]", "note": "[cyan]-[/]", "warning": "[yellow]![/]"}


def output_rows(result: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """``(key, display name, measures)`` of the model's outputs, the baselines and the yardsticks, in table order."""
    rows = [("composited", OUTPUT_NAMES["composited"], result)]
    rows += [(name, OUTPUT_NAMES[name], result[name]) for name in MODEL_OUTPUTS[1:] if name in result]
    baselines = result.get("baselines", {})
    order = [name for name in baselines if name not in YARDSTICKS] + [name for name in YARDSTICKS if name in baselines]
    return rows + [(name, name.replace("_", " "), baselines[name]) for name in order]


def print_result(result: Mapping[str, Any], *, console: Console | None = None) -> None:
    """Print findings, SSIM per stratum with intervals, and the domains."""
    console = console or Console()
    for finding in findings(result):
        console.print(f"{_MARKS[finding['level']]} {finding['text']}", highlight=False)
    title = (
        f"SSIM, mean over {result['n_clips']} clips of {patients_text(result['n_patients'])} (± half the 95 % interval)"
    )
    console.print(_table(title, "", [(name, rows) for _, name, rows in output_rows(result)], "ssim", 3))
    console.print(_table("PSNR, dB", "", [(name, rows) for _, name, rows in output_rows(result)], "psnr", 1))
    domains = [(f"{name} (n = {block['n_clips']})", block) for name, block in result.get("by_domain", {}).items()]
    if len(domains) > 1:
        console.print(_table("SSIM by clinical domain", "", domains, "ssim", 3))


def _table(title: str, corner: str, rows: list[tuple[str, Mapping[str, Any]]], measure: str, digits: int) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="", box=SIMPLE_HEAD)
    table.show_edge, table.padding = False, (0, 1, 0, 0)
    table.add_column(corner, no_wrap=True, min_width=max(len(name) for name, _ in rows))
    for stratum in TERMINAL_STRATA:
        table.add_column(TERMINAL_STRATA[stratum], justify="right", no_wrap=True)
    for name, measures in rows:
        table.add_row(name, *(cell(measures[measure], s, digits=digits) for s in TERMINAL_STRATA))
    return table


def cell(measure: Mapping[str, Any], stratum: str, *, digits: int) -> str:
    """``mean ±half the interval's width`` of a stratum, or a dash."""
    return plus_minus(measure.get(stratum), measure.get("ci95", {}).get(stratum), digits)
