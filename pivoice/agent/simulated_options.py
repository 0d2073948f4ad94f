"""The switches of `pivoice simulate-agent`. Imports nothing heavy: every verb's `--help` passes by here.

A switch that is not given leaves no trace, so that `Plan`, whose fields they are named after, knows the
defaults. Its arguments are checked here: a server with a negative delay is nobody's intention.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

Add = Callable[..., Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the switches of `pivoice simulate-agent`."""
    parser.usage = "%(prog)s [SWITCHES]"
    parser.epilog = (
        "Prints its addresses, then serves until SIGTERM; SIGUSR1 breaks every connection. Mistakes of the "
        "client are told on stderr, and make the exit code 1."
    )
    for title, add_group in (
        ("addresses", _addresses),
        ("the conversation", _conversation),
        ("time", _time),
        ("the wire and its two generations", _wire),
        ("refusals", _refusals),
        ("broken links", _broken_links),
        ("misbehaviour", _misbehaviour),
        ("money and limits", _limits),
        ("records", _records),
    ):
        add_group(parser.add_argument_group(title).add_argument)


def _addresses(add: Add) -> None:
    add("--host", default="127.0.0.1", help="address to listen on (default: loopback)")
    add("--port", type=_port, default=0, help="port of the WebSocket; 0 picks one (default)")
    add(
        "--rest-port",
        type=_port,
        default=0,
        metavar="PORT",
        help="port of tokens and recordings; 0 picks one",
    )


def _conversation(add: Add) -> None:
    repeated = {"action": "append", "default": []}
    add("--reply", metavar="FILE.wav", help="what the agent says; repeatable", **repeated)
    add("--user-text", metavar="TEXT", help="what the user is taken to have said; repeatable", **repeated)
    add("--script", metavar="FILE.json", help="list of turns: text, wav, user_text, tool, drop_after_s, ...")
    add("--agents", metavar="FILE.json", help="stored agents: settings as in session.update, by agent_id")
    add("--http-tool", metavar="NAME", help="a tool that the server runs by itself; repeatable", **repeated)
    _flag(add, "--transcript-only", "tell interruptions by transcript.agent alone")
    _flag(add, "--early-reply", "reply.started before input.speech.stopped and transcript.user")
    _flag(add, "--no-agent-text", "never send transcript.agent")
    _flag(add, "--call-twice", "tell every tool.call twice")
    _value(add, "--unknown-status", str, "STATUS", 'what reply.done says instead of "completed"')


def _time(add: Add) -> None:
    _value(add, "--ready-delay", _seconds, "S", "until session.ready (0.4)", to="ready_delay_s")
    _value(add, "--hello", _seconds, "S", "the first message is waited for so long (10)", to="hello_s")
    _value(add, "--silence", _seconds, "S", "silence that ends the user's turn (0.9)", to="silence_s")
    _value(add, "--reply-delay", _seconds, "S", "from the turn's end to the reply (0.3)", to="reply_delay_s")
    _value(add, "--lead", _seconds, "S", "silence at the head of a reply (0.25)", to="lead_s")
    add(
        "--burst",
        nargs="?",
        type=_number,
        const=0.0,
        default=argparse.SUPPRESS,
        dest="speed",
        metavar="X",
        help="send replies X times real time; bare or 0: at once",
    )
    _value(
        add,
        "--interruption-delay",
        _seconds,
        "S",
        "speech that interrupts a reply (0.5)",
        to="interruption_delay_s",
    )
    _value(add, "--stale-seconds", _seconds, "S", "audio sent after an interruption (0)", to="stale_s")
    _value(add, "--tool-timeout", _seconds, "S", "a tool's answer is waited for (120)", to="tool_timeout_s")


def _wire(add: Add) -> None:
    _flag(add, "--old-wire", "speak as in April 2026: args, delta, no status, no reply_id on audio, ...")
    _flag(add, "--no-updated", "session.ready without session.updated")
    _flag(add, "--ready-first", "session.ready before session.updated")
    _flag(add, "--duplicates", "tell ends of replies, speech, the user's words and tool calls twice")
    _flag(add, "--odd-chunks", "cut audio in the middle of samples")
    _flag(add, "--garbage", "send nonsense between the messages")
    _value(add, "--oversized", _count, "BYTES", "one frame of that size in every reply", to="oversized_bytes")


def _refusals(add: Add) -> None:
    _value(add, "--key", str, "KEY", "the only key accepted (default: any)")
    _value(add, "--http-status", _status, "N", "refuse the upgrade with this status")
    _value(add, "--error", str, "CODE", "answer the first message with this error, and close")
    _value(add, "--error-times", _count, "N", "... only the first N times")
    _value(add, "--error-in-band", str, "CODE", "complain with this code in every reply, and go on")
    add(
        "--refuse-resume",
        nargs="?",
        choices=("close", "open"),
        const="close",
        default=argparse.SUPPRESS,
        help="refuse resumes; open: and leave the socket open",
    )
    _value(add, "--bad-key-status", _status, "N", "HTTP status for a wrong key (404, as measured)")
    _value(add, "--token-status", _status, "N", "refuse every token with this HTTP status")
    _flag(add, "--tokens-once", "a token opens one socket only")


