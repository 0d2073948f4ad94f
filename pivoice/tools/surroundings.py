"""What a program of the owner's gets from us, and what the agent does not get from it. PURE.

A small environment: nothing of our own goes with it but four variables, so neither the agent's key nor
systemd's sockets and credentials. And text without the secrets that the program was given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from pivoice.secrecy import Secrets

INHERITED = ("PATH", "LANG", "TZ", "HOME")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # as systemd's
_INSTEAD = "[secret]"


def environment_for(environ: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program, of our own `environ` and what the owner gives it."""
    inherited = {name: environ[name] for name in INHERITED if environ.get(name)}
    return {"PATH": DEFAULT_PATH} | inherited | dict(given)


class Concealment:
    """Takes the secrets of one tool out of text: as they are, as JSON has them, and line by line.

    Other than `Secrets` it knows short ones too, such as a PIN, where they stand alone.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        texts = {part for each in secrets for part in (each, *each.splitlines()) if part.strip()}
        texts |= {
            json.dumps(each, ensure_ascii=is_ascii)[1:-1] for each in texts for is_ascii in (True, False)
        }
        self._texts = sorted(texts, key=len, reverse=True)
        self._secrets = Secrets(*self._texts)

    def scrub(self, text: str) -> str:
        """Return `text` without secrets."""
        text = self._secrets.scrub(text)
        for each in self._texts:
            if each in text:
                text = re.sub(rf"(?<!\w){re.escape(each)}(?!\w)", _INSTEAD, text)
        return text

    def scrub_within(self, schema: dict[str, object]) -> dict[str, object]:
        """Return a copy of `schema` whose texts are without secrets."""
        return {key: self._scrubbed(each) for key, each in schema.items()}

    def _scrubbed(self, value: object) -> object:
        if isinstance(value, dict):
            return self.scrub_within(value)
        if isinstance(value, list):
            return [self._scrubbed(each) for each in value]
        return self.scrub(value) if isinstance(value, str) else value

    def without_part(self, text: str) -> str:
        """Return `text`, which was cut off somewhere, without a part of a secret at its end."""
        for each in self._texts:
            for length in range(len(each) - 1, 0, -1):
                if text.endswith(each[:length]):
                    return text[:-length]
        return text

    def __repr__(self) -> str:
        return "Concealment()"
