"""Which time zone somebody means by a word: an IANA name, a city, a country, an offset.

Any thread; it reads files of a hundred kilobytes, so not the event loop's. Nothing is kept in memory: the
question is rare, and the system's tables (Debian's tzdata) are replaced several times a year. `tzdata.zi`
also knows the old names (US/Eastern) where their files are not installed.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
import zoneinfo
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path

from pivoice.errors import ToolError
from pivoice.tools.registry import RefusedError

_MAX_QUOTED_CHARS = 60
_MAX_NAMED = 8  # zones in one answer
_REGIONS = frozenset(
    (
        "Africa",
        "America",
        "Antarctica",
        "Arctic",
        "Asia",
        "Atlantic",
        "Australia",
        "Europe",
        "Indian",
        "Pacific",
    )
)  # whose names end in a place
_NO_PLACES = frozenset(("north", "south", "west", "lhi", "act", "general", "center"))  # ... but for these
_COUNTRIES = {  # what people say, for what iso3166.tab does not know it by
    **dict.fromkeys(("america", "usa", "us", "the us", "the usa", "united states of america"), "US"),
    **dict.fromkeys(("uk", "the uk", "great britain", "united kingdom", "the united kingdom"), "GB"),
    **dict.fromkeys(("england", "scotland", "wales", "northern ireland"), "GB"),
    **dict.fromkeys(("uae", "emirates", "the emirates"), "AE"),
    "holland": "NL",
    "czechia": "CZ",
    "ivory coast": "CI",
    "burma": "MM",
    "swaziland": "SZ",
}
_PLACES = {  # that people ask for, and that no zone is called by
    **dict.fromkeys(("beijing", "peking"), "Asia/Shanghai"),
    **dict.fromkeys(("mumbai", "bombay", "delhi", "new delhi"), "Asia/Kolkata"),
    **dict.fromkeys(("san francisco", "california"), "America/Los_Angeles"),
    "washington dc": "America/New_York",
    "hawaii": "Pacific/Honolulu",
    "alaska": "America/Anchorage",
    "saint petersburg": "Europe/Moscow",
}
_OFFSET = re.compile(r"(?:utc|gmt)?\s*([+\-−])\s*(\d{1,2})(?::?([0-5]\d))?", re.ASCII | re.IGNORECASE)
_UTC = ("utc", "gmt", "zulu", "universal", "z")


def find_zone(said: str, now: datetime) -> tuple[str, tzinfo]:
    """Return the name and the zone that `said` means. `now`: what a country's zones are compared at.

    Raises:
        RefusedError: none, or several that differ; it names those that are near.
    """
    said = said.strip()
    if (offset := _offset(said)) is not None:
        return offset.tzname(None), offset
    directory = _directory()
    names = dict(_names(directory))
    if said in names:
        return names[said], _load(names[said])  # also those that are a country's name, too: "Portugal"
    known = {_folded(name): target for name, target in names.items() if name.count("/")}
    places = dict(_places(names))
    word = _folded(said)
    if target := known.get(word) or places.get(word) or names.get(_PLACES.get(word, ""), ""):
        return target, _load(target)
    if found := _of_country(word, directory):
        return _one_of(said, found, now)
    if old := {_folded(name): each for name, each in names.items()}.get(word):
        return old, _load(old)  # "EST5EDT"
    raise _unknown(said, names, {**known, **places})


def _offset(said: str) -> timezone | None:
    if said.casefold() in _UTC:
        return UTC
    if not (match := _OFFSET.fullmatch(said)):
        return None
    shift = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
    if shift > timedelta(hours=14):
        raise RefusedError(f"no place is {_quoted(said)}; offsets go up to 14 hours")
    return timezone(shift if match[1] == "+" else -shift)


def _directory() -> Path | None:
    """Return where the system's zones are; None where there are none."""
    return next((path for each in zoneinfo.TZPATH if (path := Path(each)).is_dir()), None)


