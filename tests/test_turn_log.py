"""What the log tells of a conversation, from the observations that watchers get."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivoice.metrics import Metrics
from pivoice.turn import events
from pivoice.turn_log import OUTCOMES, TurnLog

Line = dict[str, object]
WAKE = {"event": "wake", "model": "hey_pi", "score": 0.934}


def state(name: str, cause: str) -> Line:
    return {"event": "state", "state": name, "cause": cause}


def session(name: str) -> Line:
    return {"event": "session", "state": name, "session": 1, "id": "sess_1"}


def speech(name: str) -> Line:
    return {"event": "speech", "state": name}


def latency(name: str, ms: float) -> Line:
    return {"event": "latency", "name": name, "ms": ms}


def words(text: str = "grepme, please", who: str = "user") -> Line:
    return {"event": "transcript", "who": who, "text": text, "final": True, "interrupted": False}


SILENCE = {"event": "playback", "what": "silence", "reply": 1}
WOKEN: list[Mapping[str, object]] = [WAKE, state("listening", "WakeHeard"), latency("wake_to_ready", 412.4)]
WOKEN += [session("ready")]
ASKED: list[Mapping[str, object]] = [speech("started"), speech("stopped"), state("thinking", "SpeechStopped")]
ASKED += [words()]
HEARD: list[Mapping[str, object]] = [
    latency("speech_stopped_to_sound", 820.6),
    state("speaking", "ReplyAudible"),
]
ENDED: list[Mapping[str, object]] = [state("listening", "PlaybackDrained"), state("idle", "DeadlinePassed")]


class Told:
    """A log of turns that is told lines a second apart, and what came of it."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        self._caplog = caplog
        self.fields: dict[str, object] = {}
        self.log = TurnLog(lambda **fields: self.fields.update(fields))
        self.lines: list[Line] = []
        self.time_s = 0.0

    def tell(self, *lines: Mapping[str, object]) -> Told:
        for each in lines:
            self.time_s += 1.0
            self.lines += self.log.observe({**each, "time_s": self.time_s})
        return self

    @property
    def said(self) -> list[str]:
        return [each.getMessage() for each in self._caplog.records if each.levelno == logging.INFO]

    @property
    def outcomes(self) -> list[object]:
        return [each["outcome"] for each in self.lines if each["event"] == "turn"]

    @property
    def conversations(self) -> list[Line]:
        return [each for each in self.lines if each["event"] == "conversation"]

    def record(self, event: str) -> logging.LogRecord:
        found = [each for each in self._caplog.records if getattr(each, "PIVOICE_EVENT", "") == event]
        return found[-1]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    return Told(caplog)


def test_a_conversation_of_one_turn_is_six_lines(told: Told):
    told.tell(*WOKEN, *ASKED, *HEARD, *ENDED)

    assert told.said == [
        'turn 1: idle -> listening (wake word "hey_pi" 0.93)',
        "turn 1: session sess_1 ready, 412 ms after the wake word",
        "turn 1: listening -> thinking (the user spoke for 1.0 s)",
        "turn 1: thinking -> speaking (821 ms after the user stopped)",
        "turn 1: answered, 1.0 s of reply; wake to ready 412 ms, speech to sound 821 ms",
        "conversation over (time ran out): 1 turn, 10 s",
    ]


def test_each_further_turn_is_three_lines_and_has_its_own_number(told: Told):
    told.tell(*WOKEN, *ASKED, *HEARD, ENDED[0])
    before = len(told.said)

    told.tell(*ASKED, *HEARD, *ENDED)

    assert told.said[before:] == [
        "turn 2: listening -> thinking (the user spoke for 1.0 s)",
        "turn 2: thinking -> speaking (821 ms after the user stopped)",
        "turn 2: answered, 1.0 s of reply; speech to sound 821 ms",
        "conversation over (time ran out): 2 turns, 17 s",
    ]


def test_turns_are_numbered_on_from_one_conversation_to_the_next(told: Told):
    told.tell(*WOKEN, *ASKED, *HEARD, *ENDED, *WOKEN)

    assert told.said[-2].startswith("turn 2: idle -> listening")


def test_the_line_that_sums_up_has_the_latencies_as_fields(told: Told):
    told.tell(*WOKEN, *ASKED, *HEARD, *ENDED)

    fields = vars(told.record("turn"))
    assert fields["PIVOICE_OUTCOME"] == "answered"
    assert fields["PIVOICE_TURN"] == "1"
    assert fields["PIVOICE_MS_WAKE_TO_READY"] == "412"
    assert fields["PIVOICE_MS_SPEECH_STOPPED_TO_SOUND"] == "821"