def _broken_links(add: Add) -> None:
    _value(add, "--drop-after", _seconds, "S", "break off once, so far into a reply", to="drop_after_s")
    _value(
        add, "--silent-after", _seconds, "S", "the link dies so long after ready, unseen", to="silent_after_s"
    )
    _value(add, "--dead-link", _seconds, "S", "the server itself gives it up after (40)", to="dead_link_s")
    _value(add, "--stall", _seconds, "S", "read nothing for so long", to="stall_s")
    _value(add, "--stall-at", _seconds, "S", "... from so long after ready (0)", to="stall_at_s")
    _value(add, "--receive-buffer", _count, "BYTES", "what the kernel keeps then", to="receive_buffer_bytes")
    _value(add, "--error-live", str, "CODE", "complain with this code in a live session")
    _value(add, "--error-live-at", _seconds, "S", "... so long after ready (0)", to="error_live_at_s")
    _value(add, "--close-code", _close_code, "N", "close with this code (after --error-live, if given)")
    _value(add, "--close-at", _seconds, "S", "... so long after ready (0)", to="close_at_s")
    _flag(add, "--close-in-reply", "... or that far into a reply")
    _value(add, "--close-reason", str, "TEXT", "... and with this reason")
    _value(
        add,
        "--fault-times",
        _count,
        "N",
        "how often each of these happens, but for --drop-after (1; 0: always)",
    )


def _misbehaviour(add: Add) -> None:
    _flag(add, "--never-ready", "take the settings and say no more")
    _flag(add, "--deaf", "never notice speech")
    _value(add, "--deaf-sessions", _count, "N", "the first N sessions never notice speech")
    _flag(add, "--ignore-end", "obey session.end without session.ended", to="ignores_end")


def _limits(add: Add) -> None:
    _value(add, "--expires-in", _seconds, "S", "lifetime of a session, told and kept to", to="expires_in_s")
    _value(add, "--resume-window", _seconds, "S", "a lost session is kept so long (30)", to="resume_window_s")
    _value(add, "--max-rate", _number, "X", "take audio at X times real time, drop the rest")
    _value(add, "--pace-limit", _number, "X", "blame more than X times real time over 10 s (4; 0: never)")
    _value(add, "--sessions-per-key", _count, "N", "blame more sessions at once (1; 0: never)")


def _records(add: Add) -> None:
    add("--log", metavar="FILE.jsonl", help="write every event with its CLOCK_MONOTONIC time")
    add("--save-audio", metavar="DIR", help="write what each session received as DIR/SESSION.wav")
    _value(add, "--recording-delay", _seconds, "S", "from the end to a recording (7)", to="recording_delay_s")
    _value(add, "--delete-status", _status, "N", "answer every deletion with this HTTP status")
    _flag(add, "--json-results", "blame tool results that are not JSON text")


def _flag(add: Add, name: str, summary: str, *, to: str = "") -> None:
    dest = to or name.lstrip("-").replace("-", "_")
    add(name, action="store_true", default=argparse.SUPPRESS, dest=dest, help=summary)


def _value(
    add: Add, name: str, kind: Callable[[str], Any], metavar: str, summary: str, *, to: str = ""
) -> None:
    dest = to or name.lstrip("-").replace("-", "_")
    add(name, type=kind, default=argparse.SUPPRESS, dest=dest, metavar=metavar, help=summary)


# --- what an argument may be: argparse prints the sentence, with the switch before it ---


def _ranged(text: str, lowest: float, highest: float, *, whole: bool) -> float:
    what = "a whole number" if whole else "a number"
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None
    if not lowest <= value <= highest:  # refuses nan too
        above = f"from {lowest:g} to {highest:g}" if highest < _MANY else f"{lowest:g} or more"
        raise argparse.ArgumentTypeError(f"{text!r} is out of range; give {what}, {above}")
    return value


_MANY = 10**9


def _seconds(text: str) -> float:
    return _ranged(text, 0, _MANY, whole=False)


def _number(text: str) -> float:
    return _ranged(text, 0, _MANY, whole=False)


def _count(text: str) -> int:
    return int(_ranged(text, 0, _MANY, whole=True))


def _port(text: str) -> int:
    return int(_ranged(text, 0, 65_535, whole=True))


def _status(text: str) -> int:
    return int(_ranged(text, 100, 599, whole=True))


def _close_code(text: str) -> int:
    return int(_ranged(text, 1000, 4999, whole=True))
