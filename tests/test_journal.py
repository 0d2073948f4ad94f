"""Where log lines end, with which fields; a journal that stands still holds up nobody."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import systemd.journal

from pivoice import journal
from pivoice.simulation import JumpLoop, run_jumping
from tests.support.journal import FakeJournal

JOURNALLED = (
    "import os, sys; found = os.fstat(2); os.environ['JOURNAL_STREAM'] = f'{found.st_dev}:{found.st_ino}'\n"
    "from pivoice import journal; journal.SOCKET = os.environ.get('JOURNAL', journal.SOCKET)\n"
)
LOGGED = (
    "import logging; from pivoice import journal; journal.set_up('info');"
    "logging.getLogger('pivoice.turn').info('turn %d: idle', 1);"
    "logging.getLogger('pivoice.turn').debug('hidden');"
    "logging.getLogger('websockets.client').info('hidden too')"
)


def run(code: str, *, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process of its own, as systemd would."""
    env = {key: value for key, value in os.environ.items() if key != "JOURNAL_STREAM"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**env, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=check,
    )


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeJournal]:
    with FakeJournal(tmp_path) as made:
        yield made


@pytest.fixture
def log(fake: FakeJournal) -> Iterator[logging.Logger]:
    """A logger that ends in the fake journal, as the daemon's do in the real one."""
    sender = journal.JournalSocket(fake.path)
    handler = systemd.journal.JournalHandler(sender_function=sender.send, SYSLOG_IDENTIFIER="pivoice")
    handler.addFilter(journal.add_context)
    logger = logging.getLogger("pivoice.of_this_test")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True
    journal.note(PIVOICE_TURN=None, PIVOICE_SESSION=None)
    sender.close()


# --- where it goes ---


def test_by_hand_the_log_goes_to_stderr_with_times():
    done = run(LOGGED)

    (line,) = done.stderr.splitlines()
    assert line.endswith(" INFO turn 1: idle")
    assert line[:2] == "20"


def test_by_hand_the_fields_do_not_clutter_the_log():
    done = run(LOGGED + "; logging.getLogger('x').info('heard', extra={'PIVOICE_EVENT': 'wake'})")

    assert done.stderr.splitlines()[1].endswith(" INFO heard")


def test_started_by_systemd_the_log_goes_to_the_journal_under_our_name(fake: FakeJournal):
    run(JOURNALLED + LOGGED, JOURNAL=fake.path)

    (entry,) = fake.entries()
    assert entry["MESSAGE"] == "turn 1: idle"
    assert entry["SYSLOG_IDENTIFIER"] == "pivoice"


def test_under_journald_without_systemd_python_stderr_has_no_times():
    done = run(JOURNALLED + "sys.modules['systemd'] = None; " + LOGGED)

    assert done.stderr == "INFO turn 1: idle\n"


def test_a_journal_stream_that_is_not_our_stderr_is_not_ours():
    done = run(LOGGED, JOURNAL_STREAM="1:2")

    assert done.stderr.endswith(" INFO turn 1: idle\n")


def test_setting_up_twice_logs_once():
    done = run("from pivoice import journal; journal.set_up('debug'); " + LOGGED)

    assert len(done.stderr.splitlines()) == 1


def test_the_level_changes_without_another_handler():
    done = run(
        "from pivoice import journal; journal.set_up('error'); journal.set_level('info');"
        + LOGGED.replace("journal.set_up('info');", "")
    )

    (line,) = done.stderr.splitlines()
    assert line.endswith(" INFO turn 1: idle")


def test_each_call_of_a_tool_is_a_line_however_many_there_are():
    done = run(
        "from pivoice import journal; journal.set_up('info')\n"
        "from pivoice.tools.registry import calls_logger\n"
        "for n in range(30): calls_logger.info('tool weather (command): done after %.2f s', n)"
    )

    assert len(done.stderr.splitlines()) == 30


def test_what_is_held_back_is_told_when_the_process_ends(fake: FakeJournal):
    run(JOURNALLED + LOGGED + "\nfor _ in range(30): logging.warning('no microphone')", JOURNAL=fake.path)

    assert [each["MESSAGE"] for each in fake.entries()] == [
        "turn 1: idle",
        "no microphone",
        "no microphone (29 times more in 1 min)",
    ]


# --- fields ---


