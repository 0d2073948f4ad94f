"""What the user asked to be remembered: a small store in one private file, and the tools remember and recall.

Event loop only. It never grows beyond its bound and never forgets by itself: when it is full, the answer says
so. What is in it is the user's own: it is logged nowhere.
"""

from __future__ import annotations

import asyncio
import json
import logging
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from pivoice.records import Record
from pivoice.tools.registry import RefusedError, ToolDefinition
from pivoice.tools.spoken import one_line
from pivoice.tools.times import Times

logger = logging.getLogger(__name__)

MAX_CHARS = 300  # of one note
_MAX_RECALLED = 10  # in one answer: nobody listens to more
_MAX_RECALLED_CHARS = 3000  # of JSON: what is cut in the middle is lost, with what follows it

_REMEMBER: dict[str, object] = {
    "type": "object",
    "properties": {
        "text": {
            "type": "string",
            "description": "What to remember, as one sentence that is understood without this conversation, "
            "for example: The spare key is under the blue pot.",
        },
        "forget": {
            "type": "integer",
            "minimum": 1,
            "maximum": 1_000_000_000,
            "description": "Instead, or to replace it: the number of what to forget, from recall. Never "
            "guess it.",
        },
    },
    "required": [],
}
_RECALL: dict[str, object] = {
    "type": "object",
    "properties": {
        "query": {
            "type": "string",
            "description": "The words that matter, for example: spare key. Leave it out for everything.",
        }
    },
    "required": [],
}


@dataclass
class Note:
    """One thing to remember."""

    number: int
    """Its own for good."""
    text: str
    noted_s: Annotated[float, Meta(ge=0, le=1e10)]
    """When it was told, in seconds since 1970; what no calendar can show is a broken file's."""


@dataclass
class _Kept:
    """What the file holds."""

    last_number: int = 0
    notes: list[Note] = field(default_factory=list)


class Notes:
    """At most `most` notes (more are kept where there were more)."""

    def __init__(self, record: Path | None, most: int, *, times: Times = Times()) -> None:
        """`record`: None keeps them in memory."""
        self.most = most
        self.times = times
        self._record: Record[_Kept] = Record(
            record,
            _Kept,
            logger=logger,
            forgets="what it was to remember",
            advice="see that it can be written",
        )
        self._kept = self._record.read() or _Kept()
        self.is_kept = True
        """The last change is in the file."""

    def __len__(self) -> int:
        return len(self._kept.notes)

    def listed(self) -> list[dict[str, object]]:
        """Return all notes, the newest first, for people: `number`, `text`, `noted` (ISO)."""
        return [
            {
                "number": note.number,
                "text": note.text,
                "noted": self.times.local(note.noted_s).isoformat(timespec="seconds"),
            }
            for note in reversed(self._kept.notes)
        ]

    def add(self, text: str, *, instead_of: int | None = None) -> Note:
        """Keep `text`, and the note `instead_of` no more; the same again is moved to the front.

        Raises:
            RefusedError: it is empty, too long, or there is no room.
        """
        text = one_line(text)
        if not text:
            raise RefusedError("there is nothing to remember; give a text")
        if len(text) > MAX_CHARS:
            raise RefusedError(
                f"nothing was kept: the text has {len(text)} characters, of at most {MAX_CHARS}; say it in "
                "fewer words, or in several notes"
            )
        stay = (note for note in self._kept.notes if note.number != instead_of)
        kept = [note for note in stay if note.text.casefold() != text.casefold()]
        if len(kept) >= self.most and len(kept) == len(self):  # one for another is no growth
            raise RefusedError(
                f"nothing was kept: the memory is full ({self.most} notes). Something must be forgotten "
                "first: recall tells its number, which is given as forget"
            )
        self._kept.last_number += 1
        note = Note(self._kept.last_number, text, self.times.now_s())
        self._kept.notes = [*kept, note]
        self._write()
        return note

    def forget(self, number: int) -> bool:
        """Erase the note of that number; return whether there was one."""
        kept = [note for note in self._kept.notes if note.number != number]
        was_there = len(kept) < len(self._kept.notes)
        if was_there:
            self._kept.notes = kept
            self._write()
        return was_there

    def forget_all(self) -> int:
        """Erase everything, and a file that could not be read; return how many notes there were."""
        count = len(self._kept.notes)
        self._kept.notes = []
        self._write()
        if self._record.path:
            with suppress(OSError):
                self._record.path.with_name(self._record.path.name + ".bad").unlink(missing_ok=True)
        return count

    def search(self, query: str) -> list[Note]:
        """Return the notes that hold every word of `query`, the newest first; then those that hold some of
        them, the ones with the rarest words first. Without words: all. Any thread."""
        newest = self._kept.notes[::-1]
        asked = _words(query)
        if not asked:
            return newest if not query.strip() else []
        held = [(note, _held(asked, _words(note.text))) for note in newest]
        weights = {word: 1 / (1 + sum(word in each for _, each in held)) for word in asked}
        partly = [(note, each) for note, each in held if each and len(each) < len(asked)]
        partly.sort(key=lambda found: -sum(weights[word] for word in found[1]))
        return [note for note, each in held if len(each) == len(asked)] + [note for note, _ in partly]

    def _write(self) -> None:
        self.is_kept = self._record.write(self._kept)


