"""Moments and lengths of time, the way they are spoken. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def describe_time(moment: datetime) -> dict[str, str]:
    """Return a moment the way it is spoken, and as a timestamp for reckoning with."""
    return {
        "time": time_said(moment),
        "date": f"{WEEKDAYS[moment.weekday()]}, {moment.day} {moment:%B} {moment.year}",
        "iso": moment.isoformat(timespec="seconds"),
    }


def time_said(moment: datetime) -> str:
    """Return a time of day: "4:07 in the afternoon"."""
    if not moment.minute and moment.hour in (0, 12):
        return "noon" if moment.hour else "midnight"
    hour, part = moment.hour % 12 or 12, _part_of_day(moment.hour)
    clock = f"{hour}:{moment.minute:02d}" if moment.minute else f"{hour} o'clock"
    return f"{clock} {part}"


def day_said(moment: datetime, today: datetime) -> str:
    """Return the day of `moment`, as said on the day of `today`."""
    days = (moment.date() - today.date()) // timedelta(days=1)
    near = {-1: "yesterday", 0: "today", 1: "tomorrow"}.get(days)
    said = f"{WEEKDAYS[moment.weekday()]}, {moment.day} {moment:%B}"
    if moment.year != today.year:
        said += f" {moment.year}"
    return f"{near}, {said}" if near else said


def days_said(days: Sequence[int]) -> str:
    """Return on which weekdays (Monday is 0) something comes again; "" when on none."""
    chosen = sorted(set(days))
    if len(chosen) == 7:
        return "every day"
    if chosen == [0, 1, 2, 3, 4]:
        return "every weekday"
    return "every " + listed([WEEKDAYS[day] for day in chosen]) if chosen else ""


def length_said(seconds: float, *, of: bool = False) -> str:
    """Return a length of time to the second below an hour, to the minute below a day, else to the hour.

    `of`: as it stands before the thing that is so long: "10 minute".
    """
    whole = max(0, round(seconds))
    if whole >= 3600:
        whole = round(whole / 60) * 60
    if whole >= 86400:
        whole = round(whole / 3600) * 3600
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "day"), (hours, "hour"), (minutes, "minute"), (rest, "second")]
    return listed([f"{n} {unit}{'s' if n != 1 and not of else ''}" for n, unit in parts if n]) or "0 seconds"


def one_line(text: str) -> str:
    """Return `text` as one line that can be written: no halves of characters, no more than one blank."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def listed(words: Sequence[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _part_of_day(hour: int) -> str:
    if hour < 12:
        return "in the morning" if hour else "at night"
    if hour < 18:
        return "in the afternoon"
    return "in the evening" if hour < 22 else "at night"
