"""PURE: the table's rows for what the agent's session tells. One function is one row.

`Turn` has already dropped what comes from a stale session, or of a reply that is dead.
A cell that is missing here is a `.` of the table.
"""

from __future__ import annotations

from pivoice.turn.actions import AskAgain, Chime, RunTool, SendToolResult
from pivoice.turn.events import (
    Event,
    GoodbyeAsked,
    LinkDropped,
    ReplyEnded,
    ReplyInterrupted,
    ReplySilent,
    ReplyStarted,
    SessionLost,
    SessionReady,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
    ToolFinished,
    UserSaid,
)
from pivoice.turn.floor import BAD_KEY, CAP, NO_NETWORK, REFUSED, Floor, Row
from pivoice.turn.states import Deadline, Link, State
from pivoice.turn.words import means_stop


def session_ready(floor: Floor, event: SessionReady) -> None:
    if floor.link is Link.UP:
        return
    memory = floor.memory
    forgot = memory.was_up and not event.resumed
    floor.link = Link.UP
    memory.was_up = True
    floor.faults -= {BAD_KEY, CAP, NO_NETWORK, REFUSED}
    if forgot:
        _start_afresh(floor)
    for answer in memory.kept:
        floor.ask(answer)
        memory.owed = True
    memory.kept.clear()
    match floor.state:
        case State.LISTENING:
            # Mid-utterance (or button held): long_speech again, for the kept audio goes up now.
            floor.arm_listening(floor.patience)
        case State.THINKING:
            if not floor.say_next():
                floor.think()
        case _:
            pass


def _start_afresh(floor: Floor) -> None:
    """Carry on in a session that remembers nothing: old calls are void, old words are asked again.

    While a reply plays too, other than in the table: a tool it had called cannot be answered
    any more, and the question behind it must not be lost with it.
    """
    memory = floor.memory
    lost_tool = memory.awaits_tool
    if lost_tool:
        floor.cancel_tools()
    memory.kills_next = False
    memory.say_sent = False
    waits = floor.state is State.THINKING and memory.user_said and not memory.replies
    if waits or (lost_tool and memory.user_had_turn and floor.state is not State.LISTENING):
        floor.ask(AskAgain())
        memory.owed = True


def link_dropped(floor: Floor, event: LinkDropped) -> None:
    if floor.link is not Link.UP:
        return
    floor.link = Link.CONNECTING
    _cut_off_replies(floor)
    match floor.state:
        case State.LISTENING | State.THINKING:
            floor.arm(Deadline.RECONNECT)
        case State.YIELDING:
            floor.speak()
        case _:
            pass


def _cut_off_replies(floor: Floor) -> None:
    """Note that no more audio comes: what sounds plays out, what has not begun to sound is gone."""
    memory = floor.memory
    if floor.is_audible:
        # Nobody can say any more that the user has stopped; a new session tells afresh.
        memory.user_speaking = False
        for serial, reply in list(memory.replies.items()):
            if serial == memory.audible:
                reply.ended = True
            elif not reply.ended:
                del memory.replies[serial]
    elif not all(reply.ended for reply in memory.replies.values()):
        floor.drop(floor.highest)


_PARTING = {"": "end", CAP: "cap", BAD_KEY: "bad_key", NO_NETWORK: "no_network"}
"""What the user hears when a session is over, in words where somebody must act; else it is an error."""


def session_lost(floor: Floor, event: SessionLost) -> None:
    memory = floor.memory
    if event.fault:
        floor.faults.add(event.fault)
    floor.link = Link.DOWN
    if not floor.is_audible:
        floor.hang_up(_PARTING.get(event.fault, "error"))
        return
    _cut_off_replies(floor)
    floor.cancel_tools()
    floor.says_lost += len(memory.says)
    memory.says.clear()
    memory.say_sent = memory.talking = False
    memory.goodbye = True
    if floor.state is State.YIELDING:
        # Other than in the table, and as for LinkDropped: nobody is left to confirm.
        floor.speak()


