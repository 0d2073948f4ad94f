"""The owner's own commands: what is run, with what around it, and what the agent is told of it."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import select
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from pivoice.config import CommandConfig, ToolsConfig
from pivoice.errors import ConfigError, ToolError
from pivoice.secrecy import Secrets
from pivoice.tools import processes, registry
from pivoice.tools.commands import open_commands
from pivoice.tools.registry import Answer, Registry

SECRET = 'tok"en/of+the=house'
ENVIRON = {
    "PATH": os.environ["PATH"],
    "LANG": "C.UTF-8",
    "HOME": "/nowhere",
    "ASSEMBLYAI_API_KEY": "k",
    "CREDENTIALS_DIRECTORY": "/run/credentials/pivoice.service",
    "NOTIFY_SOCKET": "/run/systemd/notify",
}
ANY = {"type": "object", "properties": {name: {} for name in ("a", "b", "c")}}


def command(*argv: str, **given: object) -> CommandConfig:
    fields: dict[str, object] = {
        "name": "tool",
        "description": "Does it.",
        "parameters": ANY,
        "argv": list(argv),
    }
    return CommandConfig(**fields | given)  # type: ignore[arg-type]


def shell(script: str, **given: object) -> CommandConfig:
    """A command that is a short script: it is the test's, as an owner's own would be."""
    return command("sh", "-c", script, **given)


def registry_of(
    config: CommandConfig, environ: Mapping[str, str] = ENVIRON, state: Path | None = None
) -> Registry:
    tools = ToolsConfig(command=[config])
    registry = Registry(tools, secrets=Secrets())
    registry.put("command", open_commands(tools, environ, state))
    return registry


def answer(config: CommandConfig, arguments: Mapping[str, object] = {}, **given: object) -> Answer:
    registry = registry_of(config, **given)  # type: ignore[arg-type]
    return asyncio.run(registry.run("tool", arguments))


def result(config: CommandConfig, arguments: Mapping[str, object] = {}, **given: object) -> str:
    given_answer = answer(config, arguments, **given)
    assert not given_answer.is_error, given_answer.text
    return str(json.loads(given_answer.text)["result"])


def error(config: CommandConfig, arguments: Mapping[str, object] = {}, **given: object) -> str:
    return str(json.loads(answer(config, arguments, **given).text)["error"])


def received(*argv: str, **arguments: object) -> list[str]:
    """Return what a program that is called with `argv` gets."""
    return result(command("printf", "%s¦", *argv), arguments).split("¦")[:-1]


# --- arguments ---


@pytest.mark.parametrize(
    ("element", "value", "expected"),
    [
        ("{a}", "Rome; rm -rf / $(id) `id` 'x' \"y\" * \n", "Rome; rm -rf / $(id) `id` 'x' \"y\" * \n"),
        ("city={a}", "-x", "city=-x"),
        ("{a}", 3.0, "3"),
        ("{a}", 2.5, "2.5"),
        ("{a}", True, "true"),
        ("{a}", None, "null"),
        ("{a}", ["x", 1], '["x", 1]'),
        (
            "https://example.com/?q={a:url}&x=1",
            "Köln & Bonn/1",
            "https://example.com/?q=K%C3%B6ln%20%26%20Bonn%2F1&x=1",
        ),
        ('{{"room": {a:json}}}', 'the "blue" one', '{"room": "the \\"blue\\" one"}'),
        ("{{a}}", "x", "{a}"),
        ("{a}-{a}", "x", "x-x"),
        ("/{a}/{b}.", "x", "/x/."),
    ],
)
def test_an_argument_goes_where_its_place_is_and_stays_one(element: str, value: object, expected: str):
    assert received(element, a=value) == [expected]


def test_an_argument_that_is_left_out_leaves_no_empty_one():
    assert received("first", "{a}", "{b:json}", "last", b=1) == ["first", "1", "last"]


def test_an_argument_that_is_left_out_has_its_default():
    parameters = {"type": "object", "properties": {"a": {"type": "integer", "default": 7}}}

    assert result(command("echo", "it is {a}", parameters=parameters)) == "it is 7"


@pytest.mark.parametrize("value", ["-rf", "--output=/etc/passwd", -5])
def test_a_value_cannot_become_an_option(value: object, tmp_path: Path):
    told = error(command("touch", str(tmp_path / "run"), "{a}"), {"a": value})

    assert "the argument 'a' must not begin with -" in told
    assert "call again" in told
    assert not (tmp_path / "run").exists()


def test_a_value_after_two_dashes_may_begin_with_one():
    assert received("--", "{a}", a="-x") == ["--", "-x"]


def test_a_value_that_the_kernel_would_not_take_is_refused():
    assert "no program takes" in error(command("echo", "{a}"), {"a": "x\0y"})


def test_a_value_is_never_longer_than_the_arguments_may_be():
    assert "too long" in error(command("echo", "{a}"), {"a": "x" * 200_000})


def test_arguments_are_checked_before_anything_runs(tmp_path: Path):
    parameters = {"type": "object", "properties": {"a": {"type": "integer", "maximum": 5}}, "required": ["a"]}
    touch = command("touch", str(tmp_path / "run"), parameters=parameters)

    told = [error(touch, arguments) for arguments in ({}, {"a": "1"}, {"a": 6})]

    assert all("was not run" in each for each in told)
    assert not (tmp_path / "run").exists()


# --- around it ---


def test_a_program_has_little_around_it_and_nothing_of_ours(tmp_path: Path):
    script = "env | cut -d= -f1 | sort | tr '\\n' ' '; pwd; umask; cat; ls /proc/self/fd | wc -l"
    config = shell(script, environment={"UNITS": "metric"})

    names, *rest = result(config, state=tmp_path / "state").splitlines()

    assert set(names.split()) - {"PWD", "_", "SHLVL", "OLDPWD"} >= {"HOME", "LANG", "PATH", "UNITS"}
    told = f"{names} {rest}"
    assert "KEY" not in told and "CREDENTIALS" not in told and "NOTIFY" not in told
    assert names.split()[-1].endswith(str(tmp_path / "state")) or str(tmp_path / "state") in told
    assert rest[-1].strip() == "4"  # its three, and that of ls


def test_it_runs_where_the_owner_says(tmp_path: Path):
    assert result(command("pwd", directory=str(tmp_path))) == str(tmp_path)
    assert f"'{tmp_path}/gone' is not there" in error(command("pwd", directory=f"{tmp_path}/gone"))


def test_a_secret_is_read_anew_at_each_call(tmp_path: Path):
    place = tmp_path / "token"
    place.touch(mode=0o600)
    config = shell("printf %s $TOKEN | wc -c", secrets={"TOKEN": str(place)})
    registry = registry_of(config)
    told = []

    for secret in ("short-one", "a-longer-one\n"):
        place.write_text(secret)
        told.append(json.loads(asyncio.run(registry.run("tool", {})).text))

    assert told == [9, 12]


def test_a_secret_may_be_a_credential_of_systemds(tmp_path: Path):
    (tmp_path / "token").write_text("s3cret-token")
    (tmp_path / "token").chmod(0o440)
    config = shell("printf %s $TOKEN | wc -c", secrets={"TOKEN": "token"})

    told = answer(config, environ={**ENVIRON, "CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert told.text == "12"


@pytest.mark.parametrize(
    "script",
    [
        'echo "it is $TOKEN"',
        'echo "it is $TOKEN" >&2; exit 1',
        'echo "it is $TOKEN"; exit 1',
        """printf '"%s"' "$TOKEN" | sed 's/k"e/k\\\\"e/'""",
        'for n in 1 2 3 4 5 6 7 8 9; do printf %s "$TOKEN"; done',
        'echo "the PIN is $PIN, says it"',
        'printf %s "$LINES_" | tail -n 1',
    ],
)
@pytest.mark.parametrize("output_chars", [4000, 30])
def test_the_agent_is_never_told_a_secret(script: str, output_chars: int, tmp_path: Path):
    secrets = {"TOKEN": SECRET, "PIN": "4711", "LINES_": "-----BEGIN-----\nMIIEvgIBADANBg"}
    for name, secret in secrets.items():
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(secret)
    places = {name: str(tmp_path / name) for name in secrets}

    told = answer(shell(script, secrets=places, output_chars=output_chars)).text

    assert "[secret]" in told
    assert not any(part in told for part in ('tok"en', "tok\\", "of+the", "4711", "MIIEvg"))


def test_a_secret_is_known_in_the_escapes_of_json(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text('geh"eim-ß\n')
    secret.chmod(0o600)
    script = r"""printf '%s %s' 'geh\"eim-ß' 'geh\"eim-\u00df'"""

    assert result(shell(script, secrets={"TOKEN": str(secret)})) == "[secret] [secret]"


def test_no_part_of_a_secret_is_told_where_output_ends(tmp_path: Path):
    (tmp_path / "t").touch(mode=0o600)
    (tmp_path / "t").write_text("s3cret" * 50)
    config = shell("while :; do printf %s $TOKEN; done", secrets={"TOKEN": str(tmp_path / "t")})

    assert "s3c" not in answer(config).text


@pytest.mark.parametrize("found", ["absent", "open to all", "empty"])
def test_a_secret_that_cannot_be_used_is_a_sentence_and_nothing_runs(found: str, tmp_path: Path):
    place = tmp_path / "token"
    if found != "absent":
        place.write_text("" if found == "empty" else SECRET)
        place.chmod(0o600 if found == "empty" else 0o644)
    config = command("touch", str(tmp_path / "run"), secrets={"TOKEN": str(place)})

    told = error(config)

    assert "TOKEN" in told and str(place) in told
    assert not (tmp_path / "run").exists()


# --- what comes of it ---


def test_what_it_wrote_is_the_answer():
    assert (
        result(command("printf", "\\033[31mred\\033[0m\\007 \\374 %s\\r\\nend", "{a}"), {"a": "ü"})
        == "red � ü\nend"
    )
    assert answer(command("echo", '{{"on": true}}')).text == '{"on": true}'


def test_more_than_its_share_is_cut_and_said_so():
    told = json.loads(answer(shell("seq 1 100000", output_chars=50)).text)

    assert told["result"] == "\n".join(map(str, range(1, 100)))[:50]
    assert "only the beginning" in told["cut"]


def test_a_program_that_writes_without_end_is_ended_and_costs_no_memory():
    told = json.loads(answer(command("yes", output_chars=20000), {}).text)

    assert told["result"].startswith("y\ny\n")
    assert "only the beginning" in told["cut"]


def test_json_that_is_cut_is_still_json():
    told = json.loads(answer(shell("echo '['; seq -s, 1 3000; echo ']'")).text)

    assert told["result"].startswith("[")
    assert "only the beginning" in told["cut"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo out; echo first >&2; echo oh no >&2; exit 3", "exit code 3: oh no"),
        ("echo only this; exit 1", "exit code 1: only this"),
        ("exit 2", "exit code 2, and said nothing"),
        ("kill -9 $$", "ended by signal 9"),
        ("head -c 9000 /dev/zero | tr '\\0' x >&2; echo >&2; echo short >&2; exit 1", "exit code 1: short"),
    ],
)
def test_a_failure_is_told_with_its_last_words(script: str, said: str):
    told = error(shell(script))

    assert said in told
    assert len(told) < 500


def test_a_program_that_is_not_there_is_a_warning_at_first_and_a_sentence_when_called(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
):
    config = command(str(tmp_path / "later"))
    registry = registry_of(config)
    before = asyncio.run(registry.run("tool", {}))

    (tmp_path / "later").write_text("#!/bin/sh\necho here\n")
    (tmp_path / "later").chmod(0o755)
    after = asyncio.run(registry.run("tool", {}))

    assert f"there is no program {tmp_path / 'later'}" in caplog.text
    assert before.is_error and "there is no program" in before.text
    assert json.loads(after.text) == {"result": "here"}


def test_a_file_that_is_no_program_is_a_sentence(tmp_path: Path):
    (tmp_path / "notes").write_bytes(b"\x00\x01\x02")
    (tmp_path / "notes").chmod(0o755)

    assert "cannot be run: Exec format error" in error(command(str(tmp_path / "notes")))


# --- its end ---


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    """A pipe for processes to tell their ids."""
    path = tmp_path / "pids"
    os.mkfifo(path)
    return path


def told_ids(pids: Path, count: int) -> list[int]:
    with pids.open("r+b", buffering=0) as pipe:  # also to write: so that it has no end
        told = b""
        while told.count(b"\n") < count:
            told += pipe.read(100) or b""
        return [int(each) for each in told.split()]


def await_end(ids: list[int]) -> None:
    """Wait until these processes are gone."""
    for each in ids:
        try:
            descriptor = os.pidfd_open(each)
        except ProcessLookupError:
            continue
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(20_000), f"{each} is still there"
        os.close(descriptor)


STUBBORN = """
trap '' TERM; sh -c 'trap "" TERM; echo $$ > {0}; exec sleep 60' & echo $$ > {0}
while :; do sleep 60; done"""
OBEDIENT = "sleep 60 & echo $! > {0}; echo $$ > {0}; wait"


@pytest.mark.parametrize("script", [STUBBORN, OBEDIENT])
def test_a_program_that_takes_too_long_is_ended_with_all_it_started(
    script: str, pids: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(processes, "KILL_S", 0.2)
    config = shell(script.format(shlex.quote(str(pids))), timeout_s=0.7)

    async def main() -> Answer:
        ids = asyncio.to_thread(told_ids, pids, 2)
        told, found = await asyncio.gather(registry_of(config).run("tool", {}), ids)
        await asyncio.to_thread(await_end, found)
        return told

    assert "took longer than 0.7 s" in asyncio.run(main()).text


def test_a_program_is_ended_when_its_call_is_given_up_and_when_the_loop_ends(pids: Path):
    config = shell(STUBBORN.format(shlex.quote(str(pids))))

    async def main() -> list[int]:
        task = asyncio.create_task(registry_of(config).run("tool", {}))
        found = await asyncio.to_thread(told_ids, pids, 2)
        task.cancel()
        await asyncio.wait({task})
        return found

    ids = asyncio.run(main())  # does not wait for the two seconds of grace

    await_end(ids)


@pytest.mark.parametrize("is_given_up", [False, True])
@pytest.mark.parametrize("script", [STUBBORN, OBEDIENT])
def test_nothing_is_left_of_a_program_once_the_registry_is_closed(
    script: str, is_given_up: bool, pids: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(registry, "CLOSE_S", (0.3, 5.0))

    async def main() -> list[int]:
        tools = registry_of(shell(script.format(shlex.quote(str(pids)))))
        call = asyncio.create_task(tools.run("tool", {}))
        found = await asyncio.to_thread(told_ids, pids, 2)
        if is_given_up:
            call.cancel()
            await asyncio.wait({call})
        await tools.close()
        return found

    runner = asyncio.Runner()
    ids = runner.run(main())

    await_end(ids)  # before the loop is closed: pivoice ends without
    runner.close()


def test_a_program_that_is_given_up_may_still_clean_up(pids: Path, tmp_path: Path):
    cleaned = tmp_path / "cleaned"
    script = f"trap 'echo gone > {cleaned}; exit' TERM; echo $$ > {shlex.quote(str(pids))}; sleep 60 & wait"

    async def main() -> list[int]:
        ids = asyncio.to_thread(told_ids, pids, 1)
        _, found = await asyncio.gather(registry_of(shell(script, timeout_s=0.7)).run("tool", {}), ids)
        await asyncio.to_thread(await_end, found)
        return found

    asyncio.run(main())

    assert cleaned.read_text() == "gone\n"


def test_a_program_that_is_over_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processes, "_DRAIN_S", 3600.0)

    assert result(shell("echo done", timeout_s=20)) == "done"


def test_a_program_that_leaves_something_behind_is_over_all_the_same():
    assert result(shell("sleep 9 & echo done")) == "done"


@pytest.mark.parametrize("missing", [1, 2])
def test_where_there_are_no_more_pipes_none_is_left_open(missing: int, monkeypatch: pytest.MonkeyPatch):
    opened, pipe = [], os.pipe

    def open_pipe() -> tuple[int, int]:
        if len(opened) + 1 == missing:
            raise OSError(errno.EMFILE, "Too many open files")
        opened.append(pipe())
        return opened[-1]

    monkeypatch.setattr(processes.os, "pipe", open_pipe)

    told = answer(shell("echo on"))

    assert told.is_error and "Too many open files" in told.text
    for end in (end for ends in opened for end in ends):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(end)


# --- settings ---


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"parameters": {"type": "array"}}, 'tools.command[1].parameters.type: must be "object"'),
        ({"parameters": "{"}, "tools.command[1].parameters: is not JSON"),
        ({"parameters": "[]"}, "tools.command[1].parameters: must be a table"),
        (
            {"parameters": {"type": "object", "properties": {"a": {"minimum": "x"}}}},
            "parameters.properties.a.minimum",
        ),
        ({"description": "  "}, "tools.command[1].description: is empty"),
        ({"description": "x" * 1025}, "tools.command[1].description: is too long"),
    ],
)
def test_a_schema_that_cannot_be_used_is_a_fault_with_its_place_and_its_tool(
    given: dict[str, object], said: str
):
    with pytest.raises(ConfigError) as caught:
        open_commands(ToolsConfig(command=[command("echo", **given)]), ENVIRON, None)

    assert said in str(caught.value)
    assert "(the tool tool)" in str(caught.value)


def test_all_faults_are_told_at_once():
    bad = [command("echo", name=name, description="") for name in ("a", "b")]

    with pytest.raises(ConfigError) as caught:
        open_commands(ToolsConfig(command=bad), ENVIRON, None)

    assert len(caught.value.faults) == 2


def test_parameters_may_be_json_as_text():
    config = command("echo", "{a}", parameters='{"type": "object", "properties": {"a": {"type": "string"}}}')

    assert result(config, {"a": "x"}) == "x"


def test_what_is_run_never_shows_what_it_was_given():
    program = processes.Program("/bin/true", ["true"], {"TOKEN": SECRET}, "/")

    assert SECRET not in repr(program)


def test_a_failing_tool_raises_what_the_agent_is_told():
    (tool,) = open_commands(ToolsConfig(command=[shell("exit 1")]), ENVIRON, None)

    with pytest.raises(ToolError, match="exit code 1"):
        asyncio.run(tool.run({}))
