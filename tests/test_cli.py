"""What is typed after `pivoice ctl`, and what it means."""

from __future__ import annotations

from pathlib import Path

import pytest

from pivoice import caller, cli, ctl
from pivoice.config import ControlConfig


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("40", 40),
        ("0.5", 0.5),
        ("true", True),
        ('"40"', "40"),
        ('["a", "b"]', ["a", "b"]),
        ("[]", []),
        ("", ""),
        ("far-field", "far-field"),
        ("You are a pirate.", "You are a pirate."),
        ('I\'m "it"', 'I\'m "it"'),
        ("1\nother = 2", "1\nother = 2"),
        ("2026-11-02", "2026-11-02"),
        ('["a"', '["a"'),
        ("{ a = 1 }", "{ a = 1 }"),
    ],
)
def test_a_value_is_tomls_or_else_the_words_themselves(typed: str, value: object):
    request = ctl._request("set", ["agent.system_prompt", *typed.split(" ")])

    assert request["value"] == value
    assert type(request["value"]) is type(value)


@pytest.mark.parametrize(
    ("text", "socket"),
    [
        ('[control]\nsocket = "/tmp/x.sock"\n', "/tmp/x.sock"),
        ('[agent]\nvolume = "loud"\n[control]\nsocket = "/tmp/x.sock"\n', "/tmp/x.sock"),
        ("[control]\nsocket = 5\n", ControlConfig().socket),
        ("control = 5\n", ControlConfig().socket),
        ("half a li", ControlConfig().socket),
    ],
)
def test_a_file_with_mistakes_still_says_where_the_daemon_is(tmp_path: Path, text: str, socket: str):
    path = tmp_path / "pivoice.toml"
    path.write_text(text)

    assert ctl.socket_of(str(path)) == socket


@pytest.mark.parametrize(
    ("models", "code", "said"),
    [
        ('["hey_jarvis"]', 0, ": right"),
        ('["hey_jarvs"]', 78, "did you mean hey_jarvis?"),
        ('["/etc/hostname.onnx"]', 78, "there is no such file"),
    ],
)
def test_checking_a_configuration_tries_the_wake_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], models: str, code: int, said: str
):
    path = tmp_path / "pivoice.toml"
    path.write_text(f"[wake]\nmodels = {models}\n")

    found = cli.main(["config", "--check", "--config", str(path)])

    written = capsys.readouterr()
    assert found == code
    assert said in written.out + written.err
    assert str(path) in written.out + written.err


def test_checking_a_configuration_tells_all_that_only_trying_shows_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "pivoice.toml"
    path.write_text(
        '[wake]\nmodels = ["hey_jarvs"]\n[audio.earcons]\nwake = "/nowhere/wake.wav"\n'
        '[[tools.command]]\nname = "lamp"\ndescription = "Lights it."\nargv = ["true"]\n'
        'parameters = {type = "array"}\n'
    )

    found = cli.main(["config", "--check", "--config", str(path)])

    written = capsys.readouterr()
    assert found == 78
    for said in ("hey_jarvis", "/nowhere/wake.wav", "tools.command[1].parameters.type"):
        assert said in written.out + written.err


def test_metrics_are_printed_as_prometheus_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    answer = {"text": "# TYPE pivoice_hears gauge\npivoice_hears 1.0\n", "counters": {"playback_xruns": 0}}
    monkeypatch.setattr(caller, "request", lambda path, message: answer)

    code = cli.main(["ctl", "metrics", "--config", str(tmp_path / "none.toml")])

    assert code == 0
    assert capsys.readouterr().out == answer["text"]


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("volume", {}),
        ("volume 40", {"value": "40"}),
        ("volume -10", {"value": "-10"}),
        ("gain up", {"value": "up"}),
        ("tools", {}),
        ("call get_time", {"tool": "get_time", "arguments": {}}),
        ('call add {"a": 1, "b": [2]}', {"tool": "add", "arguments": {"a": 1, "b": [2]}}),
        ("timers", {}),
        ("timers cancel soft eggs", {"cancel": "soft eggs"}),
        ("notes forget all", {"forget": "all"}),
    ],
)
def test_what_is_asked_of_hands_and_tools(
    typed: str, sent: dict[str, object], monkeypatch: pytest.MonkeyPatch
):
    asked: list[object] = []
    monkeypatch.setattr(caller, "request", lambda path, request, **_: asked.append(request) or CALLED)

    code = cli.main(["ctl", *typed.split(" ")])

    assert code == 0
    assert asked == [{"command": typed.split(" ")[0], **sent}]


CALLED = {"result": "{}", "is_error": False}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["call"], "pivoice ctl tools lists them"),
        (["call", "add", "{a: 1}"], "is not JSON"),
        (["call", "add", "[1]"], "but no object"),
        (["timers", "tea"], "takes nothing, or cancel"),
        (["timers", "cancel"], "takes nothing, or cancel"),
        (["notes", "erase", "1"], "takes nothing, or forget"),
    ],
)
def test_what_makes_no_request_is_explained(typed: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["ctl", *typed]) == 1

    assert said in capsys.readouterr().err


def test_a_tool_that_fails_by_hand_is_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    answer = {"tool": "add", "is_error": True, "result": '{"error": "no"}'}
    monkeypatch.setattr(caller, "request", lambda *_, **__: answer)

    code = cli.main(["ctl", "call", "add"])

    assert (code, capsys.readouterr().out) == (1, '{"error": "no"}\n')
