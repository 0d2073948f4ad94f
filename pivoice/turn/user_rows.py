"""PURE: the table's rows for what the user and the owner do. One function is one row.

A cell that is missing here is a `.` of the table: ignored on purpose, and counted by `Turn`.
"""

from __future__ import annotations

from pivoice.turn.actions import Chime, OpenUplink
from pivoice.turn.events import (
    ButtonPressed,
    Event,
    HushAsked,
    MuteChanged,
    MuteSwitched,
    OnsetHeard,
    SayAsked,
    StopAsked,
    TalkPressed,
    TalkReleased,
    Valve,
    WakeAsked,
    WakeHeard,
)
from pivoice.turn.floor import NO_SPEAKER, Floor, Row
from pivoice.turn.states import Deadline, Link, State


def _cannot_talk(floor: Floor) -> bool:
    """Whether a conversation opened now would be one-sided.

    Without a speaker too, other than in the table: it closes an open conversation when the
    speaker is lost, so opening one without would only bill for answers that nobody hears.
    """
    return not floor.hears or NO_SPEAKER in floor.faults


def wake_heard(floor: Floor, event: WakeHeard) -> None:
    if floor.hears and not floor.stop_ringing():
        _wake(floor, event.position, preroll=True)


def wake_asked(floor: Floor, event: WakeAsked) -> None:
    if floor.stop_ringing():
        return
    if floor.hears:
        _wake(floor, None, preroll=False)
    else:
        floor.ask(Chime("muted" if floor.muted else "error"))


def _wake(floor: Floor, position: int | None, *, preroll: bool) -> None:
    memory = floor.memory
    match floor.state:
        case State.IDLE if _cannot_talk(floor):
            floor.ask(Chime("error"))
        case State.LISTENING if memory.push_to_talk and not memory.talking:
            # Hands-free takes over from push-to-talk, whose uplink was silent until now.
            memory.push_to_talk = False
            floor.ask(OpenUplink(position, preroll))
            floor.arm_listening(Deadline.NO_SPEECH)
        case State.LISTENING:
            pass
        case _:
            floor.take_floor(position, preroll=preroll)


def button_pressed(floor: Floor, event: ButtonPressed) -> None:
    if floor.stop_ringing():
        return
    match floor.state:
        case State.IDLE if floor.muted:
            floor.ask(Chime("muted"))
        case State.IDLE if _cannot_talk(floor):
            floor.ask(Chime("error"))
        case State.LISTENING:
            floor.hang_up("end")
        case State.THINKING | State.SPEAKING | State.YIELDING if not floor.hears:
            floor.hang_up()
        case _:
            floor.take_floor(event.position, preroll=False)


def talk_pressed(floor: Floor, event: TalkPressed) -> None:
    """As the button in IDLE, as a barge-in elsewhere; the voice goes up while it is held.

    In LISTENING it goes on from whatever was heard so far, hands-free or not. A reply that has
    started there and not sounded is dropped: the button says that the user is not done.
    """
    memory = floor.memory
    if memory.talking or floor.stop_ringing():
        return
    refusal = "muted" if floor.muted else "error"
    match floor.state:
        case State.IDLE if _cannot_talk(floor):
            floor.ask(Chime(refusal))
        case State.LISTENING if not floor.hears:
            floor.ask(Chime(refusal))
        case State.LISTENING:
            if memory.replies:
                floor.drop(floor.highest)
            memory.push_to_talk = memory.talking = True
            floor.ask(OpenUplink(None, False))
            floor.arm_listening(Deadline.LONG_SPEECH)
        case State.THINKING | State.SPEAKING | State.YIELDING if not floor.hears:
            # As the button, and said aloud: whoever holds it is about to talk to nobody.
            floor.hang_up(refusal)
        case _:
            floor.take_floor(None, preroll=False, talking=True)


