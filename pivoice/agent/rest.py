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
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from typing import cast
from urllib.parse import SplitResult, unquote, urlsplit

from pivoice.agent.obstacles import (
    explain_failure,
    explain_proxy_fault,
    explain_proxy_status,
    explain_stranger,
)

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
            reader, writer = await open_stream(url)
            try:
                return await _exchange(reader, writer, _head(method, url, bearer), method)
            finally:
                writer.transport.abort()  # everything was said; a goodbye would only be waited for
    except (OSError, ValueError) as error:
        raise explain_failure(error, url, setting=setting, timeout_s=TIMEOUT_S) from None
    except http.client.HTTPException:
        raise explain_stranger(url, setting=setting) from None


async def open_stream(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to a web address, through the environment's proxy if there is one.

    Raises:
        OSError, ValueError, AgentError: it cannot be; see `request`.
    """
    parts, tls = urlsplit(url), tls_for(url)
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError("not a web address")
    port = parts.port or (443 if tls else 80)
    if not (proxy := proxy_for(url)):
        return await asyncio.open_connection(parts.hostname, port, ssl=tls)
    return await _connect_through(proxy, parts.hostname, port, tls)


def tls_for(url: str) -> ssl.SSLContext | None:
    """Return what a connection to `url` is secured with; None for addresses without TLS."""
    return _tls() if urlsplit(url).scheme in ("wss", "https") else None


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # reads every root certificate: once is enough


def proxy_for(url: str) -> str:
    """Return the proxy that the environment names for `url`; "" for none, and for this very device."""
    parts = urlsplit(url)
    host, is_secure = parts.hostname or "", parts.scheme in ("wss", "https")
    if is_loopback(host) or urllib.request.proxy_bypass(f"{host}:{parts.port or (443 if is_secure else 80)}"):
        return ""
    named = urllib.request.getproxies()
    kinds = ("wss", "socks", "https", "all") if is_secure else ("ws", "socks", "https", "http", "all")
    return next((named[kind] for kind in kinds if named.get(kind)), "")


def is_loopback(host: str) -> bool:
    """Whether an address is this very device's."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _connect_through(
    proxy: str, host: str, port: int, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    via = urlsplit(proxy)
    if via.scheme != "http" or not via.hostname:
        raise explain_proxy_fault()
    try:
        reader, writer = await asyncio.open_connection(via.hostname, via.port or 80)
    except OSError as error:
        raise explain_failure(error, proxy, setting="https_proxy", timeout_s=TIMEOUT_S) from None
    try:
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *_proxy_pass(via)]
        writer.write("\r\n".join([*lines, "", ""]).encode("ascii"))
        answer = _parse(await reader.readuntil(b"\r\n\r\n"), "CONNECT", is_all=True)
        if answer is None or not 200 <= answer.status < 300:
            raise explain_proxy_status(answer.status if answer else 0, proxy)
        if tls is not None:
            await writer.start_tls(tls, server_hostname=host)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, http.client.HTTPException):
        writer.transport.abort()
        raise explain_stranger(proxy, setting="https_proxy") from None
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


def _proxy_pass(via: SplitResult) -> list[str]:
    if via.username is None:
        return []
    pair = f"{unquote(via.username)}:{unquote(via.password or '')}"
    return [f"Proxy-Authorization: Basic {b64encode(pair.encode()).decode()}"]


def _head(method: str, url: str, bearer: str) -> bytes:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {parts.netloc.rpartition('@')[2]}",
        "Accept: application/json",
        "Connection: close",
        *([f"Authorization: Bearer {bearer}"] if bearer else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, method: str
) -> Answer:
    writer.write(head)
    raw, answer = b"", None
    while answer is None and (more := await reader.read(8192)):
        raw += more
        answer = _parse(raw, method, is_all=len(raw) >= _MAX_ANSWER_BYTES)
    if answer is None:
        answer = _parse(raw, method, is_all=True)
    assert answer is not None, "all there is was parsed"
    return answer


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
