"""Orders of events that a scripted server would not produce, and a real one does."""

from __future__ import annotations

import base64
import itertools
import json

import numpy as np

from pivoice.agent import wire
from pivoice.agent.dialogue import Dialogue, Doors
from pivoice.agent.memory import Memory
from pivoice.agent.reading import decode
from pivoice.turn import events

LOUD = base64.b64encode(np.full(240, 8000, "<i2").tobytes()).decode()


class Talk:
    """A dialogue whose server says what a test types."""

    def __init__(self) -> None:
        self.posted: list[events.Event] = []
        self.played: list[int] = []
        self.ended: list[int] = []
        self.memory = Memory()
        doors = Doors(
            post=self.posted.append,
            report=lambda kind, data: None,
            play=lambda reply, samples: self.played.append(reply),
            end_reply=self.ended.append,
        )
        self.dialogue = Dialogue(
            1,
            doors=doors,
            memory=self.memory,
            serials=itertools.count(1),
            now_s=lambda: 0.0,
            on_outbox=lambda: None,
        )

    def hear(self, kind: str, **fields: object) -> None:
        event = decode(json.dumps({"type": kind, **fields}))
        assert not isinstance(event, wire.Garbled)
        self.dialogue.hear(event)

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.posted]


def test_repeated_speech_signals_are_one_event():
    talk = Talk()

    for kind in ("started", "started", "stopped", "stopped", "started"):
        talk.hear(f"input.speech.{kind}")

    assert talk.kinds == ["SpeechStarted", "SpeechStopped", "SpeechStarted"]


def test_after_a_reconnect_any_speech_signal_counts():
    talk = Talk()
    talk.hear("input.speech.started")

    talk.dialogue.lose_link()
    talk.hear("input.speech.started")
    talk.dialogue.lose_link()
    talk.hear("input.speech.stopped")

    assert talk.kinds == ["SpeechStarted", "SpeechStarted", "SpeechStopped"]


def test_audio_after_an_interrupted_transcript_is_discarded_before_the_reply_is_done():
    talk = Talk()
    talk.hear("reply.started", reply_id="r")
    talk.hear("reply.audio", reply_id="r", data=LOUD)

    talk.hear("transcript.agent", reply_id="r", text="It", interrupted=True)
    talk.hear("reply.audio", reply_id="r", data=LOUD)
    talk.hear("reply.done", reply_id="r", status="completed")
    talk.hear("reply.audio", reply_id="r", data=LOUD)

    assert talk.played == [1]
    assert talk.kinds == ["ReplyStarted", "ReplyInterrupted"]


def test_an_interruption_told_in_both_ways_is_one():
    talk = Talk()
    talk.hear("reply.started", reply_id="r")

    talk.hear("reply.done", reply_id="r", status="interrupted")
    talk.hear("transcript.agent", reply_id="r", text="", interrupted=True)
    talk.hear("reply.done", reply_id="r", status="interrupted")

    assert talk.kinds == ["ReplyStarted", "ReplyInterrupted"]


def test_an_interruption_may_be_told_after_the_reply_was_done():
    talk = Talk()
    talk.hear("reply.started", reply_id="r")
    talk.hear("reply.audio", reply_id="r", data=LOUD)
    talk.hear("reply.done", reply_id="r", status="completed")

    talk.hear("transcript.agent", reply_id="r", text="It", interrupted=True)

    assert talk.kinds == ["ReplyStarted", "ReplyEnded", "ReplyInterrupted"]


def test_a_late_interruption_of_an_old_reply_leaves_the_new_one_alone():
    talk = Talk()
    talk.hear("reply.started", reply_id="old")
    talk.hear("reply.started", reply_id="new")

    talk.hear("reply.done", reply_id="old", status="interrupted")
    talk.hear("reply.audio", reply_id="new", data=LOUD)

    assert talk.posted[-1] == events.ReplyInterrupted(1, 1)
    assert talk.played == [2]


def test_a_reply_that_begins_before_the_last_one_is_done_ends_it():
    talk = Talk()
    talk.hear("reply.started", reply_id="a")
    talk.hear("reply.audio", reply_id="a", data=LOUD)

    talk.hear("reply.started", reply_id="b")
    talk.hear("reply.done", reply_id="a")

    assert sorted(talk.kinds) == ["ReplyEnded", "ReplyStarted", "ReplyStarted"]
    assert talk.ended == [1]


def test_a_server_that_names_no_replies_means_the_latest():
    talk = Talk()

    talk.hear("reply.started")
    talk.hear("reply.audio", data=LOUD)
    talk.hear("reply.done")

    assert talk.kinds == ["ReplyStarted", "ReplyEnded"]
    assert talk.played == [1]


def test_a_name_that_comes_with_the_audio_is_taken():
    talk = Talk()

    talk.hear("reply.started")
    talk.hear("reply.audio", data=LOUD, reply_id="r")
    talk.hear("reply.done", reply_id="r")

    assert talk.kinds == ["ReplyStarted", "ReplyEnded"]


def test_an_unknown_status_ends_a_reply():
    talk = Talk()
    talk.hear("reply.started", reply_id="r")
    talk.hear("reply.audio", reply_id="r", data=LOUD)

    talk.hear("reply.done", reply_id="r", status="vaporised")

    assert talk.kinds == ["ReplyStarted", "ReplyEnded"]


def test_the_transcript_of_a_cut_reply_replaces_what_was_to_be_said():
    talk = Talk()
    talk.hear("reply.started", reply_id="r")
    talk.hear("transcript.agent", reply_id="r", text="It is four o'clock.")

    talk.hear("transcript.agent", reply_id="r", text="It is", interrupted=True)

    assert talk.memory.context(0.0, max_age_s=1).endswith('{"agent": "It is"}')


def test_words_stand_in_for_a_transcript_that_never_comes():
    talk = Talk()
    talk.hear("reply.started", reply_id="r")
    talk.hear("transcript.agent.delta", reply_id="r", delta="Four")
    talk.hear("transcript.agent.delta", reply_id="r", delta="o'clock.")

    talk.hear("reply.done", reply_id="r")

    assert talk.memory.context(0.0, max_age_s=1).endswith('{"agent": "Four o\'clock."}')


def test_a_closed_dialogue_hears_nothing():
    talk = Talk()
    talk.hear("reply.started", reply_id="r")

    talk.dialogue.is_closed = True
    talk.hear("reply.audio", reply_id="r", data=LOUD)
    talk.hear("reply.done", reply_id="r")

    assert talk.kinds == ["ReplyStarted"]
    assert talk.played == []
