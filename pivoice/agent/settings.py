"""What a session is made with, and what of it can change while it lives: from our settings to the wire's.

PURE. Unset stays unset: whatever is not configured is not sent, and the server's own default holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from pivoice.agent import wire
from pivoice.config import AgentConfig

MUTABLE = frozenset(
    {
        "system_prompt",
        "volume",
        "keyterms",
        "language_codes",
        "transcription_mode",
        "transcription_prompt",
        "voice_focus",
        "voice_focus_threshold",
        "turn_detection.vad_threshold",
        "turn_detection.min_silence_ms",
        "turn_detection.max_silence_ms",
        "turn_detection.interrupt_response",
        "turn_detection.interruption_delay_ms",
    }
)
"""Settings of [agent] that a live session takes; the greeting and the voice are not among them."""

_DEFAULTS = AgentConfig()


def opening(
    config: AgentConfig, *, voice: str, context: str, tools: Sequence[wire.Function]
) -> wire.Settings:
    """Return the first update of a fresh session. `context` is appended to the prompt.

    A stored agent is named alone: the server refuses anything beside it. See `second`.
    """
    if config.agent_id:
        return wire.Settings(agent_id=config.agent_id)
    greeting = "" if context else config.greeting  # a conversation that goes on is not greeted
    return wire.Settings(
        input=_input(config, format=wire.Format()),
        output=wire.Output(format=wire.Format(), voice=voice or None, volume=config.volume),
        system_prompt=config.system_prompt + context or None,
        greeting=greeting or None,
        tools=tuple(tools) or None,
    )


def mutable_part(told: wire.Settings) -> wire.Settings:
    """Return what of a first update a session takes that is there already."""
    heard, said = told.input or wire.Input(), told.output or wire.Output()
    return wire.Settings(
        input=None if (rest := replace(heard, format=None)) == wire.Input() else rest,
        output=None if said.volume is None else wire.Output(volume=said.volume),
        system_prompt=told.system_prompt,
        tools=told.tools,
    )


def second(config: AgentConfig, *, stored_prompt: str | None, context: str) -> wire.Settings:
    """Return what a stored agent's session is told once it is ready; empty when that is nothing.

    `stored_prompt`: the agent's own, None when the server did not tell it. Then the context is not
    told either, unless there is a prompt of ours to append it to: it would replace the agent's.
    """
    own = config.system_prompt if config.system_prompt != _DEFAULTS.system_prompt else stored_prompt
    is_ours = own is not None and own != stored_prompt
    prompt = own + context if own is not None and (context or is_ours) else None
    return wire.Settings(input=_input(config), output=_output(config), system_prompt=prompt)


def change(
    config: AgentConfig,
    names: Sequence[str],
    *,
    context: str,
    tools: Sequence[wire.Function] | None = None,
) -> wire.Settings:
    """Return the update that puts the settings `names` (of `MUTABLE`) of a live session to `config`'s.

    `tools`: what the agent knows from now on, and no others; None leaves them as they are.

    A list emptied, or a text, is sent empty; what became unset is not sent, and holds until the next session.
    """
    assert MUTABLE.issuperset(names), f"not mutable: {set(names) - MUTABLE}"
    chosen: dict[str, Any] = {name: getattr(config, name) for name in names if hasattr(config, name)}
    if tools is not None:  # the prompt goes with them, by the vendor's advice: it may speak of them
        chosen["system_prompt"] = config.system_prompt
    prompt, volume = chosen.pop("system_prompt", None), chosen.pop("volume", None)
    detection = _detection(config) if any(name.startswith("turn_detection.") for name in names) else None
    heard = wire.Input(**chosen, turn_detection=detection)
    return wire.Settings(
        input=None if heard == wire.Input() else heard,
        output=None if volume is None else wire.Output(volume=volume),
        system_prompt=None if prompt is None else prompt + context,
        tools=tools,
    )


def _input(config: AgentConfig, *, format: wire.Format | None = None) -> wire.Input | None:
    told = wire.Input(
        format=format,
        keyterms=config.keyterms or None,
        language_codes=config.language_codes or None,
        transcription_mode=config.transcription_mode,
        transcription_prompt=config.transcription_prompt or None,
        voice_focus=config.voice_focus,
        voice_focus_threshold=config.voice_focus_threshold,
        turn_detection=_detection(config),
    )
    return None if told == wire.Input() else told


def _output(config: AgentConfig) -> wire.Output | None:
    return None if config.volume is None else wire.Output(volume=config.volume)


def _detection(config: AgentConfig) -> wire.TurnDetection | None:
    ours = config.turn_detection
    told = wire.TurnDetection(
        vad_threshold=ours.vad_threshold,
        min_silence=ours.min_silence_ms,
        max_silence=ours.max_silence_ms,
        interrupt_response=ours.interrupt_response,
        interruption_delay=ours.interruption_delay_ms,
    )
    return None if told == wire.TurnDetection() else told
