"""Names that a stranger wrote into a file: for display, and for file names."""

from __future__ import annotations

import hashlib
import re

_LONGEST_SHOWN = 200
_LONGEST_FILE_NAME = 60
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names of devices on Windows


def printable(text: str) -> str:
    """A name for display: control characters and the like escaped, cut where it is long.

    A page must still escape it as its language asks.
    """
    shown = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text[:_LONGEST_SHOWN]
    )
    return shown if len(text) <= _LONGEST_SHOWN else shown + "..."


def safe_name(text: str) -> str:
    """A name as part of a file name: letters, digits, ``_``, ``-`` and inner dots only.

    Where that changes the name, a piece of its hash follows, so that different names stay different.
    """
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip(".-_")[:_LONGEST_FILE_NAME]
    if _RESERVED.fullmatch(safe):
        safe = f"name_{safe}"
    if safe and safe == text:
        return safe
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe or 'name'}_{digest}"
