"""What must hold of every step of the turn machine, by name. The walk asks all of it everywhere."""

from __future__ import annotations

from dataclasses import replace

from pivoice.turn import actions as act
from pivoice.turn import events as ev
from pivoice.turn.machine import Deadline, Link, State
from pivoice.turn.states import Memory
from tests.turn.walk import Promise, Promises, Step, deadlines_to_idle, one_deadline_later

Valve = ev.Valve


def _muted_is_mute(step: Step) -> bool:
    turn = step.after
    return not turn.muted or (turn.uplink is not Valve.LIVE and not turn.wants_microphone)


def _muted_never_listens(step: Step) -> bool:
    return not (step.after.muted and step.after.state is State.LISTENING)


def _nothing_leaves_uninvited(step: Step) -> bool:
    live = step.after.uplink is Valve.LIVE
    return not live or (step.world.invited and step.after.state is not State.IDLE)


def _held_to_talk(step: Step) -> bool:
    memory = step.after.memory
    return not (memory.push_to_talk and not memory.talking and step.after.uplink is Valve.LIVE)


def _idle_is_nothing(step: Step) -> bool:
    turn = step.after
    if turn.state is State.IDLE:
        return turn.deadline_s is None and not step.world.is_open and turn.memory == Memory()
    return turn.deadline_s is not None and (step.world.is_open or turn.is_audible)


def _link_is_the_session(step: Step) -> bool:
    return step.world.is_open == (step.after.link is not Link.DOWN) == step.after.conversation_open


def _no_floor_without_link(step: Step) -> bool:
    turn = step.after
    return turn.state not in (State.LISTENING, State.THINKING) or turn.link is not Link.DOWN


def _two_deadlines(step: Step) -> bool:
    # A third one for a queued `ctl say`, which a cough must not cost.
    return deadlines_to_idle(step.after) <= (3 if step.after.memory.says else 2)


def _idle_is_entered_whole(step: Step) -> bool:
    if step.after.state is not State.IDLE or step.before.state is State.IDLE:
        return True
    dropped = max((a.reply for a in step.actions if isinstance(a, act.Drop)), default=-1)
    closed = any(isinstance(a, (act.End, act.Linger)) for a in step.actions)
    return (
        dropped >= step.before.highest
        and act.CancelTools() in step.actions
        and (closed or not step.world_before.is_open or isinstance(step.event, ev.SessionLost))
    )


def _lingers_after_follow_up_only(step: Step) -> bool:
    passed = isinstance(step.event, ev.DeadlinePassed) and step.before.deadline is Deadline.FOLLOW_UP
    return act.Linger() not in step.actions or passed


def _no_sound_without_floor(step: Step) -> bool:
    return step.world.sounding == 0 or step.after.is_audible


def _no_speaking_without_sound(step: Step) -> bool:
    return not step.after.is_audible or step.world.sounding > step.world.silenced


def _one_connect(step: Step) -> bool:
    connects = [a for a in step.actions if isinstance(a, act.Connect)]
    if not connects:
        return True
    return len(connects) == 1 and not step.world_before.is_open and connects[0].session > step.before.session


def _dead_stays_dead(step: Step) -> bool:
    reply = getattr(step.event, "reply", None)
    if not reply or reply > step.before.dead or step.before.state is State.IDLE:
        return True
    # But for what it had called, which its interruption voids.
    if isinstance(step.event, ev.ReplyInterrupted) and reply in step.before.memory.tools.values():
        gave_up = set(step.actions) <= {act.CancelTools()} and reply not in step.after.memory.tools.values()
        return gave_up and step.after.state is step.before.state
    return not step.actions and step.after.snapshot() == step.before.snapshot()


def _stale_changes_nothing(step: Step) -> bool:
    session = getattr(step.event, "session", None)
    if session is None or (session == step.before.session and step.world_before.is_open):
        return True
    if step.before.state is State.IDLE:
        return step.after.state is State.IDLE and all(
            isinstance(a, (act.End, act.Drop)) for a in step.actions
        )
    return not step.actions and step.after.snapshot() == step.before.snapshot()


def _drain_keeps_tools(step: Step) -> bool:
    before, after = step.before.memory, step.after.memory
    if not isinstance(step.event, ev.PlaybackDrained) or not before.awaits_tool or before.goodbye:
        return True
    same = (before.tools, before.kept, before.owed) == (after.tools, after.kept, after.owed)
    return same and step.after.state is not State.IDLE and act.CancelTools() not in step.actions


