"""The simulated server's other interface: plain HTTP/1.1, for tokens and for the recordings of sessions.

    GET    /v1/token?expires_in_seconds=N    a token that opens a socket, as ?token=
    GET    /v1/sessions/ID                   what is known of a session that is over
    DELETE /v1/sessions/ID                   404 until its recording exists, then 204

Event loop only, one request per connection. Whoever asks must bring the key, as `Authorization: Bearer`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pivoice.agent.simulated_plan import Plan

_MAX_HEAD_BYTES = 16_384
_REQUEST_S = 10.0
_TOKEN_S = range(1, 601)
_SESSION_S = range(60, 10_801)
_KEPT_TOKENS = 1000

Body = dict[str, Any] | None
Tell = Callable[[str, dict[str, Any]], None]


@dataclass
class Record:
    """What is kept of a session that is over. Times are the loop's."""

    began_s: float
    ended_s: float
    is_deleted: bool = False


@dataclass
class _Token:
    key: str
    expires_s: float
    is_used: bool = False


@dataclass
class Rest:
    """The interface. `records` is filled by the server of the sockets; `deleted` lists ids, in order."""

    plan: Callable[[], Plan]
    tell: Tell
    records: dict[str, Record] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    url: str = ""
    _tokens: dict[str, _Token] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _server: asyncio.Server | None = None

    async def start(self, port: int, host: str) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_MAX_HEAD_BYTES)
        port = int(self._server.sockets[0].getsockname()[1])
        self.url = f"http://{host}:{port}"
        return port

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def redeem(self, token: str) -> str | None:
        """Return the key that a token was made for; None when it opens nothing (any more)."""
        known = self._tokens.get(token)
        if known is None or asyncio.get_running_loop().time() >= known.expires_s:
            return None
        if known.is_used and self.plan().tokens_once:
            return None
        known.is_used = True
        return known.key

    # --- one request ---

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                status, body = self._answer(head.decode("latin-1"))
                writer.write(_response(status, body))
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def _answer(self, head: str) -> tuple[int, Body]:
        request, *lines = head.split("\r\n")
        method, _, rest = request.partition(" ")
        parts = urlsplit(rest.partition(" ")[0])
        headers = {name.strip().lower(): text.strip() for name, _, text in (x.partition(":") for x in lines)}
        key = headers.get("authorization", "").removeprefix("Bearer ")
        status, body = self._routed(method, parts.path, parts.query, key)
        self.tell("rest", {"session": "", "type": f"{method} {parts.path}", "status": status})
        return status, body

    def _routed(self, method: str, path: str, query: str, key: str) -> tuple[int, Body]:
        plan = self.plan()
        is_right = key == plan.key if plan.key else bool(key)
        if path.strip("/") not in ("v1/token", f"v1/sessions/{path.rpartition('/')[2]}"):
            return 404, {"detail": "Not Found"}
        if not is_right:
            return plan.bad_key_status, {"detail": "Invalid API key"}
        if path.strip("/") == "v1/token":
            return self._token(query, key) if method == "GET" else (405, {"detail": "Method Not Allowed"})
        session_id = path.rpartition("/")[2]
        if method == "DELETE":
            return self._delete(session_id)
        return self._tell_of(session_id) if method == "GET" else (405, {"detail": "Method Not Allowed"})

    def _token(self, query: str, key: str) -> tuple[int, Body]:
        if status := self.plan().token_status:
            return status, {"detail": "as ordered"}
        asked = parse_qs(query)
        lifetime_s = _whole(asked.get("expires_in_seconds", [""])[0])
        longest_s = _whole(asked.get("max_session_duration_seconds", ["10800"])[0])
        if lifetime_s not in _TOKEN_S or longest_s not in _SESSION_S:  # the latter has no effect (measured)
            return 422, {"detail": "expires_in_seconds is required, 1 to 600"}
        token = f"simulated-token-{next(self._numbers):06d}"
        self._tokens[token] = _Token(key, asyncio.get_running_loop().time() + (lifetime_s or 0))
        if len(self._tokens) > _KEPT_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        return 200, {"token": token, "expires_in_seconds": lifetime_s}

    def _found(self, session_id: str) -> Record | None:
        record = self.records.get(session_id)
        if record is None or record.is_deleted:
            return None
        age_s = asyncio.get_running_loop().time() - record.ended_s
        return record if age_s >= self.plan().recording_delay_s else None

    def _delete(self, session_id: str) -> tuple[int, Body]:
        if status := self.plan().delete_status:
            return status, {"detail": "as ordered"}
        record = self._found(session_id)
        if record is None:
            return 404, {"detail": "Session not found"}
        record.is_deleted = True
        self.deleted.append(session_id)
        return 204, None

    def _tell_of(self, session_id: str) -> tuple[int, Body]:
        record = self._found(session_id)
        if record is None:
            return 404, {"detail": "Session not found"}
        duration_s = round(record.ended_s - record.began_s, 3)
        return 200, {
            "id": session_id,
            "status": "completed",
            "session_duration_seconds": duration_s,
            "artifacts": ["audio", "timeline", "metadata"],
        }


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def phrase_of(status: int) -> str:
    """Return the words that go with an HTTP status, also with one that nobody defined."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "As Ordered"


def _response(status: int, body: Body) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} {phrase_of(status)}\r\nConnection: close\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return (head + "\r\n").encode("ascii") + content
