"""The control socket, the callers' side: blocking, plain sockets. For `pivoice ctl` and whoever else asks.

A process of its own; no event loop, and nothing of the daemon is imported.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from pivoice.errors import PivoiceError

Line = dict[str, Any]

_NOT_RUNNING = "is pivoice running? (systemctl status pivoice)"


def request(path: str, message: Mapping[str, object], timeout_s: float = 5.0) -> Line:
    """Send one request to the daemon that listens at `path`; return its answer, which may be {"error": ...}.

    Raises:
        PivoiceError: nobody listens there, or no answer came in `timeout_s`.
    """
    with _connected(path, timeout_s) as connection:
        try:
            connection.sendall(json.dumps(message).encode() + b"\n")
            for answer in _lines(connection):
                return answer
        except TimeoutError:
            raise PivoiceError(
                f"pivoice did not answer within {timeout_s:g} s; see journalctl -u pivoice"
            ) from None
        except ConnectionError as error:
            raise PivoiceError(f"pivoice hung up ({error.strerror}); see journalctl -u pivoice") from error
    raise PivoiceError("pivoice hung up without an answer; see journalctl -u pivoice")


def watch(path: str, *, silence_s: float | None = None) -> Iterator[Line]:
    """Yield every event of the daemon that listens at `path`, from {"event": "watching"} until it stops.

    Raises:
        PivoiceError: nobody listens there. TimeoutError: no event came for `silence_s`.
    """
    with _connected(path, silence_s) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b'{"command": "watch"}\n')
        yield from _lines(connection)


def _connected(path: str, timeout_s: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(path)
    except (OSError, ValueError) as error:
        connection.close()
        if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
            raise PivoiceError(f"nobody listens at {path}; {_NOT_RUNNING}") from error
        if isinstance(error, PermissionError):
            raise PivoiceError(
                f"no permission for {path}; use sudo, or join its group (ls -l {path})"
            ) from error
        raise PivoiceError(f"cannot connect to {path}: {error}; {_NOT_RUNNING}") from error
    return connection


def _lines(connection: socket.socket) -> Iterator[Line]:
    """Yield the objects that come in, one per line, until the other side hangs up.

    Raises:
        PivoiceError: what listens there does not speak pivoice.
    """
    rest = b""
    while chunk := connection.recv(65536):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            try:
                yield dict(json.loads(line))
            except (ValueError, TypeError):
                raise PivoiceError(
                    f"not pivoice's answer: {quoted(line)}; is another program at this path?"
                ) from None


def quoted(text: str | bytes) -> str:
    """Quote the beginning of what a caller sent."""
    shown = (text.decode("utf-8", "replace") if isinstance(text, bytes) else text).strip()
    return repr(shown if len(shown) <= 40 else shown[:40] + "...")
