"""How the checks are strung together: their order, what they stand on, what becomes of one that breaks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from pivoice import doctor
from pivoice.checks.patient import Patient
from pivoice.doctor import CHECKS, Check, examine
from pivoice.errors import Fault, PivoiceError
from pivoice.findings import Finding
from tests.checks.pi import FakePi

Look = Callable[[Patient], Iterator[Finding]]


def says(name: str, verdict: str = "ok", text: str = "") -> Look:
    return lambda _: iter([Finding(name, verdict, text)])


def run(pi: FakePi, monkeypatch: pytest.MonkeyPatch, *checks: Check, **options: bool) -> list[Finding]:
    monkeypatch.setattr(doctor, "CHECKS", checks)
    return list(examine(pi.patient(), **{"with_echo": False, **options}))


def test_the_order_is_from_the_file_to_the_far_end():
    names = [check.name for check in CHECKS]

    assert names == [
        *("configuration", "system", "packages", "wake words", "daemon", "cards", "groups", "microphone"),
        *("speaker", "echo mode", "echo", "GPIO", "lights", "tools", "key", "clock", "DNS", "TLS"),
        *("session", "MCP", "Wi-Fi", "power", "memory", "service"),
    ]


def test_what_stands_on_something_that_failed_is_named_and_not_looked_at(
    pi: FakePi, monkeypatch: pytest.MonkeyPatch
):
    found = run(
        pi,
        monkeypatch,
        Check("DNS", says("DNS", "fail")),
        Check("TLS", says("TLS", "fail"), needs=("DNS",)),
        Check("session", says("session"), needs=("TLS",)),
        Check("power", says("power")),
    )

    assert [each.verdict for each in found] == ["fail", "warn", "warn", "ok"]
    assert found[1].text == found[2].text == "not looked at: DNS failed"


def test_a_check_that_rests_on_a_faulty_setting_is_not_looked_at(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "CHECKS", (Check("GPIO", says("GPIO"), needs=("panel.",)),))
    patient = pi.patient()
    patient.faults = (Fault("panel.led_pin", "99 is not allowed"),)

    (found,) = examine(patient, with_echo=False)

    assert found.text == "not looked at: panel.led_pin is at fault"


def test_of_a_file_that_cannot_be_read_no_setting_is_believed(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    checks = (Check("microphone", says("microphone"), needs=("audio.",)), Check("power", says("power")))
    monkeypatch.setattr(doctor, "CHECKS", checks)
    patient = pi.patient()
    patient.faults = (Fault("", "is not TOML"),)

    found = list(examine(patient, with_echo=False))

    assert [each.text for each in found] == ["not looked at: the configuration is at fault", ""]


def test_a_check_that_breaks_is_a_finding_and_the_next_is_looked_at(
    pi: FakePi, monkeypatch: pytest.MonkeyPatch
):
    def breaks(_: Patient) -> Iterator[Finding]:
        yield Finding("key", "ok", "so far")
        raise ValueError("it quotes a secret: sk7d1f0c93e2")

    def explains(_: Patient) -> Iterator[Finding]:
        raise PivoiceError("the moon is down")
        yield

    found = run(pi, monkeypatch, Check("key", breaks), Check("moon", explains), Check("power", says("power")))

    assert [each.verdict for each in found] == ["ok", "fail", "fail", "ok"]
    assert found[1].text.startswith("could not be checked: ValueError at tests.checks.test_order:")
    assert found[2].text == "could not be checked: the moon is down"
    assert "sk7d1f0c93e2" not in str(found)


def test_a_check_that_does_not_come_back_costs_its_own_line(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    forever = threading.Event()

    def hangs(_: Patient) -> Iterator[Finding]:
        yield Finding("DNS", "ok", "the first of two")
        forever.wait(20)

    found = run(pi, monkeypatch, Check("DNS", hangs, limit_s=0.1), Check("power", says("power")))
    forever.set()

    assert found[0].text == "the first of two"
    assert found[1].text == "could not be checked: no answer within 0.1 s" and found[2].verdict == "ok"


def test_all_of_them_together_are_bounded(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    given: list[float] = []
    now_s = [0.0]

    def within(patient: Patient, work: Callable[[], None], limit_s: float) -> bool:
        given.append(limit_s)
        now_s[0] += limit_s
        return False

    monkeypatch.setattr(doctor, "CHECKS", CHECKS)
    patient = pi.patient()
    monkeypatch.setattr(patient.clock, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(doctor, "_obstacle", lambda *_: "")

    list(examine(patient, with_echo=False, within=within))

    assert sum(given) < 30 and len(given) == len(CHECKS) - 1


def test_the_network_is_left_alone_when_asked(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    checks = [Check("DNS", says("DNS"), is_outward=True), Check("echo", says("echo"), is_loud=True)]

    assert not run(pi, monkeypatch, *checks, offline=True)
    assert len(run(pi, monkeypatch, *checks, with_echo=True)) == 2


def test_what_a_stranger_says_cannot_steer_a_terminal_nor_bring_out_the_key(
    pi: FakePi, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        doctor, "CHECKS", (Check("TLS", says("TLS", "fail", "\x1b[2Jsk7d1f0c93e2grepme\nno")),)
    )
    patient = pi.patient()
    patient.key = "sk7d1f0c93e2grepme"

    (found,) = examine(patient, with_echo=False)

    assert found.text == "[2J[secret] no"


def test_an_interruption_ends_a_session_first(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    ended = threading.Event()
    patient = pi.patient()

    class Interrupted:
        waits = 0

        def wait(self, event: threading.Event, timeout_s: float | None = None) -> bool:
            self.waits += 1
            if self.waits == 1:
                raise KeyboardInterrupt
            return event.wait(5)

        def monotonic(self) -> float:
            return 0.0

    def talks(_: Patient) -> Iterator[Finding]:
        ended.wait(5)
        yield Finding("session", "ok", "ended")

    patient.clock = Interrupted()
    patient.abort = ended.set
    monkeypatch.setattr(doctor, "CHECKS", (Check("session", talks),))

    with pytest.raises(KeyboardInterrupt):
        list(examine(patient, with_echo=False))

    assert ended.is_set() and patient.clock.waits == 2
