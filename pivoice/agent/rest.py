"""One HTTP request, by hand on asyncio's own streams: it can be cancelled, and lives in simulated time.

Event loop only; keeps no connection. The answer is parsed by `http.client`. Redirects are not followed:
whoever answers with one is not the server we mean. What is sent is shown to nobody.
"""

from __future__ import annotations

import asyncio
import functools
import http.client
import io
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from pivoice.agent.obstacles import explain_failure, explain_stranger

TIMEOUT_S = 8.0
_MAX_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """What a server said. `body` is cut at some 64 kB."""

    status: int
    body: bytes
    location: str = ""
    """Where it wants to send us."""


async def request(method: str, url: str, *, bearer: str = "", setting: str = "agent.rest_url") -> Answer:
    """Send a request without a body and return the answer, whatever its status.

    `bearer` goes into the Authorization header. `setting` is where `url` was configured, for the advice.

    Raises:
        LinkError: the server cannot be reached, or did not answer within `TIMEOUT_S`.
        AgentError: the address can never work.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _exchange(method, url, bearer)
    except (OSError, ValueError) as error:
        raise explain_failure(error, url, setting=setting, timeout_s=TIMEOUT_S) from None
    except http.client.HTTPException:
        raise explain_stranger(url, setting=setting) from None


def tls_for(url: str) -> ssl.SSLContext | None:
    """Return what a connection to `url` is secured with; None for addresses without TLS."""
    return _tls() if urlsplit(url).scheme in ("wss", "https") else None


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # reads every root certificate: once is enough


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _exchange(method: str, url: str, bearer: str) -> Answer:
    parts, tls = urlsplit(url), tls_for(url)
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError("not a web address")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {parts.netloc.rpartition('@')[2]}",
        "Accept: application/json",
        "Connection: close",
        *([f"Authorization: Bearer {bearer}"] if bearer else []),
    ]
    head = "\r\n".join([*lines, "", ""]).encode("ascii")
    port = parts.port or (443 if tls else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls)
    try:
        writer.write(head)
        raw, answer = b"", None
        while answer is None and (more := await reader.read(8192)):
            raw += more
            answer = _parse(raw, method, is_all=len(raw) >= _MAX_ANSWER_BYTES)
        return answer or _parse(raw, method, is_all=True) or Answer(0, b"")
    finally:
        writer.transport.abort()  # everything was said; a goodbye would only be waited for


class _Received:
    """What `http.client` wants of a socket."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._raw)


def _parse(raw: bytes, method: str, *, is_all: bool) -> Answer | None:
    """Return the answer in `raw`; None while more is to come.

    Raises:
        http.client.HTTPException: it is none.
    """
    if not is_all and b"\r\n\r\n" not in raw:
        return None
    response = http.client.HTTPResponse(cast(socket.socket, _Received(raw)), method=method)
    response.begin()
    is_open_ended = response.length is None and not response.chunked
    try:
        body = response.read()
    except http.client.IncompleteRead as cut:
        if not is_all:
            return None
        body = cut.partial
    if is_open_ended and not is_all:
        return None
    return Answer(response.status, body, response.getheader("Location") or "")
