"""The simulated agent's server: sockets, sessions and who may open them, on the agent's wire.

Event loop only; time is the loop's, so it also lives in simulated time. It checks its client:
whatever breaks a rule of the protocol is listed in `violations`. Never reachable beyond loopback
unless told so.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import socket
import time
from collections import Counter, deque
from contextlib import suppress
from typing import IO
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from pivoice.agent.simulated_dialect import spelled
from pivoice.agent.simulated_link import Link
from pivoice.agent.simulated_plan import Plan, Turn
from pivoice.agent.simulated_rest import Record, Rest, phrase_of
from pivoice.agent.simulated_session import Ground, Message, SimulatedSession
from pivoice.agent.simulated_settings import Refusal, find_refusal, undeclared

_KEPT_SESSIONS = 200  # a simulated day has many; what they received is only kept for the last ones
_KEPT_EVENTS = 100_000
_CLOSING = {"internal_error": 1011, "server_error": 1011}
_LATE_S = 2.0  # after session.ended the client closes
_GOING_AWAY = 1001  # a client that closes with it means to come back
_library_logger = logging.getLogger(__name__ + ".websockets")
_library_logger.setLevel(logging.CRITICAL)  # broken connections are our trade


class SimulatedAgent:
    """The server. `plan` may be changed while it runs."""

    def __init__(self, plan: Plan, *, log: IO[str] | None = None, complain: IO[str] | None = None) -> None:
        self.plan = plan
        self.sessions: dict[str, SimulatedSession] = {}
        self.violations: list[str] = []
        self.events: deque[Message] = deque(maxlen=_KEPT_EVENTS)
        """Everything sent and received, audio by its size; "t" is the loop's time (CLOCK_MONOTONIC)."""
        self.connections = 0
        """Sockets opened so far."""
        self.most_open = 0
        """The most sessions that were connected at once."""
        self.bare_closes = 0
        """Sockets closed without `session.end`, and not to come back either: 30 s billed for nothing."""
        self.url = ""
        self.rest = Rest(lambda: self.plan, self._tell)
        self._log = log
        self._complain = complain
        self.session_count = 0
        """Sessions begun so far; `sessions` only keeps the last ones."""
        self._turns = itertools.cycle(range(len(plan.turns)))
        self._errors_told = 0
        self._fault_counts: Counter[str] = Counter()
        self._links: set[Link] = set()
        self._billed_s = 0.0
        self._epoch_s = 0.0
        self._server: Server | None = None
        self._lapses: set[asyncio.TimerHandle] = set()

    async def start(self, port: int = 0, host: str = "127.0.0.1", *, rest_port: int = 0) -> int:
        """Listen for sockets on `port` and for `rest_url` on another; return the first."""
        self._epoch_s = time.time() - asyncio.get_running_loop().time()
        self._server = await serve(
            self._serve,
            host,
            port,
            process_request=self._admit,
            compression=None,
            max_size=2**24,
            close_timeout=1,
            logger=_library_logger,
        )
        for listener in self._server.sockets:
            if self.plan.receive_buffer_bytes:  # what it accepts inherits this
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.plan.receive_buffer_bytes)
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://{host}:{port}/v1/ws"
        await self.rest.start(rest_port, host)
        return int(port)

    async def stop(self) -> None:
        """Close every socket and forget what lingers."""
        for session in self.sessions.values():
            session.end()
        for lapse in self._lapses:
            lapse.cancel()
        for link in self._links:
            if link.is_silent:
                link.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        await self.rest.stop()

    def drop(self) -> None:
        """Break every connection without a word."""
        for session in self.sessions.values():
            session.drop()

    def go_silent(self) -> None:
        """Let every connection go dead, and its socket stay up."""
        for link in self._links:
            link.go_silent()

    @property
    def rest_url(self) -> str:
        """Address of the other interface: tokens, recordings."""
        return self.rest.url

    @property
    def deleted(self) -> list[str]:
        """The sessions whose recordings were deleted."""
        return self.rest.deleted

    @property
    def open_sockets(self) -> int:
        """Sockets whose client still holds its end."""
        return sum(link.is_held for link in self._links)

    @property
    def session(self) -> SimulatedSession:
        """The newest session."""
        return list(self.sessions.values())[-1]

    @property
    def open_sessions(self) -> list[SimulatedSession]:
        """What is billed now: connected, or waiting to be resumed."""
        return [session for session in self.sessions.values() if not session.is_over]

    def billed_s(self, now_s: float | None = None) -> float:
        """Return the seconds paid for: connected, lingering, or on a socket left open after a refusal."""
        now_s = asyncio.get_running_loop().time() if now_s is None else now_s
        return self._billed_s + sum(session.billed_s(now_s) for session in self.open_sessions)

    def kinds(self, sender: str = "server") -> list[str]:
        """Return the types of all events of one side, in order, those of audio left out."""
        audio = ("reply.audio", "input.audio")
        return [each["type"] for each in self.events if each["from"] == sender and each["type"] not in audio]

    # --- a socket's life ---

    def _admit(self, _: ServerConnection, __: Request) -> Response | None:
        if self.plan.http_status:
            headers = Headers({"Connection": "close", "Content-Length": "0"})
            return Response(self.plan.http_status, phrase_of(self.plan.http_status), headers, b"")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        key = self._key_of(connection)
        link = Link(connection, credential=key or "")
        self._links.add(link)
        session: SimulatedSession | None = None
        try:
            if key is None:
                await self._refuse(link, Refusal("unauthorized", "Invalid API key"))
                return
            session = await self._greet(link)
            if session is not None:
                await self._listen(link, session)
        except ConnectionClosed:
            pass
        finally:
            self._links.discard(link)
            if session is not None:
                self._leave(link, session)

    def _key_of(self, connection: ServerConnection) -> str | None:
        """Return the key that a client came with, or had its token made with; None when it opens nothing."""
        assert connection.request is not None, "the handshake is over"
        header = connection.request.headers.get("Authorization", "").removeprefix("Bearer ")
        token = parse_qs(urlsplit(connection.request.path).query).get("token", [""])[0]
        key = header or self.rest.redeem(token)
        if key is None and token.startswith("simulated-token-"):
            return None  # one of ours, used up
        key = key or token
        return key if self.plan.key in ("", key) else None

    async def _greet(self, link: Link) -> SimulatedSession | None:
        """Take the first message; None when there will be no session on this socket."""
        try:
            async with asyncio.timeout(self.plan.hello_s):
                message = await self._receive(link, "")
        except TimeoutError:
            self._violate("", f"no first message within {self.plan.hello_s:g} s")
            await self._refuse(link, Refusal("agent_timeout", "no first message"))
            return None
        kind, update = message.get("type"), message.get("session", {})
        if self.plan.error and (not self.plan.error_times or self._errors_told < self.plan.error_times):
            self._errors_told += 1
            await self._refuse(link, Refusal(self.plan.error, "as ordered"))
        elif kind == "session.resume":
            return await self._resume(link, str(message.get("session_id")))
        elif kind != "session.update" or not isinstance(update, dict):
            self._violate("", f"{kind!r} before session.update or session.resume")
            await self._refuse(link, Refusal("invalid_format", "expected session.update or session.resume"))
        elif (refusal := self._find_refusal(update)) is not None:
            if refusal.is_blame:
                self._violate("", refusal.message)
            await self._refuse(link, refusal)
        else:
            return await self._begin(link, message)
        return None

    def _find_refusal(self, update: Message) -> Refusal | None:
        refusal = find_refusal(update, voices=self.plan.voices)
        if refusal is None and update.get("agent_id", "") not in ("", *self.plan.stored_agents):
            return Refusal("agent_not_found", "no such agent", "session.agent_id")
        return refusal

    async def _begin(self, link: Link, message: Message) -> SimulatedSession:
        ground = Ground(
            plan=self.plan,
            take_turn=self._take_turn,
            tell=self._tell,
            wall_s=self._wall_s,
            fault_counts=self._fault_counts,
            retired=self._retire,
        )
        self.session_count += 1
        session = SimulatedSession(self.session_count, ground=ground)
        self.sessions[session.id] = session
        while len(self.sessions) > _KEPT_SESSIONS:
            del self.sessions[next(iter(self.sessions))]
        update = message.get("session", {})
        if "session" not in message:
            session.violate("session.update lacks 'session'")
        elif "agent_id" not in update:
            for side in undeclared(update):
                session.violate(f"{side}.format is not declared as 24000 Hz")
        await session.begin(link, update)
        self._count_connected(session)
        return session

    def _wall_s(self) -> float:
        return self._epoch_s + asyncio.get_running_loop().time()

    def _take_turn(self) -> Turn:
        return self.plan.turns[next(self._turns) % len(self.plan.turns)]

    def _retire(self, session: SimulatedSession) -> None:
        assert session.ended_s is not None, "it is over"
        self.rest.records[session.id] = Record(session.began_s, session.ended_s)
        self._billed_s += session.billed_s(session.ended_s)

    def _count_connected(self, new: SimulatedSession) -> None:
        """A session found its socket: is it the only one of its client?"""
        links = [each.link for each in self.open_sessions if each.link is not None and each.link.is_held]
        self.most_open = max(self.most_open, len(links))
        assert new.link is not None, "it has just begun"
        credential, allowed = new.link.credential, self.plan.sessions_per_key
        of_one_key = sum(link.credential == credential and not link.is_silent for link in links)
        if credential and allowed and of_one_key > allowed:
            new.violate(f"{of_one_key} sessions of one key are connected at once")

    async def _resume(self, link: Link, session_id: str) -> SimulatedSession | None:
        session = self.sessions.get(session_id)
        if session is None or session.is_over or self.plan.refuse_resume:
            code = "session_expired" if session is not None and session.has_expired else "session_not_found"
            refusal = Refusal(code, "no such session")
            if self.plan.refuse_resume == "open":
                await self._leave_open(link, refusal, session_id)
            else:
                await self._refuse(link, refusal)
            return None
        await session.resume(link)
        self._count_connected(session)
        return session

    async def _leave_open(self, link: Link, refusal: Refusal, session_id: str) -> None:
        """Refuse, and wait until the client has had enough: a socket is billed that nobody hears."""
        began_s = asyncio.get_running_loop().time()
        await self._send(link, "session.error", **refusal.fields(), session_id=session_id)
        try:
            while True:
                message = await self._receive(link, "")
                if message.get("type") != "session.end":
                    self._violate("", f"{message.get('type')} after a refused resume")
        finally:
            self._billed_s += asyncio.get_running_loop().time() - began_s

    async def _listen(self, link: Link, session: SimulatedSession) -> None:
        while True:
            message = await self._receive(link, session.id)
            if message.get("type") != "session.end":
                if not message.get("is_unreadable"):
                    await session.hear(message)
                continue
            duration_s = asyncio.get_running_loop().time() - session.began_s
            session.end()
            if not self.plan.ignores_end:
                await session.send(
                    "session.ended",
                    session_duration_seconds=round(duration_s, 3),
                    audio_duration_seconds=None,
                )
            with suppress(TimeoutError):
                async with asyncio.timeout(None if self.plan.ignores_end else _LATE_S):
                    while True:  # the client closes; until then everything it says is too late
                        late = await self._receive(link, session.id)
                        session.violate(f"{late.get('type')} after the end")

    def _leave(self, link: Link, session: SimulatedSession) -> None:
        if not (session.is_over or link.is_closed_by_us or link.close_code == _GOING_AWAY):
            self.bare_closes += 1
        session.leave(link)
        if session.is_connected or session.is_over:
            return

        def lapse() -> None:
            self._lapses.discard(timer)
            if not session.is_connected and session.dropped_s == dropped_s:
                session.end()

        dropped_s = session.dropped_s
        timer = asyncio.get_running_loop().call_later(self.plan.resume_window_s, lapse)
        self._lapses.add(timer)

    # --- the wire ---

    async def _receive(self, link: Link, session_id: str) -> Message:
        frame = await link.receive()
        try:
            message = None if isinstance(frame, bytes) else json.loads(frame)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            what = "a binary frame" if isinstance(frame, bytes) else "a frame that is not a JSON object"
            self._violate(session_id, what)
            if session_id:
                await self._send(link, "session.error", code="invalid_format", message=what)
            message = {"type": None, "is_unreadable": True}
        self._tell("client", {"session": session_id, **message})
        return message

    async def _send(self, link: Link, kind: str, **fields: object) -> None:
        for message in spelled(kind, dict(fields), plan=self.plan, wall_s=self._wall_s()):
            self._tell("server", {"session": "", **message})
            await link.write(json.dumps(message))

    async def _refuse(self, link: Link, refusal: Refusal) -> None:
        await self._send(link, "session.error", **refusal.fields())
        await link.close(_CLOSING.get(refusal.code, 1008), refusal.message)

    def _violate(self, session_id: str, what: str) -> None:
        session = self.sessions.get(session_id)
        if session is not None:
            session.violate(what)
        else:
            self._tell("violation", {"session": session_id, "type": what})

    def _tell(self, sender: str, message: Message) -> None:
        """Keep an event, audio by its size only, and write it to the log."""
        now_s = asyncio.get_running_loop().time()
        if sender == "violation":
            self.violations.append(message["type"])
            if self._complain is not None:
                print(
                    f"violation in {message['session']}: {message['type']}", file=self._complain, flush=True
                )
        short = {key: value for key, value in message.items() if key not in ("data", "audio", "timestamp")}
        for key in ("data", "audio"):
            if isinstance(message.get(key), str):
                short["bytes"] = len(message[key]) * 3 // 4
        event = {"t": round(now_s, 6), "from": sender, **short}
        if message["type"] not in ("reply.audio", "input.audio"):
            self.events.append(event)
        if self._log is not None:
            self._log.write(json.dumps(event) + "\n")
