"""Settings of [tools] that contradict each other or themselves, as the owner is told of them."""

from __future__ import annotations

import pytest

from pivoice.config import parse
from pivoice.errors import ConfigError

COMMAND = '[[tools.command]]\nname = "{name}"\ndescription = "d"\nargv = {argv}\n{more}\n'
SERVER = '[[tools.mcp]]\nname = "{name}"\n{more}\n'


def faults(text: str) -> str:
    try:
        parse(text)
    except ConfigError as error:
        return str(error)
    return ""


def command(argv: str = '["echo", "{city}"]', *, name: str = "weather", more: str | None = None) -> str:
    city = "parameters = { type = 'object', properties = { city = { type = 'string' } } }"
    return (
        COMMAND.replace("{name}", name)
        .replace("{argv}", argv)
        .replace("{more}", city if more is None else more)
    )


def server(more: str, *, name: str = "home") -> str:
    return SERVER.replace("{name}", name).replace("{more}", more)


@pytest.mark.parametrize(
    "text",
    [
        command(),
        command('["/usr/bin/curl", "https://x/{city:url}", \'{{"c": {city:json}}}\']'),
        command('["echo"]', more=""),
        command(more="""parameters = '{"type": "object", "properties": {"city": {}}}'"""),
        command(
            '["echo"]',
            more='secrets = { TOKEN = "/etc/token", OTHER = "ha-token" }\nenvironment = { A = "b" }',
        ),
        server('url = "http://ha:8123/api/mcp"\nheaders = { A = "Bearer {T}" }\nsecrets = { T = "/t" }'),
        server('command = ["/opt/server", "--stdio"]\nenvironment = { A = "b" }'),
    ],
)
def test_what_is_right_is_taken(text: str):
    assert faults(text) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            command(name="Weather"),
            "tools.command[1].name: 'Weather' is not allowed; it must be 1 to 64 lower-case",
        ),
        (command(name="x" * 65), "tools.command[1].name"),
        (command(name="end_conversation"), "tools.command[1].name: end_conversation is pivoice's own"),
        (command() + command(), "tools.command[2].name: 'weather' is the name of tools.command[1] already"),
        (
            command('["echo", "{town}"]'),
            "tools.command[1].argv: {town} is not one of its parameters; there are: city",
        ),
        (command('["echo", "{a}"]', more=""), "{a} is not one of its parameters; there are: none"),
        (command('["echo", "{"]'), "tools.command[1].argv: the { in '{' stands alone; write {{ for a brace"),
        (command('["{city}"]'), "tools.command[1].argv: '{city}' is no program"),
        (
            command('["/usr/bin/{city}"]'),
            "tools.command[1].argv: the program itself must not depend on an argument",
        ),
        (command('["curl -s https://x"]'), "'curl -s https://x' is no program; write its path from /"),
        (command('["./relay"]'), "'./relay' is no program"),
        (
            command('["echo"]', more='directory = "here"'),
            "tools.command[1].directory: 'here' must be a path from /",
        ),
        (
            command('["echo"]', more='environment = { "A B" = "c" }'),
            "environment: 'A B' is no name of a variable",
        ),
        (
            command('["echo"]', more='environment = { A = "c" }\nsecrets = { A = "/c" }'),
            "tools.command[1].secrets: A is in environment too",
        ),
        (command('["echo"]', more='secrets = { A = "assemblyai-api-key" }'), "the agent's own key"),
        (server(""), "tools.mcp[1]: has neither of command and url"),
        (server('command = ["a"]\nurl = "http://x"'), "tools.mcp[1]: has both of command and url"),
        (
            server('command = ["a"]') + server('command = ["b"]'),
            "tools.mcp[2].name: 'home' is the name of tools.mcp[1]",
        ),
        (server('command = ["a"]', name="Ä"), "tools.mcp[1].name"),
        (server('command = ["a b"]'), "tools.mcp[1].command: 'a b' is no program"),
        (
            server('command = ["a"]\nheaders = { A = "b" }'),
            "tools.mcp[1].headers: are for a server with a url",
        ),
        (
            server('url = "http://x"\nenvironment = { A = "b" }'),
            "tools.mcp[1].environment: is for a server that is",
        ),
        (server('url = "home"'), "tools.mcp[1].url"),
        (server('url = "http://[x"'), "tools.mcp[1].url"),
        (
            server('url = "http://x"\nheaders = { A = "{T}" }'),
            "tools.mcp[1].headers: A: {T} is not one of secrets",
        ),
        (server('url = "http://x"\nheaders = { "A B" = "c" }'), "'A B' is no name of a header"),
        (server('url = "http://x"\nheaders = { A = "b\\nc" }'), "A: what is there is more than one line"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, said: str):
    assert said in faults(text)


@pytest.mark.parametrize(
    "text",
    [
        command('["echo"]', more='secrets = { TOKEN = "s3cr3t token" }'),
        server('url = "http://x y/?key=s3cr3t"'),
        server('url = "http://x"\nheaders = { Authorization = "Bearer s3cr3t {" }'),
        server('url = "http://x"\nheaders = { Authorization = "Bearer s3cr3t\\n" }'),
    ],
)
def test_what_may_be_a_secret_is_not_shown(text: str):
    assert faults(text)
    assert "s3cr3t" not in faults(text)


def test_sections_are_counted_as_in_the_file_beside_one_that_cannot_be_used():
    told = faults(
        command(name="")
        + command(name="end_conversation")
        + command(name="twice")
        + command(name="twice")
        + server("", name="")
        + server("url = 'ftp://x'")
    )

    assert "tools.command[2].name: end_conversation is" in told
    assert "tools.command[4].name: 'twice' is the name of tools.command[3] already" in told
    assert "tools.mcp[2].url" in told