def _answers_arrive(step: Step) -> bool:
    before, after = step.before.memory, step.after.memory
    sent = [a.call_id for a in step.actions if isinstance(a, act.SendToolResult)]
    match step.event:
        case ev.ToolFinished(session, call_id) if session == step.before.session and call_id in before.tools:
            return call_id in sent or call_id in [answer.call_id for answer in after.kept]
        case ev.SessionReady(session, resumed) if session == step.before.session and before.kept:
            if step.before.link is not Link.CONNECTING:
                return True
            forgot = before.was_up and not resumed
            return sent == ([] if forgot else [answer.call_id for answer in before.kept])
        case _:
            return not sent


def _answers_need_a_link(step: Step) -> bool:
    needs = (act.SendToolResult, act.Say, act.AskAgain)
    return step.after.link is Link.UP or not any(isinstance(a, needs) for a in step.actions)


def _speaker_is_not_hung_up_on(step: Step) -> bool:
    turn = step.after
    if not turn.memory.has_floor or turn.link is not Link.UP:
        return True
    return turn.deadline not in (Deadline.FOLLOW_UP, Deadline.NO_SPEECH)


def _thinking_is_the_agents(step: Step) -> bool:
    return not (step.after.state is State.THINKING and step.after.memory.user_speaking)


def _listening_takes_back_goodbye(step: Step) -> bool:
    return not (step.after.state is State.LISTENING and step.after.memory.goodbye)


def _no_ducking_in_half_duplex(step: Step) -> bool:
    return not (step.after.half_duplex and step.after.is_ducked)


def _comes_back_up(step: Step) -> bool:
    if not step.after.is_ducked:
        return True
    later = one_deadline_later(step.after)
    return later.state is State.SPEAKING and not later.is_ducked


def _suspicion_is_heard(step: Step) -> bool:
    turn = step.after
    if turn.deadline is not Deadline.ONSET:
        return True
    heard = turn.link is Link.UP and turn.uplink is Valve.LIVE and turn.hears
    return turn.is_ducked and heard and not turn.half_duplex


def _onset_touches_nothing(step: Step) -> bool:
    if not isinstance(step.event, ev.OnsetHeard):
        return True
    before, after = step.before, step.after
    if step.actions or replace(after.memory, suspicions=before.memory.suspicions) != before.memory:
        return False
    ducks = (before.state, after.state) == (State.SPEAKING, State.YIELDING)
    same = (before.link, before.uplink, before.dead) == (after.link, after.uplink, after.dead)
    return same and (ducks or (before.state, before.deadline_serial) == (after.state, after.deadline_serial))


def _suspicions_do_not_add_up(step: Step) -> bool:
    before, after = step.before, step.after
    if not (before.is_ducked and after.is_ducked and before.deadline is Deadline.ONSET):
        return True
    told = isinstance(step.event, (ev.SpeechStarted, ev.SpeechStopped, ev.TalkReleased))
    return told or before.deadline_serial == after.deadline_serial


def _suspicions_end(step: Step) -> bool:
    if not isinstance(step.event, ev.OnsetHeard) or step.before.state is step.after.state:
        return True
    before, after = step.before.memory.suspicions, step.after.memory.suspicions
    return before < after <= step.after.suspicions


def _start_cuts_nothing(step: Step) -> bool:
    if not isinstance(step.event, ev.SpeechStarted) or not step.before.is_audible:
        return True
    same = (step.before.dead, list(step.before.memory.replies)) == (
        step.after.dead,
        list(step.after.memory.replies),
    )
    return not step.actions and step.after.is_audible and same


def _ducks_are_counted(step: Step) -> bool:
    before, after = step.before.ducks, step.after.ducks
    ducked = after.on_suspicion + after.on_word - before.on_suspicion - before.on_word
    over = after.came_back + after.cut + after.played_out
    over -= before.came_back + before.cut + before.played_out
    return (
        ducked - over == step.after.is_ducked - step.before.is_ducked
        and after.confirmed <= after.on_suspicion
    )


def _serial_follows_deadline(step: Step) -> bool:
    before, after = step.before, step.after
    return before.deadline is after.deadline or before.deadline_serial != after.deadline_serial


def _stale_deadline_does_nothing(step: Step) -> bool:
    if not isinstance(step.event, ev.DeadlinePassed) or step.event.serial == step.before.deadline_serial:
        return True
    return not step.actions and step.after.snapshot() == step.before.snapshot()


def _timers_leave_the_floor(step: Step) -> bool:
    if not isinstance(step.event, (ev.TimerRang, ev.RingDue, ev.RingSilenced)):
        return True
    before, after = step.before, step.after
    same = (before.state, before.link, before.deadline_serial) == (
        after.state,
        after.link,
        after.deadline_serial,
    )
    chimes_only = all(a == act.Chime("timer") for a in step.actions)
    return same and chimes_only and before.memory == after.memory


