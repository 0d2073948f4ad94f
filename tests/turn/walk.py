"""A walk over every joint state of the turn machine that a set of events can reach, breadth first.

In each state every event is tried, the impossible ones included, for the network and the threads
keep no order: stale sessions, dead replies, drained ones, unknown ones. After each step every
promise of `promises.py` is asked. What it finds broken comes with the shortest way there.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace

from pivoice.turn import actions as act
from pivoice.turn import events as ev
from pivoice.turn.machine import State, Turn

Ground = tuple[str, ...]
"""Names of groups of events, the keys of `EVENTS`."""


@dataclass(frozen=True)
class World:
    """What is true outside the machine, told by events and actions alone."""

    is_open: bool = False
    """A session was asked for, and neither ended nor lost."""
    sounding: int = 0
    """The reply that leaves the speaker; 0: none."""
    silenced: int = 0
    """Every reply up to this one was dropped."""
    invited: bool = False
    """The user asked for the floor since IDLE."""


@dataclass
class Step:
    """One step of the walk, as the promises see it."""

    before: Turn
    event: ev.Event
    actions: list[act.Action]
    after: Turn
    world_before: World
    world: World


Promise = Callable[[Step], bool]
Ways = dict[object, tuple[object, ev.Event] | None]
"""The states found: how each was reached first, from which."""


class BrokenPromiseError(AssertionError):
    """A promise that does not hold, with the shortest way to where it does not."""

    def __init__(self, promise: str, way: list[ev.Event], step: Step) -> None:
        lines = [f"broken: {promise}", *(f"  {event}" for event in way), f"  {step.event}  <- here"]
        lines += [
            f"asked: {step.actions}",
            f"before: {step.before.status()}",
            f"after: {step.after.status()}",
        ]
        super().__init__("\n".join(lines))
        self.promise = promise


@dataclass(frozen=True)
class Counts:
    """How far a walk went."""

    states: int
    transitions: int

    def __str__(self) -> str:
        return f"{self.states:,} joint states, {self.transitions:,} transitions"


@dataclass(frozen=True)
class Promises:
    """What is asked, by name, and when."""

    of_states: Mapping[str, Promise]
    """Of the step that first reaches a state: what follows from the joint state alone."""
    of_steps: Mapping[str, Promise]
    """Of every step."""
    of_ignored: Mapping[str, Promise]
    """Of the steps that changed nothing, instead of `of_steps`: those of it that demand a change."""

    def only(self, name: str) -> Promises:
        """Return the promise `name` alone."""
        kinds = (self.of_states, self.of_steps, self.of_ignored)
        return Promises(*({n: p for n, p in kind.items() if n == name} for kind in kinds))


def walk(start: Turn, ground: Ground, promises: Promises, *, replies: int = 2) -> Counts:
    """Walk everything that `ground`'s events reach from `start`, at most `replies` alive at a time."""
    ways: Ways = {}
    todo: deque[tuple[object, Turn, World]] = deque()
    key = _key(start, World())
    ways[key] = None
    todo.append((key, start, World()))
    transitions = 0
    while todo:
        key, turn, world = todo.popleft()
        spare: Turn | None = None
        for event in _events(turn, ground, replies):
            after = spare or _copy(turn)
            actions = after.step(event)
            step = Step(turn, event, actions, after, world, _observe(world, turn, event, actions, after))
            transitions += 1
            _ask(promises.of_ignored if after.ignored else promises.of_steps, step, ways, key)
            # A copy that ignored the event is good for the next one.
            spare = after if after.ignored and step.world == world else None
            if spare:
                spare.ignored.clear()
                continue
            next_key = _key(after, step.world)
            if next_key not in ways:
                _ask(promises.of_states, step, ways, key)
                ways[next_key] = (key, event)
                todo.append((next_key, after, step.world))
    return Counts(len(ways), transitions)


def _ask(promises: Mapping[str, Promise], step: Step, ways: Ways, key: object) -> None:
    for name, holds in promises.items():
        if not holds(step):
            raise BrokenPromiseError(name, _way(ways, key), step)


# --- the events ---


def _user(_: Turn, __: int) -> Iterator[ev.Event]:
    yield from (ev.WakeHeard("hey_jarvis", 0.9, 16000), ev.ButtonPressed(16000))
    yield from (ev.MuteChanged(on=True), ev.MuteChanged(on=False))


