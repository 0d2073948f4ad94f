"""What the monitor knows after each line, and that it believes none."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivoice.views.monitor_page import page
from pivoice.views.monitor_view import Line, View

STATUS = {
    "version": "1.2.3",
    "state": "idle",
    "link": "down",
    "muted": False,
    "conditions": [],
    "light": {"pattern": "idle", "colour": [0, 0, 0], "style": "off"},
    "status": "hears; waiting for hey_jarvis",
    "wake": "hey_jarvis",
    "thresholds": {"hey_jarvis": 0.5},
    "faults": {},
    "capture": {"is_open": True, "xruns": 2},
    "playback": {"is_open": False, "xruns": 1},
    "restarts": {"capture": 1, "playback": 0, "loop": 2},
    "uptime_s": 90,
    "session": {"minutes_today": 2.5, "daily_minutes": 60, "cost_today": 0.19, "sessions_today": 3},
}


@pytest.fixture
def view() -> View:
    """Return a view of a daemon that is there."""
    made = View(0.0)
    made.found(1.0)
    made.take_status(STATUS, 1.0)
    return made


def test_a_status_says_all_that_is_seen_at_first(view: View):
    assert (view.state, view.link, view.light, view.muted) == ("idle", "down", "idle", False)
    assert view.counters() == [
        "today 2.5 of 60 min",
        "cost 0.19",
        "sessions 3",
        "wakes 0",
        "xruns mic 2, spk 1",
        "restarts 3",
    ]
    assert view.uptime() == "up 1 min 30 s"
    assert view.scores["hey_jarvis"].threshold == 0.5


def test_a_change_of_state_is_told_once(view: View):
    line = {**STATUS, "event": "state", "state": "listening", "conditions": ["no_speaker"]}

    news = [view.observe(line, 2.0), view.observe(line, 3.0)]

    assert news == ["state listening, light idle, link down, no_speaker", ""]


def test_a_wake_word_counts_unless_it_was_the_agents_own_voice(view: View):
    wake = {"event": "wake", "model": "hey_jarvis", "score": 0.91}

    news = [view.observe(wake, 2.0), view.observe(wake | {"ignored": True}, 3.0)]

    assert view.wakes == 1
    assert news == ["wake word hey_jarvis 0.91", "wake word hey_jarvis 0.91, ignored: the agent's own voice"]


def test_words_grow_until_they_are_final(view: View):
    for text, final in (("what", False), ("what is", False), ("What is it?", True)):
        view.observe({"event": "transcript", "who": "user", "text": text, "final": final}, 2.0)
    view.observe({"event": "transcript", "who": "agent", "text": "It", "final": False}, 2.0)
    view.observe({"event": "transcript", "who": "user", "text": "Stop", "final": False}, 2.0)
    view.observe(
        {"event": "transcript", "who": "agent", "text": "It is", "final": True, "interrupted": True}, 2.0
    )

    said = [(each.who, each.text, each.final) for each in view.transcript]

    assert said == [("user", "What is it?", True), ("user", "Stop", False), ("agent", "It is", True)]


def test_only_final_words_are_told_in_lines(view: View):
    partial = view.observe({"event": "transcript", "who": "user", "text": "wh", "final": False}, 2.0)
    final = view.observe(
        {"event": "transcript", "who": "agent", "text": "It is", "final": True, "interrupted": True}, 2.0
    )

    assert (partial, final) == ("", "agent: It is (interrupted)")


def test_a_peak_stays_for_a_while(view: View):
    def hear(peak_db: float, at_s: float) -> float:
        view.observe(
            {"event": "level", "side": "microphone", "rms_db": -50.0, "peak_db": peak_db, "clipped": 0}, at_s
        )
        return view.levels["microphone"].held_db

    assert [hear(-10.0, 2.0), hear(-40.0, 3.0), hear(-41.0, 3.6)] == [-10.0, -10.0, -41.0]


def test_a_fault_stays_until_it_is_over(view: View):
    fault = {"event": "fault", "part": "microphone", "reason": "cannot open capture 'x': busy"}

    lost = view.observe(fault | {"state": "lost"}, 2.0)
    faults = dict(view.faults)
    view.observe({"event": "fault", "part": "microphone", "state": "found", "reason": ""}, 3.0)

    assert lost == "microphone lost: cannot open capture 'x': busy"
    assert faults == {"microphone": "cannot open capture 'x': busy"}
    assert not view.faults


def test_a_daemon_that_went_is_waited_for_and_told_once(view: View):
    news = [view.lost("nobody listens", 2.0), view.lost("nobody listens", 3.0), view.found(4.0)]

    assert news == ["waiting for pivoice: nobody listens", "", "pivoice is there"]


@pytest.mark.parametrize(
    ("line", "news"),
    [
        ({"event": "latency", "name": "wake_to_ready", "ms": 412.4}, "latency wake to ready 412 ms"),
        ({"event": "session", "state": "lost", "reason": "the key"}, "session lost: the key"),
        ({"event": "error", "code": "overloaded"}, "the agent: overloaded"),
        ({"event": "restart", "part": "capture"}, "the part capture was stuck and is restarted"),
        ({"event": "lost", "lines": 12}, "12 lines were lost: too slow"),
        ({"event": "level", "side": "speaker", "rms_db": -3, "peak_db": -1}, ""),
        ({"event": "score", "model": "hey_jarvis", "score": 0.2}, ""),
        ({"event": "something new"}, ""),
        ({"event": ["state"]}, ""),
        ({}, ""),
    ],
)
def test_each_kind_of_line_has_its_words(view: View, line: Line, news: str):
    assert view.observe(line, 2.0) == news


def test_no_text_of_a_line_reaches_the_terminal_as_it_is(view: View):
    evil = "\x1b[31m\r\n\x9b\u202e"
    strings = ("state", "link", "model", "who", "text", "name", "part", "reason", "code", "message")
    kinds = ("state", "wake", "score", "transcript", "latency", "session", "error", "fault", "restart")

    news = [
        view.observe(
            dict.fromkeys(strings, evil)
            | {"event": kind, "score": 0.9, "ms": 5, "conditions": [evil], "light": {"pattern": evil}},
            2.0,
        )
        for kind in kinds
    ]
    view.observe({"event": "fault", "part": evil, "state": "lost", "reason": evil}, 2.0)
    view.take_status(
        dict.fromkeys(STATUS, evil) | {"faults": {evil: evil}, "echo_fault": evil, "reload": evil}, 3.0
    )
    rows = [row.plain for row in page(view, width=80, height=40, now_s=3.0)]

    view.lost(evil, 4.0)
    rows += [row.plain for row in page(view, width=80, height=40, now_s=4.0)]
    assert all(text.isprintable() for text in [*news, *rows])


def test_nothing_grows_without_end(view: View):
    for number in range(2000):
        view.observe({"event": "score", "model": f"m{number}", "score": 0.9}, 2.0)
        view.observe({"event": "latency", "name": f"l{number}", "ms": 1}, 2.0)
        view.observe({"event": "fault", "part": f"p{number}", "state": "lost", "reason": "x"}, 2.0)
        view.observe({"event": "transcript", "who": f"w{number}", "text": "x" * 9000}, 2.0)

    sizes = [len(each) for each in (view.scores, view.latencies_ms, view.faults, view.transcript)]
    assert sizes == [8, 8, 8, 200]
    assert max(len(each.text) for each in view.transcript) <= 2001


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["microphone", "speaker", "lost", "user", "\x1b[2J"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = ["state", "link", "light", "muted", "conditions", "side", "rms_db", "peak_db", "clipped", "gate_open"]
NAMES += ["model", "score", "who", "text", "final", "name", "ms", "part", "reason", "lines", "faults"]
NAMES += ["thresholds", "restarts", "session", "capture", "uptime_s", "wake", "reload", "version"]
KINDS = ["state", "level", "score", "wake", "transcript", "latency", "session", "error", "fault", "restart"]


@given(
    lines=st.lists(
        st.tuples(st.sampled_from([*KINDS, "lost"]), st.dictionaries(st.sampled_from(NAMES), JSON)),
        max_size=6,
    ),
    size=st.tuples(st.integers(1, 90), st.integers(1, 30)),
)
@settings(max_examples=80)
def test_whatever_comes_there_is_a_page_that_fits(lines: list[tuple[str, Line]], size: tuple[int, int]):
    view = View(0.0)
    view.found(1.0)
    for kind, line in lines:
        view.observe({**line, "event": kind}, 2.0)
        view.take_status(line, 2.0)

    rows = page(view, width=size[0], height=size[1], now_s=2.1)

    assert len(rows) <= size[1]
    assert all(row.cell_len <= size[0] for row in rows)
    assert all(row.plain.isprintable() for row in rows)


def test_numbers_that_are_none_leave_what_was_known(view: View):
    for odd in (math.nan, math.inf, True, "5", None, 10**400, [1]):
        view.observe({"event": "score", "model": "hey_jarvis", "score": odd}, 2.0)
        view.observe({"event": "level", "side": "microphone", "rms_db": odd, "peak_db": odd}, 2.0)

    assert view.scores["hey_jarvis"].score == 0.0
    assert view.levels["microphone"].time_s == -math.inf
    assert json.dumps(view.scores["hey_jarvis"].best) == "0.0"
