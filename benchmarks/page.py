"""The results in the terminal, as Markdown with plots beside it, and as one HTML page."""

from __future__ import annotations

import pathlib
import re
import textwrap
from typing import Any

from rich.console import Console

from cfd2gray.pages import blocks, charts
from cfd2gray.pages.markdown import markdown_table
from cfd2gray.pages.page import write_page
from cfd2gray.pages.terminal import terminal_table
from data_pipeline.files import atomic_path

COLUMNS = {
    "name": "",
    "rate": "per s",
    "ms": "ms",
    "spread": "ms, range",
    "cpu_ms": "CPU ms",
    "mfu": "of peak",
    "evaluations": "evals",
    "flow_ssim": "SSIM",
    "updates": "updates",
    "mean": "mean SSIM",
    "first_call_s": "first, s",
}
WIDE = {
    "gflop_per_unit": "GFLOP each",
    "gflops": "GFLOP/s",
    "roofline": "of roofline",
    "bandwidth": "of memory's rate",
}
"""Further columns of the HTML page, which need not fit 80 characters."""
ABOUT = (
    "Contenders took turns; a ratio is the median over the turns of one run, with the extreme ones beside it. Times alone are "
    "worth little on a shared machine: load is the number of processes that wanted to run, CPU ms the processor time over all "
    "threads. 'first' is the first call, compilation included. The peak is that of a plain JAX matrix product here: another "
    "program can pass it, above all in bfloat16 on processors with units for it, which XLA does not use. OpenMP waits "
    "passively (OMP_WAIT_POLICY=PASSIVE), which helps PyTorch wherever others want the cores."
)
PAGE_WIDTH = 120
"""Characters of a line of Markdown."""


def cells(row: dict[str, Any], columns: list[str]) -> list[str]:
    """A row of a section as text."""
    return [_cell(row, column) for column in columns]


def _cell(row: dict[str, Any], column: str) -> str:
    if column == "spread":
        return f"{_short(row['ms_low'])} - {_short(row['ms_high'])}"
    value = row.get(column)
    if value is None:
        return ""
    if column in ("mfu", "bandwidth", "roofline"):
        return f"{100 * value:.0f} %"
    if column in ("mean", "flow_ssim"):
        return f"{value:.6f}" if column == "mean" else f"{value:.3f}"
    return _short(value) if isinstance(value, float) else str(value)


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def columns_of(section: dict[str, Any], names: dict[str, str] = COLUMNS) -> list[str]:
    """Those columns for which some row has a value."""
    return [name for name in names if name == "spread" or any(row.get(name) is not None for row in section["rows"])]


def _heads(section: dict[str, Any], columns: list[str]) -> list[str]:
    return [(COLUMNS | WIDE)[name] or section["unit"] for name in columns]


def _ratio_cells(found: dict[str, Any]) -> list[str]:
    return [found["fast"], found["slow"], f"{found['median']:.2f}", f"{found['low']:.2f} - {found['high']:.2f}"]


RATIO_HEADS = ["how many times as fast", "as", "median", "range"]


def print_section(section: dict[str, Any], console: Console) -> None:
    """A section in the terminal, readable at 80 columns."""
    console.print(f"[bold]{section['name']}[/] {section['about']}", highlight=False)
    console.print(_settings(section), style="dim", highlight=False)
    if section["rows"]:
        columns = columns_of(section)
        rows = [cells(row, columns) for row in section["rows"]]
        console.print(terminal_table(_heads(section, columns), rows))
    if section["ratios"]:
        console.print(terminal_table(RATIO_HEADS, map(_ratio_cells, section["ratios"]), left=("as",)))
    for line in _notes(section):
        console.print(line, highlight=False)


def _settings(section: dict[str, Any]) -> str:
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in section["settings"].items())
    return f"{told}; load {section['load'][0]} - {section['load'][1]}"


def _notes(section: dict[str, Any]) -> list[str]:
    missing = [f"not measured: {name} ({why})" for name, why in section["missing"].items()]
    return [*section["notes"], *missing]


def _plot(section: dict[str, Any], *, page: bool) -> str:
    """The ratios as intervals beside 1."""
    dots = [
        charts.Dot(
            label=f"{found['fast']} : {found['slow']}", value=found["median"], ends=(found["low"], found["high"]),
            kind="model" if found["low"] > 1 else "plain",
        )
        for found in section["ratios"]
    ]  # fmt: skip
    facet = charts.Facet(title=f"{section['name']}: times as fast", dots=dots, reference=1.0)
    return charts.interval_plot([facet], digits=2, width=880, page=page)


