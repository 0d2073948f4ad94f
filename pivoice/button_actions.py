"""What a button can do, as the configuration writes it. PURE: standard library only.

One text per press, double press and hold: the name of an action, or a tool with its arguments as JSON.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from typing import Protocol

ACTIONS = ("wake_or_stop", "mute", "hush", "stop", "volume_up", "volume_down", "push_to_talk")
"""Those that are no tool."""
SLOTS = ("press", "double", "hold")
"""The settings of a button that hold one."""

_TOOL = re.compile(r"tool:\s*(?P<name>[A-Za-z0-9_.-]{1,128})(?P<arguments>\s.*)?", re.DOTALL)


class Mapped(Protocol):
    """A button, as it is configured."""

    @property
    def press(self) -> str: ...
    @property
    def double(self) -> str: ...
    @property
    def hold(self) -> str: ...


def does_anything(button: Mapped) -> bool:
    """Whether anything comes of it; one that is for nothing leaves its pin alone."""
    return bool(button.press or button.double or button.hold)


@dataclass(frozen=True)
class Act:
    """One thing to do."""

    name: str
    """One of `ACTIONS`, or "tool"."""
    tool: str = ""
    arguments: dict[str, object] = field(default_factory=dict)


def act_of(text: str) -> Act | None:
    """Return what `text` stands for; None for "", which does nothing.

    Whether there is such a tool is known only while they run: packages and MCP servers bring theirs.

    Raises:
        ValueError: it stands for nothing; the sentence says what is wrong and what is allowed.
    """
    if not text or text in ACTIONS:
        return Act(text) if text else None
    if not text.startswith("tool:"):
        bare = text.strip().lower().replace("-", "_").replace(" ", "_")
        near = difflib.get_close_matches(bare, ACTIONS, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ValueError(
            f'{text[:80]!r} is not allowed; {meant}It must be one of {", ".join(ACTIONS)}, or "tool:NAME"'
        )
    if not (found := _TOOL.fullmatch(text.strip())):
        raise ValueError(
            f'{text[:80]!r} is not allowed; a tool is written "tool:NAME" or "tool:NAME {{...}}"'
        )
    return Act("tool", found["name"], _arguments((found["arguments"] or "").strip(), text))


def _arguments(written: str, text: str) -> dict[str, object]:
    if not written:
        return {}
    try:
        arguments = json.loads(written)
    except ValueError as error:  # also a number of thousands of digits
        raise ValueError(f"{text[:80]!r}: what follows the tool's name is not JSON ({error})") from error
    except RecursionError as error:
        raise ValueError(f"{text[:80]!r}: what follows the tool's name is nested too deeply") from error
    if not isinstance(arguments, dict):
        raise ValueError(f'{text[:80]!r}: the arguments must be a JSON object, such as {{"minutes": 5}}')
    return arguments
