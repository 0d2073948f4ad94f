"""What the configuration means to the parts that do not read it themselves.

Any thread; keeps nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from pivoice.audio import stage
from pivoice.audio.cards import Card, cancels_itself, card_of
from pivoice.audio.wake_ear import Listening
from pivoice.config import AudioConfig, Config
from pivoice.turn.machine import Deadlines
from pivoice.wake.detector import Detector, open_detector
from pivoice.wake.gate import EnergyGate
from pivoice.wake.near_misses import NearMisses, open_clip_store
from pivoice.wake.policy import policy_of

CANCELLER = "webrtc"
_IS_32_BIT = sys.maxsize < 2**32


@dataclass(frozen=True)
class EchoChoice:
    """How the device does not hear itself, and why so."""

    mode: str
    """"webrtc", "half_duplex" or "none"."""
    reason: str
    """Half a sentence, for the log and for `ctl status`."""
    is_fallback: bool = False
    """Not what was asked for: the reason says what to do about it."""


def choose_echo(config: Config) -> EchoChoice:
    """Return what `audio.echo` comes to on this machine, now; never a refusal.

    Loads the canceller's library where it may be the answer, and only there.
    """
    asked = config.audio.echo
    if asked in ("half_duplex", "none"):
        return EchoChoice(asked, f'audio.echo = "{asked}"')
    if asked == "auto" and (card := _cancelling_card(config.audio)):
        return EchoChoice("none", f"{card.name} cancels its own echo")
    if CANCELLER not in stage.STAGES:  # was taken out on purpose: no warning to who did not ask for it
        return EchoChoice("half_duplex", "this pivoice has no echo canceller", is_fallback=asked == CANCELLER)
    if lack := stage.missing(CANCELLER):
        do = (
            '32-bit systems have none; set audio.echo = "half_duplex" and this is no warning'
            if _IS_32_BIT
            else "run: pip install 'pivoice[echo]', in pivoice's own environment"
        )
        return EchoChoice("half_duplex", f"no echo canceller can be had ({lack}); {do}", is_fallback=True)
    if asked == CANCELLER:
        return EchoChoice(CANCELLER, f'audio.echo = "{CANCELLER}"')
    return EchoChoice(CANCELLER, "no card that is known to cancel its own echo")


def _cancelling_card(audio: AudioConfig) -> Card | None:
    """Return the card that takes out of the microphone what we play: it can only if both are its own."""
    card = card_of(audio.capture)
    if card and card == card_of(audio.playback) and cancels_itself(card, audio.channel):
        return card
    return None


def open_listening(
    config: Config, environ: Mapping[str, str], *, detectors: tuple[Detector, Detector] | None = None
) -> Listening:
    """Return all that hears the wake word, its models loaded, with nothing heard yet.

    `detectors`: instead of the configured engine, one for the microphone and one for our own voice.

    Raises:
        ConfigError: a wake model is missing or is not one.
    """
    near, far = detectors or _open_detectors(config)
    if near is None:
        return Listening()
    policy = policy_of(config.wake)
    clips = open_clip_store(config.wake, environ)
    return Listening(
        detector=near,
        far_detector=far,
        policy=policy,
        open_gate=EnergyGate,
        near_misses=NearMisses(policy.threshold_of, refractory_s=config.wake.refractory_s) if clips else None,
        keep=clips.keep if clips else None,
    )


def _open_detectors(config: Config) -> tuple[Detector | None, Detector | None]:
    near = open_detector(config.wake)
    return near, near.twin() if near and choose_echo(config).mode != "none" else None


def deadlines(config: Config) -> Deadlines:
    """Return how long the turn machine waits for what."""
    turn = config.turn
    return Deadlines(
        follow_up_s=turn.follow_up_s,
        no_speech_s=turn.no_speech_s,
        long_speech_s=turn.long_speech_s,
        no_reply_s=turn.no_reply_s,
        long_reply_s=turn.long_reply_s,
        onset_s=turn.onset_s,
        yield_s=turn.yield_s,
        yield_short_s=turn.yield_short_s,
        connect_s=turn.connect_s,
        reconnect_s=turn.reconnect_s,
        tool_s=config.tools.timeout_s,
    )