def speech_started(floor: Floor, event: SpeechStarted) -> None:
    # Muted (or no microphone, or a session for `ctl say` alone): said before, or not by the user.
    if floor.is_deaf:
        return
    memory = floor.memory
    repeated = memory.user_speaking
    memory.user_speaking = True
    memory.suspicions = 0
    memory.kills_next = False
    if not repeated:
        memory.announced = min(memory.announced + 1, 2)
        for reply in memory.replies.values():
            reply.spoken_over = True
    match floor.state:
        case State.LISTENING:
            # Not for a repeated one, nor while a button is held: either could go on for ever.
            if not repeated and not memory.talking:
                floor.arm_listening(Deadline.LONG_SPEECH)
        case State.THINKING:
            floor.listen(Deadline.LONG_SPEECH)
        case State.SPEAKING if not floor.half_duplex:
            floor.duck()
        case State.YIELDING:
            floor.duck()
        case _:
            pass


def speech_stopped(floor: Floor, event: SpeechStopped) -> None:
    memory = floor.memory
    was_speaking, memory.user_speaking = memory.user_speaking, False
    match floor.state:
        # The server repeats itself: only speech that we wait to end can end, or a repeated event
        # would turn a follow-up into an answer that never comes.
        case State.LISTENING if was_speaking or floor.deadline is Deadline.LONG_SPEECH:
            floor.think()
        case State.YIELDING:
            floor.arm(Deadline.YIELD_SHORT)
        case _:
            pass


def user_said(floor: Floor, event: UserSaid) -> None:
    """Final words. Over a reply they count only if they are not the very words that it answers.

    Transcripts may come after the reply has begun, and must not cut it. So words are new if speech
    began after the reply had started; where a server does not announce speech, if the words that
    the reply answers had arrived already. This is narrower than the table.
    """
    memory = floor.memory
    memory.user_had_turn = True
    if floor.ringing and means_stop(event.text):
        _stop_ringing_by_voice(floor)
        return
    is_announced, memory.announced = memory.announced > 0, max(0, memory.announced - 1)
    over = [
        serial
        for serial, reply in memory.replies.items()
        if reply.spoken_over or (reply.knows_words and not is_announced)
    ]
    for serial, reply in memory.replies.items():
        reply.overtaken = reply.overtaken or serial in over
        reply.knows_words = True
    if not floor.is_audible:
        memory.user_said = True
    elif over:
        memory.user_said = True
        # One that has not ended is for the server to interrupt, or not: it knows an "uh-huh".
        if memory.replies[over[-1]].ended:
            floor.drop(over[-1])
            floor.answer_words()


def _stop_ringing_by_voice(floor: Floor) -> None:
    """Silence the ring, and nothing else: the agent's answer to the words is for nobody.

    What sounds already is no answer to them. A new word of the user's brings the next answer back.
    """
    floor.stop_ringing()
    memory = floor.memory
    memory.announced = max(0, memory.announced - 1)
    is_answered = max(memory.replies, default=0) > memory.audible
    if not floor.is_audible:
        floor.silence()
        floor.listen(floor.patience)
    memory.kills_next = not is_answered and floor.link is not Link.DOWN


def reply_started(floor: Floor, event: ReplyStarted) -> None:
    if event.reply <= floor.highest or not floor.begin(event.reply):
        return
    if floor.state is State.THINKING and floor.deadline in (Deadline.YIELD, Deadline.GOODBYE):
        # The "uh-huh" is answered after all, the goodbye begins: wait for it as for any other answer.
        floor.arm(Deadline.NO_REPLY)
    _make_way(floor)


def reply_ended(floor: Floor, event: ReplyEnded) -> None:
    reply = floor.memory.replies.get(event.reply)
    if reply is not None:
        reply.ended = True
        _make_way(floor)


def _make_way(floor: Floor) -> None:
    """Drop a reply that has ended and that words have overtaken, once their answer has started."""
    replies = floor.memory.replies
    over = [serial for serial, reply in replies.items() if reply.overtaken]
    answers = [serial for serial, reply in replies.items() if not reply.spoken_over]
    if floor.is_audible and over and answers and replies[over[-1]].ended and answers[-1] > over[-1]:
        floor.drop(over[-1])
        floor.answer_words()


