"""`pivoice ctl`: the callers' side of the control socket, for people and for scripts.

A process of its own. Knows how the words behind a command are meant, and little more.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

from pivoice import caller, config
from pivoice.errors import ConfigError, PivoiceError

_CALL_S = 3700.0  # longer than any tool may take
_RELOAD_S = 60.0  # wake models load for a second or two on a Pi that has nothing else to do


def run(options: argparse.Namespace) -> int:
    """Send one command, print the answer, return the exit code."""
    socket = socket_of(config.find_path(options.config))
    if options.command == "watch":
        for event in caller.watch(socket):
            print(json.dumps(event), flush=True)
        return 0
    if options.command == "reload":
        answer = _reload(socket)
    else:
        request = _request(options.command, options.words)
        answer = caller.request(socket, request, **({"timeout_s": _CALL_S} if "tool" in request else {}))
    if "error" in answer:
        print(f"pivoice: {answer['error']}", file=sys.stderr)
        return 1
    if options.command == "call":
        print(answer["result"])  # as the agent gets it
        return 1 if answer["is_error"] else 0
    if options.command == "metrics":
        print(answer["text"], end="")  # the counters alone are in the answer as JSON, too
    else:
        print(json.dumps(answer, indent=2))
    return 0


def socket_of(path: str) -> str:
    """Return where the daemon listens, also while the file has mistakes elsewhere: it may be half edited,
    and that must keep nobody from stopping a conversation."""
    try:
        return config.load(path).control.socket
    except ConfigError:
        with contextlib.suppress(OSError, ValueError):
            control = tomllib.loads(Path(path).read_text(encoding="utf-8")).get("control")
            socket = control.get("socket") if isinstance(control, dict) else None
            if isinstance(socket, str) and socket:
                return socket
        return config.ControlConfig().socket


def _request(command: str, words: Sequence[str]) -> dict[str, object]:
    """Return what is sent for a command and the words behind it."""
    request: dict[str, object] = {"command": command}
    if command == "call":
        if not words:
            raise PivoiceError("call needs the name of a tool; pivoice ctl tools lists them")
        request |= {"tool": words[0], "arguments": _arguments(" ".join(words[1:]))}
    elif command in _DEEDS and words:
        deed, *rest = words
        if deed != _DEEDS[command] or not rest:
            raise PivoiceError(
                f"{command} takes nothing, or {_DEEDS[command]} and what; got {' '.join(words)!r}"
            )
        request[deed] = " ".join(rest)
    elif command in ("volume", "gain"):
        request |= {"value": " ".join(words)} if words else {}
    elif command == "set":
        if len(words) < 2:
            raise PivoiceError("set needs a setting and its value; try: pivoice ctl set agent.volume 60")
        request |= {"setting": words[0], "value": _value_of(" ".join(words[1:]))}
    elif words:
        request["text"] = " ".join(words)
    return request


_DEEDS = {"timers": "cancel", "notes": "forget"}


def _arguments(text: str) -> object:
    """Return the arguments of a tool, given as JSON."""
    try:
        arguments = json.loads(text or "{}")
    except ValueError as error:
        raise PivoiceError(
            f"{text!r} is not JSON ({error}); quote it whole: pivoice ctl call get_time '{{}}'"
        ) from error
    if not isinstance(arguments, dict):
        raise PivoiceError(f"{text!r} is JSON, but no object; write its arguments as '{{\"name\": value}}'")
    return arguments


def _value_of(text: str) -> object:
    """Return the value that `text` stands for: TOML's, or else the text itself."""
    try:
        (value,) = tomllib.loads(f"value = {text}").values()
    except ValueError:  # bare words, or more than one line
        return text
    return value if isinstance(value, bool | int | float | list | str) else text  # dates are not ours


def _reload(socket: str) -> dict[str, object]:
    """Have the daemon reload, and wait until it is there again."""
    try:
        watching = caller.watch(socket)
        next(watching)
        answer = caller.request(socket, {"command": "reload"}, timeout_s=_RELOAD_S)
    except PivoiceError as error:
        raise PivoiceError(
            f"{error}\nif control.socket itself was changed: systemctl kill --signal=HUP pivoice"
        ) from error
    if "error" in answer or "waits" in answer:
        return answer
    for _ in watching:
        pass  # until the daemon as it was has hung up
    return {"reloaded": answer["reloading"], **_when_there(answer["socket"])}


def _when_there(socket: str) -> dict[str, object]:
    """Return the status of the daemon that is about to listen at `socket`."""
    until_s = time.monotonic() + _RELOAD_S
    while True:
        try:
            return {"status": caller.request(socket, {"command": "status"})["status"]}
        except PivoiceError:
            if time.monotonic() > until_s:
                raise
        select.select([], [], [], 0.05)
