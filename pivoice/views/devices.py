"""`pivoice devices`: the sound cards, and with `--listen` which microphone hears best. A process of its own.

Runs beside the live service and takes nothing from it. Prints; never writes the configuration.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict

from rich.text import Text

from pivoice import caller, config, ctl
from pivoice.clock import Clock, SystemClock
from pivoice.config import AudioConfig
from pivoice.errors import ConfigError, PivoiceError
from pivoice.views.audition import Audition, Candidate
from pivoice.views.inventory import SIDES, Inventory, Machine, held_name, take_stock
from pivoice.views.loudness import Hearing
from pivoice.views.meters import bar, decibels, fraction_of, safe
from pivoice.views.screen import Screen

_FRAME_S = 0.1
_NAME = 30
_CHANNELS = {"capture": "audio.capture", "playback": "audio.playback"}


def run(path: str, options: argparse.Namespace) -> int:
    """Print what there is; with `--listen` record and rank. Return the exit code.

    Raises:
        ConfigError: the configuration has mistakes; told after the cards, which may be what it is about.
    """
    if options.pcm and not options.listen:
        raise PivoiceError(f"to hear with {options.pcm[0]}: pivoice devices --listen {' '.join(options.pcm)}")
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        reconfigure(errors="replace")  # a terminal of another alphabet than the cards' names
    problem: ConfigError | None = None
    try:
        audio = config.load(path).audio
    except ConfigError as error:
        audio, problem = AudioConfig(), error
    socket = ctl.socket_of(path)
    machine, status = Machine(), _status_at(socket)
    inventory = take_stock(audio, status, machine)
    if options.listen:
        candidates = candidates_for(
            options.pcm, inventory, machine, ours=(held_name(status, "capture"), socket)
        )
        code = _listen(candidates, inventory, audio, path, options)
    else:
        code = 0 if inventory.rows else 1
        if options.json:
            print(json.dumps(as_json(inventory), indent=2))
        else:
            print("\n".join(listed(inventory, status, path)))
    if problem:
        raise problem
    return code


def _status_at(socket: str) -> Mapping[str, object]:
    try:
        return caller.request(socket, {"command": "status"})
    except PivoiceError:
        return {}  # nobody there; whoever may not ask sees what the kernel tells


# --- what there is ---


def as_json(inventory: Inventory) -> dict[str, object]:
    """Return the cards for other programs."""
    return {
        **{title: [row.as_json() for row in inventory.of(side)] for side, title in SIDES.items()},
        "configured": dict(inventory.configured),
        "missing": dict(inventory.missing),
        "default": inventory.default_owner,
    }


def listed(inventory: Inventory, status: Mapping[str, object], path: str) -> list[str]:
    """Return the lines that tell people what there is."""
    lines = []
    for side, title in SIDES.items():
        lines.append(f"{title}, for {_CHANNELS[side]}:")
        rows = inventory.of(side)
        for row in rows:
            lines.append(f"{'*' if row.is_configured else ' '} {row.port.pcm}  {row.name}")
            more = ["cancels its own echo"] if row.cancels_echo else []
            if row.abilities:
                lines.append(f"    {'; '.join([str(row.abilities), *more])}")
            lines += [f"    {words}" for words in (row.use, row.trouble) if words]
        if not rows:
            lines.append(f"  none; {_advice(inventory)}")
    lines.append("")
    if any(row.is_configured for row in inventory.rows):
        lines.append(f"* what {path} has now")
    for side, why in inventory.missing.items():
        name = inventory.configured[side]
        doing = "; pivoice has it open" if held_name(status, side) == name else ""
        lines.append(f"! {_CHANNELS[side]} = {json.dumps(safe(name), ensure_ascii=False)}: {why}{doing}")
    if inventory.default_owner and "default" not in inventory.configured.values():
        lines.append(f'  "default" is {inventory.default_owner}; a service does without')
    return lines if lines[-1] else lines[:-1]


def _advice(inventory: Inventory) -> str:
    if inventory.rows:
        return "the cards that are there cannot do that"
    return (
        "the kernel has no sound card (cat /proc/asound/cards); plug one in, or, for an I2S board, "
        "sudo ./scripts/install --i2s NAME"
    )


# --- which hears best ---


def candidates_for(
    names: list[str], inventory: Inventory, machine: Machine, *, ours: tuple[str, str]
) -> list[Candidate]:
    """Return what to listen with: the PCMs `names`, or else every microphone, and the configured one.

    `ours`: the PCM that a running pivoice listens on, if any, and its control socket.
    """
    held, socket = ours
    rows = {row.port: row for row in inventory.of("capture")}
    configured = inventory.configured["capture"]
    if not names:
        names = [port.pcm for port in rows]
        if "capture" in inventory.missing and held == configured:
            names.append(configured)  # no card's name, and yet something to listen with
    found = []
    for name in dict.fromkeys(names):
        port = machine.port_of(name, "capture")
        row = rows.get(port) if port else None
        candidate = Candidate(name, row.name if row else "")
        if name == held or (row and row.is_ours):
            candidate.socket = socket
        elif row and not row.is_free:
            candidate.trouble = row.trouble or row.use
        found.append(candidate)
    return found


def _listen(
    candidates: list[Candidate],
    inventory: Inventory,
    audio: AudioConfig,
    path: str,
    options: argparse.Namespace,
) -> int:
    if not candidates:
        raise PivoiceError(f"there is no microphone to listen with; {_advice(inventory)}")
    for each in candidates:
        each.first_channel = audio.channel if each.socket else 0
    clock = SystemClock()
    audition = Audition(candidates, audio, clock)
    words = (
        f"Listening for {options.seconds} s with every microphone: please speak, as you would to the device."
    )
    print(words, file=sys.stderr, flush=True)
    screen = Screen(sys.stderr, whole=False)
    audition.start()
    with screen:
        _show(audition, screen, clock, options.seconds)
    audition.stop()
    ranking = audition.ranking()
    best = ranking[0] if ranking[0].hearing and ranking[0].hearing.has_heard else None
    if options.json:
        answer = {"seconds": options.seconds, "microphones": [_heard_json(each) for each in ranking]}
        print(json.dumps({**answer, "best": _choice(best) if best else None}, indent=2))
    else:
        print("\n".join(ranked(ranking)))
        print("\n".join(advised(best, inventory, audio, path)))
    return 0 if best else 1


def _show(audition: Audition, screen: Screen, clock: Clock, seconds: float) -> None:
    """Draw the meters until the time is up."""
    until_s = clock.monotonic() + seconds
    while (left_s := until_s - clock.monotonic()) > 0 and not audition.wait(min(_FRAME_S, left_s)):
        if screen.is_live:
            width, height = screen.size
            rows = [_meter(each, width, plain=screen.is_plain) for each in audition.candidates]
            screen.show([Text(f"{left_s:.0f} s"), *rows][: height - 1])


def _meter(candidate: Candidate, width: int, *, plain: bool) -> Text:
    name = f"{(candidate.name or candidate.pcm)[:_NAME]:<{_NAME}} "
    if candidate.trouble:
        row = Text(f"{name} {candidate.trouble}", "dim")
    else:
        drawn = bar(fraction_of(candidate.now_db), width - _NAME - 12, plain=plain)
        row = Text(f"{name}{drawn} {decibels(candidate.now_db):>8}")
    row.truncate(width, overflow="crop")
    return row


def ranked(ranking: list[Candidate]) -> list[str]:
    """Return the lines that say how well each heard, best first."""
    lines = []
    for place, each in enumerate(ranking, 1):
        lines.append(f"{place}. {safe(each.pcm)}" + (f"  {each.name}" if each.name else ""))
        several = len(each.channels) > 1
        for number, hearing in enumerate(each.hearings):
            if hearing:
                label = f"channel {number}: " if several else ""
                mark = " <-" if several and number == each.best and hearing.has_heard else ""
                lines.append(f"     {label}{_told(hearing)}{mark}")
        if each.trouble:
            lines.append(f"     not heard: {each.trouble}")
    return lines


def _told(hearing: Hearing) -> str:
    if hearing.is_dead:
        return hearing.remark
    voice = f"voice {decibels(hearing.voice_db)}" if hearing.has_heard else "no voice"
    levels = f"{voice}, noise {decibels(hearing.noise_db)}, peak {decibels(hearing.peak_db)}"
    return (
        f"{levels}; {hearing.remark}"
        if hearing.remark and hearing.remark != "no voice over its noise"
        else levels
    )


def advised(best: Candidate | None, inventory: Inventory, audio: AudioConfig, path: str) -> list[str]:
    """Return the lines that say what to write where."""
    if best is None:
        return [
            "",
            "No microphone heard anybody. Speak up and try again; `alsamixer` shows whether one is muted.",
        ]
    port, choice = Machine().port_of(best.pcm, "capture"), _choice(best)
    is_same = best.pcm == audio.capture or any(
        row.is_configured and row.port == port for row in inventory.of("capture")
    )
    if is_same and best.channel == audio.channel and not choice.get("gain_db"):
        return ["", "The configured microphone hears you best: nothing to change."]
    lines = ["", f"To use the best one, write into {path}:", "", "[audio]"]
    lines += [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in choice.items()]
    return [*lines, "", "and then: sudo systemctl reload pivoice"]


def _choice(best: Candidate) -> dict[str, object]:
    """Return the settings that make `best` the microphone."""
    gain_db = best.hearing.gain_db if best.hearing and not best.socket else 0
    settings: dict[str, object] = {"capture": best.pcm, "channel": best.channel}
    return settings | ({"gain_db": float(gain_db)} if gain_db else {})


def _heard_json(candidate: Candidate) -> dict[str, object]:
    channels = [
        {
            "channel": candidate.first_channel + number,
            **asdict(hearing),
            "has_heard": hearing.has_heard,
            "remark": hearing.remark,
        }
        for number, hearing in enumerate(candidate.hearings)
        if hearing
    ]
    name, trouble = candidate.name, candidate.trouble
    return {"pcm": candidate.pcm, "name": name, "trouble": trouble, "channels": channels}