def talk_released(floor: Floor, event: TalkReleased) -> None:
    """The end of the user's turn, whatever the server's turn detector says later."""
    memory = floor.memory
    if not memory.talking:
        return
    memory.talking = False
    memory.user_speaking = False
    match floor.state:
        case State.LISTENING:
            floor.think()
        case State.YIELDING:
            floor.arm(Deadline.YIELD_SHORT)
        case _:
            pass


def onset_heard(floor: Floor, event: OnsetHeard) -> None:
    """Duck on the device's own suspicion, for a moment of its own: the server is to hear the user in it.

    So only where it can. A repeated one does not prolong the moment: they come once a second, later than
    it is over. Who goes on talking is at full level for what is left of the second; the server hears
    them long before, and a false alarm that will not end costs a dip or two.
    """
    memory = floor.memory
    is_heard = floor.link is Link.UP and floor.uplink is Valve.LIVE and floor.hears and not floor.half_duplex
    if floor.state is State.SPEAKING and is_heard and memory.suspicions < floor.suspicions:
        memory.suspicions += 1
        floor.duck(Deadline.ONSET)


def mute_changed(floor: Floor, event: MuteChanged) -> None:
    """Mute and unmute. Against the switch nobody unmutes, nor later by having tried."""
    if floor.mute_switched and not event.on:
        floor.ask(Chime("muted"))
        return
    was_muted, floor.mute_asked = floor.muted, event.on
    _mute(floor, was_muted)


def mute_switched(floor: Floor, event: MuteSwitched) -> None:
    """The switch wins; set free, it leaves what was asked for besides."""
    was_muted, floor.mute_switched = floor.muted, event.on
    _mute(floor, was_muted)


def _mute(floor: Floor, was_muted: bool) -> None:
    """Do what follows from being muted, or no more. A reply goes on: the user may want to hear the answer."""
    if floor.muted == was_muted:
        return
    if was_muted:
        floor.ask(Chime("unmute"))
        return
    # Zeros go up from here on: whatever the user was saying ends now.
    floor.memory.talking = False
    floor.memory.user_speaking = False
    match floor.state:
        case State.LISTENING:
            floor.hang_up("mute")
        case State.YIELDING:
            floor.speak()
            floor.ask(Chime("mute"))
        case _:
            floor.ask(Chime("mute"))


def stop_asked(floor: Floor, event: StopAsked) -> None:
    floor.stop_ringing()
    if floor.state is not State.IDLE:
        floor.hang_up("end")


def hush_asked(floor: Floor, event: HushAsked) -> None:
    """Silence, the session kept. Tools run on: the server waits for their answers.

    The reply to such an answer is dropped as well, unless the user has spoken by then.
    """
    floor.stop_ringing()
    memory = floor.memory
    match floor.state:
        case State.IDLE:
            pass
        case State.LISTENING:
            # Other than in the table: what is about to sound is hushed too.
            if memory.replies or memory.awaits_tool:
                floor.silence()
        case _:
            floor.silence()
            floor.says_lost += len(memory.says)
            memory.says.clear()
            floor.listen(floor.patience)


def say_asked(floor: Floor, event: SayAsked) -> None:
    match floor.state:
        case State.IDLE if NO_SPEAKER in floor.faults:
            floor.says_lost += 1
            floor.ask(Chime("error"))
        case State.IDLE:
            floor.queue_say(event.text)
            floor.connect()
            floor.think()
        case State.LISTENING if not floor.memory.has_floor:
            floor.queue_say(event.text)
            if not floor.say_next():
                floor.think()
        case _:
            # In LISTENING while the user speaks, too: the agent does not talk over them.
            floor.queue_say(event.text)


ROWS: dict[type[Event], Row] = {
    WakeHeard: wake_heard,
    WakeAsked: wake_asked,
    ButtonPressed: button_pressed,
    TalkPressed: talk_pressed,
    TalkReleased: talk_released,
    OnsetHeard: onset_heard,
    MuteChanged: mute_changed,
    MuteSwitched: mute_switched,
    StopAsked: stop_asked,
    HushAsked: hush_asked,
    SayAsked: say_asked,
}
