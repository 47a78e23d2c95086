"""What things are called on the page: names of strangers' files made harmless."""

from __future__ import annotations

import unicodedata

LONGEST = 120
"""Characters of a name that are shown."""


def shown_name(name: str) -> str:
    """One line without control characters, lone surrogates and marks that turn the reading direction; cut in its middle.

    HTML is left as it is: the page writes names as text.
    """
    plain = "".join("\N{MIDDLE DOT}" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in name)
    plain = plain.strip() or "unnamed clip"
    if len(plain) > LONGEST:
        half = LONGEST // 2 - 1
        plain = f"{plain[:half]}\N{HORIZONTAL ELLIPSIS}{plain[-half:]}"
    return plain
