"""Clinical domains that a model has or has not seen, in the terminal and as a page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cfd2gray.evaluation.report.page import write_page
from cfd2gray.evaluation.report.sections import section
from cfd2gray.evaluation.report.svg import Dot, Facet, interval_plot

_COLUMNS = {"ssim_box": ("SSIM, box", 3), "ssim_flow": ("SSIM, flow", 3), "psnr_flow": ("PSNR, flow", 1)}


def domain_rows(outcome: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """``(domain, "seen" or "unseen", measures)`` of `run.leave_one_domain_out`'s result."""
    rows = []
    for domain, found in outcome["domains"].items():
        if outcome["trained_on"]:
            rows.append((domain, "seen" if found["trained_on"] else "unseen", found))
        else:
            rows += [(domain, kind, found[kind]) for kind in ("seen", "unseen") if found[kind] is not None]
    return rows


def print_domains(outcome: Mapping[str, Any], *, console: Console | None = None) -> None:
    """One row per domain and training."""
    console = console or Console()
    console.print(_about(outcome), highlight=False)
    table = Table(box=SIMPLE_HEAD, show_edge=False, header_style="")
    for name in ("domain", "in training", "clips"):
        table.add_column(name, no_wrap=True, justify="right" if name == "clips" else "left")
    for title, _ in _COLUMNS.values():
        table.add_column(title, no_wrap=True, justify="right")
    table.add_column("best do-nothing, flow", no_wrap=True, justify="right")
    for domain, kind, found in domain_rows(outcome):
        cells = [_spoken(found[name], digits) for name, (_, digits) in _COLUMNS.items()]
        table.add_row(domain, kind, str(found["n_clips"]), *cells, _best(found))
    console.print(table)


def write_domain_page(path: str | os.PathLike, outcome: Mapping[str, Any]) -> Path:
    """The table and an interval plot as a self-contained page."""
    rows = domain_rows(outcome)
    dots = [
        Dot(
            label=f"{domain}, {kind}",
            value=found["ssim_flow"]["mean"],
            low=(found["ssim_flow"]["ci95"] or (None, None))[0],
            high=(found["ssim_flow"]["ci95"] or (None, None))[1],
            kind="plain" if kind == "seen" else "model",
        )
        for domain, kind, found in rows
    ]
    plot = interval_plot([Facet(title="SSIM, flow", dots=dots)])
    titles = ("domain", "in training", "clips", "patients", *(t for t, _ in _COLUMNS.values()), "best do-nothing, flow")
    head = "".join(f"<th scope='col'>{title}</th>" for title in titles)
    body = "".join(
        f'<tr class="{"model" if kind == "unseen" else "plain"}"><th scope="row">{escape(domain)}</th><td>{kind}</td>'
        f"<td>{found['n_clips']}</td><td>{found['n_patients']}</td>"
        + "".join(f"<td>{escape(_spoken(found[name], digits))}</td>" for name, (_, digits) in _COLUMNS.items())
        + f"<td>{escape(_best(found))}</td></tr>"
        for domain, kind, found in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    parts = [
        section("summary", "Domains that training has and has not seen", _about(outcome), f'<div class="panel">{plot}</div>'),
        section("groups", "Table", "", f'<div class="panel scroll">{table}</div>'),
    ]  # fmt: skip
    facts = f"{len(outcome['domains'])} clinical domains"
    return write_page(path, title="Unseen clinical domains", facts=facts, parts=parts, clips=[])


def _about(outcome: Mapping[str, Any]) -> str:
    if outcome["trained_on"]:
        return (
            f"One model, trained on {' and '.join(outcome['trained_on'])} alone. Means over clips with 95 % patient "
            "intervals."
        )
    return (
        "'seen': the model trained on all domains; 'unseen': one trained without that domain. Means over clips with "
        "95 % patient intervals."
    )


def _spoken(value: Mapping[str, Any], digits: int) -> str:
    mean, interval = value["mean"], value["ci95"]
    if mean is None:
        return "-"
    return f"{mean:.{digits}f}" + (f" ({interval[0]:.{digits}f}-{interval[1]:.{digits}f})" if interval else "")


def _best(found: Mapping[str, Any]) -> str:
    known = {name: value for name, value in found["baselines_ssim_flow"].items() if value is not None}
    if not known:
        return "-"
    name = max(known, key=known.get)
    return f"{known[name]:.3f} {name.replace('_', ' ')}"
