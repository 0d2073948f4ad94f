"""Where the key comes from, what is refused, and that it is never shown."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pivoice import config as configuration
from pivoice.agent.keys import find_key
from pivoice.config import AgentConfig
from pivoice.errors import ConfigError

KEY = "4f9c1de07ab24c1b"


def key_file(path: Path, text: str = "file-key\n", mode: int = 0o600) -> AgentConfig:
    path.write_text(text)
    path.chmod(mode)
    return AgentConfig(api_key_file=str(path))


def test_the_credential_comes_before_the_environment_and_the_environment_before_the_file(tmp_path: Path):
    config = key_file(tmp_path / "key")
    (tmp_path / "assemblyai-api-key").write_text("credential-key\n")
    directory, variable = {"CREDENTIALS_DIRECTORY": str(tmp_path)}, {"ASSEMBLYAI_API_KEY": "variable-key"}

    assert find_key(config, directory | variable) == "credential-key"
    assert find_key(config, variable) == "variable-key"
    assert find_key(config, {}) == "file-key"


def test_a_missing_key_names_the_three_ways_to_give_one():
    with pytest.raises(
        ConfigError, match=r"LoadCredential=.*\$ASSEMBLYAI_API_KEY.*agent\.api_key_file|agent"
    ):
        find_key(AgentConfig(), {})


def test_a_token_address_needs_no_key():
    assert find_key(AgentConfig(token_url="https://example.org/token"), {}) == ""


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (KEY, 0o644, "chmod 600 /"),
        (KEY, 0o604, "chmod 600 /"),
        (KEY, 0o640, "chmod 600 /"),
        (KEY, 0o620, "chmod 600 /"),
        ("", 0o600, "is empty"),
        (KEY * 1000, 0o600, "longer than"),
        (f"{KEY} {KEY}", 0o600, "one line"),
        (f"{KEY}é", 0o600, "plain text"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_one_clear_fault(tmp_path: Path, text: str, mode: int, said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        find_key(key_file(tmp_path / "key", text, mode), {})

    assert len(caught.value.faults) == 1
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="nowhere"):
        find_key(AgentConfig(api_key_file=str(tmp_path / "nowhere")), {})


def test_a_file_given_to_us_by_its_owner_may_be_read_by_our_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = key_file(tmp_path / "key", mode=0o640)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)  # the owner is somebody else

    assert find_key(config, {}) == "file-key"

    (tmp_path / "key").chmod(0o644)
    with pytest.raises(ConfigError, match=r"chmod o= /"):
        find_key(config, {})


def test_the_command_that_mends_a_file_survives_a_space_in_its_name(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"chmod 600 '/.*my key'"):
        find_key(key_file(tmp_path / "my key", mode=0o644), {})


def test_a_directory_is_not_read_as_a_key(tmp_path: Path):
    with pytest.raises(ConfigError, match="is not a file"):
        find_key(AgentConfig(api_key_file=str(tmp_path)), {})


# --- a key pasted where it does not belong ---


@pytest.mark.parametrize(
    "text",
    [
        f'api_key = "{KEY}"',
        f"api_key = {KEY}",
        f'api_key_file = "{KEY}"',
        f'api_key_file = ["{KEY}"]',
        f'url = "{KEY}"',
        f'url = ["{KEY}"]',
        f'url = "wss://{KEY}@agents.example.org/v1/ws"',
        f'url = "wss://me:{KEY}@agents.example.org/v1/ws"',
        f'url = "wss://agents.example.org/v1/ws?token={KEY}"',
        f'url = "wss://agents.example.org/v1/ws#{KEY}"',
        f'token_url = "https://{KEY}@example.org/token"',
        f'token_url = "{KEY}"',
        f'rest_url = "https://example.org/?key={KEY}"',
        f'rest_url = "{KEY}"',
        f'token = "{KEY}"',
        f'turn_detection = "{KEY}"',
    ],
)
def test_a_key_in_a_wrong_setting_is_refused_and_not_shown(text: str):
    with pytest.raises(ConfigError) as caught:
        configuration.parse(f"[agent]\n{text}\n", path="pivoice.toml")

    assert KEY not in str(caught.value)
    assert "pivoice.toml" in str(caught.value)


def test_a_key_instead_of_the_section_is_not_shown():
    with pytest.raises(ConfigError) as caught:
        configuration.parse(f'agent = "{KEY}"\n')

    assert KEY not in str(caught.value)


def test_who_writes_api_key_is_told_of_api_key_file():
    with pytest.raises(ConfigError, match=r"did you mean agent\.api_key_file\?"):
        configuration.parse(f'[agent]\napi_key = "{KEY}"\n')


def test_a_secret_in_the_token_address_is_used_and_not_shown():
    config = configuration.parse(f'[agent]\ntoken_url = "https://example.org/token?device={KEY}"\n')

    assert config.agent.token_url.endswith(KEY)
    assert KEY not in json.dumps(configuration.shown(config))
    assert configuration.shown(config)["agent"]["token_url"] == "https://example.org/token?..."
