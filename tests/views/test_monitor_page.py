"""What the monitor's page holds in terminals of every size."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from pivoice.views.monitor_page import page
from pivoice.views.monitor_view import View
from tests.views.test_monitor_view import STATUS

LONG = "and so on, word after word, in a terminal that is never wide enough for all of it "


def a_view() -> View:
    """Return a view in the middle of a conversation."""
    view = View(0.0)
    view.found(1.0)
    view.take_status({**STATUS, "state": "speaking", "link": "up"}, 1.0)
    level = {"event": "level", "rms_db": -36.0, "peak_db": -18.0, "clipped": 0}
    view.observe({**level, "side": "microphone", "gate_open": True}, 9.9)
    view.observe({**level, "side": "speaker"}, 9.9)
    view.observe({"event": "score", "model": "hey_jarvis", "score": 0.25}, 9.9)
    view.observe({"event": "latency", "name": "speech_stopped_to_sound", "ms": 640}, 9.0)
    for number in range(30):
        view.observe({"event": "transcript", "who": "agent", "text": f"{number} {LONG}", "final": True}, 9.0)
    return view


def shown(view: View, width: int, height: int, now_s: float = 10.0, *, plain: bool = False) -> list[str]:
    """Return the page's rows as text."""
    return [row.plain for row in page(view, width=width, height=height, now_s=now_s, plain=plain)]


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (200, 60), (20, 5), (8, 3), (1, 1)])
def test_a_page_fits_and_leaves_no_row_unused(size: tuple[int, int]):
    rows = shown(a_view(), *size)

    assert len(rows) <= size[1]
    assert all(cell_len(row) <= size[0] for row in rows)
    assert len(rows) >= min(size[1], 3)


def test_a_usual_terminal_shows_everything():
    text = "\n".join(shown(a_view(), 80, 24))

    for part in (
        "pivoice 1.2.3 · up 1 min 30 s · q quits",
        "● speaking",
        "link up",
        "-36 dB  peak -18 dB  gate open",
        "0.25 of 0.50",
        "answer 640 ms",
        "today 2.5 of 60 min",
        "agent 29 and so on",
    ):
        assert part in text


def test_a_small_terminal_shows_what_matters_most():
    text = "\n".join(shown(a_view(), 40, 12))

    for part in ("● speaking", "mic ", "spk ", "hey_j", "never wide enough"):
        assert part in text
    assert "q quits" not in text


def test_a_fault_is_red_and_whole_where_there_is_room():
    view = a_view()
    why = "cannot open capture 'plughw:CARD=Gone,DEV=0': the card is not there; check its cable"
    view.observe({"event": "fault", "part": "microphone", "state": "lost", "reason": why}, 9.0)

    rows = page(view, width=60, height=24, now_s=10.0)
    red = [row for row in rows if "red" in str(row.style)]

    assert " ".join(row.plain for row in red) == f"! microphone: {why}"


def test_a_level_that_is_not_told_any_more_is_none():
    view = a_view()

    before, after = shown(view, 80, 24, 10.0), shown(view, 80, 24, 12.0)

    assert any(row.startswith("mic") and "█" in row for row in before)
    assert any(row.startswith("mic") and "█" not in row and "not heard" in row for row in after)


@pytest.mark.parametrize(("muted", "is_open", "words"), [(True, True, "closed"), (False, False, "closed")])
def test_a_closed_microphone_is_told_from_a_quiet_one(muted: bool, is_open: bool, words: str):
    view = a_view()
    view.take_status({**STATUS, "muted": muted, "capture": {"is_open": is_open}}, 11.0)

    (mic,) = [row for row in shown(view, 80, 24, 12.0) if row.startswith("mic")]

    assert mic.endswith(words)


def test_clipping_is_said_for_as_long_as_it_can_be_read():
    view = a_view()
    clipped = {"event": "level", "side": "microphone", "rms_db": -1.0, "peak_db": 0.0, "clipped": 7}
    view.observe(clipped, 10.0)
    view.observe({**clipped, "clipped": 0}, 12.0)

    soon = shown(view, 100, 24, 12.1)
    view.observe({**clipped, "clipped": 0}, 16.0)
    later = shown(view, 100, 24, 16.0)

    assert any("clipped 7" in row for row in soon)
    assert not any("clipped" in row for row in later)


def test_who_is_waited_for_is_said_with_the_reason():
    view = a_view()
    view.lost("nobody listens at /run/pivoice/control.sock (systemctl status pivoice)", 20.0)

    rows = shown(view, 60, 24, 25.0)

    assert "waiting for pivoice (seen 5 s ago): nobody listens at" in " ".join(rows)
    assert "/run/pivoice/control.sock (systemctl status pivoice)" in " ".join(rows)


def test_a_light_without_colours_is_a_word():
    view = a_view()
    blinking = {"pattern": "no_network", "colour": [1.0, 0.45, 0.0], "style": "blink"}
    view.observe({**STATUS, "event": "state", "light": blinking}, 9.0)

    assert any("light no network, amber blinking" in row for row in shown(view, 80, 24))


def test_ascii_is_enough():
    view = a_view()
    view.transcript.clear()

    assert all(row.isascii() for row in shown(view, 80, 24, plain=True))
