"""What systemd knows of the service."""

from __future__ import annotations

import pytest

from pivoice.checks import unit
from tests.checks.pi import FakePi, only, told


def test_a_service_that_runs_is_well_and_says_what_it_does(pi: FakePi):
    pi.serves()

    found = only(unit.service, pi.patient())

    assert found.verdict == "ok" and found.text == "active (running): listening"


@pytest.mark.parametrize(
    ("facts", "verdict", "said", "todo"),
    [
        ({"ActiveState": "inactive", "SubState": "dead"}, "warn", "does not run", "systemctl start"),
        (
            {"ActiveState": "failed", "SubState": "failed", "Result": "watchdog"},
            "fail",
            'watchdog; its last error: "no sound came"',
            "journalctl",
        ),
        (
            {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "ExecMainStatus": "78"},
            "fail",
            "the configuration is at fault",
            "mend it",
        ),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, "fail", "auto-restart", "journalctl"),
        ({"ActiveState": "activating", "SubState": "start"}, "warn", "is starting", "in a moment"),
        ({"UnitFileState": "disabled"}, "warn", "does not start with the system", "systemctl enable"),
        ({"NeedDaemonReload": "yes"}, "warn", "unit file was changed", "daemon-reload"),
        ({"NRestarts": "3"}, "warn", "anew 3 times", "journalctl"),
        ({"LoadState": "not-found", "ActiveState": "inactive"}, "warn", "not installed", "scripts/install"),
    ],
)
def test_each_state_of_the_service_has_its_sentence(
    pi: FakePi, facts: dict[str, str], verdict: str, said: str, todo: str
):
    pi.serves(**facts)
    pi.says("journalctl -u pivoice -b -p err", "an older one\nno sound came\n")

    worst = next(each for each in unit.service(pi.patient()) if each.verdict != "ok")

    assert worst.verdict == verdict
    assert said in worst.text and todo in worst.next


def test_what_the_watchdog_ended_is_told_apart_from_other_restarts(pi: FakePi):
    pi.serves(NRestarts="2")
    pi.says(
        "journalctl -u pivoice -b -o cat --no-pager -g",
        "pivoice.service: Watchdog timeout (limit 30s)!\n" * 2,
    )

    found = told(unit.service, pi.patient())

    assert [each.verdict for each in found] == ["ok", "warn"] and "watchdog ended it 2 times" in found[1].text


def test_a_machine_without_systemd_is_no_fault(pi: FakePi):
    assert only(unit.service, pi.patient()).verdict == "ok"
