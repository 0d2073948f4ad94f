"""Beside the daemon: it is asked over its socket, and nothing of its own is touched."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pivoice import __version__, control
from pivoice.checks import live, pins, sound
from pivoice.checks.patient import Patient
from tests.checks.pi import FakePi, only, told

STATUS = {"version": __version__, "state": "idle", "muted": False, "hears": True, "status": "listening"}
CAPTURE = {"device": "mic", "is_open": True, "rate_hz": 48000, "encoding": "S16_LE", "channels": 1}


@contextmanager
def daemon(
    place: Path, *, levels: tuple[float, float, int] | None = (-60.0, -50.0, 0), **status: Any
) -> Iterator[None]:
    """Have the product's own socket answer as a daemon that hears `levels`: rms, peak, clipped."""
    loop = asyncio.new_event_loop()
    answer = {**STATUS, "capture": CAPTURE, **status}
    served = control.Control(str(place), {"status": lambda _: answer})

    def tell(watchers: int) -> None:
        if watchers and levels:
            line = dict(zip(("rms_db", "peak_db", "clipped"), levels, strict=True))
            served.publish(
                {"event": "level", "side": "speaker", "rms_db": 0.0, "peak_db": 0.0, "clipped": 99}
            )
            for _ in range(live.LEVELS):
                served.publish({"event": "level", "side": "microphone", **line})

    served.on_watchers = tell
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(served.start(), loop).result(5)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(served.close(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LISTEN_S", 0.3)
    monkeypatch.setattr(live, "ANSWER_S", 0.3)


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail whatever opens a card or a pin."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the daemon's own was touched")

    for module, name in ((sound, "open_capture"), (sound, "open_playback"), (pins, "open_factory")):
        monkeypatch.setattr(module, name, never)


def known(pi: FakePi, place: Path) -> Patient:
    patient = pi.patient(f'[control]\nsocket = "{place}"\n[audio]\ncapture = "mic"\n')
    told(live.daemon, patient)
    return patient


def test_what_the_daemon_hears_is_told_as_its_own(pi: FakePi, place: Path):
    with daemon(place):
        patient = known(pi, place)
        found = only(sound.microphone, patient)

    assert patient.daemon == "answers" and found.verdict == "ok"
    assert found.text.startswith("heard by the running pivoice, 'mic', 48000 Hz, S16_LE, 1 channel: -60 dBFS")


@pytest.mark.parametrize(
    ("facts", "verdict", "said"),
    [
        ({"levels": (-120.0, -120.0, 0)}, "fail", "nothing at all"),
        ({"levels": (-20.0, 0.0, 7)}, "warn", "it clips, 70 samples"),
        ({"levels": None}, "fail", "says that it hears, and nothing came"),
        ({"muted": True, "hears": False}, "warn", "muted: the microphone is closed, and was not measured"),
        ({"hears": False, "status": "no microphone"}, "fail", "does not hear: no microphone"),
        (
            {"hears": False, "faults": {"microphone": "cannot open 'mic': busy"}},
            "fail",
            "cannot open 'mic': busy",
        ),
        ({"state": "speaking"}, "ok", "amid a conversation"),
    ],
)
def test_each_trouble_of_the_daemons_microphone_has_its_sentence(
    pi: FakePi, place: Path, facts: dict[str, Any], verdict: str, said: str
):
    with daemon(place, **facts):
        found = only(sound.microphone, known(pi, place))

    assert found.verdict == verdict and said in found.text
    assert bool(found.next) == (verdict != "ok")


def test_a_conversation_that_began_meanwhile_is_noticed(pi: FakePi, place: Path):
    with daemon(place, state="listening"):
        patient = known(pi, place)
        patient.status = {"state": "idle"}

        assert live.is_talking(patient)


def test_a_lost_speaker_is_told_in_the_daemons_words(pi: FakePi, place: Path):
    with daemon(place, faults={"speaker": "cannot open 'default': busy"}):
        assert only(sound.speaker, known(pi, place)).verdict == "fail"
    with daemon(place):
        found = only(sound.speaker, known(pi, place))
    assert found.verdict == "ok" and "was not tried" in found.text


def test_pins_that_the_daemon_holds_are_left_to_it(pi: FakePi, place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pins.lines, "users_of", lambda *_: {17: "lg", 27: "lg"})
    with daemon(place):
        found = only(pins.gpio, known(pi, place))
    assert found.verdict == "ok" and "held by pivoice: GPIO 17, 27" in found.text

    monkeypatch.setattr(pins.lines, "users_of", lambda *_: {17: "w1-gpio", 27: "lg"})
    with daemon(place):
        found = only(pins.gpio, known(pi, place))
    assert found.verdict == "warn" and "GPIO 17 is used by w1-gpio" in found.text


def test_an_older_daemon_that_still_runs_is_to_be_restarted(pi: FakePi, place: Path):
    with daemon(place, version="0.0.1"):
        found = told(live.daemon, pi.patient(f'[control]\nsocket = "{place}"'))

    assert [each.verdict for each in found] == ["warn", "ok"] and "pivoice 0.0.1 runs" in found[0].text


def test_a_daemon_that_does_not_answer_is_a_fault_and_keeps_its_cards(pi: FakePi, place: Path):
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(place))
        mute.listen()
        patient = pi.patient(f'[control]\nsocket = "{place}"')

        found = only(live.daemon, patient)

    assert found.verdict == "fail" and "does not answer" in found.text
    assert patient.is_held and only(sound.microphone, patient).verdict == "warn"
    assert only(sound.speaker, patient).verdict == "warn"


def test_a_stranger_at_the_socket_is_told(pi: FakePi, place: Path):
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(place))
        stranger.listen()

        def answer() -> None:
            caller, _ = stranger.accept()
            with caller:
                caller.recv(1000)
                caller.sendall(b'{"error": "no such command"}\n')

        threading.Thread(target=answer, daemon=True).start()
        found = only(live.daemon, pi.patient(f'[control]\nsocket = "{place}"'))

    assert found.verdict == "fail" and "no such command" in found.text


def test_a_socket_that_is_closed_to_us_leaves_the_cards_to_whom_they_belong(
    pi: FakePi, place: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    patient = pi.patient(f'[control]\nsocket = "{place}"')

    found = only(live.daemon, patient)

    assert found.verdict == "warn" and found.next == "sudo pivoice doctor" and patient.is_held


def test_a_service_that_runs_without_its_socket_is_told(pi: FakePi, place: Path):
    pi.serves()
    patient = pi.patient(f'[control]\nsocket = "{place}"')

    found = only(live.daemon, patient)

    assert found.verdict == "fail" and "nobody listens" in found.text and patient.is_held


def test_a_service_that_is_starting_is_not_robbed_of_its_cards(pi: FakePi, place: Path):
    pi.serves(ActiveState="activating", SubState="start")
    patient = pi.patient(f'[control]\nsocket = "{place}"')

    assert only(live.daemon, patient).verdict == "warn"
    assert (
        only(sound.microphone, patient).verdict == "warn" and only(sound.speaker, patient).verdict == "warn"
    )


def test_where_nobody_is_there_is_nothing_to_tell(pi: FakePi, place: Path):
    patient = pi.patient(f'[control]\nsocket = "{place}"')

    assert not told(live.daemon, patient) and not patient.is_held
