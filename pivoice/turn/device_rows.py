"""PURE: the table's rows for what the sound cards, the timers and the clock tell.

One function is one row. A cell that is missing here is a `.` of the table.
"""

from __future__ import annotations

from pivoice.turn.actions import Chime
from pivoice.turn.events import (
    CaptureFound,
    CaptureLost,
    DeadlinePassed,
    Event,
    PlaybackDrained,
    PlaybackFound,
    PlaybackLost,
    ReplyAudible,
    RingDue,
    RingSilenced,
    TimerRang,
)
from pivoice.turn.floor import NO_MICROPHONE, NO_NETWORK, NO_SPEAKER, Floor, Row
from pivoice.turn.states import Deadline, State


def reply_audible(floor: Floor, event: ReplyAudible) -> None:
    """A reply begins to sound, and with that every older one has ended."""
    memory = floor.memory
    if event.reply < memory.audible:
        return
    was_audible = floor.is_audible
    reply = memory.replies.get(event.reply)
    if reply is None:
        # Of a session that is over: nobody here knows it, so nobody would ever silence it.
        floor.drop(event.reply)
        if was_audible:
            floor.pass_on()
        return
    if event.reply == memory.audible:
        return
    floor.forget(event.reply - 1)
    memory.audible = event.reply
    memory.suspicions = 0
    memory.user_said = reply.overtaken
    if floor.state is not State.YIELDING:
        floor.speak()


def playback_drained(floor: Floor, event: PlaybackDrained) -> None:
    memory = floor.memory
    if event.reply not in memory.replies and not floor.is_audible:
        return
    if event.reply < memory.audible:
        return
    floor.forget(event.reply)
    match floor.state:
        case State.SPEAKING | State.YIELDING:
            floor.pass_on()
        case State.THINKING:
            # The session took it for audible and the card did not: it was too quiet. Other than
            # in the table, which would wait for it to sound and end in an error.
            memory.user_said = False
            floor.pass_on()
        case _:
            pass


def capture_lost(floor: Floor, event: CaptureLost) -> None:
    """As if muted from here on; LISTENING keeps its session until its deadline."""
    floor.faults.add(NO_MICROPHONE)
    if floor.state is not State.LISTENING:
        floor.memory.user_speaking = False
    if floor.state is State.YIELDING:
        floor.speak()


def capture_found(floor: Floor, event: CaptureFound) -> None:
    floor.faults.discard(NO_MICROPHONE)


def playback_lost(floor: Floor, event: PlaybackLost) -> None:
    floor.faults.add(NO_SPEAKER)
    if floor.state is not State.IDLE:
        floor.hang_up()


def playback_found(floor: Floor, event: PlaybackFound) -> None:
    floor.faults.discard(NO_SPEAKER)


def timer_rang(floor: Floor, event: TimerRang) -> None:
    """Ring, in any state, without touching the floor."""
    floor.ringing = True
    floor.ask(Chime("timer"))


def ring_due(floor: Floor, event: RingDue) -> None:
    """Ring again.

    A ring is no conversation and gets no deadline (IDLE has none): the daemon posts `RingDue` while the
    condition `ringing` stands, and `RingSilenced` once its time is up. While somebody has the floor the
    next ring waits: it would be heard by the agent, or over it. Conversations end.
    """
    if floor.state is State.IDLE and floor.ringing:
        floor.ask(Chime("timer"))


def ring_silenced(floor: Floor, event: RingSilenced) -> None:
    floor.stop_ringing()


def deadline_passed(floor: Floor, event: DeadlinePassed) -> None:
    if event.serial != floor.deadline_serial or floor.deadline is None:
        return
    memory = floor.memory
    match floor.state, floor.deadline:
        case State.LISTENING | State.THINKING, Deadline.CONNECT | Deadline.RECONNECT:
            floor.faults.add(NO_NETWORK)
            floor.hang_up(NO_NETWORK)
        case State.LISTENING, Deadline.LONG_SPEECH:
            # A stuck button is taken for released.
            memory.user_speaking = memory.talking = False
            floor.think()
        case State.LISTENING, patience:
            if not floor.say_next():
                floor.hang_up("end", linger=patience is Deadline.FOLLOW_UP)
        case State.THINKING, Deadline.YIELD:
            memory.user_said = False
            if not floor.say_next():
                floor.listen(floor.patience)
        case State.THINKING, _:
            _no_answer(floor)
        case State.SPEAKING, _:
            floor.hang_up()
        case _:
            floor.speak()


def _no_answer(floor: Floor) -> None:
    """Give up an answer that never came; where none was due (a cough), no error."""
    memory = floor.memory
    due = memory.user_said or memory.awaits_tool or memory.say_sent or memory.replies
    if memory.goodbye or not due:
        # A cough must not cost a queued `say`: a third deadline, where there is one.
        if not floor.say_next():
            floor.hang_up("end")
    else:
        floor.hang_up("error")


ROWS: dict[type[Event], Row] = {
    ReplyAudible: reply_audible,
    PlaybackDrained: playback_drained,
    CaptureLost: capture_lost,
    CaptureFound: capture_found,
    PlaybackLost: playback_lost,
    PlaybackFound: playback_found,
    TimerRang: timer_rang,
    RingDue: ring_due,
    RingSilenced: ring_silenced,
    DeadlinePassed: deadline_passed,
}
