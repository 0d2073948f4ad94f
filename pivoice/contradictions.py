"""What settings may not be, though each for itself is right: addresses, pairs, what the server would refuse.

PURE. Never shows what may hold a key: addresses and paths are named, not quoted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pivoice.contradictions_panel import panel_contradictions
from pivoice.contradictions_tools import tool_contradictions
from pivoice.errors import Fault

if TYPE_CHECKING:
    from pivoice.config import AgentConfig, Config, WakeConfig

DEFAULT_MIN_SILENCE_MS = 1000  # the server's schema, for whichever of the two is unset
DEFAULT_MAX_SILENCE_MS = 3000
MAX_KEYTERMS = 100
MAY_HOLD_A_KEY = frozenset(("agent.api_key_file", "agent.url", "agent.token_url", "agent.rest_url"))
"""Where a key is pasted by mistake: what stands there is never shown as a fault."""
_KEY_PLACE = "a key goes into a file of its own, named by agent.api_key_file"


def contradictions(config: Config) -> Iterator[Fault]:
    """Yield what no single field can know."""
    yield from _addresses(config.agent)
    yield from _agent_contradictions(config.agent)
    yield from _wake_contradictions(config.wake)
    yield from panel_contradictions(config.panel)
    yield from tool_contradictions(config.tools)


def _addresses(agent: AgentConfig) -> Iterator[Fault]:
    """Yield the addresses that are none, and those that hold what may be a key.

    `token_url` alone may have a query: how else would its server know the device?
    """
    for name, url, scheme in (
        ("url", agent.url, "wss"),
        ("token_url", agent.token_url, "https"),
        ("rest_url", agent.rest_url, "https"),
    ):
        key = f"agent.{name}"
        if not url and name != "url":
            continue
        if not _is_address(url, scheme):
            yield Fault(key, f"what is there is not allowed; it must be {scheme}://HOST/PATH")
            continue
        parts = urlsplit(url)
        if "@" in parts.netloc:
            yield Fault(key, f"must not hold a user or a password before the @; {_KEY_PLACE}")
        if parts.fragment or (parts.query and name != "token_url"):
            yield Fault(key, f"must end with its path, without ? or #; {_KEY_PLACE}")


def _is_address(url: str, scheme: str) -> bool:
    try:
        parts = urlsplit(url)
        is_plain = url.isascii() and url.isprintable() and " " not in url
        is_named = bool(parts.hostname) and parts.port != 0
        return parts.scheme in (scheme, scheme.removesuffix("s")) and is_named and is_plain
    except ValueError:  # a bracket left open, a port beyond 65535
        return False


def _agent_contradictions(agent: AgentConfig) -> Iterator[Fault]:
    """Yield what the server would refuse, after which there is no session at all."""
    if len(agent.keyterms) > MAX_KEYTERMS:
        yield Fault("agent.keyterms", f"{len(agent.keyterms)} are too many; at most {MAX_KEYTERMS} are taken")
    if agent.api_key_file and not agent.api_key_file.startswith("/"):
        # not shown: it may well be the key itself
        yield Fault("agent.api_key_file", "must be the path, from /, of a file that holds the key")
    if agent.ledger_file and not agent.ledger_file.startswith("/"):
        yield Fault("agent.ledger_file", f"{agent.ledger_file!r} must be a path from /")
    low, high = agent.turn_detection.min_silence_ms, agent.turn_detection.max_silence_ms
    key = "agent.turn_detection.min_silence_ms"
    if low is not None and high is not None and low >= high:
        yield Fault(key, f"{low} must be less than max_silence_ms ({high})")
    elif low is not None and high is None and low >= DEFAULT_MAX_SILENCE_MS:
        yield Fault(
            key, f"{low} needs a greater max_silence_ms; the server's own is {DEFAULT_MAX_SILENCE_MS}"
        )
    elif high is not None and low is None and high <= DEFAULT_MIN_SILENCE_MS:
        key = "agent.turn_detection.max_silence_ms"
        yield Fault(
            key, f"{high} needs a smaller min_silence_ms; the server's own is {DEFAULT_MIN_SILENCE_MS}"
        )
    if agent.agent_id:
        for name in ("voice", "greeting"):
            if getattr(agent, name):
                yield Fault(
                    f"agent.{name}", f"the stored agent {agent.agent_id!r} has its own; remove this one"
                )
    if agent.delete_recordings and agent.token_url:
        yield Fault("agent.delete_recordings", "needs the API key on the device; remove token_url, or this")


def _wake_contradictions(wake: WakeConfig) -> Iterator[Fault]:
    if wake.near_misses_dir and not wake.near_misses_dir.startswith("/"):
        yield Fault("wake.near_misses_dir", f"{wake.near_misses_dir!r} must be a path from /")
    if wake.engine == "none":
        return
    if not wake.models:
        yield Fault("wake.models", '[] is empty; name a model, or set wake.engine = "none"')
        return
    for name in wake.thresholds:
        if name not in wake.called:
            near = difflib.get_close_matches(_bare(name), wake.called, 1) or wake.called[:1]
            meant = f"did you mean {near[0]}? " if near else ""
            problem = (
                f"{name!r} is not one of wake.models; {meant}There are {', '.join(wake.called) or 'none'}"
            )
            yield Fault("wake.thresholds", problem)


def _bare(name: str) -> str:
    """Return how a model's threshold is spelled, of what somebody may have written."""
    return name.rpartition("/")[2].removesuffix(".onnx").lower().replace(" ", "_").replace("-", "_")
