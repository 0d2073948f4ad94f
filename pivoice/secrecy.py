"""Secrets that a server may echo, and text without them. PURE; never shows what it knows."""

from __future__ import annotations

from urllib.parse import quote

_MIN_CHARS = 6  # nothing shorter is a key; taking single letters out of every text would make it unreadable
_INSTEAD = "[secret]"


class Secrets:
    """What must not be told. Empty and very short ones are nothing to look for."""

    def __init__(self, *secrets: str) -> None:
        spelled = {form for each in secrets if len(each) >= _MIN_CHARS for form in _spellings(each)}
        self._spellings = sorted(spelled, key=len, reverse=True)

    def scrub(self, text: str) -> str:
        """Return `text` with every secret, in any spelling that JSON and addresses have, taken out."""
        for each in self._spellings:
            if each in text:
                text = text.replace(each, _INSTEAD)
        return text

    def __repr__(self) -> str:
        return "Secrets()"


def _spellings(secret: str) -> set[str]:
    """Return how a secret of printable ASCII is written: plain, in an address, by various JSON writers."""
    forms = {secret, quote(secret), quote(secret, safe="")}
    for char, escape in (("/", "\\/"), ("+", "\\u002B"), ("+", "\\u002b")):
        forms |= {form.replace(char, escape) for form in forms}
    return forms
