"""Where the key is: found as the service finds it, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from pivoice.checks import key
from tests.checks.pi import FakePi, only

KEY = "sk7d1f0c93e2grepme"
STORE = "/etc/credstore/assemblyai-api-key"
ENCRYPTED = "/etc/credstore.encrypted/assemblyai-api-key"
DECRYPT = "systemd-creds decrypt --name=assemblyai-api-key"


def test_systemds_credential_is_found(pi: FakePi):
    pi.write(STORE, f"{KEY}\n")
    patient = pi.patient()

    found = only(key.key, patient)

    assert found.verdict == "ok" and STORE in found.text and KEY not in str(found)
    assert patient.key == KEY and KEY not in repr(patient)


def test_the_encrypted_one_comes_first(pi: FakePi):
    pi.write(STORE, "another-key")
    pi.write(ENCRYPTED, "sealed")
    pi.says(DECRYPT, KEY)
    patient = pi.patient()

    found = only(key.key, patient)

    assert found.verdict == "ok" and ENCRYPTED in found.text and patient.key == KEY


def test_one_that_was_sealed_by_another_machine_is_told(pi: FakePi):
    pi.write(ENCRYPTED, "sealed")
    pi.says(DECRYPT, code=1, error="Failed to decrypt: bad message")

    found = only(key.key, pi.patient())

    assert found.verdict == "fail" and "bad message" in found.text
    assert found.next.startswith("was it made on another machine?")


def test_what_only_root_may_see_is_not_asked_of_anybody_else(pi: FakePi):
    pi.write(ENCRYPTED, "sealed")
    pi.is_root = False

    found = only(key.key, pi.patient())

    assert found.verdict == "warn" and found.next == "sudo pivoice doctor"
    assert not any(command[0] == "systemd-creds" for command in pi.asked)


def test_a_key_in_the_environment_is_not_the_services(pi: FakePi):
    pi.environ["ASSEMBLYAI_API_KEY"] = KEY
    assert only(key.key, pi.patient()).verdict == "ok"

    pi.serves()
    patient = pi.patient()

    found = only(key.key, patient)

    assert found.verdict == "warn" and "does not see it" in found.text and patient.key == KEY


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "is empty"), ("two words", "does not hold an API key"), (f"{KEY}\nmore", "one line")],
)
@pytest.mark.parametrize("is_encrypted", [False, True])
def test_what_is_no_key_is_told_and_not_shown(pi: FakePi, content: str, said: str, is_encrypted: bool):
    pi.write(ENCRYPTED if is_encrypted else STORE, content)
    pi.says(DECRYPT, content)

    found = only(key.key, pi.patient())

    assert found.verdict == "fail" and KEY not in str(found)
    assert said in found.text or "no API key" in found.text


def test_a_key_file_that_the_service_may_not_read_is_told(pi: FakePi, tmp_path: Path):
    pi.serves()
    pi.says("id -u pivoice", "989")
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o600)

    found = only(key.key, pi.patient(f'[agent]\napi_key_file = "{path}"'))

    assert found.verdict == "fail" and f"chgrp pivoice {path}" in found.next


@pytest.mark.parametrize("own", ["", KEY])
def test_whoever_may_not_see_the_services_key_tries_a_session_with_their_own(pi: FakePi, own: str):
    pi.write(ENCRYPTED, "sealed")
    pi.is_root = False
    pi.environ["ASSEMBLYAI_API_KEY"] = own
    patient = pi.patient()

    found = only(key.key, patient)

    assert (found.verdict, found.next) == ("warn", "sudo pivoice doctor")
    assert "for root's eyes alone" in found.text and found.text.startswith("your own") is bool(own)
    assert patient.key == own


def test_no_key_at_all_is_told_with_how_to_give_one(pi: FakePi):
    found = only(key.key, pi.patient())

    assert found.verdict == "fail" and "--key-file" in found.next


def test_a_device_that_gets_tokens_needs_no_key(pi: FakePi):
    found = only(key.key, pi.patient('[agent]\ntoken_url = "https://home.example/token?device=secretdevice"'))

    assert found.verdict == "ok" and "home.example" in found.text and "secretdevice" not in found.text
