"""What the simulated server takes as a session's settings: checks, merges, and tells back. PURE.

The rules are the API's, written down here on their own: a client that checks for itself is checked again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]

RATE_HZ = 24_000
LANGUAGES = frozenset(
    [
        "en",
        "es",
        "de",
        "fr",
        "pt",
        "it",
        "tr",
        "nl",
        "sv",
        "no",
        "da",
        "fi",
        "hi",
        "vi",
        "ar",
        "he",
        "ja",
        "zh",
    ]
)
MODES = frozenset(("min_latency", "balanced", "max_accuracy"))
FOCUSES = frozenset(("near-field", "far-field"))
MAX_KEYTERMS = 100
MAX_PROMPT_CHARS = 1750
MAX_TOOLS = 10
_DEFAULT_SILENCE_MS = {"min_silence": 1000, "max_silence": 3000}

_KNOWN: dict[str, frozenset[str]] = {
    "session": frozenset(
        (
            *("agent_id", "system_prompt", "greeting", "input", "output", "tools"),
            *("webhook", "pre_connect_requests"),
        )
    ),
    "session.input": frozenset(
        (
            *("type", "format", "keyterms", "language_codes", "transcription_mode", "transcription_prompt"),
            *("continuous_partials", "voice_focus", "voice_focus_threshold", "turn_detection"),
        )
    ),
    "session.input.turn_detection": frozenset(
        (
            *("type", "vad_threshold", "min_silence", "max_silence", "interrupt_response"),
            *("interruption_delay", "uninterruptible_turns"),
        )
    ),
    "session.output": frozenset(("type", "voice", "format", "volume")),
    "format": frozenset(("encoding", "sample_rate")),
    "tool": frozenset(("type", "name", "description", "parameters", "execution_mode", "timeout_seconds")),
}
_IMMUTABLE = (("greeting",), ("output", "voice"), ("output", "format"))


@dataclass(frozen=True)
class Refusal:
    """Why an update is not taken, as `session.error` says it."""

    code: str
    message: str
    param: str = ""
    is_blame: bool = False
    """The client should have known: it breaks a rule of the protocol, whatever its values are."""

    def fields(self) -> Message:
        told = {"code": self.code, "message": self.message}
        return {**told, "param": self.param} if self.param else told


def find_refusal(update: Message, *, voices: Collection[str]) -> Refusal | None:
    """Return the first thing that makes `update` (what is under `session`) unacceptable, None if nothing."""
    return next(_refusals(update, voices), None)


def find_change(update: Message, settings: Message) -> Refusal | None:
    """Return which of `update` a live session with `settings` cannot change."""
    if "agent_id" in update:
        return Refusal("agent_id_not_first", "agent_id goes into the first update", "session.agent_id", True)
    for path in _IMMUTABLE:
        new, old = _at(update, path), _at(settings, path)
        if new is not None and new != old:
            name = ".".join(("session", *path))
            return Refusal("immutable_field", f"{name} cannot change in a live session", name, True)
    return None


def merged(settings: Message, update: Message) -> Message:
    """Return `settings` with `update` laid over: objects are merged, everything else is replaced."""
    result = dict(settings)
    for key, value in update.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def resolved(settings: Message, *, session_id: str, http_tools: Collection[str]) -> Message:
    """Return the `config` that the server tells: everything, defaults filled in."""
    pcm = {"encoding": "audio/pcm", "sample_rate": RATE_HZ}
    own = [{**tool, "http": None} for tool in settings.get("tools") or ()]
    theirs = [
        {
            "type": "function",
            "name": name,
            "description": "run by the server",
            "parameters": {"type": "object", "properties": {}},
            "http": {"url": f"https://tools.example/{name}", "method": "POST"},
        }
        for name in http_tools
    ]
    return {
        "id": session_id,
        "system_prompt": settings.get("system_prompt") or "",
        "greeting": settings.get("greeting"),
        "input": merged(
            {"type": "audio", "format": pcm, "transcription_mode": "balanced"}, settings.get("input") or {}
        ),
        "output": merged({"type": "audio", "format": pcm, "voice": "alba"}, settings.get("output") or {}),
        "tools": own + theirs,
        "llm": None,
    }


def is_rate_right(settings: Message) -> bool:
    """Whether what will be sent is what will be heard: any PCM rate but one makes a session deaf."""
    return bool(_at(settings, ("input", "format", "sample_rate")) == RATE_HZ)


def undeclared(update: Message) -> Iterator[str]:
    """Yield the directions whose format a first update leaves to luck, or has wrong."""
    for side in ("input", "output"):
        if _at(update, (side, "format", "sample_rate")) != RATE_HZ:
            yield side


# --- the rules ---


def _refusals(update: Message, voices: Collection[str]) -> Iterator[Refusal]:
    yield from _unknown(update, "session")
    if "agent_id" in update:
        if not isinstance(update["agent_id"], str):
            yield _invalid("session.agent_id", "must be a string")
        if len(update) > 1:
            yield Refusal("agent_id_not_first", "agent_id goes alone", "session.agent_id", True)
    if "system_prompt" in update and not isinstance(update["system_prompt"], str):
        yield _invalid("session.system_prompt", "must be a string")
    if "greeting" in update and not isinstance(update["greeting"], str):
        yield Refusal("invalid_format", "greeting must be a string; omit it", "session.greeting")
    for side in ("input", "output"):
        if side in update and not isinstance(update[side], dict):
            yield _invalid(f"session.{side}", "must be an object")
        elif side in update:
            rules = _input_refusals if side == "input" else _output_refusals
            yield from _unknown(update[side], f"session.{side}")
            yield from _format_refusals(update[side], f"session.{side}.format")
            yield from rules(update[side], voices)
    if "tools" in update:
        yield from _tool_refusals(update["tools"])


def _format_refusals(side: Message, param: str) -> Iterator[Refusal]:
    if "format" not in side:
        return
    if not isinstance(side["format"], dict):
        yield _invalid(param, "Audio format must be a JSON object")
        return
    for name in side["format"].keys() - _KNOWN["format"]:
        yield Refusal("invalid_config", f"unknown setting {name!r}", f"{param}.{name}", True)
    encoding = side["format"].get("encoding", "audio/pcm")
    if encoding != "audio/pcm":
        yield _invalid(f"{param}.encoding", f"{encoding!r} is not simulated; use audio/pcm")


def _input_refusals(heard: Message, _: Collection[str]) -> Iterator[Refusal]:
    at = "session.input."
    terms, languages = heard.get("keyterms", []), heard.get("language_codes", [])
    if not _is_text_list(terms) or len(terms) > MAX_KEYTERMS:
        yield _invalid(at + "keyterms", f"must be a list of at most {MAX_KEYTERMS} strings")
    if not _is_text_list(languages) or not LANGUAGES.issuperset(languages):
        yield _invalid(at + "language_codes", f"must be a list of {', '.join(sorted(LANGUAGES))}")
    for key, allowed in (("transcription_mode", MODES), ("voice_focus", FOCUSES)):
        if key in heard and heard[key] not in tuple(allowed):
            yield _invalid(at + key, f"must be one of {', '.join(sorted(allowed))}")
    prompt = heard.get("transcription_prompt", "")
    if not isinstance(prompt, str) or len(prompt) > MAX_PROMPT_CHARS:
        yield _invalid(at + "transcription_prompt", f"must be at most {MAX_PROMPT_CHARS} characters")
    if "voice_focus_threshold" in heard:
        yield from _outside(heard, "voice_focus_threshold", at, 0, 1)
    detection = heard.get("turn_detection", {})
    if not isinstance(detection, dict):
        yield _invalid(at + "turn_detection", "must be an object")
        return
    yield from _unknown(detection, at + "turn_detection")
    at += "turn_detection."
    bounds = {"vad_threshold": (0, 1), "min_silence": (50, 10_000), "max_silence": (50, 10_000)}
    for key, (lowest, highest) in {**bounds, "interruption_delay": (0, 1000)}.items():
        if key in detection:
            yield from _outside(detection, key, at, lowest, highest, whole=highest > 1)
    if not isinstance(detection.get("interrupt_response", True), bool):
        yield _invalid(at + "interrupt_response", "must be true or false")
    shortest, longest = ({**_DEFAULT_SILENCE_MS, **detection}[key] for key in _DEFAULT_SILENCE_MS)
    if detection.keys() & _DEFAULT_SILENCE_MS.keys() and shortest >= longest:
        yield _invalid(at + "min_silence", "must be less than max_silence")


def _output_refusals(spoken: Message, voices: Collection[str]) -> Iterator[Refusal]:
    if "voice" in spoken and spoken["voice"] not in tuple(voices):
        known = ", ".join(sorted(voices))
        yield _invalid("session.output.voice", f"unknown voice {spoken['voice']!r}; there are {known}")
    if spoken.get("volume") is not None:
        yield from _outside(spoken, "volume", "session.output.", 0, 100)


def _tool_refusals(tools: object) -> Iterator[Refusal]:
    if not isinstance(tools, list) or len(tools) > MAX_TOOLS:
        yield _invalid("session.tools", f"must be a list of at most {MAX_TOOLS} tools")
        return
    shapes: dict[str, Callable[[object], bool]] = {
        "type": lambda value: value == "function",
        "name": lambda value: isinstance(value, str) and value != "",
        "description": lambda value: isinstance(value, str),
        "parameters": lambda value: isinstance(value, dict),
    }
    for index, tool in enumerate(tools):
        at = f"session.tools[{index}]"
        if not isinstance(tool, dict):
            yield _invalid(at, "must be an object")
            continue
        for key, is_right in shapes.items():
            if not is_right(tool.get(key)):
                yield _invalid(f"{at}.{key}", f"missing or wrong: {tool.get(key)!r}")
        for name in tool.keys() - _KNOWN["tool"]:
            yield Refusal("invalid_config", f"unknown setting {name!r}", f"{at}.{name}", True)
        if tool.get("execution_mode", "interactive") not in ("interactive", "hold"):
            yield _invalid(f"{at}.execution_mode", "must be interactive or hold")
        if "timeout_seconds" in tool:
            yield from _outside(tool, "timeout_seconds", f"{at}.", 1, 300)


def _unknown(settings: Message, where: str) -> Iterator[Refusal]:
    for name in sorted(settings.keys() - _KNOWN[where]):
        yield Refusal("invalid_config", f"unknown setting {name!r}", f"{where}.{name}", True)


def _outside(
    settings: Message, key: str, at: str, lowest: float, highest: float, *, whole: bool = False
) -> Iterator[Refusal]:
    value, kinds = settings[key], (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not lowest <= value <= highest:
        yield _invalid(at + key, f"must be {'an integer ' if whole else ''}from {lowest:g} to {highest:g}")


def _invalid(param: str, message: str) -> Refusal:
    return Refusal("invalid_value", f"{param.rpartition('.')[2]} {message}", param)


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _at(settings: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = settings
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
