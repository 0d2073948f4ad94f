"""The log in a storm: what is said again and again is one line with a count, and no count is lost."""

from __future__ import annotations

import asyncio
import logging
import random
import threading

import pytest

from pivoice.folding import KINDS_OF_A_SITE, Folding
from pivoice.simulation import JumpLoop, run_jumping

DAY_S = 86_400


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.lines.append(record.getMessage())


class Log:
    """A log behind a `Folding`, with a clock in the test's hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.kept = Kept()
        self.folding = Folding(self.kept, exempt=("pivoice.turn_log",), clock=lambda: self.now_s)

    def say(
        self,
        message: str,
        *arguments: object,
        level: int = logging.WARNING,
        name: str = "pivoice.audio",
        line: int = 1,
    ) -> list[str]:
        """Log it; return what came through."""
        before = len(self.kept.lines)
        self.folding.handle(logging.LogRecord(name, level, __file__, line, message, arguments, None))
        return self.kept.lines[before:]


def test_a_warning_is_said_once_and_then_with_a_count():
    log, level = Log(), logging.WARNING

    assert log.say("%d xruns", 1, level=level) == ["1 xruns"]
    assert log.say("%d xruns", 2, level=level) == []
    assert log.say("%d xruns", 3, level=level) == []
    log.now_s = 300.0
    assert log.say("%d xruns", 4, level=level) == ["3 xruns (2 times more in 5 min)"]
    log.now_s = 600.0
    assert log.say("all is well", level=logging.DEBUG) == ["all is well"]
    log.now_s = 900.0
    assert log.say("all is well", level=logging.DEBUG) == ["4 xruns (once more in 10 min)", "all is well"]


def test_a_warning_that_comes_back_after_a_while_is_said_at_once():
    log = Log()
    log.say("%d xruns", 1)

    log.now_s = 301.0

    assert log.say("%d xruns", 2) == ["2 xruns"]


def test_a_count_keeps_the_level_and_the_place_of_what_it_counts():
    log = Log()
    log.say("no speaker", level=logging.ERROR, line=77)
    log.say("no speaker", level=logging.ERROR, line=77)

    log.folding.flush()

    last = log.kept.records[-1]
    assert (last.levelno, last.lineno, last.exc_info) == (logging.ERROR, 77, None)


def test_different_warnings_do_not_silence_each_other():
    log = Log()

    assert log.say("%s", "no microphone") == ["no microphone"]
    assert log.say("%s", "no speaker") == ["no speaker"]
    assert log.say("no speaker", line=2) == ["no speaker"]
    assert log.say("cannot connect: %s", "no such host") == ["cannot connect: no such host"]
    assert log.say("cannot connect: %s", "refused") == ["cannot connect: refused"]


@pytest.mark.parametrize("level", [logging.DEBUG, logging.CRITICAL])
def test_details_and_crashes_are_never_held_back(level: int):
    log = Log()

    assert [log.say("again", level=level) for _ in range(30)] == [["again"]] * 30


@pytest.mark.parametrize(("level", "times"), [(logging.INFO, 10), (logging.ERROR, 3)])
def test_news_and_faults_may_be_the_same_for_some_times_before_it_is_a_storm(level: int, times: int):
    log = Log()

    said = [log.say("muted", level=level) for _ in range(30)]

    assert said == [["muted"]] * times + [[]] * (30 - times)


def test_turns_look_alike_and_each_is_told():
    log = Log()

    said = [log.say("turn %d", n, level=logging.INFO, name="pivoice.turn_log") for n in range(30)]

    assert said == [[f"turn {n}"] for n in range(30)]


def test_a_storm_of_warnings_that_all_differ_is_one_too():
    log = Log()

    for number in range(1000):
        log.say(f"unheard of: {chr(97 + number % 26) * (number + 1)}")

    assert len(log.kept.lines) == KINDS_OF_A_SITE + 1
    log.folding.flush()
    assert log.kept.lines[-1].endswith(f"({1000 - KINDS_OF_A_SITE - 1} times more in 1 min)")


@pytest.mark.parametrize("shape", ["the same", "numbers differ", "all differ"])
@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.ERROR])
def test_a_day_of_storm_is_some_dozens_of_lines_and_every_line_is_counted(shape: str, level: int):
    log, count, rng = Log(), 0, random.Random(6)

    while log.now_s < DAY_S:
        text = {"the same": "no link", "numbers differ": f"no link: {count}", "all differ": ""}[shape]
        log.say(text or "no link: " + "".join(rng.choices("abcdef", k=12)), level=level)
        count += 1
        log.now_s += 5.0
    log.folding.flush()

    assert len(log.kept.lines) < 60
    assert sum(counted(line) for line in log.kept.lines) == count


def counted(line: str) -> int:
    """Return how many lines `line` stands for."""
    if line.endswith("min)"):
        words = line.rsplit("(", 1)[1].split()
        return 1 if words[0] == "once" else int(words[0])
    return 1


def test_the_count_is_told_when_it_is_due_though_nothing_else_is_said():
    kept = Kept()

    async def main(loop: JumpLoop) -> None:
        folding = Folding(kept, clock=loop.time)
        folding.use_loop(loop)
        for _ in range(4):
            folding.handle(logging.LogRecord("a", logging.WARNING, __file__, 1, "lost", (), None))
            await asyncio.sleep(1.0)
        await asyncio.sleep(295.0)
        assert kept.lines == ["lost"]

        await asyncio.sleep(2.0)

        assert kept.lines == ["lost", "lost (3 times more in 5 min)"]
        await asyncio.sleep(DAY_S)
        assert len(kept.lines) == 2

    run_jumping(main)


def test_counts_of_several_storms_are_each_told_when_they_are_due():
    kept = Kept()

    async def main(loop: JumpLoop) -> None:
        folding = Folding(kept, clock=loop.time)
        folding.use_loop(loop)
        for text in ("no link", "no speaker"):
            for _ in range(3):
                folding.handle(logging.LogRecord("a", logging.WARNING, __file__, 1, text, (), None))
            await asyncio.sleep(100.0)
        await asyncio.sleep(150.0)
        assert kept.lines[2:] == ["no link (2 times more in 5 min)"]

        await asyncio.sleep(60.0)

        assert kept.lines[3:] == ["no speaker (2 times more in 5 min)"]

    run_jumping(main)


def test_a_loop_that_is_closed_loses_no_count():
    log = Log()
    loop = asyncio.new_event_loop()
    log.folding.use_loop(loop)
    loop.close()

    log.say("lost")
    log.say("lost")
    log.folding.close()

    assert log.kept.lines == ["lost", "lost (once more in 1 min)"]


class SlowRecord(logging.LogRecord):
    """A line that takes its time to be read, and knows how many are being read at once."""

    inside = most = 0

    def getMessage(self) -> str:  # noqa: N802  # its own name
        SlowRecord.inside += 1
        SlowRecord.most = max(SlowRecord.most, SlowRecord.inside)
        threading.Event().wait(0.05)
        SlowRecord.inside -= 1
        return "lost"


def test_threads_that_log_at_once_are_judged_one_after_the_other():
    folding = Folding(logging.NullHandler())
    record = SlowRecord("pivoice.audio", logging.WARNING, __file__, 1, "", (), None)
    threads = [threading.Thread(target=folding.handle, args=(record,)) for _ in range(3)]

    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert SlowRecord.most == 1


def test_a_line_with_the_wrong_arguments_harms_nobody_who_logs():
    kept = logging.NullHandler()
    folding = Folding(kept, clock=lambda: 0.0)

    for _ in range(3):
        folding.handle(logging.LogRecord("lib", logging.WARNING, __file__, 1, "%d", ("no number",), None))
    folding.flush()


def test_a_signals_handler_may_log_in_a_thread_that_is_logging():
    log = Log()
    done = threading.Event()

    def interrupted() -> None:
        with log.folding._guard:  # as far as the thread came when the signal was heard
            log.say("the event loop hangs")
        done.set()

    threading.Thread(target=interrupted, daemon=True).start()

    assert done.wait(5), "it waits for itself"