def test_an_interruption_is_summed_up_with_how_soon_it_fell_silent(told: Told):
    told.tell(*WOKEN, *ASKED, *HEARD)
    told.tell(speech("started"), state("yielding", "SpeechStarted"))
    told.tell(state("listening", "ReplyInterrupted"))
    assert told.outcomes == []
    told.time_s -= 0.9

    told.time_s -= 0.9
    told.tell(latency("interruption_to_silence", 45.0))
    told.time_s -= 0.9
    told.tell(SILENCE)

    assert told.said[-1] == (
        "turn 1: interrupted after 3.0 s of reply; wake to ready 412 ms, speech to sound 821 ms, "
        "interruption to silence 45 ms"
    )
    told.tell(speech("stopped"), state("thinking", "SpeechStopped"))
    assert told.said[-1].startswith("turn 2: listening -> thinking (the user spoke for ")


def test_an_interruption_without_a_silence_is_summed_up_all_the_same(told: Told):
    told.tell(*WOKEN, *ASKED, *HEARD, state("listening", "WakeHeard"))

    told.time_s += 0.1
    told.tell(speech("started"))

    assert told.outcomes == ["interrupted"]


def test_what_is_measured_after_an_interruption_is_the_next_turns(caplog: pytest.LogCaptureFixture):
    cut = [speech("started"), state("listening", "ReplyInterrupted")]
    told = Told(caplog).tell(*WOKEN, *ASKED, *HEARD, *cut)

    told.tell(latency("first_chunk_to_sound", 70.0), latency("interruption_to_silence", 31.0), SILENCE)
    told.tell(speech("stopped"), words(), state("thinking", "SpeechStopped"), *HEARD, *ENDED)

    first, second = [each["latencies_ms"] for each in told.lines if each["event"] == "turn"]
    assert "first_chunk_to_sound" not in first  # type: ignore[operator]
    assert second["first_chunk_to_sound"] == 70.0  # type: ignore[index]


def test_a_goodbye_before_any_reply_is_an_answer(caplog: pytest.LogCaptureFixture):
    told = Told(caplog).tell(*WOKEN, *ASKED, state("idle", "GoodbyeAsked"))

    assert told.outcomes == ["answered"]


def test_a_reply_that_calls_a_tool_and_the_one_that_follows_are_one_turn(told: Told):
    told.tell(*WOKEN, *ASKED, *HEARD, state("thinking", "PlaybackDrained"))

    told.tell(state("speaking", "ReplyAudible"), *ENDED)

    assert told.outcomes == ["answered"]


def test_words_spoken_into_a_reply_that_played_out_are_a_turn_of_their_own(told: Told):
    told.tell(*WOKEN, *ASKED, *HEARD, speech("started"), speech("stopped"), words())

    told.tell(state("thinking", "PlaybackDrained"), state("speaking", "ReplyAudible"), *ENDED)

    assert told.outcomes == ["answered", "answered"]


def test_a_false_wake_says_so(told: Told):
    told.tell(*WOKEN, state("idle", "DeadlinePassed"))

    assert told.said[-2:] == [
        "turn 1: no speech; wake to ready 412 ms",
        "conversation over (time ran out): 1 turn, 3 s, a false wake",
    ]
    assert told.conversations[0]["is_false_wake"] is True
    assert vars(told.record("end"))["PIVOICE_FALSE_WAKE"] == "1"


def test_noise_that_was_taken_for_speech_does_not_make_a_false_wake_a_true_one(told: Told):
    told.tell(*WOKEN, speech("started"), speech("stopped"), words("  "), state("idle", "DeadlinePassed"))

    assert told.conversations[0]["is_false_wake"] is True


@pytest.mark.parametrize("cause", ["ButtonPressed", "WakeAsked"])
def test_a_button_pressed_for_nothing_is_no_false_wake(told: Told, cause: str):
    told.tell(state("listening", cause), session("ready"), state("idle", "DeadlinePassed"))

    assert told.conversations[0]["is_false_wake"] is False


