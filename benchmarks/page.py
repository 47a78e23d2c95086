"""The results as a table in the terminal and as a page of Markdown."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cfd2gray.pages.markdown import markdown_table

COLUMNS = {
    "name": "",
    "ms": "ms per call",
    "spread": "fastest - slowest",
    "cpu_ms": "CPU ms",
    "rate": "per s",
    "gflop_per_unit": "GFLOP each",
    "gflops": "GFLOP/s",
    "mfu": "MFU",
    "bandwidth": "memory",
    "roofline": "of roofline",
    "evaluations": "evaluations",
    "flow_ssim": "SSIM under flow",
    "updates": "updates",
    "mean": "mean SSIM",
    "first_call_s": "first call, s",
}


def cells(row: dict[str, Any], columns: list[str]) -> list[str]:
    """A row of a section as text."""
    return [_cell(row, column) for column in columns]


def _cell(row: dict[str, Any], column: str) -> str:
    if column == "spread":
        return f"{row['ms_low']:.1f} - {row['ms_high']:.1f}"
    value = row.get(column)
    if value is None:
        return ""
    if column in ("mfu", "bandwidth", "roofline"):
        return f"{100 * value:.0f} %"
    if column in ("mean", "flow_ssim"):
        return f"{value:.6f}" if column == "mean" else f"{value:.3f}"
    if isinstance(value, float):
        return f"{value:.3g}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"
    return str(value)


def columns_of(section: dict[str, Any]) -> list[str]:
    """Those columns for which some row has a value."""
    return [name for name in COLUMNS if name == "spread" or any(row.get(name) is not None for row in section["rows"])]


def ratio_text(found: dict[str, Any]) -> str:
    """One ratio in words."""
    return (
        f"{found['fast']} is {found['median']:.2f} times as fast as {found['slow']} "
        f"[{found['low']:.2f} - {found['high']:.2f}]"
    )


def print_section(section: dict[str, Any], console: Console) -> None:
    """A section in the terminal."""
    console.print(f"[bold]{section['name']}[/] {section['about']}")
    console.print(_settings(section), style="dim")
    if section["rows"]:
        columns = columns_of(section)
        table = Table(*[COLUMNS[name] or section["unit"] for name in columns], box=SIMPLE_HEAD)
        for row in section["rows"]:
            table.add_row(*cells(row, columns))
        console.print(table)
    for line in _lines(section):
        console.print(line, highlight=False)


def _settings(section: dict[str, Any]) -> str:
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in section["settings"].items())
    return f"{told}; load {section['load'][0]} - {section['load'][1]}"


def _lines(section: dict[str, Any]) -> list[str]:
    missing = [f"not measured: {name} ({why})" for name, why in section["missing"].items()]
    return [*map(ratio_text, section["ratios"]), *section["notes"], *missing]


def markdown(result: dict[str, Any], *, command: str) -> str:
    """The page: machine, peaks, then every section."""
    machine, peaks = result["machine"], result["peaks"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    flops = ", ".join(f"{value / 1e9:.0f} GFLOP/s {name}" for name, value in peaks["flops"].items())
    lines = [
        "# Benchmarks",
        "",
        f"Made by `{command}` on {machine['date']}. Every ratio is from one run in which the contenders took turns: the median",
        "over the turns, with the extreme ones in brackets. Times alone are worth little on a shared machine; load is the",
        "number of processes that wanted to run, CPU ms the processor time over all threads. OpenMP waits passively",
        "(`OMP_WAIT_POLICY=PASSIVE`), which helps PyTorch wherever others want the cores. The machine's own peak is a",
        "plain JAX program's: another program can pass it, above all when the probe met more load than the measurement.",
        "",
        f"- **Machine**: {machine['machine']}; {machine['devices']}; Python {machine['python']}",
        f"- **Its own peak**: {flops} (matrix product), {peaks['bytes_per_s'] / 1e9:.1f} GB/s (copy, read and written)",
        f"- **Versions**: {versions}",
    ]
    for section in result["sections"]:
        lines += ["", f"## {section['name']}", "", section["about"], "", f"*{_settings(section)}*", ""]
        if section["rows"]:
            columns = columns_of(section)
            heads = [COLUMNS[name] or section["unit"] for name in columns]
            lines += [*markdown_table(heads, (cells(row, columns) for row in section["rows"])), ""]
        lines += [f"- {line}" for line in _lines(section)]
    return "\n".join(lines) + "\n"
