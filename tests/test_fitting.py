"""What the configuration means to the parts."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from pivoice import config, fitting
from pivoice.audio import stage
from pivoice.audio.cards import Card
from pivoice.config import Config, TurnConfig, WakeConfig
from pivoice.wake.gate import EnergyGate
from pivoice.wake.simulated import SimulatedDetector

JABRA = Card("USB", "Jabra SPEAK 510 USB")
STICK = Card("Device", "USB PnP Sound Device")


def test_every_wait_of_the_turn_is_as_long_as_its_setting():
    names = [each.name for each in dataclasses.fields(TurnConfig)]
    config = Config(turn=TurnConfig(**{name: 100.0 + number for number, name in enumerate(names)}))

    waits = dataclasses.asdict(fitting.deadlines(config))

    assert {name: waits[name] for name in names} == dataclasses.asdict(config.turn)


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> dict[str, Card]:
    """Return this machine's cards by the names of their PCMs: two of them, one of which cancels."""
    there = {"jabra": JABRA, "jabra_too": JABRA, "stick": STICK}
    monkeypatch.setattr(fitting, "card_of", there.get)
    return there


@pytest.fixture
def canceller(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have a canceller on this machine; return which modes were looked for."""
    asked: list[str] = []
    monkeypatch.setattr(stage, "missing", lambda mode: str(asked.append(mode) or ""))
    return asked


@pytest.fixture
def no_canceller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the canceller's library missing on this machine."""
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    monkeypatch.delitem(sys.modules, "pivoice.audio.echo", raising=False)


def choice(
    echo: str, capture: str = "stick", playback: str = "stick", channel: int = 0
) -> fitting.EchoChoice:
    text = f'[audio]\necho = "{echo}"\ncapture = "{capture}"\nplayback = "{playback}"\nchannel = {channel}'
    return fitting.choose_echo(config.parse(text))


@pytest.mark.parametrize("echo", ["half_duplex", "none"])
def test_what_needs_no_canceller_is_as_set_and_looks_for_none(
    echo: str, cards: dict[str, Card], canceller: list[str]
):
    chosen = choice(echo, "jabra", "jabra")

    assert (chosen.mode, chosen.is_fallback) == (echo, False)
    assert canceller == []


def test_auto_cancels_where_it_can(cards: dict[str, Card], canceller: list[str]):
    chosen = choice("auto")

    assert (chosen.mode, chosen.is_fallback) == ("webrtc", False)


def test_auto_leaves_it_to_a_card_that_cancels_by_itself_and_loads_no_library(
    cards: dict[str, Card], canceller: list[str]
):
    chosen = choice("auto", "jabra", "jabra_too")

    assert (chosen.mode, chosen.is_fallback) == ("none", False)
    assert "Jabra SPEAK 510 USB" in chosen.reason
    assert canceller == []


@pytest.mark.parametrize(("capture", "playback"), [("jabra", "stick"), ("stick", "jabra"), ("jabra", "gone")])
def test_a_card_cannot_cancel_what_another_plays(
    capture: str, playback: str, cards: dict[str, Card], canceller: list[str]
):
    assert choice("auto", capture, playback).mode == "webrtc"


def test_two_names_that_lead_nowhere_are_not_one_card(cards: dict[str, Card], canceller: list[str]):
    assert choice("auto", "gone", "gone").mode == "webrtc"


def test_the_bare_channel_of_an_array_is_ours_to_cancel(cards: dict[str, Card], canceller: list[str]):
    cards["array"] = Card("ArrayUAC10", "ReSpeaker 4 Mic Array (UAC1.0)")

    assert choice("auto", "array", "array", channel=0).mode == "none"
    assert choice("auto", "array", "array", channel=1).mode == "webrtc"


def test_webrtc_cancels_also_what_a_card_may_have_cancelled(cards: dict[str, Card], canceller: list[str]):
    assert choice("webrtc", "jabra", "jabra").mode == "webrtc"


@pytest.mark.parametrize("echo", ["auto", "webrtc"])
def test_without_the_library_it_is_half_duplex_and_says_what_to_install(
    echo: str, cards: dict[str, Card], no_canceller: None
):
    chosen = choice(echo)

    assert (chosen.mode, chosen.is_fallback) == ("half_duplex", True)
    assert "pywebrtc_audio" in chosen.reason
    assert "pip install 'pivoice[echo]'" in chosen.reason


def test_on_32_bits_it_does_not_advise_what_cannot_be_had(
    cards: dict[str, Card], no_canceller: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fitting, "_IS_32_BIT", True)

    chosen = choice("auto")

    assert chosen.mode == "half_duplex"
    assert "32-bit" in chosen.reason and "pip" not in chosen.reason


@pytest.mark.parametrize("echo", ["auto", "webrtc"])
def test_without_the_canceller_s_file_it_is_half_duplex(
    echo: str, cards: dict[str, Card], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "pivoice.audio.echo", None)  # as if deleted

    assert choice(echo).mode == "half_duplex"


@pytest.mark.parametrize("echo", ["auto", "webrtc"])
def test_without_the_canceller_s_row_it_is_half_duplex(
    echo: str, cards: dict[str, Card], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stage, "STAGES", {})

    chosen = choice(echo)

    assert (chosen.mode, chosen.is_fallback) == ("half_duplex", echo == "webrtc")
    assert "pip" not in chosen.reason


@pytest.mark.parametrize(("mode", "listens"), [("half_duplex", True), ("webrtc", True), ("none", False)])
def test_our_own_voice_is_listened_to_where_it_may_come_back(
    mode: str, listens: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fitting, "open_detector", lambda _: SimulatedDetector())
    monkeypatch.setattr(fitting, "choose_echo", lambda _: fitting.EchoChoice(mode, "so"))

    listening = fitting.open_listening(Config(), {})

    assert listening.detector is not None
    assert (listening.far_detector is not None) == listens
    assert listening.far_detector is not listening.detector


def test_the_ears_listen_behind_a_gate_and_near_misses_respect_the_refractory_time(tmp_path: Path):
    wake = WakeConfig(save_near_misses=3, near_misses_dir=str(tmp_path), refractory_s=3.0)
    detectors = (SimulatedDetector(), SimulatedDetector())

    listening = fitting.open_listening(Config(wake=wake), {}, detectors=detectors)

    assert listening.open_gate is not None and isinstance(listening.open_gate(48000), EnergyGate)
    assert listening.near_misses is not None
    listening.near_misses.hear({"hey_jarvis": 0.9}, 16_000, decided=True)
    found = [
        listening.near_misses.hear({"hey_jarvis": 0.4 * (block == 30)}, 16_000 + block * 1280, decided=False)
        for block in range(1, 60)
    ]
    assert not any(found)  # 2.4 s after a wake word
