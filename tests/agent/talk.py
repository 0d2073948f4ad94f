"""A dialogue whose server says what a test types, and a mailbox that sends what the outbox gives."""

from __future__ import annotations

import base64
import itertools
import json

import numpy as np

from pivoice.agent import wire
from pivoice.agent.dialogue import Dialogue, Doors
from pivoice.agent.memory import Memory
from pivoice.agent.reading import decode
from pivoice.agent.replies import Samples
from pivoice.turn import events

LOUD = base64.b64encode(np.full(240, 8000, "<i2").tobytes()).decode()
QUIET = base64.b64encode(bytes(480)).decode()


class Talk:
    """Time is `now_s`; it goes on when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.posted: list[events.Event] = []
        self.reports: list[tuple[str, dict[str, object]]] = []
        self.played: list[int] = []
        self.samples: list[list[int]] = []
        self.ended: list[int] = []
        self.sent: list[wire.ToolResult | wire.ReplyCreate] = []
        self.memory = Memory()
        doors = Doors(
            post=self._post,
            report=lambda kind, facts: self.reports.append((kind, facts)),
            play=self._play,
            end_reply=self.ended.append,
        )
        self.dialogue = Dialogue(
            1,
            doors=doors,
            memory=self.memory,
            serials=itertools.count(1),
            now_s=lambda: self.now_s,
            on_outbox=lambda: None,
        )

    def _post(self, event: events.Event) -> None:
        self.posted.append(event)

    def _play(self, reply: int, samples: Samples) -> None:
        self.played.append(reply)
        self.samples.append(samples.tolist())

    def hear(self, kind: str, **fields: object) -> None:
        event = decode(json.dumps({"type": kind, **fields}))
        assert not isinstance(event, wire.Garbled)
        self.dialogue.hear(event)

    def call(self, call_id: str, name: str = "get_weather") -> None:
        self.hear("tool.call", call_id=call_id, name=name, arguments={})

    def deliver(self, until_s: float | None = None) -> None:
        """Send all that may go, from now until `until_s`; every message must go through the wire."""
        end_s = self.now_s if until_s is None else until_s
        for _ in range(10_000):
            message, wait_s = self.dialogue.outbox.next(self.now_s)
            if message is not None:
                wire.encode(message)
                self.sent.append(message)
                self.dialogue.outbox.sent(message, self.now_s)
            elif wait_s is None or self.now_s + wait_s > end_s:
                break
            else:
                self.now_s += wait_s
        else:
            raise AssertionError("a busy loop")
        self.now_s = end_s

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.posted]

    @property
    def answers(self) -> dict[str, wire.ToolResult]:
        """The tool results sent so far; two for one call fail the test."""
        results = [message for message in self.sent if isinstance(message, wire.ToolResult)]
        by_call = {result.call_id: result for result in results}
        assert len(by_call) == len(results), f"a call was answered twice: {results}"
        return by_call

    @property
    def says(self) -> list[str]:
        return [message.instructions for message in self.sent if isinstance(message, wire.ReplyCreate)]
