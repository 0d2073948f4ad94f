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
from collections import deque
from contextlib import suppress
from http import HTTPStatus
from typing import IO
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from pivoice.agent.simulated_plan import Plan, Turn
from pivoice.agent.simulated_session import Message, SimulatedSession

_KEPT_SESSIONS = 200  # a simulated day has many; what they received is only kept for the last ones
_KEPT_EVENTS = 100_000
_CLOSING = {"internal_error": 1011, "server_error": 1011}
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
        self.open_sockets = 0
        self.url = ""
        self._log = log
        self._complain = complain
        self._numbers = itertools.count(1)
        self._turns = itertools.cycle(range(len(plan.turns)))
        self._errors_told = 0
        self._server: Server | None = None
        self._lapses: set[asyncio.TimerHandle] = set()

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> int:
        """Listen; return the port."""
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
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://{host}:{port}/v1/ws"
        return int(port)

    async def stop(self) -> None:
        """Close every socket and forget what lingers."""
        for session in self.sessions.values():
            session.end()
        for lapse in self._lapses:
            lapse.cancel()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def drop(self) -> None:
        """Break every connection without a word."""
        for session in self.sessions.values():
            session.drop()

    @property
    def session(self) -> SimulatedSession:
        """The newest session."""
        return list(self.sessions.values())[-1]

    @property
    def open_sessions(self) -> list[SimulatedSession]:
        """What is billed now: connected, or waiting to be resumed."""
        return [session for session in self.sessions.values() if not session.is_over]

    def kinds(self, sender: str = "server") -> list[str]:
        """Return the types of all events of one side, in order, those of audio left out."""
        audio = ("reply.audio", "input.audio")
        return [each["type"] for each in self.events if each["from"] == sender and each["type"] not in audio]

    # --- a socket's life ---

    def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        if self.plan.http_status:
            return socket.respond(HTTPStatus(self.plan.http_status), "as ordered\n")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        self.connections += 1
        self.open_sockets += 1
        session: SimulatedSession | None = None
        try:
            if not self._is_authorized(socket):
                await self._refuse(socket, "unauthorized", "Invalid API key")
                return
            session = await self._greet(socket)
            if session is not None:
                await self._listen(socket, session)
        except ConnectionClosed:
            pass
        finally:
            self.open_sockets -= 1
            if session is not None:
                self._leave(socket, session)

    def _is_authorized(self, socket: ServerConnection) -> bool:
        if not self.plan.key:
            return True
        assert socket.request is not None, "the handshake is over"
        token = parse_qs(urlsplit(socket.request.path).query).get("token", [""])[0]
        header = socket.request.headers.get("Authorization", "").removeprefix("Bearer ")
        return self.plan.key in (token, header)

    async def _greet(self, socket: ServerConnection) -> SimulatedSession | None:
        """Take the first message; None when there will be no session on this socket."""
        message = await self._receive(socket, "")
        kind = message.get("type")
        if self.plan.error and (not self.plan.error_times or self._errors_told < self.plan.error_times):
            self._errors_told += 1
            await self._refuse(socket, self.plan.error, "as ordered")
        elif kind == "session.resume":
            return await self._resume(socket, str(message.get("session_id")))
        elif kind != "session.update" or not isinstance(message.get("session"), dict):
            self._violate("", f"{kind!r} before session.update or session.resume")
            await self._refuse(socket, "invalid_format", "expected session.update or session.resume")
        elif (fault := self._fault_in(message["session"])) is not None:
            await self._refuse(socket, "invalid_value", fault[1], param=fault[0])
        else:
            session = self._new_session()
            await session.begin(socket, message["session"])
            return session
        return None

    def _fault_in(self, settings: Message) -> tuple[str, str] | None:
        if "greeting" in settings and not isinstance(settings["greeting"], str):
            return "session.greeting", "greeting must be a string"
        voice = (settings.get("output") or {}).get("voice")
        if voice is not None and voice not in self.plan.voices_known:
            return "session.output.voice", f"unknown voice {voice!r}"
        return None

    def _new_session(self) -> SimulatedSession:
        session = SimulatedSession(
            f"sess_{next(self._numbers):04d}", plan=self.plan, take_turn=self._take_turn, tell=self._tell
        )
        self.sessions[session.id] = session
        while len(self.sessions) > _KEPT_SESSIONS:
            del self.sessions[next(iter(self.sessions))]
        return session

    def _take_turn(self) -> Turn:
        return self.plan.turns[next(self._turns) % len(self.plan.turns)]

    async def _resume(self, socket: ServerConnection, session_id: str) -> SimulatedSession | None:
        session = self.sessions.get(session_id)
        if session is None or session.is_over or self.plan.refuse_resume:
            error = {"code": "session_not_found", "message": "no such session", "session_id": session_id}
            if self.plan.refuse_resume == "open":
                await self._send(socket, "session.error", **error)
                await socket.wait_closed()  # until the client has had enough
            else:
                await self._refuse(socket, error["code"], error["message"])
            return None
        await session.resume(socket)
        return session

    async def _listen(self, socket: ServerConnection, session: SimulatedSession) -> None:
        while True:
            message = await self._receive(socket, session.id)
            if message.get("type") != "session.end":
                await session.hear(message)
                continue
            duration_s = asyncio.get_running_loop().time() - session.began_s
            session.end()
            await session.send(
                "session.ended", session_duration_seconds=round(duration_s, 3), audio_duration_seconds=None
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    while True:  # the client closes; until then everything it says is too late
                        late = await self._receive(socket, session.id)
                        session.violate(f"{late.get('type')} after the end")

    def _leave(self, socket: ServerConnection, session: SimulatedSession) -> None:
        session.leave(socket)
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

    async def _receive(self, socket: ServerConnection, session_id: str) -> Message:
        frame = await socket.recv()
        try:
            message = json.loads(frame)
        except ValueError:
            message = None
        if isinstance(frame, bytes) or not isinstance(message, dict):
            self._violate(session_id, "a frame that is not a JSON object as text")
            message = {"type": None}
        self._tell("client", {"session": session_id, **message})
        return message

    async def _send(self, socket: ServerConnection, kind: str, **fields: object) -> None:
        self._tell("server", {"session": "", "type": kind, **fields})
        await socket.send(json.dumps({"type": kind, **fields}))

    async def _refuse(self, socket: ServerConnection, code: str, reason: str, **fields: object) -> None:
        await self._send(socket, "session.error", code=code, message=reason, **fields)
        await socket.close(_CLOSING.get(code, 1008), reason)

    def _violate(self, session_id: str, what: str) -> None:
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