def _names(directory: Path | None) -> Iterator[tuple[str, str]]:
    """Yield every zone's name with that of the zone it stands for."""
    lines = _lines(directory, "tzdata.zi")
    if not lines:
        for name in zoneinfo.available_timezones():
            yield name, name
    for line in lines:
        match line.split():
            case ["Z", name, *_]:
                yield name, name
            case ["L", target, name]:
                yield name, target


def _places(names: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the place that each name ends in. (No two zones end in the same one: tzdata 2025b.)"""
    for name, target in names.items():
        region, _, place = name.partition("/")
        if region not in _REGIONS or _folded(place) in _NO_PLACES:
            continue
        yield _folded(place), target
        yield _folded(place.rpartition("/")[2]), target


def _of_country(word: str, directory: Path | None) -> list[str]:
    """Return the zones of the country that `word` names, the first the one most people live in, mostly."""
    code = _COUNTRIES.get(word, "")
    for line in _lines(directory, "iso3166.tab"):
        each, _, name = line.partition("\t")
        if word in _spellings(name) or (len(word) == 2 and word == each.casefold()):
            code = each
    rows = (line.split("\t") for line in _lines(directory, "zone.tab"))
    return [row[2] for row in rows if len(row) > 2 and row[0] == code]


def _spellings(country: str) -> set[str]:
    """Return how a country's entry is said: "Korea (South)", "South Korea", "Trinidad and Tobago"."""
    main, _, rest = country.partition(" (")
    inner = rest.rstrip(")")
    forms = {country, f"{inner} {main}"} if inner else {country}
    if main not in ("Korea", "Samoa", "Congo", "Virgin Islands"):  # there are two of each
        forms.add(main)
    return {_folded(form) for form in forms} | {f"the {_folded(form)}" for form in forms}


def _one_of(said: str, found: list[str], now: datetime) -> tuple[str, tzinfo]:
    """Return the first of `found` if all show the same time now."""
    by_offset: dict[timedelta | None, tuple[str, tzinfo]] = {}
    for name in found:
        zone = _load(name)
        by_offset.setdefault(now.astimezone(zone).utcoffset(), (name, zone))
    if len(by_offset) == 1:
        return next(iter(by_offset.values()))
    named = ", ".join(name for name, _ in list(by_offset.values())[:_MAX_NAMED])
    raise RefusedError(
        f"{_quoted(said)} has several time zones, such as {named}; choose one, or ask for the city"
    )


def _load(name: str) -> tzinfo:
    try:
        return zoneinfo.ZoneInfo.no_cache(name)  # the table may be a newer one than it was an hour ago
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ToolError(f"this device cannot read the time zone {_quoted(name)} ({error})") from error


def _unknown(said: str, names: dict[str, str], words: dict[str, str]) -> RefusedError:
    if not names:
        return RefusedError(
            f"this device has no table of time zones, so it cannot tell the time in {_quoted(said)}; "
            "its owner can install the package tzdata. Its own time and offsets such as UTC+2 are known"
        )
    near = difflib.get_close_matches(_folded(said)[:_MAX_QUOTED_CHARS], words, n=4, cutoff=0.75)
    hint = ", ".join(dict.fromkeys(words[each] for each in near))
    meant = f"is one of these meant: {hint}? Else give" if hint else "give"
    return RefusedError(
        f"there is no time zone {_quoted(said)}; {meant} the IANA name of a zone with the same time, such as "
        "America/New_York, or an offset, such as UTC+2"
    )


def _lines(directory: Path | None, name: str) -> list[str]:
    try:
        text = (directory / name).read_text(encoding="utf-8") if directory else ""
    except (OSError, UnicodeDecodeError):
        return []
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _folded(text: str) -> str:
    """Return `text` without case, accents, underscores and stops."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(char for char in plain if not unicodedata.combining(char))
    return _spaced(re.split(r"[\s_.,\-]+", kept.replace("&", " and ").replace("’", "'")))


def _spaced(words: Iterable[str]) -> str:
    return " ".join(filter(None, words))


def _quoted(said: str) -> str:
    return repr(said if len(said) <= _MAX_QUOTED_CHARS else said[: _MAX_QUOTED_CHARS - 3] + "...")
