"""Secrets of tools, from files: read as they are, refused where others can read them, and never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pivoice.errors import ToolError
from pivoice.tools.secret_files import read_secrets


def secret(path: Path, content: bytes, mode: int = 0o600) -> str:
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"word", "word"), (b"word\n", "word"), (b"two words\r\n", "two words"), (b"a\nb\n", "a\nb")],
)
def test_a_secret_is_what_its_file_holds_without_the_last_line_end(tmp_path: Path, content: bytes, text: str):
    assert read_secrets({"A": secret(tmp_path / "a", content)}, {}) == {"A": text}


def test_a_secret_may_be_a_credential_of_systemd(tmp_path: Path):
    secret(tmp_path / "token", b"word\n", 0o400)

    assert read_secrets({"A": "token"}, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == {"A": "word"}


@pytest.mark.parametrize("mode", [0o644, 0o602])
def test_a_secret_that_others_can_read_or_write_is_refused_with_what_to_do(tmp_path: Path, mode: int):
    path = secret(tmp_path / "a", b"word-word", mode)

    with pytest.raises(ToolError, match=rf"the secret A .* run: chmod o= {path}"):
        read_secrets({"A": path}, {})


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"word-word\0", b"\xff\xfeword-word", b"word-word" * 2000], ids=repr
)
def test_what_is_no_secret_is_refused_and_not_shown(tmp_path: Path, content: bytes):
    with pytest.raises(ToolError) as raised:
        read_secrets({"A": secret(tmp_path / "a", content)}, {})

    assert "the secret A" in str(raised.value) and "word" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("place", ["word-word", "../word-word", "..", "sub/word-word"])
@pytest.mark.parametrize("has_credentials", [False, True])
def test_a_secret_written_where_its_place_belongs_is_not_shown(
    tmp_path: Path, place: str, has_credentials: bool
):
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")} if has_credentials else {}

    with pytest.raises(ToolError) as raised:
        read_secrets({"A": place}, environ)

    assert "word" not in str(raised.value)


def test_a_pipe_or_a_directory_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe", 0o600)

    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ToolError, match="the secret A"):
            read_secrets({"A": str(path)}, {})