def _machine_lines(result: dict[str, Any]) -> list[tuple[str, str]]:
    machine, peaks = result["machine"], result["peaks"]
    flops = ", ".join(f"{value / 1e9:.0f} GFLOP/s {name}" for name, value in peaks["flops"].items())
    return [
        ("Machine", f"{machine['machine']}; {machine['devices']}; Python {machine['python']}"),
        ("Its own peak", f"{flops} (matrix product), {peaks['bytes_per_s'] / 1e9:.1f} GB/s (copy, read and written)"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in machine["versions"].items())),
    ]


def write(path: pathlib.Path, results: list[dict[str, Any]], *, title: str = "Benchmarks") -> None:
    """Write ``path``, ``.html`` or ``.md``; plots of the latter lie beside it as ``STEM_SECTION.svg``, and what it holds of
    earlier runs stays, but for the sections that were measured again.

    Args:
      results: Each of `suite.run`, with the ``command`` that made it.

    Raises:
      ValueError: For another suffix.
    """
    if path.suffix == ".html":
        facts = "; ".join(f"{result['command']} on {result['machine']['date']}" for result in results)
        write_page(
            path, title=title, facts=facts, sections=[part for result in results for part in _html_sections(result)],
            eyebrow="Speed",
        )  # fmt: skip
    elif path.suffix == ".md":
        names = {section["name"] for result in results for section in result["sections"]}
        text = "\n".join([_markdown(path, results, title), *_earlier(path, names)])
        with atomic_path(path) as temporary:
            temporary.write_text(text)
    else:
        raise ValueError(f"pages are written as .html or .md, got {path}")


def _html_sections(result: dict[str, Any]) -> list[blocks.Section]:
    sections = []
    for section in result["sections"]:
        columns = columns_of(section, COLUMNS | WIDE)
        parts: list[Any] = []
        if section["rows"]:
            rows = [("", cells(row, columns)) for row in section["rows"]]
            parts.append(blocks.Table(head=_heads(section, columns), rows=rows, caption=_settings(section)))
        if section["ratios"]:
            parts.append(blocks.Chart(svg=_plot(section, page=True)))
            parts.append(
                blocks.Table(head=RATIO_HEADS, rows=[("", _ratio_cells(found)) for found in section["ratios"]])
            )
        parts += [blocks.Text(text=line) for line in _notes(section)]
        parts.append(blocks.Facts(pairs=_machine_lines(result), summary="Machine and versions"))
        anchor = section["name"].replace(" ", "-")
        sections.append(
            blocks.Section(
                anchor=anchor, title=section["name"], lead=section["about"],
                blocks=[blocks.Panel(blocks=parts)],
            )
        )  # fmt: skip
    return [*sections, blocks.Section(anchor="about", nav="About", title="How", blocks=[blocks.Text(text=ABOUT)])]


def _markdown(path: pathlib.Path, results: list[dict[str, Any]], title: str) -> str:
    lines = [f"# {title}", "", *_wrapped(ABOUT)]
    for result in results:
        lines += ["", f"Made by `{result['command']}` on {result['machine']['date']}:", ""]
        for name, told in _machine_lines(result):
            lines += _wrapped(f"- **{name}**: {told}", indent="  ")
        for section in result["sections"]:
            lines += [
                "",
                f"## {section['name']}",
                "",
                *_wrapped(section["about"]),
                "",
                *_wrapped(f"*{_settings(section)}*"),
            ]
            if section["rows"]:
                columns = columns_of(section)
                lines += [
                    "",
                    *markdown_table(_heads(section, columns), [cells(row, columns) for row in section["rows"]]),
                ]
            if section["ratios"]:
                picture = path.with_name(f"{path.stem}_{section['name'].replace(' ', '_')}.svg")
                with atomic_path(picture) as temporary:
                    temporary.write_text(_plot(section, page=False))
                lines += ["", f"![{section['name']}: ratios]({picture.name})", ""]
                lines += markdown_table(RATIO_HEADS, [_ratio_cells(found) for found in section["ratios"]])
            if notes := _notes(section):
                lines.append("")
                for line in notes:
                    lines += _wrapped(f"- {line}", indent="  ")
    return "\n".join(lines) + "\n"


def _earlier(path: pathlib.Path, again: set[str]) -> list[str]:
    """The runs of the page at ``path``, if there is one, without the sections ``again``."""
    kept = []
    for run in re.split(r"^(?=Made by `)", path.read_text(), flags=re.MULTILINE)[1:] if path.exists() else ():
        head, *sections = re.split(r"^(?=## )", run, flags=re.MULTILINE)
        left = [section for section in sections if section.splitlines()[0].removeprefix("## ") not in again]
        kept += ["".join([head, *left])] if left else []
    return kept


def _wrapped(text: str, *, indent: str = "") -> list[str]:
    return textwrap.wrap(text, PAGE_WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
