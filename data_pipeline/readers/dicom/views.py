"""Which view a header or a name speaks of: codes where there are codes, else whole words."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CODES = {
    "A4C": ("399214001", "G-A19C", "130681", "130682"),
    "A2C": ("399232001", "G-A19B"),
    "A3C": ("399339008", "G-0395"),
    "PLAX": ("399139001", "G-0396"),
    "PSAX": (
        "399306005", "399036006", "399271003", "399239005", "399371001",
        "G-0397", "G-0398", "G-0399", "G-039A", "G-039B",
    ),
    "SUBCOSTAL": (
        "399200001", "399310008", "443100003", "443640005", "443499004", "443609003", "443160001", "443500008",
        "G-039E", "G-039F",
    ),
}  # fmt: skip
"""SNOMED CT, SNOMED RT and DICOM codes of the context group of echocardiography views (PS3.16 CID 12226)."""
_VIEW_OF_CODE = {code: view for view, found in _CODES.items() for code in found}

_WORDS = {
    "A4C": (
        "apical four chamber", "apical 4 chamber", "apical four", "apical 4", "apical 4ch", "ap4", "ap4ch", "ap 4ch",
        "ap 4 ch", "ap 4", "a4c", "a4ch", "4ch", "4 ch", "4 chamber", "four chamber", "4c",
    ),
    "A2C": (
        "apical two chamber", "apical 2 chamber", "apical two", "apical 2", "apical 2ch", "ap2", "ap2ch", "ap 2ch",
        "ap 2 ch", "ap 2", "a2c", "a2ch", "2ch", "2 ch", "2 chamber", "two chamber", "2c",
    ),
    "A3C": (
        "apical long axis", "apical three chamber", "apical 3 chamber", "apical three", "apical 3", "apical 3ch", "ap3",
        "ap3ch", "ap 3ch", "ap 3 ch", "ap 3", "a3c", "a3ch", "3ch", "3 ch", "3 chamber", "three chamber", "alax", "aplax",
        "ap lax", "3c",
    ),
    "PLAX": ("parasternal long axis", "parasternal long", "plax", "plx", "pla", "pslax", "ps lax", "lax", "psla"),
    "PSAX": (
        "parasternal short axis", "parasternal short", "psax", "psx", "psa", "pssax", "ps sax", "sax", "pssa",
    ),
    "SUBCOSTAL": ("subcostal", "subxiphoid", "subxyphoid", "subcost"),
    "FETAL_4CH": ("fetal 4ch", "fetal heart"),
    "CAROTID_LONG": (
        "carotid longitudinal", "longitudinal carotid", "carotid long", "long carotid", "carotid lax", "cca long",
        "cca longitudinal",
    ),
    "KIDNEY": ("kidney", "kidneys", "renal"),
    "LIVER": ("liver", "hepatic"),
}  # fmt: skip
_FETAL = ("fetal", "fetus", "foetal", "fetale")
_PHRASES = {view: tuple(f" {words} " for words in found) for view, found in _WORDS.items()}


def view_of(codes: Iterable[str], texts: Iterable[str]) -> str:
    """View of the glossary: the first known code, else `view_of_texts`."""
    for code in codes:
        if code.strip() in _VIEW_OF_CODE:
            return _VIEW_OF_CODE[code.strip()]
    return view_of_texts(texts)


def view_of_texts(texts: Iterable[str]) -> str:
    """The view that the first text with exactly one view in it names; ``UNKNOWN`` otherwise."""
    for text in texts:
        view = _view_of_text(text)
        if view:
            return view
    return "UNKNOWN"


def _view_of_text(text: str) -> str:
    words = " " + " ".join(re.findall(r"[^\W_]+", text.lower())) + " "
    found = {view for view, phrases in _PHRASES.items() if any(phrase in words for phrase in phrases)}
    if any(f" {word} " in words for word in _FETAL):
        return "FETAL_4CH" if found & {"A4C", "FETAL_4CH"} else ""
    if "SUBCOSTAL" in found:
        found -= {"A4C", "PSAX", "PLAX"}  # of the heart seen from below the ribs
    if "A3C" in found:
        found -= {"PLAX"}  # "ap lax"
    return found.pop() if len(found) == 1 else ""
