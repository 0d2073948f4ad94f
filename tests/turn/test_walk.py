"""Every promise, in every joint state that can be reached; and proof that the walk sees a broken one.

`python -m tests.turn.test_walk` walks larger grounds, for minutes, and prints how far it came.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pivoice.turn import events as ev
from pivoice.turn.floor import Floor
from pivoice.turn.machine import Deadline, Link, State, Turn
from tests.turn.promises import PROMISES
from tests.turn.walk import BrokenPromiseError, Counts, Ground, walk

SPINE: Ground = ("user", "link", "speech", "replies", "sound", "time")

FULL, HALF = False, True

GROUNDS: list[tuple[Ground, int, bool]] = [
    # what happens besides the spine, replies alive at a time, half duplex
    (("stale",), 1, FULL),
    (("control",), 2, FULL),
    (("control",), 2, HALF),
    (("tools", "goodbye"), 1, FULL),
    (("tools",), 1, HALF),
    (("say",), 1, FULL),
    (("say",), 1, HALF),
    (("talk", "control"), 1, FULL),
    (("talk",), 1, HALF),
    (("devices", "timers"), 1, FULL),
    (("timers", "spoken stop", "talk"), 1, FULL),
    (("switch", "timers"), 1, FULL),
    (("devices",), 1, HALF),
]

LARGE_GROUNDS: list[tuple[Ground, int, bool]] = [
    (("control",), 3, FULL),
    (("control",), 3, HALF),
    (("tools", "goodbye", "control"), 2, FULL),
    (("tools", "more_tools", "goodbye"), 1, FULL),
    (("say", "talk", "devices"), 2, FULL),
    (("control", "tools", "goodbye", "say", "talk", "devices"), 1, FULL),
    (("control", "tools", "goodbye", "say", "talk", "devices"), 1, HALF),
]


def walk_on(ground: Ground, replies: int, half_duplex: bool) -> Counts:
    return walk(Turn(half_duplex=half_duplex, suspicions=1), (*SPINE, *ground), PROMISES, replies=replies)


def named(ground: Ground, replies: int, half_duplex: bool) -> str:
    return f"{' + '.join(ground)}, {replies} replies, {'half' if half_duplex else 'full'} duplex"


@pytest.mark.parametrize(
    ("ground", "replies", "half_duplex"), [pytest.param(*g, id=named(*g)) for g in GROUNDS]
)
def test_every_promise_holds_in_every_state(ground: Ground, replies: int, half_duplex: bool) -> None:
    counts = walk_on(ground, replies, half_duplex)

    print(counts)
    assert counts.states > 300, "the walk did not get far"


# --- a walk that could not fail would prove nothing ---

Break = Callable[[Floor, Any], None]


def unless(row: type[ev.Event], broken: Break) -> type[Turn]:
    """Return a machine whose row for `row` is `broken`."""
    return type("Broken", (Turn,), {"rows": {**Turn.rows, row: broken}})


def forget_to_leave(floor: Floor, event: ev.MuteChanged) -> None:
    """Muting while listening leaves the conversation open, as the first draft of the table did."""
    state, floor.mute_asked = floor.state, event.on
    if state is State.YIELDING:
        floor.speak()


def listen_on(floor: Floor, event: ev.ReplyInterrupted) -> None:
    """A late interruption opens the microphone whether muted or not."""
    floor.drop(event.reply)
    floor.state = State.LISTENING
    floor.arm(Deadline.LONG_SPEECH)


def drop_tools(floor: Floor, event: ev.PlaybackDrained) -> None:
    """A drain goes to the follow-up whatever is pending."""
    if floor.is_audible and event.reply in floor.memory.replies:
        floor.forget(event.reply)
        floor.memory.audible = 0
        floor.cancel_tools()
        floor.listen(floor.patience)


def always_follow_up(floor: Floor, event: ev.PlaybackDrained) -> None:
    """A drain starts the follow-up time while the user is speaking."""
    if floor.is_audible and event.reply in floor.memory.replies:
        floor.forget(event.reply)
        floor.memory.audible = 0
        floor.listen(floor.patience)
        if floor.state is State.LISTENING and floor.link is Link.UP:
            floor.arm(Deadline.FOLLOW_UP)


def connect_again(floor: Floor, event: ev.WakeHeard) -> None:
    """A wake word connects without looking."""
    if floor.hears:
        floor.memory.invited = True
        floor.connect()
        floor.listen(Deadline.NO_SPEECH)


def play_anything(floor: Floor, event: ev.ReplyAudible) -> None:
    """Whatever sounds has the floor, known or not."""
    floor.memory.audible = event.reply
    floor.speak()


def just_idle(floor: Floor, event: ev.StopAsked) -> None:
    """A stop forgets that something plays and that a session is open."""
    floor.state = State.IDLE


def prolong(floor: Floor, event: ev.OnsetHeard) -> None:
    """A repeated onset ducks anew."""
    if floor.is_ducked:
        floor.duck(Deadline.ONSET)
    else:
        Turn.rows[ev.OnsetHeard](floor, event)


def believe_the_ear(floor: Floor, event: ev.OnsetHeard) -> None:
    """An onset is taken for an interruption."""
    if floor.is_audible:
        floor.drop(floor.highest)
        floor.listen(Deadline.LONG_SPEECH)


def duck_for_nobody(floor: Floor, event: ev.OnsetHeard) -> None:
    """An onset ducks also where the server does not hear the user."""
    if floor.state is State.SPEAKING:
        floor.duck(Deadline.ONSET)


def suspect_for_ever(floor: Floor, event: ev.OnsetHeard) -> None:
    """Nobody counts how often an onset was a false alarm."""
    Turn.rows[ev.OnsetHeard](floor, event)
    floor.memory.suspicions = 0


def cut_at_a_word(floor: Floor, event: ev.SpeechStarted) -> None:
    """The server's speech.started is taken for its interruption."""
    if floor.is_audible:
        floor.drop(floor.highest)
        floor.listen(Deadline.LONG_SPEECH)
    else:
        Turn.rows[ev.SpeechStarted](floor, event)