def _control(_: Turn, __: int) -> Iterator[ev.Event]:
    yield from (ev.WakeAsked(), ev.StopAsked(), ev.HushAsked(), ev.OnsetHeard())


def _link(turn: Turn, _: int) -> Iterator[ev.Event]:
    session = turn.session
    yield from (ev.SessionReady(session, resumed=True), ev.SessionReady(session, resumed=False))
    yield from (ev.LinkDropped(session), ev.SessionLost(session, "gone"))


def _speech(turn: Turn, _: int) -> Iterator[ev.Event]:
    session = turn.session
    yield from (ev.SpeechStarted(session), ev.SpeechStopped(session), ev.UserSaid(session, "words"))


def _serials(turn: Turn, limit: int) -> list[int]:
    """Every kind of reply there is: alive, dead, drained, and (while there is room) the next one."""
    alive = list(turn.memory.replies)
    known = {*alive, turn.dead, turn.highest} - {0}
    return sorted(known | ({turn.highest + 1} if len(alive) < limit else set()))


def _replies(turn: Turn, limit: int) -> Iterator[ev.Event]:
    session = turn.session
    for serial in _serials(turn, limit):
        yield from (ev.ReplyStarted(session, serial), ev.ReplyEnded(session, serial))
        yield from (ev.ReplySilent(session, serial), ev.ReplyInterrupted(session, serial))


def _sound(turn: Turn, limit: int) -> Iterator[ev.Event]:
    for serial in _serials(turn, limit):
        yield from (ev.ReplyAudible(serial), ev.PlaybackDrained(serial))


def _time(turn: Turn, _: int) -> Iterator[ev.Event]:
    yield from (ev.DeadlinePassed(turn.deadline_serial), ev.DeadlinePassed(turn.deadline_serial - 1))


def _tools(turn: Turn, _: int) -> Iterator[ev.Event]:
    yield from _one_tool(turn, "a")


def _more_tools(turn: Turn, _: int) -> Iterator[ev.Event]:
    yield from _one_tool(turn, "b")
    yield ev.ToolFinished(turn.session, "never called", "noon")


def _one_tool(turn: Turn, call_id: str) -> Iterator[ev.Event]:
    if call_id not in [answer.call_id for answer in turn.memory.kept]:
        for reply in {0, *_serials(turn, 0)}:
            yield ev.ToolCalled(turn.session, reply, call_id, "get_time", {})
    yield ev.ToolFinished(turn.session, call_id, "noon")


def _goodbye(turn: Turn, _: int) -> Iterator[ev.Event]:
    yield ev.GoodbyeAsked(turn.session)


def _stale(turn: Turn, limit: int) -> Iterator[ev.Event]:
    """All that a session can tell, told by one that is over."""
    for group in (_link, _speech, _replies, _tools, _goodbye):
        for event in group(turn, limit):
            yield replace(event, session=turn.session - 1)


def _say(turn: Turn, _: int) -> Iterator[ev.Event]:
    if len(turn.memory.says) < 2:
        yield ev.SayAsked("dinner is ready")


def _talk(_: Turn, __: int) -> Iterator[ev.Event]:
    yield from (ev.TalkPressed(), ev.TalkReleased())


def _devices(_: Turn, __: int) -> Iterator[ev.Event]:
    yield from (ev.CaptureLost("unplugged"), ev.CaptureFound())
    yield from (ev.PlaybackLost("unplugged"), ev.PlaybackFound())


def _timers(_: Turn, __: int) -> Iterator[ev.Event]:
    yield from (ev.TimerRang("eggs"), ev.RingDue(), ev.RingSilenced())


def _spoken_stop(turn: Turn, _: int) -> Iterator[ev.Event]:
    yield ev.UserSaid(turn.session, "stop")


def _switch(_: Turn, __: int) -> Iterator[ev.Event]:
    yield from (ev.MuteSwitched(on=True), ev.MuteSwitched(on=False))


