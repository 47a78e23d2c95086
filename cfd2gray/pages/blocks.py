"""What a page is made of: sections of blocks, plain values that ``templates/blocks.html`` turns into HTML.

Texts are plain and escaped by the template; only charts are markup already.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of ``(style, cells)``; the first cell of a row is its header."""

    kind: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell | str]]]
    caption: str = ""
    title: str = ""
    style: str = ""
    sortable: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cards:
    """Headline numbers: dicts of name, number, range and versus."""

    kind: ClassVar[str] = "cards"
    cards: Sequence[Mapping[str, str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
    """Sentences, each with its level (``good``, ``note``, ``warning``)."""

    kind: ClassVar[str] = "findings"
    findings: Sequence[Mapping[str, str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """Blocks on one card; a list of panels with ``two`` stands side by side."""

    kind: ClassVar[str] = "panel"
    blocks: Sequence[Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Two:
    """Panels side by side where the window is wide enough."""

    kind: ClassVar[str] = "two"
    panels: Sequence[Panel]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tabs:
    """One panel at a time: ``(name, title, blocks)``; ``below`` stays."""

    kind: ClassVar[str] = "tabs"
    tabs: Sequence[tuple[str, str, Sequence[Any]]]
    below: Sequence[Any] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """Names and their values; folded under ``summary`` where that is given."""

    kind: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]
    title: str = ""
    summary: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Legend:
    """``(style, text)`` of a table's colours."""

    kind: ClassVar[str] = "legend"
    entries: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pictures:
    """Images as data URIs, with one description."""

    kind: ClassVar[str] = "pictures"
    uris: Sequence[str]
    about: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Download:
    """A link that saves ``uri`` (a data URI) as ``name``."""

    kind: ClassVar[str] = "download"
    name: str
    text: str
    uri: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clips:
    """Players of clips as `sprites.clip_panels` describes them; the page's script fills their canvases."""

    kind: ClassVar[str] = "clips"
    clips: Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chart:
    """Inline SVG (`charts`)."""

    kind: ClassVar[str] = "chart"
    svg: Markup


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A titled part of a page; ``nav`` is its short name in the bar above."""

    anchor: str
    nav: str
    title: str
    blocks: Sequence[Any]
    lead: str = ""