def test_a_line_carries_its_place_its_priority_and_its_fields(log: logging.Logger, fake: FakeJournal):
    log.warning("heard %s", "it", extra={"PIVOICE_EVENT": "wake", "PIVOICE_SCORE": 0.93})

    (entry,) = fake.entries()
    assert entry.pop("CODE_LINE").isdecimal()
    assert entry == {
        "MESSAGE": "heard it",
        "PRIORITY": "4",
        "LOGGER": "pivoice.of_this_test",
        "THREAD_NAME": "MainThread",
        "CODE_FILE": __file__,
        "CODE_FUNC": "test_a_line_carries_its_place_its_priority_and_its_fields",
        "SYSLOG_IDENTIFIER": "pivoice",
        "PIVOICE_EVENT": "wake",
        "PIVOICE_SCORE": "0.93",
    }


@pytest.mark.parametrize(
    ("level", "priority"),
    [("DEBUG", "7"), ("INFO", "6"), ("WARNING", "4"), ("ERROR", "3"), ("CRITICAL", "2")],
)
def test_levels_are_syslog_s(log: logging.Logger, fake: FakeJournal, level: str, priority: str):
    log.log(getattr(logging, level), "something")

    assert fake.entries()[0]["PRIORITY"] == priority


def test_every_line_belongs_to_a_turn_and_a_session_while_there_is_one(
    log: logging.Logger, fake: FakeJournal
):
    journal.note(PIVOICE_TURN=12, PIVOICE_SESSION="sess_1")
    log.info("in it")
    log.info("its last one", extra={"PIVOICE_TURN": "11"})
    journal.note(PIVOICE_TURN=None)
    log.info("after it")

    during, last, after = fake.entries()
    assert (during["PIVOICE_TURN"], during["PIVOICE_SESSION"]) == ("12", "sess_1")
    assert last["PIVOICE_TURN"] == "11"
    assert "PIVOICE_TURN" not in after
    assert after["PIVOICE_SESSION"] == "sess_1"


def test_a_line_without_its_arguments_does_not_tell_them_in_a_field(log: logging.Logger, fake: FakeJournal):
    class Error(Exception):
        def __str__(self) -> str:
            return "refused"

    log.error("%.3s: %s", "secretly", Error("the secret"))

    (datagram,) = fake.datagrams()
    assert b"sec: refused" in datagram
    assert b"secret" not in datagram


def test_a_traceback_arrives_whole_in_one_entry_and_once(log: logging.Logger, fake: FakeJournal):
    try:
        raise ValueError("a line\nand another")
    except ValueError:
        log.exception("it failed")

    (entry,) = fake.entries()
    lines = entry["MESSAGE"].splitlines()
    assert lines[:2] == ["it failed", "Traceback (most recent call last):"]
    assert lines[-2:] == ["ValueError: a line", "and another"]
    assert not [name for name in entry if name.startswith("EXCEPTION")]


def test_half_a_character_is_shown_not_raised(log: logging.Logger, fake: FakeJournal):
    log.info("half: %s", "\ud800")

    assert fake.entries()[0]["MESSAGE"] == "half: \\ud800"


def test_what_is_too_long_for_a_datagram_arrives_all_the_same(log: logging.Logger, fake: FakeJournal):
    log.info("long: %s", "x" * 10**6)

    assert len(fake.entries()[0]["MESSAGE"]) == 10**6 + 6


# --- a journal in trouble ---


def test_a_journal_that_stands_still_holds_up_nobody_and_gets_its_lines_later(
    log: logging.Logger, fake: FakeJournal
):
    for number in range(journal._KEPT):  # far more than its socket takes; who waits for it hangs here
        log.info("line %d\n%s", number, "x" * 10_000)

    told = [each["MESSAGE"] for each in fake.entries()]
    assert 0 < len(told) < journal._KEPT, "the socket took all at once: this proves nothing"
    while told[-1] != "now":
        log.info("now")
        told += [each["MESSAGE"] for each in fake.entries()]
    lines = [each.partition("\n")[0] for each in told]
    assert lines[: journal._KEPT] == [f"line {number}" for number in range(journal._KEPT)]


def test_what_the_journal_did_not_take_is_offered_again_though_nothing_else_is_said(fake: FakeJournal):
    told: list[str] = []

    async def main(loop: JumpLoop) -> None:
        sender = journal.JournalSocket(fake.path)
        sender.use_loop(loop)
        for number in range(100):
            sender.send(f"line {number}")
        for _ in range(60):
            told.extend(each["MESSAGE"] for each in fake.entries())
            await asyncio.sleep(1.0)
        sender.close()

    run_jumping(main)

    assert told == [f"line {number}" for number in range(100)]