def reply_silent(floor: Floor, event: ReplySilent) -> None:
    memory = floor.memory
    if event.reply > floor.highest:
        # It failed before it was announced: take both as one.
        floor.begin(event.reply)
    reply = memory.replies.get(event.reply)
    if reply is None:
        return
    if event.reply == memory.audible:
        reply.ended = True
        return
    del memory.replies[event.reply]
    if not floor.is_audible and all(serial > event.reply for serial in memory.replies):
        floor.drop(event.reply)  # nobody needs to hear its silence, least of all before the next reply
    if floor.state is not State.THINKING or memory.replies:
        return
    if memory.awaits_tool:
        if floor.link is Link.UP:
            floor.think()
    elif memory.goodbye:
        # Other than in the table: the agent hung up and has nothing left to say; no error.
        floor.hang_up("end")
    else:
        memory.user_said = False
        if floor.say_next():
            floor.ask(Chime("error"))
        elif floor.is_deaf:
            floor.hang_up("error")
        else:
            floor.ask(Chime("error"))
            floor.listen(floor.patience)


def reply_interrupted(floor: Floor, event: ReplyInterrupted) -> None:
    """The server cut a reply: it and what it had called are void; newer ones stand."""
    memory = floor.memory
    floor.highest = max(floor.highest, event.reply)
    was_audible = floor.is_audible and memory.audible <= event.reply
    memory.owed = False
    memory.kills_next = False
    for call_id, reply in list(memory.tools.items()):
        if reply <= event.reply:
            del memory.tools[call_id]
    floor.drop(event.reply)
    if not memory.tools:
        floor.cancel_tools()
    if was_audible and not floor.user_goes_on() and not memory.user_said and not memory.replies:
        floor.listen(Deadline.LONG_SPEECH)
    elif was_audible:
        floor.answer_words()
    elif floor.state is State.THINKING and floor.deadline is Deadline.TOOL:
        floor.think()


def void_calls(floor: Floor, reply: int) -> None:
    """The server cut a reply that is dead already, and with it what it had called; newer calls stand."""
    memory = floor.memory
    calls = [call_id for call_id, caller in memory.tools.items() if 0 < caller <= reply]
    for call_id in calls:
        del memory.tools[call_id]
    if calls and not memory.tools:
        floor.cancel_tools()
        if floor.state is State.THINKING and floor.deadline is Deadline.TOOL:
            floor.think()


def tool_called(floor: Floor, event: ToolCalled) -> None:
    memory = floor.memory
    if event.call_id in memory.tools:
        return
    memory.tools[event.call_id] = event.reply
    floor.ask(RunTool(event.session, event.call_id, event.name, event.arguments))
    match floor.state:
        case State.LISTENING if not memory.has_floor:
            floor.think()
        case State.THINKING if floor.link is Link.UP:
            floor.think()
        case _:
            pass


def tool_finished(floor: Floor, event: ToolFinished) -> None:
    """Answer a call. It stays pending until the reply to the answer starts, longer than in the table.

    A fast tool's answer precedes the silent end of the reply that called it (API notes, section
    6), which would else be taken for an error; and a drain must not hang up on the reply to it.
    """
    memory = floor.memory
    if memory.tools.pop(event.call_id, None) is None:
        return
    answer = SendToolResult(event.call_id, event.result, event.is_error)
    if floor.link is not Link.UP:
        memory.kept.append(answer)
        return
    floor.ask(answer)
    memory.owed = True
    if floor.state is State.THINKING and not memory.tools:
        floor.think(Deadline.NO_REPLY)


def goodbye_asked(floor: Floor, event: GoodbyeAsked) -> None:
    memory = floor.memory
    match floor.state:
        # Other than in the table: a goodbye that crosses the user's next words is not for them,
        # and one whose "goodbye!" has started but not sounded waits for it.
        case State.LISTENING if memory.has_floor:
            pass
        case State.LISTENING if memory.replies:
            memory.goodbye = True
            floor.think()
        case State.LISTENING:
            floor.hang_up("end")
        case _:
            memory.goodbye = True


ROWS: dict[type[Event], Row] = {
    SessionReady: session_ready,
    LinkDropped: link_dropped,
    SessionLost: session_lost,
    SpeechStarted: speech_started,
    SpeechStopped: speech_stopped,
    UserSaid: user_said,
    ReplyStarted: reply_started,
    ReplyEnded: reply_ended,
    ReplySilent: reply_silent,
    ReplyInterrupted: reply_interrupted,
    ToolCalled: tool_called,
    ToolFinished: tool_finished,
    GoodbyeAsked: goodbye_asked,
}
