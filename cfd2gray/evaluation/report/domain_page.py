"""Clinical domains that a model has or has not seen, in the terminal and as a page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from cfd2gray.pages.blocks import Chart, Panel, Section, Table
from cfd2gray.pages.charts import Dot, Facet, interval_plot
from cfd2gray.pages.numbers import DASH, bare, number, plus_minus, with_interval
from cfd2gray.pages.page import write_page
from cfd2gray.pages.terminal import terminal_table

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


def print_domains(outcome: Mapping[str, Any]) -> None:
    """One row per domain and training."""
    console = Console()
    console.print(_about(outcome), highlight=False)
    head = ("domain", "training", "n", *(title for title, _ in _COLUMNS.values()), "do-nothing, flow")
    rows = [
        (domain, kind, str(found["n_clips"]), *_values(found, plus_minus), bare(_best(found)))
        for domain, kind, found in domain_rows(outcome)
    ]
    console.print(terminal_table(head, rows, left=("training",)))


def write_domain_page(path: str | os.PathLike, outcome: Mapping[str, Any]) -> Path:
    """The table and an interval plot as a self-contained page."""
    rows = domain_rows(outcome)
    dots = [
        Dot(
            label=f"{domain}, {kind}",
            value=found["ssim_flow"]["mean"],
            ends=found["ssim_flow"]["ci95"],
            kind="plain" if kind == "seen" else "model",
        )
        for domain, kind, found in rows
    ]
    plot = interval_plot([Facet(title="SSIM, flow", dots=dots)])
    titles = ("domain", "in training", "clips", "patients", *(t for t, _ in _COLUMNS.values()), "best do-nothing, flow")
    cells = [
        (
            "model" if kind == "unseen" else "plain",
            [
                domain,
                kind,
                str(found["n_clips"]),
                str(found["n_patients"]),
                *_values(found, with_interval),
                _best(found),
            ],
        )
        for domain, kind, found in rows
    ]
    parts = [
        Section(anchor="summary", nav="Domains", title="Domains that training has and has not seen", lead=_about(outcome),
                blocks=[Panel(blocks=[Chart(svg=plot)])]),
        Section(anchor="groups", title="Table", blocks=[Panel(blocks=[Table(head=titles, rows=cells)])]),
    ]  # fmt: skip
    facts = f"{len(outcome['domains'])} clinical domains"
    return write_page(path, title="Unseen clinical domains", facts=facts, sections=parts)


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


def _values(found: Mapping[str, Any], write: Callable[..., str]) -> list[str]:
    return [write(found[name]["mean"], found[name]["ci95"], digits) for name, (_, digits) in _COLUMNS.items()]


def _best(found: Mapping[str, Any]) -> str:
    known = {name: value for name, value in found["baselines_ssim_flow"].items() if value is not None}
    if not known:
        return DASH
    name = max(known, key=known.get)
    return f"{number(known[name])} {name.replace('_', ' ')}"