def _the_switch_wins(step: Step) -> bool:
    unmuted = step.before.muted and not step.after.muted
    is_hers = isinstance(step.event, ev.MuteSwitched) or not step.before.mute_switched
    return not unmuted or (is_hers and isinstance(step.event, (ev.MuteChanged, ev.MuteSwitched)))


def _only_the_ring_is_silenced(step: Step) -> bool:
    """The first press or wake word while something rings does nothing else."""
    if not step.before.ringing or not isinstance(
        step.event, (ev.ButtonPressed, ev.WakeHeard, ev.WakeAsked, ev.TalkPressed)
    ):
        return True
    return not step.actions and step.before.state is step.after.state


def _uplink_opens_for_listening(step: Step) -> bool:
    opened = any(isinstance(a, act.OpenUplink) for a in step.actions)
    return not opened or (step.after.state is State.LISTENING and step.after.uplink is Valve.LIVE)


def _stop_stops(step: Step) -> bool:
    return not isinstance(step.event, ev.StopAsked) or step.after.state is State.IDLE


def _hush_silences(step: Step) -> bool:
    if not isinstance(step.event, ev.HushAsked):
        return True
    return not step.after.is_audible and not step.after.memory.replies


def _says_are_counted(step: Step) -> bool:
    before, after = step.before, step.after
    gone = len(before.memory.says) + isinstance(step.event, ev.SayAsked) - len(after.memory.says)
    return gone <= after.says_lost - before.says_lost + before.memory.say_sent


OF_STATES: dict[str, Promise] = {
    "never a live uplink while muted": _muted_is_mute,
    "muted, the user never has the floor": _muted_never_listens,
    "nothing leaves before the user asked for the floor": _nothing_leaves_uninvited,
    "push-to-talk: live only while held": _held_to_talk,
    "IDLE <=> no open conversation, no deadline, no memory": _idle_is_nothing,
    "the link is DOWN exactly when no session is open": _link_is_the_session,
    "LISTENING and THINKING are never link DOWN": _no_floor_without_link,
    "every state reaches IDLE by at most two deadlines": _two_deadlines,
    "a reply is never left playing": _no_sound_without_floor,
    "SPEAKING means that a living reply sounds": _no_speaking_without_sound,
    "a speaking user is never hung up on by a follow-up deadline": _speaker_is_not_hung_up_on,
    "THINKING: the user is not speaking": _thinking_is_the_agents,
    "LISTENING takes back a goodbye": _listening_takes_back_goodbye,
    "half duplex never ducks": _no_ducking_in_half_duplex,
    "a ducked reply is at full level after one deadline": _comes_back_up,
    "a suspicion waits for a server that hears the user": _suspicion_is_heard,
}

OF_STEPS: dict[str, Promise] = {
    "entering IDLE drops, cancels and closes": _idle_is_entered_whole,
    "lingers only when the follow-up time ran out": _lingers_after_follow_up_only,
    "never two connects": _one_connect,
    "a dead reply does nothing any more": _dead_stays_dead,
    "a stale session changes nothing": _stale_changes_nothing,
    "a pending tool answer is never lost by a drain": _drain_keeps_tools,
    "a tool's answer is sent, or kept until it can be": _answers_arrive,
    "nothing is sent to the agent without a link": _answers_need_a_link,
    "an onset alone never cuts, drops or asks for anything": _onset_touches_nothing,
    "a suspicion is prolonged by no other": _suspicions_do_not_add_up,
    "a reply ducks on so many suspicions in a row": _suspicions_end,
    "somebody who starts to speak never cuts a reply": _start_cuts_nothing,
    "what is ducked is counted, and what becomes of it": _ducks_are_counted,
    "a new deadline has a new serial": _serial_follows_deadline,
    "a stale deadline does nothing": _stale_deadline_does_nothing,
    "a timer does not touch the floor": _timers_leave_the_floor,
    "nobody unmutes against the switch": _the_switch_wins,
    "the first press or wake word while something rings only silences it": _only_the_ring_is_silenced,
    "the uplink is opened for a listening agent only": _uplink_opens_for_listening,
    "a stop stops": _stop_stops,
    "a hush silences": _hush_silences,
    "a say is spoken or counted as lost": _says_are_counted,
}

DEMANDING = (_answers_arrive, _stop_stops, _hush_silences, _says_are_counted)
"""An event that was ignored can break no other: all of them hold where nothing changes."""

PROMISES = Promises(
    of_states=OF_STATES,
    of_steps=OF_STEPS,
    of_ignored={name: promise for name, promise in OF_STEPS.items() if promise in DEMANDING},
)
