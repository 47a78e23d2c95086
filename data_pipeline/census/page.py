"""A census as one HTML page: missingness heat-map, class balance before and after translation. No script."""

from __future__ import annotations

import html
import os
from pathlib import Path

from data_pipeline.census import tables as census_tables
from data_pipeline.census.run import Census
from data_pipeline.files import write_atomically

_LEGEND = {
    "both": "greyscale and colour",
    "greyscale": "greyscale",
    "recoverable": "colour only: translation would give greyscale",
    "missing": "neither",
}
_STYLE = """
:root { color-scheme: light dark; --grey: #3b6ea5; --both: #1d3f66; --more: #e08a1e; --none: #8883; --line: #8886; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 2rem; } th, td { padding: .25rem .6rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 1px solid var(--line); }
.heat td.cell { width: 3.2rem; height: 1.4rem; padding: 0; border: 1px solid #8882; text-align: center; }
.both { background: var(--both); color: #fff; } .greyscale { background: var(--grey); color: #fff; }
.recoverable { background: var(--more); color: #000; } .missing { background: var(--none); }
.bar { display: flex; height: 1.1rem; width: 26rem; background: var(--none); } .bar span { display: block; }
.key span { display: inline-block; width: 1.1rem; height: 1.1rem; vertical-align: -.2rem; margin: 0 .4rem 0 1rem; }
.lead { font-size: 1.15rem; } .note { opacity: .75; }
"""
_SHORT = {"both": "G C", "greyscale": "G", "recoverable": "C", "missing": ""}
MAX_PATTERNS = 300
"""Rows of the heat-map; rarer patterns are added up in a last line."""


def write_html(census: Census, path: str | os.PathLike, *, title: str = "Archive census") -> None:
    """Write the page; by renaming."""
    write_atomically(Path(path), page(census, title=title))


def page(census: Census, *, title: str = "Archive census") -> str:
    """The page as text."""
    summary = census_tables.summary(census)
    now, after = summary["imbalance"]["now"], summary["imbalance"]["after"]
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="lead">{html.escape(census_tables.headline(census))}.</p>',
        f"<p>{summary['files']} files, {summary['patients']} known patients; "
        f"{summary['files_without_patient']} files name no patient and count as one each.</p>",
        "<h2>Who has which view</h2>",
        "<p class=key>" + "".join(f'<span class="{key}"></span>{text}' for key, text in _LEGEND.items()) + "</p>",
        _heat_map(census),
        "<h2>Class balance, before and after translation</h2>",
        f"<p>Most frequent to rarest view: {_ratio(now)} now, {_ratio(after)} after translation.</p>",
        _balance(census),
        "<h2>Sub-modalities</h2>",
        _counts(("sub-modality", "files"), summary["modalities"]),
    ]
    if summary["unreadable"]:
        parts += ["<h2>Unreadable, and why</h2>", _counts(("reason", "files"), summary["unreadable"])]
    if summary["passed_over"]:
        parts += ["<h2>Passed over</h2>", _counts(("reason", "number"), summary["passed_over"])]
    if summary["stills"]:
        parts += ["<h2>Stills, and what they show</h2>", _counts(("shows", "files"), summary["stills"])]
    parts.append(
        '<p class="note">Patients are pseudonyms. Sub-modalities are found by software, and views as the header or the '
        "given table names them: look at samples before relying on a number. Translated clips are synthetic and not "
        "for diagnosis.</p>"
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _heat_map(census: Census) -> str:
    views, patterns = census_tables.views_of(census), census_tables.patterns(census)
    if not patterns:
        return "<p>No greyscale and no colour-flow video was found.</p>"
    head = "".join(f"<th>{html.escape(view)}</th>" for view in views)
    rows = []
    for states, count in patterns[:MAX_PATTERNS]:
        row = "".join(f'<td class="cell {state}" title="{_LEGEND[state]}">{_SHORT[state]}</td>' for state in states)
        rows.append(f"<tr><td>{count}</td>{row}</tr>")
    if len(patterns) > MAX_PATTERNS:
        rest = sum(count for _, count in patterns[MAX_PATTERNS:])
        rows.append(
            f"<tr><td>{rest}</td><td colspan={len(views)}>in {len(patterns) - MAX_PATTERNS} rarer patterns</td></tr>"
        )
    return f"<table class=heat><thead><tr><th>patients</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _balance(census: Census) -> str:
    gains = census_tables.balance(census)
    most = max((own.clips + own.more_clips for own in gains.values()), default=1) or 1
    rows = []
    for view, own in gains.items():
        bar = (
            f'<div class=bar><span class=greyscale style="width:{own.clips / most:.2%}"></span>'
            f'<span class=recoverable style="width:{own.more_clips / most:.2%}"></span></div>'
        )
        rows.append(
            f"<tr><td>{html.escape(view)}</td><td>{own.clips}</td><td>+{own.more_clips}</td><td>{own.patients}</td>"
            f"<td>+{own.more_patients}</td><td>{bar}</td></tr>"
        )
    return (
        "<table><thead><tr><th>view</th><th>clips now</th><th>more</th><th>patients now</th><th>more</th><th></th></tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _counts(head: tuple[str, str], table: dict[str, int]) -> str:
    rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{count}</td></tr>" for name, count in table.items())
    return f"<table><thead><tr><th>{head[0]}</th><th>{head[1]}</th></tr></thead><tbody>{rows}</tbody></table>"


def _ratio(value: float | None) -> str:
    return "no clip of the rarest" if value is None else f"{value:.1f} to 1"