def test_a_journal_that_was_gone_gets_its_lines_when_it_is_back(log: logging.Logger, fake: FakeJournal):
    fake.go_away()
    log.info("meanwhile")
    fake.come_back()

    log.info("now")

    assert [each["MESSAGE"] for each in fake.entries()] == ["meanwhile", "now"]


def test_lines_that_are_lost_are_counted(fake: FakeJournal):
    sender = journal.JournalSocket(fake.path)
    fake.go_away()
    for _ in range(journal._KEPT + 7):
        sender.send("meanwhile")
    fake.come_back()

    told: list[str] = []
    while "now" not in told:
        sender.send("now")
        told += [each["MESSAGE"] for each in fake.entries()]
    sender.close()

    assert told[: journal._KEPT] == ["meanwhile"] * journal._KEPT
    assert "7 lines of pivoice are missing here" in told[journal._KEPT]
    assert told[journal._KEPT + 1] == "now"


def test_what_waits_for_the_journal_is_sent_at_the_end(fake: FakeJournal):
    sender = journal.JournalSocket(fake.path)
    sender.send("open")
    fake.go_away()
    sender.send("waits")
    fake.come_back()

    sender.flush()

    assert [each["MESSAGE"] for each in fake.entries()] == ["waits"]
    sender.close()


def test_a_journal_that_takes_one_line_now_and_then_does_not_hold_up_the_end(
    fake: FakeJournal, monkeypatch: pytest.MonkeyPatch
):
    sender = journal.JournalSocket(fake.path)
    sender.send("open")
    fake.go_away()
    for _ in range(100):
        sender.send("waits")
    fake.come_back()
    now_s = itertools.count()
    monkeypatch.setattr(journal, "time", SimpleNamespace(monotonic=lambda: 0.05 * next(now_s)))

    sender.flush(within_s=0.2)

    assert 2 <= len(fake.entries()) <= 4
    sender.close()


# --- crashes ---

CRASHES = "from pivoice import journal; journal.set_up('info'); journal.tell_of_crashes()\n"


def test_what_nobody_caught_is_one_entry_with_its_traceback(fake: FakeJournal):
    code = JOURNALLED + CRASHES + "def act():\n  raise ValueError('why')\nact()"

    run(code, check=False, JOURNAL=fake.path)

    (entry,) = fake.entries()
    assert entry["PRIORITY"] == "2"
    assert entry["PIVOICE_EVENT"] == "crash"
    assert entry["MESSAGE"].startswith("pivoice ended by a mistake of ours\nTraceback")
    assert entry["MESSAGE"].endswith("ValueError: why")


def test_a_thread_s_end_nobody_caught_is_told_by_its_name():
    code = (
        CRASHES
        + "import threading; t = threading.Thread(target=lambda: 1 / 0, name='lgpio'); t.start(); t.join()"
    )

    done = run(code)

    assert "CRITICAL the thread lgpio ended by a mistake of ours" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_killed_by_the_watchdog_it_says_where_each_thread_stood_and_no_values():
    code = CRASHES + (
        "import os, threading\n"
        "is_there = threading.Event()\n"
        "def capture_hangs(key):\n"
        "    is_there.set()\n"
        "    threading.Event().wait()\n"
        "threading.Thread(target=capture_hangs, args=('secret-key',), daemon=True).start()\n"
        "is_there.wait()\n"
        "os.kill(os.getpid(), 6)"
    )

    done = run(code, check=False)

    assert done.returncode == -signal.SIGABRT
    assert "in capture_hangs" in done.stderr
    assert "secret-key" not in done.stderr


def test_where_threads_stand_names_the_one_that_hangs():
    is_there, may_go = threading.Event(), threading.Event()

    def stand_still() -> None:
        is_there.set()
        may_go.wait()

    thread = threading.Thread(target=stand_still, name="capture")
    thread.start()
    is_there.wait()

    told = journal.where_threads_stand()

    may_go.set()
    thread.join()
    _, _, of_thread = told.partition("thread capture:\n")
    assert "in stand_still" in of_thread
    assert "thread MainThread:\n" in told
