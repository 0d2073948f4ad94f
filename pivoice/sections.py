"""Every setting: its type, default, bounds and meaning, section by section.

Owns the words and the bounds, not the reading (config.py, through which everybody else imports these).
Each field is followed by one line: unit, and what the extremes mean; `config/pivoice.toml` and README's
table are generated from exactly these lines (`scripts/generate`). Those of [panel] and [tools] are in
sections_panel.py and sections_tools.py. A list of sections ([[panel.button]]) is a list of dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from pivoice.sections_panel import PanelConfig
from pivoice.sections_tools import ToolsConfig

Seconds = Annotated[float, Meta(gt=0, le=3600)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Threshold = Annotated[float, Meta(gt=0, lt=1)]
Language = Literal[
    "en", "es", "de", "fr", "pt", "it", "tr", "nl", "sv", "no", "da", "fi", "hi", "vi", "ar", "he", "ja", "zh"
]
_MODEL_FILES = (".onnx", ".tflite", ".json")
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


Earcon = Annotated[str, Meta(min_length=1)]


@dataclass(frozen=True)
class EarconsConfig:
    wake: Earcon = "on"
    """It heard the wake word or the button: "on" is its own sound, "off" none; or the path, from /, of a
    WAV file. All below are the same."""
    end: Earcon = "on"
    """The conversation is over."""
    error: Earcon = "on"
    """Something went wrong."""
    mute: Earcon = "on"
    """The microphone was closed."""
    unmute: Earcon = "on"
    """The microphone is open again."""
    muted: Earcon = "on"
    """It was asked to listen, and is muted."""
    timer: Earcon = "on"
    """A timer or an alarm rings; "off" leaves the light."""
    volume: Earcon = "on"
    """The volume was changed: so loud is it now."""
    working: Earcon = "on"
    """A tool takes longer than tools.working_s."""
    cap: Earcon = "on"
    """Spoken: the day's minutes are used up ("off": the error sound instead; so with the others spoken)."""
    bad_key: Earcon = "on"
    """Spoken: the agent's server refused the key."""
    no_network: Earcon = "on"
    """Spoken: the agent cannot be reached."""


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
    volume: Annotated[int, Meta(ge=0, le=100)] | None = None
    """Loudness of the speaker before anybody changed it (`pivoice ctl volume`), 0-100; unset leaves a
    card's own volume control where it is."""
    max_volume: Annotated[int, Meta(ge=0, le=100)] = 100
    """Loudest the speaker may be made, 0-100; 50 is 18 dB softer than 100."""
    volume_step: Annotated[int, Meta(ge=1, le=50)] = 10
    """How much a press of a volume button changes it."""
    mixer: str = "auto"
    """The speaker's own volume control (`amixer scontrols` lists them); "auto" finds it by name, "none" makes
    the samples softer instead, as where there is none."""
    capture_mixer: str = "auto"
    """The same of the microphone, for `pivoice ctl gain`."""
    echo: Literal["auto", "webrtc", "half_duplex", "none"] = "auto"
    """How the device does not hear itself: "webrtc" takes the agent's voice out of the microphone,
    "half_duplex" sends silence while the agent is audible, "none" is for headphones or a speakerphone
    with its own canceller; "auto" picks: none for a card known to cancel, else webrtc where it can be had."""
    earcons: EarconsConfig = field(default_factory=EarconsConfig)


@dataclass(frozen=True)
class WakeConfig:
    engine: Literal["openwakeword", "micro", "none"] = "openwakeword"
    """What listens for the wake word; "micro" is pymicro-wakeword (installed apart; its own models); "none"
    leaves the button."""
    models: list[Annotated[str, Meta(min_length=1)]] = field(default_factory=lambda: ["hey_jarvis"])
    """Wake words: bundled names (hey_jarvis, alexa, hey_mycroft, hey_rhasspy) or paths of .onnx files."""
    threshold: Threshold = 0.5
    """Score that counts as the wake word; higher misses more and wakes less by mistake."""
    thresholds: dict[str, Threshold] = field(default_factory=dict)
    """Those of single models, by name ({ hey_jarvis = 0.6 }; a path is named as its file, without the
    ending); the others have threshold. `pivoice tune` finds them."""
    consecutive_blocks: Annotated[int, Meta(ge=1, le=5)] = 1
    """Blocks of 80 ms in a row at the threshold that make a wake word; each above 1 costs 80 ms. 2 suits
    rooms with a television: what wakes by mistake is often a single one."""
    refractory_s: Annotated[float, Meta(ge=0, le=60)] = 2.0
    """Seconds after a wake word in which no other is taken; it must also have fallen below
    threshold / 2."""
    preroll_ms: Annotated[int, Meta(ge=0, le=2000)] = 300
    """ms from before the wake decision that reach the agent."""
    save_near_misses: Annotated[int, Meta(ge=0, le=1000)] = 0
    """How many recordings (2.6 s, 83 kB each) to keep of what nearly was the wake word, to tune by; 0 keeps
    none. They hold what was said in the room; they stay on the device, readable to the service alone."""
    near_misses_dir: str = ""
    """Directory of those recordings; "" is near-misses in $STATE_DIRECTORY, or in ~/.local/state/pivoice."""

    @property
    def called(self) -> tuple[str, ...]:
        """What the models are called, in scores and in `thresholds`, in their order."""
        models = dict.fromkeys(self.models)
        paths = {model for model in models if "/" in model or model.endswith(_MODEL_FILES)}
        names = [model for model in models if model not in paths]  # a bundled one has no other name
        called = []
        for model in models:
            short = model.rpartition("/")[2].rpartition(".")[0] if model in paths else ""
            if short and short not in names:
                names.append(short)
                called.append(short)
            else:
                called.append(model)
        return tuple(called)

    def threshold_of(self, called: str) -> float:
        """Return the score that counts as the wake word of one model."""
        return self.thresholds.get(called, self.threshold)


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
    onset_s: Seconds = 0.7
    """Seconds a reply stays ducked on the device's own suspicion, before the server has heard anything."""
    yield_s: Seconds = 2.5
    """Seconds a reply stays ducked while the user may be interrupting, without confirmation."""
    yield_short_s: Seconds = 1.0
    """The same, once the user has fallen silent again."""
    connect_s: Seconds = 12.0
    """Seconds to wait for the agent to be ready (its server gives up after 10)."""
    reconnect_s: Seconds = 25.0
    """Seconds to wait for a broken link to come back, keeping what is said (the server waits for 30)."""


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
