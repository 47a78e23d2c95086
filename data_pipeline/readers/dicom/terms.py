"""Free text of DICOM headers reduced to known terms, and pydicom kept from quoting the rest.

A scanner's Manufacturer or Image Type can hold anything, so only what is listed here ever leaves a header as text.
"""

from __future__ import annotations

import logging
import re

from pydicom.uid import UID

VENDORS = (
    ("philips", "Philips"), ("atl ", "Philips"), ("general electric", "GE"), ("ge ", "GE"), ("g.e.", "GE"),
    ("gems", "GE"), ("kretz", "GE"), ("vingmed", "GE"), ("siemens", "Siemens"), ("acuson", "Siemens"),
    ("canon", "Canon"), ("toshiba", "Canon"), ("hitachi", "Hitachi"), ("aloka", "Hitachi"), ("fujifilm", "Fujifilm"),
    ("sonosite", "SonoSite"), ("samsung", "Samsung"), ("medison", "Samsung"), ("mindray", "Mindray"),
    ("zonare", "Mindray"), ("esaote", "Esaote"), ("teratech", "Teratech"), ("terason", "Teratech"),
    ("supersonic", "SuperSonic"), ("butterfly", "Butterfly"), ("chison", "Chison"), ("sonoscape", "SonoScape"),
    ("ultrasonix", "Ultrasonix"), ("bk medical", "BK"), ("b-k medical", "BK"), ("clarius", "Clarius"),
    ("alpinion", "Alpinion"), ("konica", "Konica"), ("shimadzu", "Shimadzu"),
)  # fmt: skip
"""Free text of the Manufacturer tag to the name that is kept; anything else becomes ``other``."""

_IMAGE_TYPES = frozenset({
    "ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "OTHER", "ABDOMINAL", "BREAST", "CARDIOLOGY", "CHEST",
    "ENDOCAVITARY", "ENDORECTAL", "ENDOVAGINAL", "EPICARDIAL", "FETAL", "GYNECOLOGY", "INTRAOPERATIVE", "INTRAVASCULAR",
    "MUSCULOSKELETAL", "NEONATAL", "OBSTETRICAL", "OPHTHALMIC", "PEDIATRIC", "PELVIC", "RETROPERITONEAL", "SCROTAL",
    "SMALL_PARTS", "TEE", "THYROID", "TRANSCRANIAL", "TTE", "VASCULAR", "VENOUS", "ABDOM_RAD",
})  # fmt: skip


DEFLATED_FRAME, ENCAPSULATED_UNCOMPRESSED = UID("1.2.840.10008.1.2.8.1"), UID("1.2.840.10008.1.2.1.98")
NEW_SYNTAXES = {
    DEFLATED_FRAME: "Deflated Image Frame Compression",
    ENCAPSULATED_UNCOMPRESSED: "Encapsulated Uncompressed Explicit VR Little Endian",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.204": "JPIP HTJ2K Referenced",
    "1.2.840.10008.1.2.4.205": "JPIP HTJ2K Referenced Deflate",
    "1.2.840.10008.1.2.7.1": "SMPTE ST 2110-20 Uncompressed Progressive Active Video",
    "1.2.840.10008.1.2.7.2": "SMPTE ST 2110-20 Uncompressed Interlaced Active Video",
    "1.2.840.10008.1.2.7.3": "SMPTE ST 2110-30 PCM Digital Audio",
}
"""Transfer syntaxes of the standard (PS3.6 A) that are younger than pydicom's dictionary."""


class _DropBelowError(logging.Filter):
    """pydicom's warnings quote header values, names among them; they must not reach any log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR


logging.getLogger("pydicom").addFilter(_DropBelowError())


def vendor_name(manufacturer: str) -> str:
    """The vendor behind the free text of a Manufacturer tag, ``other`` when it is unknown, empty for empty text."""
    text = manufacturer.strip().lower() + " "
    if text == " ":
        return ""
    return next((name for pattern, name in VENDORS if pattern in text), "other")


def image_type_terms(values: tuple[str, ...]) -> tuple[str, ...]:
    """The values of Image Type that are terms of the standard; others become ``OTHER``, so that positions stay."""
    terms = (str(value).strip().upper().replace(" ", "_").replace("/", "_") for value in values)
    return tuple(term if term in _IMAGE_TYPES or re.fullmatch(r"[0-9A-F]{4}", term) else "OTHER" for term in terms)