EVENTS: dict[str, Callable[[Turn, int], Iterator[ev.Event]]] = {
    "user": _user,
    "control": _control,
    "link": _link,
    "speech": _speech,
    "replies": _replies,
    "sound": _sound,
    "time": _time,
    "tools": _tools,
    "more_tools": _more_tools,
    "stale": _stale,
    "goodbye": _goodbye,
    "say": _say,
    "talk": _talk,
    "devices": _devices,
    "timers": _timers,
    "spoken stop": _spoken_stop,
    "switch": _switch,
}


def _events(turn: Turn, ground: Ground, replies: int) -> Iterator[ev.Event]:
    for group in ground:
        yield from EVENTS[group](turn, replies)


# --- the machine, copied and compared ---


def _copy(turn: Turn) -> Turn:
    twin = object.__new__(type(turn))
    twin.__dict__.update(turn.__dict__)
    memory = turn.memory
    twin.memory = copy(memory)
    twin.memory.replies = {n: replace(r) for n, r in memory.replies.items()}
    twin.memory.tools = dict(memory.tools)
    twin.memory.kept = list(memory.kept)
    twin.memory.says = list(memory.says)
    twin.faults = set(turn.faults)
    twin.ignored = Counter()
    twin.ducks = replace(turn.ducks)
    twin.asked = []
    return twin


def _key(turn: Turn, world: World) -> object:
    """The joint state with serials made relative: it is the order of replies that matters.

    Left out: what is only shown (`no_network`, `bad_key`, counters), and the suspicions about a reply that
    is over, which the next one does not inherit.
    """
    memory = turn.memory
    order = [*memory.replies, turn.highest]
    return (
        (turn.state, turn.link, turn.mute_asked, turn.mute_switched, turn.deadline, turn.ringing),
        ("no_microphone" in turn.faults, "no_speaker" in turn.faults),
        turn.dead < turn.highest and turn.highest not in memory.replies,
        tuple(
            (serial == memory.audible, r.ended, r.knows_words, r.spoken_over, r.overtaken)
            for serial, r in memory.replies.items()
        ),
        (memory.invited, memory.push_to_talk, memory.talking, memory.was_up),
        (memory.suspicions if turn.is_audible else 0, memory.kills_next),
        (memory.user_speaking, memory.announced, memory.user_said, memory.user_had_turn, memory.goodbye),
        tuple((call_id, _rank(reply, order)) for call_id, reply in sorted(memory.tools.items())),
        tuple(sorted(answer.call_id for answer in memory.kept)),
        (memory.owed, len(memory.says), memory.say_sent),
        (world.is_open, world.sounding != 0, world.invited),
    )


def _rank(reply: int, order: list[int]) -> int:
    return sum(reply >= serial for serial in order)


def _observe(world: World, turn: Turn, event: ev.Event, actions: list[act.Action], after: Turn) -> World:
    """Return the world after `event` and what was done about it."""
    is_open, sounding, silenced, invited = world.is_open, world.sounding, world.silenced, world.invited
    match event:
        case ev.ReplyAudible(reply) if reply > silenced:
            sounding = max(sounding, reply)
        case ev.PlaybackDrained(reply) if reply >= sounding:
            sounding = 0
        case ev.SessionLost(session) if session == turn.session:
            is_open = False
        case ev.WakeHeard() | ev.WakeAsked() | ev.ButtonPressed() | ev.TalkPressed():
            invited = True
    for action in actions:
        match action:
            case act.Connect():
                is_open = True
            case act.End() | act.Linger():
                is_open = False
            case act.Drop(reply):
                silenced = max(silenced, reply)
                sounding = sounding if sounding > silenced else 0
    return World(is_open, sounding, silenced, invited and after.state is not State.IDLE)


def _way(ways: Ways, key: object) -> list[ev.Event]:
    way: list[ev.Event] = []
    while (step := ways[key]) is not None:
        key, event = step
        way.insert(0, event)
    return way


def deadlines_to_idle(turn: Turn) -> int:
    """Return how many deadlines in a row lead from here to IDLE, if nothing else ever happens."""
    turn = _copy(turn)
    for count in range(10):
        if turn.state is State.IDLE:
            return count
        turn.step(ev.DeadlinePassed(turn.deadline_serial))
    return 10


def one_deadline_later(turn: Turn) -> Turn:
    """Return the machine as it is when its deadline has passed and nothing else has happened."""
    turn = _copy(turn)
    turn.step(ev.DeadlinePassed(turn.deadline_serial))
    return turn
