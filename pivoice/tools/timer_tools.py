"""The tools for timers and alarms: what the agent says becomes a timer, and timers become words.

Event loop only. An agent is lax with numbers and times: whatever has one meaning is taken, and what has none,
or two, is told with what to ask. All that it is told is said aloud, so it is written as it is spoken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta

from pivoice.tools.pending import Alarm, Entry
from pivoice.tools.registry import RefusedError, ToolDefinition
from pivoice.tools.spoken import WEEKDAYS, day_said, days_said, length_said, time_said
from pivoice.tools.timers import MAX_NAME_CHARS, Timers

MIN_S = 1.0
MAX_S = 24 * 3600.0  # longer ones are alarms: people mean a time of day by then
_MAX_NUMBER = 1e6  # of seconds, minutes or hours: what is more was misheard
_MAX_AHEAD = timedelta(days=366)
_MAX_LISTED = 12
_MAX_QUOTED_CHARS = 40

_DAY_NAMES = [name.lower() for name in WEEKDAYS]
_REPEATS = {
    "daily": range(7),
    "weekdays": range(5),
    "weekends": range(5, 7),
    **{name: (number,) for number, name in enumerate(_DAY_NAMES)},
}
_CLOCK = re.compile(r"(\d{1,2})(?:[:.h](\d{2}))?(?::\d{2})?\s*(?:([ap])\.?m\.?)?", re.ASCII | re.IGNORECASE)

_SET: dict[str, object] = {
    "type": "object",
    "properties": {
        "hours": {"type": "number", "description": "Timer: hours from now, for example 2."},
        "minutes": {"type": "number", "description": "Timer: minutes from now, for example 10 or 1.5."},
        "seconds": {"type": "number", "description": "Timer: seconds from now, for example 30."},
        "at": {
            "type": "string",
            "description": "Alarm: the time of day on a 24-hour clock, HH:MM.",
            "examples": ["07:30", "18:05"],
        },
        "date": {
            "type": "string",
            "description": "Alarm: the day, as YYYY-MM-DD, today, tomorrow or a weekday. Leave it out for "
            "the next time that the clock shows it.",
            "examples": ["tomorrow", "2026-12-24"],
        },
        "repeat": {
            "type": "array",
            "items": {"type": "string", "enum": list(_REPEATS)},
            "description": "Alarm: the days on which it comes again. Leave it out for one that rings once.",
        },
        "name": {
            "type": "string",
            "description": "What it is for, if the user said so, for example pizza. Do not ask for it.",
        },
    },
    "required": [],
}
_CANCEL: dict[str, object] = {
    "type": "object",
    "properties": {
        "name": {
            "type": "string",
            "description": "Its name, or a part of it; or all, all timers, all alarms. Leave it out where "
            "there is only one, or for what rings now.",
        }
    },
    "required": [],
}


def timer_tools(timers: Timers) -> list[ToolDefinition]:
    """Return set_timer, list_timers and cancel_timer, for timers and alarms alike."""

    async def set_timer(arguments: Mapping[str, object]) -> str:
        return json.dumps(_set(timers, arguments), ensure_ascii=False)

    async def list_timers(_: Mapping[str, object]) -> str:
        return json.dumps(_listed(timers), ensure_ascii=False)

    async def cancel_timer(arguments: Mapping[str, object]) -> str:
        return json.dumps(_cancel(timers, str(arguments.get("name", ""))), ensure_ascii=False)

    return [
        ToolDefinition(
            name="set_timer",
            description="Sets a timer (hours, minutes, seconds from now) or an alarm (at a time of day). It "
            "rings on this device until it is stopped. Use it for timers, alarms and reminders; never only "
            "promise one. Several may run.",
            parameters=_SET,
            run=set_timer,
        ),
        ToolDefinition(
            name="list_timers",
            description="Tells which timers and alarms are set, how long is left, and which were missed. "
            "Never reckon it yourself.",
            parameters={"type": "object", "properties": {}, "required": []},
            run=list_timers,
        ),
        ToolDefinition(
            name="cancel_timer",
            description="Cancels a timer or an alarm, and stops one that rings. To change one, cancel it and "
            "set another.",
            parameters=_CANCEL,
            run=cancel_timer,
        ),
    ]


# --- set ---


def _set(timers: Timers, arguments: Mapping[str, object]) -> dict[str, object]:
    name = str(arguments.get("name", "")).strip()
    if len(name) > MAX_NAME_CHARS:
        raise RefusedError(f"the name has {len(name)} characters; give one of at most {MAX_NAME_CHARS}")
    at, length_s = str(arguments.get("at", "")).strip(), _length_s(arguments)
    repeat, day = arguments.get("repeat") or [], str(arguments.get("date", "")).strip()
    if length_s is not None and (at or day or repeat):
        raise RefusedError("give either a length (hours, minutes, seconds) or a time of day (at), not both")
    if length_s is not None:
        _check_length(length_s)
        entry: Entry = timers.set_timer(length_s, name)
    elif at:
        entry = _set_alarm(timers, at, day, _days(repeat), name)
    else:
        raise RefusedError("nothing was said of how long, or of what time of day")
    told: dict[str, object] = {"status": "set", **_described(timers, entry)}
    if not timers.is_kept:
        told["warning"] = "It could not be written down: a restart of the device forgets it."
    return told


def _length_s(arguments: Mapping[str, object]) -> float | None:
    """Return how long a timer is to run; None where nothing was said of it. Noughts say nothing."""
    length_s = 0.0
    for unit, seconds in (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0)):
        value = arguments.get(unit) or 0
        assert isinstance(value, int | float), f"{unit} was not checked"
        if not 0 <= value <= _MAX_NUMBER:
            raise RefusedError(f"{unit} must be from 0 to {_MAX_NUMBER:g}, not {_quoted(value)}")
        length_s += seconds * value
    return length_s or None


def _check_length(length_s: float) -> None:
    if length_s < MIN_S:
        raise RefusedError(f"a timer runs for a second at least, not {length_s:g} s")
    if length_s > MAX_S:
        raise RefusedError("a timer runs for 24 hours at most; set an alarm with at and date instead")


def _set_alarm(timers: Timers, said: str, day_said: str, days: Sequence[int], name: str) -> Alarm:
    now = timers.times.local_now()
    day, at = _moment(timers, said)
    if day_said:
        day = _day(day_said, at, now)
    if day is not None and day - now.date() > _MAX_AHEAD:
        raise RefusedError(f"{day} is more than a year ahead; an alarm is set for at most a year")
    return timers.set_alarm(at, day=day, days=days, name=name)


def _moment(timers: Timers, said: str) -> tuple[date | None, time]:
    """Return the day, if it is told, and the time of day that `said` means."""
    if said.casefold() in ("noon", "midnight"):
        return None, time(12 if said.casefold() == "noon" else 0)
    if match := _CLOCK.fullmatch(said):
        hour, minute = int(match[1]), int(match[2] or 0)
        is_good = 1 <= hour <= 12 if match[3] else hour <= 23
        if is_good and minute <= 59:
            half = {"a": 0, "p": 12}.get((match[3] or "").lower())
            return None, time(hour if half is None else hour % 12 + half, minute)
    elif len(said) > len("2026-12-24"):  # a date alone is no time
        try:
            moment = datetime.fromisoformat(said)
        except ValueError:
            pass
        else:
            if moment.tzinfo:
                moment = timers.times.local(moment.timestamp())
            return moment.date(), moment.time().replace(second=0, microsecond=0)
    raise RefusedError(f"{_quoted(said)} is no time of day; give it as HH:MM, on a 24-hour clock")


def _day(said: str, at: time, now: datetime) -> date:
    """Return the day that `said` means; a weekday is the next one on which `at` is still to come."""
    word, today = said.casefold().removeprefix("next ").removeprefix("on "), now.date()
    if word in ("today", "tonight"):
        return today
    if word == "tomorrow":
        return today + timedelta(days=1)
    if word in _DAY_NAMES:
        ahead = (_DAY_NAMES.index(word) - today.weekday()) % 7
        if ahead == 0 and (said.casefold().startswith("next ") or at <= now.time().replace(second=0)):
            ahead = 7
        return today + timedelta(days=ahead)
    try:
        return date.fromisoformat(said)
    except ValueError:
        raise RefusedError(
            f"{_quoted(said)} is no day; give it as YYYY-MM-DD (today is {today}), today, tomorrow, or a "
            "weekday"
        ) from None


def _days(repeat: object) -> list[int]:
    words = [repeat] if isinstance(repeat, str) else repeat
    assert isinstance(words, Sequence), "repeat was not checked"
    if unknown := [word for word in words if word not in _REPEATS]:
        raise RefusedError(f"{_quoted(unknown[0])} is no day to repeat on; there are: {', '.join(_REPEATS)}")
    return sorted({day for word in words for day in _REPEATS[str(word)]})


# --- list ---


def _described(timers: Timers, entry: Entry) -> dict[str, object]:
    now, due = timers.times.local_now(), timers.times.local(timers.due_s(entry))
    told: dict[str, object] = {"name": entry.name, "kind": "alarm" if isinstance(entry, Alarm) else "timer"}
    told["rings_at"] = f"{time_said(due)}, {day_said(due, now)}"
    if timers.is_ringing(entry):
        told["rings"] = "now"
    else:
        told["left"] = length_said(timers.left_s(entry))
    if repeats := days_said(entry.days):
        told["repeats"] = repeats
    return told


def _listed(timers: Timers) -> dict[str, object]:
    entries = timers.entries
    told: dict[str, object] = {"set": [_described(timers, entry) for entry in entries[:_MAX_LISTED]]}
    if more := len(entries) - _MAX_LISTED:
        told |= {"more": more} if more > 0 else {}
    if missed := timers.missed:
        now = timers.times.local_now()
        dues = [(each.name, timers.times.local(each.due_s)) for each in missed[-3:]]
        told["missed"] = [f"{name}: {time_said(due)}, {day_said(due, now)}" for name, due in dues]
        told["missed_because"] = "The device was off then, or its clock was wrong."
    return told


# --- cancel ---


def _cancel(timers: Timers, said: str) -> dict[str, object]:
    if not timers.entries:
        raise RefusedError("no timer and no alarm is set")
    chosen = _choose(timers, " ".join(said.casefold().split()))
    names = [entry.name for entry in chosen]
    stay = timers.cancel(chosen)
    told: dict[str, object] = {
        "status": "cancelled",
        "names": names[:_MAX_LISTED],
        "still_set": len(timers.entries),
    }
    if stay:
        told["stopped_but_repeats"] = [_described(timers, entry) for entry in stay[:_MAX_LISTED]]
        told["note"] = "These have stopped ringing and come again; call cancel_timer again to end that, too."
    return told


def _choose(timers: Timers, said: str) -> list[Entry]:
    """Return what `said` means: by name, else by the words in names, else by kind.

    Raises:
        RefusedError: none, or more than one.
    """
    entries = timers.entries
    alarms = [entry for entry in entries if isinstance(entry, Alarm)]
    kinds: dict[str, list[Entry]] = {
        "timer": [entry for entry in entries if entry not in alarms],
        "alarm": [*alarms],
    }
    if said in ("all", "everything", "all timers and alarms"):
        return entries
    if exact := [entry for entry in entries if entry.name.casefold() == said]:
        return exact
    if said.startswith("all ") and (every := kinds.get(said.removeprefix("all ").removesuffix("s"))):
        return every
    words = [word for word in said.split() if word not in ("the", "my", "a", "timer", "alarm", "for", "at")]
    among = next((kinds[kind] for kind in kinds if kind in said.split() and kinds[kind]), entries)
    found = [entry for entry in among if all(word in entry.name.casefold() for word in words)]
    if not words:
        found = [entry for entry in found if timers.is_ringing(entry)] or found
    if len(found) == 1 or (found and all(timers.is_ringing(entry) for entry in found)):
        return found
    names = ", ".join(_quoted(entry.name) for entry in (found or entries)[:_MAX_LISTED])
    if found:
        raise RefusedError(f"nothing was cancelled: which one is meant? There are {names}")
    raise RefusedError(f"nothing is called {_quoted(said)}; there are {names}")


def _quoted(said: object) -> str:
    text = repr(said)
    return text if len(text) <= _MAX_QUOTED_CHARS else text[: _MAX_QUOTED_CHARS - 3] + "..."