def yield_for_ever(floor: Floor, event: ev.DeadlinePassed) -> None:
    """A deadline in YIELDING ducks again."""
    if floor.state is State.YIELDING:
        floor.duck()
    else:
        Turn.rows[ev.DeadlinePassed](floor, event)


def lose_answers(floor: Floor, event: ev.ToolFinished) -> None:
    """A tool that finishes while the link is away is forgotten."""
    if floor.link is Link.UP:
        Turn.rows[ev.ToolFinished](floor, event)
    else:
        floor.memory.tools.pop(event.call_id, None)


def go_down_in_thought(floor: Floor, event: ev.SessionLost) -> None:
    """Losing the session while the agent thinks is not noticed."""
    floor.link = Link.DOWN


def open_for_a_say(floor: Floor, event: ev.SayAsked) -> None:
    """`ctl say` opens the microphone to the server."""
    Turn.rows[ev.SayAsked](floor, event)
    floor.memory.invited = floor.state is not State.IDLE


BROKEN: list[tuple[type[ev.Event], Break, Ground, str]] = [
    (ev.MuteChanged, forget_to_leave, (), "muted, the user never has the floor"),
    (ev.ReplyInterrupted, listen_on, (), "muted, the user never has the floor"),
    (ev.PlaybackDrained, drop_tools, ("tools",), "a pending tool answer is never lost by a drain"),
    (
        ev.PlaybackDrained,
        always_follow_up,
        (),
        "a speaking user is never hung up on by a follow-up deadline",
    ),
    (ev.WakeHeard, connect_again, (), "never two connects"),
    (ev.ReplyAudible, play_anything, (), "a reply is never left playing"),
    (ev.StopAsked, just_idle, ("control",), "entering IDLE drops, cancels and closes"),
    (ev.DeadlinePassed, yield_for_ever, (), "every state reaches IDLE by at most two deadlines"),
    (ev.DeadlinePassed, yield_for_ever, (), "a ducked reply is at full level after one deadline"),
    (ev.OnsetHeard, prolong, ("control",), "a suspicion is prolonged by no other"),
    (ev.OnsetHeard, believe_the_ear, ("control",), "an onset alone never cuts, drops or asks for anything"),
    (ev.OnsetHeard, duck_for_nobody, ("control",), "a suspicion waits for a server that hears the user"),
    (ev.OnsetHeard, suspect_for_ever, ("control",), "a reply ducks on so many suspicions in a row"),
    (ev.SpeechStarted, cut_at_a_word, (), "somebody who starts to speak never cuts a reply"),
    (ev.ToolFinished, lose_answers, ("tools",), "a tool's answer is sent, or kept until it can be"),
    (ev.SessionLost, go_down_in_thought, (), "LISTENING and THINKING are never link DOWN"),
    (ev.SayAsked, open_for_a_say, ("say",), "nothing leaves before the user asked for the floor"),
]


@pytest.mark.parametrize(
    ("row", "broken", "ground", "promise"), [pytest.param(*b, id=b[1].__name__) for b in BROKEN]
)
def test_the_walk_catches_a_broken_machine(
    row: type[ev.Event], broken: Break, ground: Ground, promise: str
) -> None:
    with pytest.raises(BrokenPromiseError):
        walk(unless(row, broken)(), (*SPINE, *ground), PROMISES.only(promise), replies=1)


class Deathless(Turn):
    """A machine that forgets which replies are dead."""

    def _is_stale(self, event: ev.Event) -> bool:
        session = getattr(event, "session", None)
        return session is not None and (self.link is Link.DOWN or session != self.session)


class Timeless(Turn):
    """A machine that listens to sessions that are over."""

    def _is_stale(self, event: ev.Event) -> bool:
        return 0 < getattr(event, "reply", 0) <= self.dead


@pytest.mark.parametrize(
    ("turn", "promise"),
    [
        (Deathless, "a dead reply does nothing any more"),
        (Timeless, "a stale session changes nothing"),
    ],
)
def test_the_walk_catches_a_machine_that_believes_the_dead(turn: type[Turn], promise: str) -> None:
    with pytest.raises(BrokenPromiseError):
        walk(turn(), (*SPINE, "stale"), PROMISES.only(promise), replies=1)


def test_a_broken_promise_comes_with_the_way_there() -> None:
    muting = unless(ev.MuteChanged, forget_to_leave)

    with pytest.raises(BrokenPromiseError) as caught:
        walk(muting(), SPINE, PROMISES, replies=1)

    assert "WakeHeard" in str(caught.value)
    assert "MuteChanged(on=True)  <- here" in str(caught.value)


def _walk_all(grounds: list[tuple[Ground, int, bool]]) -> Iterator[str]:
    for ground in grounds:
        start_s = time.monotonic()
        yield f"{named(*ground)}: {walk_on(*ground)}, {time.monotonic() - start_s:.1f} s"


if __name__ == "__main__":
    for line in _walk_all(GROUNDS + LARGE_GROUNDS):
        print(line)
        sys.stdout.flush()
