"""What the configuration means to the parts that do not read it themselves.

Any thread; keeps nothing.
"""

from __future__ import annotations

from pivoice.config import Config
from pivoice.turn.machine import Deadlines
from pivoice.wake.detector import Detector, open_detector


def is_half_duplex(config: Config) -> bool:
    """Whether the microphone is to be deaf while the agent is audible."""
    return config.audio.echo in ("auto", "half_duplex")


def open_detectors(config: Config) -> tuple[Detector | None, Detector | None]:
    """Return what hears the wake word, and what hears it in our own voice; loading takes a second.

    Raises:
        ConfigError: a wake model is missing or is not one.
    """
    near = open_detector(config.wake)
    return near, open_detector(config.wake) if is_half_duplex(config) else None


def deadlines(config: Config) -> Deadlines:
    """Return how long the turn machine waits for what."""
    turn = config.turn
    return Deadlines(
        follow_up_s=turn.follow_up_s,
        no_speech_s=turn.no_speech_s,
        long_speech_s=turn.long_speech_s,
        no_reply_s=turn.no_reply_s,
        long_reply_s=turn.long_reply_s,
        yield_s=turn.yield_s,
        yield_short_s=turn.yield_short_s,
        connect_s=turn.connect_s,
        reconnect_s=turn.reconnect_s,
        tool_s=config.tools.timeout_s,
    )
