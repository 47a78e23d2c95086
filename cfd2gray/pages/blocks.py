"""What a page is made of: sections of blocks, plain values that ``templates/blocks.html`` turns into HTML.

Texts are plain and escaped by the template; only charts are markup already.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """A table's cell: text, what stands softly beside (``aside``) and below it (``small``), and its tooltip."""

    text: str
    aside: str = ""
    small: str = ""
    about: str = ""
    style: str = ""
    sort: str | None = None
    """What a sortable table orders by, where that is not the text."""
    bar: Sequence[tuple[str, float]] = ()
    """``(style, share of the width)`` of a bar's pieces."""
    span: int = 1
    link: str = ""
    """Where a click on the text leads."""


class Block:
    """What a section or panel holds; the template draws each by its kind."""

    @property
    def kind(self) -> str:
        return type(self).__name__.lower()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table(Block):
    """Rows of ``(style, cells)``; the first cell of a row is its header."""

    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell | str]]]
    caption: str = ""
    title: str = ""
    style: str = ""
    sortable: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cards(Block):
    """Headline numbers: dicts of name, number, range and versus."""

    cards: Sequence[Mapping[str, str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings(Block):
    """Sentences, each with its level (``good``, ``note``, ``warning``)."""

    findings: Sequence[Mapping[str, str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel(Block):
    """Blocks on one card; a list of panels with ``two`` stands side by side."""

    blocks: Sequence[Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Two(Block):
    """Panels side by side where the window is wide enough."""

    panels: Sequence[Panel]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tabs(Block):
    """One panel at a time: ``(name, title, blocks)``; ``below`` stays."""

    tabs: Sequence[tuple[str, str, Sequence[Any]]]
    below: Sequence[Any] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts(Block):
    """Names and their values; folded under ``summary`` where that is given."""

    pairs: Sequence[tuple[str, str]]
    title: str = ""
    summary: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(Block):
    """A paragraph."""

    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Legend(Block):
    """``(style, text)`` of a table's colours."""

    entries: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pictures(Block):
    """Images as data URIs, with one description."""

    uris: Sequence[str]
    about: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Download(Block):
    """A link that saves ``uri`` (a data URI) as ``name``."""

    name: str
    text: str
    uri: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clips(Block):
    """Players of clips as `sprites.clip_panels` describes them; the page's script fills their canvases."""

    clips: Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chart(Block):
    """Inline SVG (`charts`)."""

    svg: Markup


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A titled part of a page; ``nav`` is its short name in the bar above, where that is not its title."""

    anchor: str
    title: str
    blocks: Sequence[Any]
    lead: str = ""
    nav: str = ""
