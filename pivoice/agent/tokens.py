"""Temporary tokens for devices that must not hold the key. Event loop only; keeps nothing.

A request by hand on asyncio's own streams, so that it can be cancelled and lives in simulated time;
the answer is parsed by `http.client`.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import socket
import ssl
from typing import cast
from urllib.parse import urlsplit

import msgspec

from pivoice.errors import AuthError, LinkError

TIMEOUT_S = 8.0
_MAX_ANSWER_BYTES = 64 * 1024


class _Answer(msgspec.Struct):
    token: str


async def fetch_token(url: str, *, ssl_context: ssl.SSLContext | None) -> str:
    """GET `url` and return the `token` of the JSON it answers.

    Raises:
        AuthError: the address refused us.
        LinkError: it did not answer, or not with a token.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            raw = await _get(url, ssl_context=ssl_context)
    except (OSError, ValueError) as error:
        reason = str(error) or f"no answer within {TIMEOUT_S:g} s"
        told = f"cannot get a token from {host}: {reason}"
        raise LinkError(told, advice="check agent.token_url") from error
    status, body = _parse(raw, host)
    if status in (401, 403):
        raise AuthError(f"{host} refused to give a token (HTTP {status})", advice="check agent.token_url")
    if status != 200:
        raise LinkError(f"{host} answered HTTP {status} instead of a token", advice="check agent.token_url")
    try:
        token = msgspec.json.decode(body, type=_Answer).token
    except msgspec.DecodeError:
        token = ""
    if not token:
        raise LinkError(f'{host} did not answer with {{"token": "..."}}', advice="check agent.token_url")
    return token


async def _get(url: str, *, ssl_context: ssl.SSLContext | None) -> bytes:
    parts = urlsplit(url)
    port = parts.port or (443 if ssl_context else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=ssl_context)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
        writer.write((head + "Accept: application/json\r\nConnection: close\r\n\r\n").encode("ascii"))
        raw = b""
        while len(raw) < _MAX_ANSWER_BYTES and (more := await reader.read(4096)):
            raw += more
        return raw
    finally:
        writer.close()


class _Received:
    """What `http.client` wants of a socket."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._raw)


def _parse(raw: bytes, host: str) -> tuple[int, bytes]:
    try:
        response = http.client.HTTPResponse(cast(socket.socket, _Received(raw)))
        response.begin()
        return response.status, response.read()
    except (http.client.HTTPException, ValueError) as error:
        raise LinkError(f"{host} did not answer as a web server", advice="check agent.token_url") from error
