"""What the simulated agent shall do: its switches, and its script. PURE apart from reading the script."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
OLD_VOICES = frozenset(("claire", "josh", "dawn", "grace", "pete"))


@dataclass
class Plan:
    """The switches. They may be changed while the agent runs; what is under way keeps to the old ones."""

    turns: list[Turn]

    # --- the conversation ---

    silence_s: float = 0.9
    """Silence that ends the user's turn, unless the client sets `min_silence`."""
    reply_delay_s: float = 0.3
    """From the end of the user's turn to `reply.started`."""
    lead_s: float = 0.25
    """Silence at the head of every reply."""
    speed: float = 1.0
    """Times real time at which a reply is sent; 0: all at once."""
    interruption_delay_s: float = 0.5
    """Speech that interrupts a reply, unless the client sets `interruption_delay`."""
    transcript_only: bool = False
    """Interruptions are told by `transcript.agent` alone."""
    stale_s: float = 0.0
    """Audio of a reply still sent after its interruption."""
    early_reply: bool = False
    """`reply.started` comes before `input.speech.stopped` and `transcript.user`."""
    no_agent_text: bool = False
    """`transcript.agent` never comes."""
    call_twice: bool = False
    """Every `tool.call` is told twice."""
    tool_timeout_s: float = 120.0
    """How long an answer to a tool call is waited for; then the agent goes on without."""
    http_tools: tuple[str, ...] = ()
    """Tools that the server runs by itself, and tells of; nobody may answer."""
    stored_agents: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings, shaped as in `session.update`, by `agent_id`."""
    voices_known: frozenset[str] = VOICES

    # --- getting ready ---

    ready_delay_s: float = 0.4
    hello_s: float = 10.0
    """How long the first message is waited for."""
    never_ready: bool = False
    no_updated: bool = False
    """`session.ready` comes without a `session.updated` before it."""
    ready_first: bool = False
    """`session.ready` comes before `session.updated`."""

    # --- the wire ---

    old_wire: bool = False
    """The first generation of the wire, of April 2026."""
    duplicates: bool = False
    """The end of a reply, the user's starts, stops and words, and tool calls are told twice."""
    odd_chunks: bool = False
    """Audio is cut in the middle of samples."""
    garbage: bool = False
    """Nonsense is sent between the messages."""
    oversized_bytes: int = 0
    """One frame of that size in every reply."""
    unknown_status: str = ""
    """What `reply.done` says instead of "completed"."""

    # --- refusals ---

    key: str = ""
    """The only key that is accepted; "" accepts any."""
    http_status: int = 0
    """Refuse the upgrade with this status."""
    error: str = ""
    """Answer the first message with this error, and close."""
    error_times: int = 0
    """How many times; 0: always."""
    refuse_resume: str = ""
    """"close": refuse and close with 1008; "open": refuse and leave the socket open."""
    error_in_band: str = ""
    """Complain with this code in every reply, and go on."""

    # --- broken links. What is timed is counted from `session.ready` ---

    drop_after_s: float | None = None
    """Break the connection once, after this much of a reply's audio."""
    silent_after_s: float | None = None
    """The link goes dead: nothing is read, written or ponged any more, and the socket stays up."""
    dead_link_s: float = 40.0
    """After so long the server itself gives a dead link up."""
    stall_at_s: float = 0.0
    stall_s: float = 0.0
    """For so long nothing is read; what the client sends piles up."""
    receive_buffer_bytes: int = 0
    """What the kernel keeps for a server that does not read; 0: its own choice (megabytes)."""
    error_live: str = ""
    """Complain with this code in a live session; then close, if there is a `close_code`."""
    error_live_at_s: float = 0.0
    close_code: int = 0
    """Close with this code: so long after `session.ready`, or so far into a reply's audio."""
    close_at_s: float = 0.0
    close_in_reply: bool = False
    close_reason: str = ""
    fault_times: int = 1
    """How many times each of the faults from `silent_after_s` to here happens; 0: in every connection."""

    # --- misbehaviour ---

    deaf: bool = False
    """Never notices speech."""
    deaf_sessions: int = 0
    """The first so many sessions never notice speech."""
    ignores_end: bool = False
    """`session.end` is obeyed and never confirmed."""

    # --- money and limits ---

    expires_in_s: float | None = None
    """Lifetime of a session, told in `session.ready`. None: an hour is told, and nothing happens then."""
    resume_window_s: float = 30.0
    max_rate: float = 0.0
    """Times real time that is taken; the rest is dropped and complained of. 0: anything."""
    pace_limit: float = 4.0
    """Times real time, on average over 10 s, above which the client is blamed; 0: never."""
    sessions_per_key: int = 1
    """Connected sessions that a client may have at once without being blamed; 0: any number."""

    # --- the other interface, and records ---

    bad_key_status: int = 404
    """HTTP status for a wrong key; 404 was measured, 401 is documented."""
    token_status: int = 0
    """Refuse every token with this status."""
    tokens_once: bool = False
    """A token opens one socket; as documented, not as measured."""
    recording_delay_s: float = 7.0
    """From a session's end to its recording, which can only then be deleted."""
    delete_status: int = 0
    """Answer every deletion with this status."""
    json_results: bool = False
    """Blame tool results that are not JSON text."""

    @property
    def voices(self) -> frozenset[str]:
        """The voices there are; another is refused."""
        return OLD_VOICES if self.old_wire and self.voices_known is VOICES else self.voices_known


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
