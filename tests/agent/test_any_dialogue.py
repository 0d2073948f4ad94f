"""Whatever a server says, in whatever order: what may never happen in a dialogue, and what always must."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from pivoice.agent import wire
from pivoice.agent.replies import Samples
from pivoice.turn import events
from tests.agent.talk import Talk

FOR_EVER_S = 1000.0
HTTP_TOOL = "looked_up_by_the_server"

ids = st.sampled_from(["", "a", "b"])
texts = st.sampled_from(["", "Four o'clock.", "\ud83d", "x" * 500])
pcm = st.sampled_from([b"", b"\x01", b"\x00\x00", b"\x00\x40" * 10, b"\xff\x7f\x00"])
reply_events = [st.builds(wire.ReplyStarted, ids), st.builds(wire.ReplyAudio, ids, pcm)]
calls = st.builds(
    wire.ToolCall,
    st.sampled_from(["1", "2", "3", "4"]),
    st.sampled_from(["get_weather", "", HTTP_TOOL]),
    st.just({}),
)
server_events: st.SearchStrategy[wire.ServerEvent] = st.one_of(
    *reply_events,
    *reply_events,  # more of them, or most of what follows is about nothing
    st.builds(wire.AgentWords, ids, texts),
    st.builds(wire.AgentText, ids, texts, st.booleans()),
    st.builds(
        wire.ReplyDone, ids, st.sampled_from(["completed", "interrupted", "cancelled", "failed", "vapour"])
    ),
    st.builds(wire.ReplyFailed, ids, texts, texts),
    calls,
    st.builds(wire.UserText, texts, st.booleans(), ids),
    st.just(wire.SpeechStarted()),
    st.just(wire.SpeechStopped()),
    st.just(wire.Updated()),
    st.just(wire.Ready("s")),
    st.just(wire.Ended()),
    st.just(wire.Failure("invalid_format", "", "")),
)


class Watched(Talk):
    """Checks every event and every sample the moment it leaves the dialogue."""

    def __init__(self) -> None:
        super().__init__()
        self.dialogue.session_ready(wire.Ready("s", http_tools=frozenset({HTTP_TOOL})))
        self.hearing: wire.ServerEvent | None = None
        self.highest = self.dead = 0
        self.alive: set[int] = set()  # started, and neither over nor cut nor dropped
        self.silenced: set[int] = set()  # interrupted: their calls are dead
        self.told: dict[str, int] = {}  # calls of this session, by the reply that they came with
        self.answered: list[str] = []
        self.void: set[str] = set()  # calls that the server waits for no more

    def _post(self, event: events.Event) -> None:
        super()._post(event)
        match event:
            case events.ReplyStarted(reply=reply):
                assert isinstance(self.hearing, wire.ReplyStarted | wire.ReplyFailed)
                assert reply > self.highest, "numbers ascend"
                self.highest = reply
                self.alive.add(reply)
            case events.ReplyEnded(reply=reply) | events.ReplySilent(reply=reply):
                assert reply in self.alive, "a reply ends once, and not after it was cut"
                self.alive.discard(reply)
            case events.ReplyInterrupted(reply=reply):
                assert reply not in self.silenced, "a reply is interrupted once"
                self.silenced.add(reply)
                self.alive.discard(reply)
                dead = {call for call, owner in self.told.items() if owner == reply}
                self.told = {call: owner for call, owner in self.told.items() if owner != reply}
                self.void |= dead - self.answers.keys()
            case events.ToolCalled(reply=reply, call_id=call_id, name=name):
                assert name != HTTP_TOOL
                assert call_id not in self.told and call_id not in self.answered, "a call is run once"
                assert reply == 0 or (reply not in self.silenced and reply > self.dead)
                self.told[call_id] = reply

    def _play(self, reply: int, samples: Samples) -> None:
        super()._play(reply, samples)
        assert reply in self.alive and reply == self.highest and reply > self.dead

    def take(self, event: wire.ServerEvent) -> None:
        self.hearing = event
        self.dialogue.hear(event)
        self.hearing = None

    def kill(self) -> None:
        self.dead = self.highest
        self.dialogue.replies.kill(self.highest)

    def answer(self, call_id: str) -> None:
        self.dialogue.answer(call_id, "{}", is_error=False)

    def lose_link(self) -> None:
        self.dialogue.lose_link()
        self.alive.clear()

    def forget(self) -> None:
        self.lose_link()
        self.dialogue.forget_session(is_greeting=True)
        self.told.clear()
        self.answered.clear()
        self.void.clear()
        self.sent.clear()

    def run(self, seconds: float) -> None:
        self.deliver(until_s=self.now_s + seconds)
        self.answered = list(self.answers)  # which fails if a call was answered twice
        assert not self.void & self.answers.keys(), "the call of an interrupted reply was answered"


told = server_events.map(lambda event: lambda talk: talk.take(event))
steps: st.SearchStrategy[Callable[[Watched], None]] = st.one_of(
    *[told] * 20,
    st.just(Watched.kill),
    st.sampled_from(["1", "2", "3", "5"]).map(lambda call_id: lambda talk: talk.answer(call_id)),
    st.just(lambda talk: talk.dialogue.cancel_calls()),
    st.just(lambda talk: talk.dialogue.say("hello \udfff")),
    st.just(Watched.lose_link),
    st.just(Watched.forget),
    st.sampled_from([0.0, 0.5, 5.0, 200.0]).map(lambda seconds: lambda talk: talk.run(seconds)),
)


@settings(max_examples=500)
@given(st.lists(steps, min_size=12, max_size=60))  # a short one says nothing
def test_any_server_is_survived_and_every_call_is_answered_once(script: list[Callable[[Watched], None]]):
    talk = Watched()

    for step in script:
        step(talk)
    talk.run(FOR_EVER_S)

    assert talk.told.keys() <= talk.answers.keys(), "a call that was run was never answered"
    assert talk.dialogue.outbox.next(talk.now_s)[1] is None or talk.dialogue.replies.in_flight


@settings(max_examples=200, deadline=None)
@given(st.lists(server_events, min_size=6, max_size=30), st.lists(st.integers(0, 24), max_size=8))
def test_what_is_told_twice_in_a_row_changes_nothing_but_the_counts(
    heard: list[wire.ServerEvent], twice: list[int]
):
    once, again = Watched(), Watched()

    for number, event in enumerate(heard):
        once.take(event)
        again.take(event)
        if number in twice and not isinstance(event, wire.ReplyAudio | wire.AgentWords | wire.ReplyFailed):
            again.take(event)

    assert again.posted == once.posted
    assert again.samples == once.samples


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=25))
def test_a_dialogue_that_was_closed_says_nothing_more(script: list[Callable[[Watched], None]]):
    talk = Watched()
    talk.take(wire.ReplyStarted("a"))
    talk.dialogue.is_closed = True
    posted = list(talk.posted)

    for step in script:
        step(talk)

    assert talk.posted == posted
    assert not talk.played
