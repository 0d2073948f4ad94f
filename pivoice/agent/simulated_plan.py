"""What the simulated agent shall do: its switches, and its script. PURE apart from reading the script."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from pivoice.agent.simulated_voice import Voice, load_voice, speech_directory
from pivoice.errors import ConfigError, Fault


class ScriptedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool that the agent asks for."""

    name: str
    arguments: dict[str, object] = {}


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn, as in a script file."""

    text: str | None = None
    wav: str = ""
    user_text: str = ""
    tool: ScriptedCall | None = None
    tools: list[ScriptedCall] = []
    drop_after_s: float | None = None
    stale_s: float | None = None
    silent: bool = False
    error: str = ""


@dataclass(frozen=True)
class Turn:
    """One turn: what the user is taken to have said, and what the agent does about it."""

    voice: Voice
    user_text: str = ""
    tools: tuple[ScriptedCall, ...] = ()
    drop_after_s: float | None = None
    """Break the connection after this much of the reply's audio."""
    stale_s: float | None = None
    """Send this much more of a reply that was interrupted; None: as the plan says."""
    silent: bool = False
    """A hidden failure of the model: a reply of silence."""
    error: str = ""
    """A reply that fails with this code."""


VOICES = frozenset(
    (
        *("alba", "eve", "george", "jane", "jean", "mary", "michael", "anna", "charles", "paul", "vera"),
        *("lola", "giovanni", "juergen", "rafael", "estelle", "iris", "reid"),
    )
)


@dataclass
class Plan:
    """The switches. Tests change them while the agent runs."""

    turns: list[Turn]
    key: str = ""
    """The only key that is accepted; "" accepts any."""
    ready_delay_s: float = 0.4
    silence_s: float = 0.9
    """Silence that ends the user's turn."""
    reply_delay_s: float = 0.3
    """From the end of the user's turn to `reply.started`."""
    lead_s: float = 0.25
    """Silence at the head of every reply."""
    speed: float = 1.0
    """Times real time at which a reply is sent; 0: all at once."""
    interruption_delay_s: float = 0.5
    transcript_only: bool = False
    """Interruptions are told by `transcript.agent` alone."""
    stale_s: float = 0.0
    refuse_resume: str = ""
    """"close": refuse and close with 1008; "open": refuse and leave the socket open."""
    error: str = ""
    """Answer the first message with this error, and close."""
    error_times: int = 0
    """How many times; 0: always."""
    error_in_band: str = ""
    """Complain with this code in every reply, and go on."""
    http_status: int = 0
    """Refuse the upgrade with this status."""
    max_rate: float = 0.0
    """Times real time that is taken; the rest is dropped and complained of. 0: anything."""
    drop_after_s: float | None = None
    """Break the connection once, after this much of a reply's audio."""
    garbage: bool = False
    resume_window_s: float = 30.0
    deaf: bool = False
    """Never notices speech."""
    voices_known: frozenset[str] = VOICES


def read_script(path: Path, voices: list[Voice]) -> list[Turn]:
    """Return the turns of a script: a JSON list of objects with the fields of `Turn`, `wav` and `text`.

    A `wav` is looked for beside the script, then among the speech made at set-up; a turn without one takes
    the next of `voices`.

    Raises:
        ConfigError: it cannot be read, or says what no turn can.
    """
    try:
        lines = msgspec.json.decode(path.read_bytes(), type=list[_Line])
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError([Fault("", f"cannot use the script {path}: {error}")]) from error
    turns = []
    for number, line in enumerate(lines):
        voice = load_voice(_find_wav(line.wav, path)) if line.wav else voices[number % len(voices)]
        if line.text is not None:
            voice = Voice(line.text, voice.samples, voice.name)
        calls = ((line.tool,) if line.tool else ()) + tuple(line.tools)
        turns.append(
            Turn(voice, line.user_text, calls, line.drop_after_s, line.stale_s, line.silent, line.error)
        )
    if not turns:
        raise ConfigError([Fault("", f"the script {path} has no turns")])
    return turns


def _find_wav(name: str, script: Path) -> Path:
    beside = script.parent / name
    return beside if beside.exists() else speech_directory() / name