def notes_tools(notes: Notes) -> list[ToolDefinition]:
    """Return remember and recall; none where nothing may be kept."""
    if not notes.most:
        return []

    async def remember(arguments: Mapping[str, object]) -> str:
        return _as_json(_remember(notes, arguments))

    async def recall(arguments: Mapping[str, object]) -> str:
        found = await asyncio.to_thread(notes.search, str(arguments.get("query", "")))
        return _as_json(_recalled(notes, found))

    return [
        ToolDefinition(
            name="remember",
            description="Keeps something for the user beyond this conversation, or forgets it again. Use it "
            "only when the user asks for it; no passwords. Never only promise to remember.",
            parameters=_REMEMBER,
            run=remember,
        ),
        ToolDefinition(
            name="recall",
            description="Looks up what the user asked to be remembered. Use it before you say that you do "
            "not know something about the user or the home.",
            parameters=_RECALL,
            run=recall,
        ),
    ]


def _remember(notes: Notes, arguments: Mapping[str, object]) -> dict[str, object]:
    text, number = str(arguments.get("text", "")).strip(), arguments.get("forget") or 0
    assert isinstance(number, int | float) and abs(number) < 1e15, "forget was not checked"
    if not text and not number:
        raise RefusedError("nothing was kept; give a text, or the number of what to forget")
    if number and all(note["number"] != number for note in notes.listed()):
        raise RefusedError(f"nothing was changed: there is no note {number:.9g}; look it up with recall")
    told: dict[str, object] = {}
    if text:
        told["remembered"] = notes.add(text, instead_of=int(number) or None).number
    elif number:
        notes.forget(int(number))
    if number:
        told["forgotten"] = int(number)
    if not notes.is_kept:
        told["warning"] = "It could not be written down: a restart of the device undoes this."
    return told


def _recalled(notes: Notes, found: Sequence[Note]) -> dict[str, object]:
    lines: list[dict[str, object]] = []
    for note in found[:_MAX_RECALLED]:
        told_on = f"{notes.times.local(note.noted_s):%Y-%m-%d}"
        lines.append({"number": note.number, "text": note.text, "told_on": told_on})
        if len(_as_json({"": lines})) > _MAX_RECALLED_CHARS:
            break
    told: dict[str, object] = {"notes": lines}
    if more := len(found) - len(lines):
        told["more"] = f"{more} more; ask with other words to see them"
    if not found:
        told["hint"] = (
            f"Of {len(notes)} notes none has these words." if len(notes) else "Nothing was noted yet."
        )
    return told


def _as_json(told: Mapping[str, object]) -> str:
    return json.dumps(told, ensure_ascii=False)  # a letter of another alphabet is one character, not six


def _held(asked: Iterable[str], words: frozenset[str]) -> frozenset[str]:
    """Return which of `asked` are among `words`, "key" being in "keys", and "keys" having "key"."""
    return frozenset(
        word
        for word in asked
        if word in words
        or any(_are_kin(word, other) for other in words if len(min(word, other, key=len)) > 2)
    )


def _are_kin(one: str, other: str) -> bool:
    """Whether one is the other with an ending: at most three letters more."""
    short, long = sorted((one, other), key=len)
    return long.startswith(short) and len(long) - len(short) <= 3


def _words(text: str) -> frozenset[str]:
    """Return the words of `text`, without case and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(char for char in plain if not unicodedata.combining(char))
    return frozenset("".join(char if char.isalnum() else " " for char in kept).split())
