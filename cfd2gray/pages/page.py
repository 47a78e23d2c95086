"""Pages as one file each: style, script, charts and clips are inside and nothing is fetched."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from cfd2gray.pages.blocks import Section
from data_pipeline.files import write_atomically

NOT_FOR_DIAGNOSIS = "Research use only: translated clips are synthetic and not for diagnosis."


def write_page(
    path: str | os.PathLike,
    *,
    title: str,
    facts: str,
    sections: Sequence[Section | None],
    clips: Sequence[Mapping[str, Any]] = (),
    eyebrow: str = "Colour flow to greyscale",
) -> Path:
    """Write a page of ``sections`` (``None`` is left out) under a temporary name, rename it, and return its path.

    All texts are plain. ``clips`` are those that the page's players show, in the order of its players.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page(title, facts, sections, clips=clips, eyebrow=eyebrow))
    return path


def page(
    title: str,
    facts: str,
    sections: Sequence[Section | None],
    *,
    clips: Sequence[Mapping[str, Any]] = (),
    eyebrow: str = "Colour flow to greyscale",
) -> str:
    """The text of a page; arguments as for `write_page`."""
    shown = [section for section in sections if section is not None]
    return render("page.html", title=title, facts=facts, eyebrow=eyebrow, sections=shown, clips=list(clips),
                  note=NOT_FOR_DIAGNOSIS)  # fmt: skip


def render(template: str, **values: Any) -> str:
    """A template of this package with all of its values."""
    return _environment().get_template(template).render(**values)


def clips_of(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The clips that the ``report.html`` of an evaluation's folder carries; none where there is no such page."""
    path = Path(path)
    pages = [folder / "report.html" for folder in (path, path / "evaluation", path.parent) if folder.is_dir()]
    page = next((page for page in pages if page.is_file()), None)
    found = page and re.search(r'id="clips-data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    return json.loads(found[1]) if found else []


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cfd2gray.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment
