"""Every setting: its type, default, bounds and meaning; TOML in, all faults out at once.

Owns nothing but the reading. Each field is followed by one line: unit, and what the extremes mean;
`config/pivoice.toml` and README's table are generated from exactly these lines (`scripts/generate`).
Bounds are msgspec constraints, and msgspec does the checking; this file adds only what it lacks:
reporting every fault instead of the first, "did you mean", and never showing what may hold a key.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import tomllib
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from pivoice.contradictions import MAY_HOLD_A_KEY, contradictions
from pivoice.errors import ConfigError, Fault

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Section = TypeVar("_Section", bound="DataclassInstance")

DEFAULT_PATH = "/etc/pivoice/pivoice.toml"

Pin = Annotated[int, Meta(ge=0, le=27)]  # BCM numbers on the 40-pin header
Seconds = Annotated[float, Meta(gt=0, le=3600)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Language = Literal[
    "en", "es", "de", "fr", "pt", "it", "tr", "nl", "sv", "no", "da", "fi", "hi", "vi", "ar", "he", "ja", "zh"
]
MAX_KEYTERM_CHARS = 50  # the server ignores longer ones without a word


@dataclass(frozen=True)
class TurnDetectionConfig:
    vad_threshold: Fraction | None = None
    """0-1: how sure the server must be that it hears speech; lower is more sensitive."""
    min_silence_ms: Annotated[int, Meta(ge=50, le=10000)] | None = None
    """ms of silence before a finished sentence ends the turn. Setting this or max_silence_ms
    switches adaptive pacing off."""
    max_silence_ms: Annotated[int, Meta(ge=50, le=10000)] | None = None
    """ms of silence that end the turn whatever was said; must be greater than min_silence_ms."""
    interrupt_response: bool | None = None
    """false: the agent cannot be interrupted by voice at all."""
    interruption_delay_ms: Annotated[int, Meta(ge=0, le=1000)] | None = None
    """ms of speech before the server lets the user interrupt."""


@dataclass(frozen=True)
class AgentConfig:
    url: str = "wss://agents.assemblyai.com/v1/ws"
    """WebSocket address of the agent; agents.us... and agents.eu... choose the region."""
    api_key_file: str = ""
    """File that holds the API key, used when neither the systemd credential "assemblyai-api-key"
    nor $ASSEMBLYAI_API_KEY is there."""
    token_url: str = ""
    """Instead of a key on the device: an address answering GET with JSON {"token": "..."}, asked
    before each connect."""
    agent_id: str = ""
    """An agent stored at the server, which brings its own prompt, greeting, voice and tools; of the settings
    below only those are sent that it lets a session change, and that differ from their defaults."""
    voice: str = ""
    """Voice of the agent; "" is the server's default."""
    volume: Annotated[int, Meta(ge=0, le=100)] | None = None
    """Loudness of the agent's voice as the server makes it, 0-100."""
    system_prompt: str = (
        "You are a helpful voice assistant in somebody's home. Answer in one or two short spoken sentences, "
        "without lists or markup. If you do not know something, say so."
    )
    """Who the agent is and how it talks."""
    greeting: str = ""
    """Said by the agent when a new conversation opens; "" listens first."""
    keyterms: list[Annotated[str, Meta(min_length=1, max_length=MAX_KEYTERM_CHARS)]] = field(
        default_factory=list
    )
    """Names and rare words that the user says, to be understood better; at most 100, no common words."""
    language_codes: list[Language] = field(default_factory=list)
    """Languages that the user speaks; [] lets the server find out, and switch."""
    transcription_mode: Literal["min_latency", "balanced", "max_accuracy"] | None = None
    """Trade of speed against understanding, and how patiently the end of a turn is awaited; the server's
    default is balanced."""
    transcription_prompt: Annotated[str, Meta(max_length=1750)] = ""
    """What is talked about here, to help the server understand speech; no instructions."""
    voice_focus: Literal["near-field", "far-field"] | None = None
    """Where the user is; the server's default, near-field, hears less of a television."""
    voice_focus_threshold: Fraction | None = None
    """0-1: how much of what is not the user's voice the server suppresses."""
    linger: bool = True
    """Leave a finished session resumable for 30 s (billed); false ends it at once."""
    context_minutes: Annotated[float, Meta(ge=0, le=1440)] = 10.0
    """Minutes during which a new session is told the last turns; 0 forgets at once."""
    catch_up_rate: Annotated[float, Meta(ge=1, le=8)] = 2.0
    """Times real time at which audio waiting after a connect or a stall is sent."""
    daily_minutes: Annotated[float, Meta(ge=0, le=1440)] = 0.0
    """Minutes of open session a day after which conversations end and none is opened; 0 sets no cap."""
    session_minutes: Annotated[float, Meta(ge=0, le=180)] = 30.0
    """Minutes after which a single session is ended; 0 leaves it to the server (1 to 3 hours)."""
    price_per_hour: Annotated[float, Meta(ge=0, le=1000)] = 4.5
    """What an hour of open session costs, in your currency; for `pivoice ctl status` alone."""
    ready_s: Seconds = 10.0
    """Seconds to wait for a session to be ready on an open connection, before another is tried."""
    half_dead_s: Annotated[float, Meta(ge=0, le=600)] = 20.0
    """Seconds of voice that may go up without a sign that the server hears, before the session is replaced,
    once; 0 never does."""
    delete_recordings: bool = False
    """true: have the server delete its recording of each session once it is over; needs the key."""
    rest_url: str = ""
    """Address of the server's other interface, for delete_recordings; "" is made from url."""
    ledger_file: str = ""
    """File that keeps the day's minutes over a restart; "" is ledger.json in $STATE_DIRECTORY, or in
    ~/.local/state/pivoice."""
    turn_detection: TurnDetectionConfig = field(default_factory=TurnDetectionConfig)


@dataclass(frozen=True)
class AudioConfig:
    capture: Annotated[str, Meta(min_length=1)] = "default"
    """ALSA PCM of the microphone (`arecord -L` lists them), or "simulated:FILE.wav" (silence after
    its end)."""
    playback: Annotated[str, Meta(min_length=1)] = "default"
    """ALSA PCM of the speaker (`aplay -L` lists them), or "simulated:FILE.wav" (written there)."""
    period_ms: Annotated[int, Meta(ge=5, le=100)] = 20
    """ms moved by one read or write; longer is cheaper and slower to react."""
    jitter_ms: Annotated[int, Meta(ge=0, le=2000)] = 100
    """ms of a reply kept in hand before it is played; more rides out a worse network."""
    channel: Annotated[int, Meta(ge=0, le=15)] = 0
    """Which channel of the microphone to use, from 0."""
    gain_db: Annotated[float, Meta(ge=-40, le=40)] = 0.0
    """dB added to the microphone in software."""
    max_volume: Annotated[int, Meta(ge=0, le=100)] = 100
    """Loudest the speaker may be, 0-100; 100 leaves the samples alone."""
    echo: Literal["auto", "webrtc", "half_duplex", "none"] = "auto"
    """How the device does not hear itself: "half_duplex" sends silence while the agent is audible,
    "none" is for headphones or a speakerphone with its own canceller, "auto" picks (half_duplex,
    for now)."""


@dataclass(frozen=True)
class WakeConfig:
    engine: Literal["openwakeword", "none"] = "openwakeword"
    """What listens for the wake word; "none" leaves the button."""
    models: list[Annotated[str, Meta(min_length=1)]] = field(default_factory=lambda: ["hey_jarvis"])
    """Wake words: bundled names (hey_jarvis, alexa, hey_mycroft, hey_rhasspy) or paths of .onnx files."""
    threshold: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    """Score that counts as the wake word; higher misses more and wakes less by mistake."""
    refractory_s: Annotated[float, Meta(ge=0, le=60)] = 2.0
    """Seconds after a wake word in which no other is taken; it must also have fallen below
    threshold / 2."""
    preroll_ms: Annotated[int, Meta(ge=0, le=2000)] = 300
    """ms from before the wake decision that reach the agent."""


@dataclass(frozen=True)
class TurnConfig:
    follow_up_s: Seconds = 8.0
    """Seconds after a reply in which the user may speak again without the wake word."""
    no_speech_s: Seconds = 8.0
    """Seconds to wait for the user's first word before the conversation is closed."""
    long_speech_s: Seconds = 30.0
    """Seconds one may speak before the device stops waiting for the end."""
    no_reply_s: Seconds = 15.0
    """Seconds to wait for the agent's answer."""
    long_reply_s: Seconds = 120.0
    """Seconds a reply may last."""
    yield_s: Seconds = 2.5
    """Seconds a reply stays ducked while the user may be interrupting, without confirmation."""
    yield_short_s: Seconds = 1.0
    """The same, once the user has fallen silent again."""
    connect_s: Seconds = 12.0
    """Seconds to wait for the agent to be ready (its server gives up after 10)."""
    reconnect_s: Seconds = 25.0
    """Seconds to wait for a broken link to come back, keeping what is said (the server waits for 30)."""


@dataclass(frozen=True)
class ToolsConfig:
    timeout_s: Seconds = 20.0
    """Seconds a tool may take before the agent is told that it failed."""


@dataclass(frozen=True)
class PanelConfig:
    driver: Literal["gpio", "simulated", "none"] = "gpio"
    """Button and light on the GPIO header, kept in memory, or none."""
    button_pin: Pin | None = 17
    """BCM number of the button's pin; the other leg goes to ground."""
    led_pin: Pin | None = 27
    """BCM number of a single LED; not used when red_pin, green_pin and blue_pin are set."""
    red_pin: Pin | None = None
    """BCM number of an RGB LED's red leg; set all three or none."""
    green_pin: Pin | None = None
    """BCM number of its green leg."""
    blue_pin: Pin | None = None
    """BCM number of its blue leg."""
    long_press_s: Annotated[float, Meta(ge=0.3, le=10)] = 1.0
    """Seconds the button is held to mute or unmute."""


@dataclass(frozen=True)
class ControlConfig:
    socket: Annotated[str, Meta(min_length=1, max_length=100)] = "/run/pivoice/control.sock"
    """Unix socket of `pivoice ctl`."""


@dataclass(frozen=True)
class LogConfig:
    level: Literal["debug", "info", "warning", "error"] = "info"
    """How much is logged; transcripts appear at "debug" only."""


@dataclass(frozen=True)
class Config:
    """Everything the daemon can be told. The defaults are a working configuration, save for the key."""

    agent: AgentConfig = field(default_factory=AgentConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    wake: WakeConfig = field(default_factory=WakeConfig)
    turn: TurnConfig = field(default_factory=TurnConfig)
    tools: ToolsConfig = field(default_factory=ToolsConfig)
    panel: PanelConfig = field(default_factory=PanelConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    log: LogConfig = field(default_factory=LogConfig)


def find_path(option: str | None) -> str:
    """Return the configuration file's path: `--config`, else $PIVOICE_CONFIG, else the system's."""
    return option or os.environ.get("PIVOICE_CONFIG") or DEFAULT_PATH


def load(path: str) -> Config:
    """Read `path`. A missing file means all defaults.

    Raises:
        ConfigError: with every fault in the file.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Fault("", f"cannot be read: {error}")], path=path) from error
    return parse(text, path=path)


def parse(text: str, *, path: str = "") -> Config:
    """Return the configuration that `text` (TOML) describes; `path` is only named in errors.

    Raises:
        ConfigError: with every fault in the text.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Fault("", f"is not TOML: {error}")], path=path) from error
    faults: list[Fault] = []
    config = _section(Config, table, "", faults)
    faults += contradictions(config)  # what is at fault has its default by now
    if faults:
        raise ConfigError(faults, path=path)
    return config


def changed(config: Config, key: str, value: object) -> Config:
    """Return `config` with the setting `key` ("agent.volume") at `value`, checked as the file is.

    None unsets a setting that may be unset.

    Raises:
        ConfigError: there is no such setting, or it cannot have that value beside the others.
    """
    path = key.split(".")
    table: dict[str, Any] = {path[-1]: value}
    for name in reversed(path[:-1]):
        table = {name: table}
    faults: list[Fault] = []
    asked = _section(Config, table, "", faults)
    if faults:
        raise ConfigError(faults)
    new = _grafted(config, asked, path)
    if faults := list(contradictions(new)):
        raise ConfigError(faults)
    return new


def shown(config: Config) -> dict[str, Any]:
    """Return `config` for people to see: without what follows the ? of token_url, which may be a secret."""
    sections = dataclasses.asdict(config)
    address, query, _ = config.agent.token_url.partition("?")
    sections["agent"]["token_url"] = address + query + ("..." if query else "")
    return sections


@dataclass(frozen=True)
class Setting:
    """One line of documentation, derived from one field."""

    key: str
    default: object
    """None: unset by default."""
    allowed: str


def settings() -> Iterator[Setting]:
    """Yield every setting in the order of the file."""
    yield from _settings(Config, "")


def _settings(section: type, prefix: str) -> Iterator[Setting]:
    hints = typing.get_type_hints(section, include_extras=True)
    defaults = section()
    for each in dataclasses.fields(section):
        key, default = prefix + each.name, getattr(defaults, each.name)
        if dataclasses.is_dataclass(default):
            yield from _settings(type(default), key + ".")
        else:
            yield Setting(key, default, _allowed(hints[each.name]))


def _grafted(section: _Section, asked: _Section, path: Sequence[str]) -> _Section:
    """Return `section` with the one field at `path` taken from `asked`."""
    name, *rest = path
    given = getattr(asked, name)
    if rest:
        given = _grafted(getattr(section, name), given, rest)
    return dataclasses.replace(section, **{name: given})


def _section(section: type[_Section], table: dict[str, Any], prefix: str, faults: list[Fault]) -> _Section:
    """Build one section from its table, appending to `faults`; what is at fault keeps its default."""
    hints = typing.get_type_hints(section, include_extras=True)
    values: dict[str, object] = {}
    for name, value in table.items():
        key, hint = prefix + name, hints.get(name)
        if hint is None:
            faults.append(Fault(key, "no such setting" + _did_you_mean(name, prefix)))
        elif dataclasses.is_dataclass(hint):
            if isinstance(value, dict):
                values[name] = _section(typing.cast(type, hint), value, key + ".", faults)
            else:
                faults.append(Fault(key, f"is a section; write [{key}] and its settings below it"))
        else:
            try:
                if isinstance(value, float) and not math.isfinite(value):
                    raise msgspec.ValidationError
                if isinstance(value, str) and "\0" in value:
                    raise msgspec.ValidationError
                values[name] = msgspec.convert(value, hint, strict=True)
            except msgspec.ValidationError:
                told = "what is there" if key in MAY_HOLD_A_KEY else repr(value)[:80]
                faults.append(Fault(key, f"{told} is not allowed; it must be {_allowed(hint)}"))
    return section(**values)


def _did_you_mean(name: str, prefix: str) -> str:
    known = [setting.key for setting in settings()]
    known += sorted({key.rsplit(".", 1)[0] for key in known})
    leaves = {key.rsplit(".", 1)[-1]: key for key in known}
    near = difflib.get_close_matches(prefix + name, known, 1, 0.75)
    near = near or [leaves[leaf] for leaf in difflib.get_close_matches(name, leaves, 1, 0.75)]
    return f"; did you mean {near[0]}?" if near else "; see config/pivoice.toml for all there are"


_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _allowed(hint: Any) -> str:
    """Say in words what a field takes."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        (kind,) = (part for part in typing.get_args(hint) if part is not type(None))
        return _allowed(kind)
    if origin is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in typing.get_args(hint))
    if origin is list:
        return f"a list, each {_allowed(typing.get_args(hint)[0])}"
    if origin is Annotated:
        kind, *metas = typing.get_args(hint)
        return _bounded(_KINDS[kind], metas[0])
    return _KINDS[hint]


def _bounded(kind: str, meta: Meta) -> str:
    if meta.min_length and meta.max_length is None:
        return f"{kind}, not empty"
    if meta.max_length is not None:
        return f"{kind} of {meta.min_length or 0} to {meta.max_length} characters"
    low = f"from {meta.ge}" if meta.ge is not None else f"above {meta.gt}"
    high = f"to {meta.le}" if meta.le is not None else f"and below {meta.lt}"
    return f"{kind} {low} {high}"