def test_a_wake_word_that_found_no_agent_is_no_false_wake(told: Told):
    told.tell(WAKE, state("listening", "WakeHeard"), state("idle", "DeadlinePassed"))

    assert told.conversations[0]["is_false_wake"] is False
    assert told.outcomes == ["error"]


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        ([*ASKED, state("idle", "DeadlinePassed")], "no_answer"),
        ([*ASKED, state("listening", "ReplySilent")], "no_answer"),
        ([*ASKED, {"event": "error", "code": "x"}, state("listening", "ReplySilent")], "error"),
        ([*ASKED, state("idle", "SessionLost")], "error"),
        ([*ASKED, state("idle", "StopAsked")], "stopped"),
        ([*ASKED, *HEARD, state("idle", "ButtonPressed")], "stopped"),
        ([*ASKED, *HEARD, state("listening", "HushAsked")], "stopped"),
        ([*ASKED, *HEARD, state("idle", "PlaybackLost")], "no_speaker"),
        ([*ASKED, *HEARD, state("idle", "DeadlinePassed")], "too_long"),
        ([state("idle", "MuteChanged")], "stopped"),
        ([*ASKED, *HEARD, state("idle", "PlaybackDrained")], "answered"),
    ],
)
def test_how_a_turn_ended(told: Told, lines: list[Mapping[str, object]], outcome: str):
    told.tell(*WOKEN, *lines)

    assert told.outcomes == [outcome]
    assert outcome in OUTCOMES


def test_when_the_daemon_ends_the_open_turn_does(told: Told):
    told.tell(*WOKEN, *ASKED, *HEARD)

    told.lines += told.log.close()

    assert told.outcomes == ["shut_down"]
    assert [each["turns"] for each in told.conversations] == [1]
    assert told.log.close() == []
    told.tell(*WOKEN)
    assert told.said[-2].startswith("turn 2: idle -> listening")


def test_every_line_of_the_log_gets_turn_and_session_while_there_is_one(told: Told):
    told.tell(*WOKEN)
    assert told.fields == {"PIVOICE_TURN": 1, "PIVOICE_SESSION": "sess_1", "PIVOICE_STATE": "listening"}

    told.tell(*ASKED, *HEARD, *ENDED, session("lingering"))

    assert told.fields == {"PIVOICE_TURN": None, "PIVOICE_SESSION": None, "PIVOICE_STATE": "idle"}


def test_our_own_voice_wakes_nothing(told: Told):
    told.tell({**WAKE, "ignored": True}, state("listening", "ButtonPressed"))

    assert told.said == ["turn 1: idle -> listening (button)"]


def test_what_was_said_is_in_no_line_and_no_field(told: Told, caplog: pytest.LogCaptureFixture):
    told.tell(*WOKEN, *ASKED, *HEARD, words(who="agent"), *ENDED)

    everything = "\n".join(str(vars(each)) for each in caplog.records) + str(told.lines) + str(told.fields)
    assert "grepme" not in everything


STATES = ("idle", "listening", "thinking", "speaking", "yielding")
CAUSES = [each.__name__ for each in events.Event.__subclasses__()]
SESSIONS = ("connecting", "ready", "resumed", "dropped", "retrying", "refused", "lost", "ended", "lingering")
NAMES = ("wake_to_ready", "speech_stopped_to_sound", "interruption_to_silence")
ANY_LINE = st.one_of(
    st.builds(state, st.sampled_from(STATES), st.sampled_from(CAUSES)),
    st.builds(session, st.sampled_from(SESSIONS)),
    st.builds(speech, st.sampled_from(("started", "stopped"))),
    st.builds(latency, st.sampled_from(NAMES), st.floats(0, 1e5)),
    st.builds(words, st.sampled_from(("", "hm"))),
    st.sampled_from([WAKE, SILENCE, {"event": "interrupted", "reply": 1}, {"event": "error", "code": "x"}]),
)


@given(st.lists(ANY_LINE, max_size=60))
@settings(max_examples=150, deadline=None)
def test_whatever_comes_in_whatever_order_each_turn_is_told_once(lines: list[Line]):
    log, metrics, time_s = TurnLog(), Metrics(), 0.0
    told: list[Line] = []

    for line in [*lines, state("listening", "WakeHeard"), state("idle", "StopAsked")]:
        time_s += 0.3
        told += log.observe({**line, "time_s": time_s})
        metrics.observe({**line, "time_s": time_s})

    numbers = [each["turn"] for each in told if each["event"] == "turn"]
    assert numbers == list(range(1, len(numbers) + 1))
    conversations = [each for each in told if each["event"] == "conversation"]
    assert sum(int(str(each["turns"])) for each in conversations) == len(numbers)
    assert {each["outcome"] for each in told if each["event"] == "turn"} <= set(OUTCOMES)
    assert log.close() == []
