"""Where the service's API key is, and whether it can be one. It is never shown, nor anything about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pivoice.agent.keys import CREDENTIAL, VARIABLE, find_key
from pivoice.agent.obstacles import host_of
from pivoice.checks.patient import SERVICE, Patient
from pivoice.config import AgentConfig
from pivoice.errors import ConfigError, Fault
from pivoice.findings import Finding

STORES = ("/etc/credstore", "/run/credstore")
ENCRYPTED = f"/etc/credstore.encrypted/{CREDENTIAL}"
_GIVE = "sudo ./scripts/install --key-file FILE"
_ROOT = "sudo pivoice doctor"


def key(patient: Patient) -> Iterator[Finding]:
    """Find it where the service would: systemd's credential, else the environment, else the file."""
    agent = patient.config.agent
    if agent.token_url:
        text = f"none on the device: tokens come from {host_of(agent.token_url)}"
        yield Finding("key", "ok", text)
        return
    try:
        found = _credential(patient)
        if found is not None:
            patient.key, where = found
            yield Finding("key", "ok", f"from {where}")
            return
        patient.key = find_key(agent, {**patient.machine.environ})
    except _ClosedError as closed:
        yield from _closed(patient, str(closed))
        return
    except ConfigError as error:
        for fault in error.faults:
            text, _, todo = fault.problem.partition("; ")
            yield Finding(
                "key", "fail", text, todo if "install" in todo else f"{todo or 'mend it'}; or: {_GIVE}"
            )
        return
    yield from _found_outside(patient)


class _ClosedError(Exception):
    """There may be one that this user may not see."""


def _credential(patient: Patient) -> tuple[str, str] | None:
    """Return the key that systemd keeps for the service, and where; None where it keeps none.

    Raises:
        ConfigError: what is there is no key. _ClosedError: it is for root's eyes.
    """
    machine, bare = patient.machine, replace(patient.config.agent, api_key_file="")
    if _is_there(path := machine.path(ENCRYPTED)):
        where = f"systemd's encrypted credential ({ENCRYPTED})"
        if not machine.is_root:  # systemd-creds would ask for a password
            raise _ClosedError(where)
        outcome = machine.run("systemd-creds", "decrypt", f"--name={CREDENTIAL}", str(path), "-")
        if outcome.is_well:
            return _read(bare, {VARIABLE: outcome.text}, where), where
        said = (outcome.error.strip().splitlines() or ["it does not say why"])[-1]
        told = f"{where} cannot be decrypted: {said}; was it made on another machine?"
        raise ConfigError([Fault("", told)])
    for store in STORES:
        directory = machine.path(store)
        if _is_there(directory / CREDENTIAL):
            where = f"systemd's credential ({store}/{CREDENTIAL})"
            if not os.access(directory / CREDENTIAL, os.R_OK):
                raise _ClosedError(where)
            return _read(bare, {"CREDENTIALS_DIRECTORY": str(directory)}, where), where
    return None


def _read(agent: AgentConfig, environ: dict[str, str], where: str) -> str:
    """Return the key that `environ` leads to; what is wrong with it is told of where it is.

    Raises:
        ConfigError: it is no key.
    """
    try:
        return find_key(agent, environ)
    except ConfigError as error:
        problems = [fault.problem.replace(f"${VARIABLE}", where) for fault in error.faults]
        raise ConfigError([Fault("", problem) for problem in problems]) from None


def _is_there(path: Path) -> bool:
    """Whether a file is there.

    Raises:
        _ClosedError: its directory is closed to us.
    """
    try:
        path.stat()
    except PermissionError:
        raise _ClosedError(f"systemd's credentials ({path.parent})") from None
    except OSError:
        return False
    return True


def _closed(patient: Patient, where: str) -> Iterator[Finding]:
    """Take what this user has of its own for the session, and say what was not looked at."""
    try:
        patient.key = find_key(patient.config.agent, {**patient.machine.environ})
    except ConfigError:
        yield Finding("key", "warn", f"{where}: for root's eyes alone, so it was not looked at", _ROOT)
        return
    text = f"your own; the service's, {where}, is for root's eyes alone and was not looked at"
    yield Finding("key", "warn", text, _ROOT)


def _found_outside(patient: Patient) -> Iterator[Finding]:
    """Of a key that no credential holds: whether the service would find it as well."""
    agent, environ = patient.config.agent, patient.machine.environ
    from_environment = bool(environ.get(VARIABLE, "").strip())
    where = f"${VARIABLE}" if from_environment else agent.api_key_file
    if patient.is_installed and from_environment and not agent.api_key_file:
        text = f"from {where}, which is yours: the service {SERVICE} does not see it"
        yield Finding("key", "warn", text, _GIVE)
        return
    path = Path(agent.api_key_file)
    if not from_environment and patient.user and not patient.machine.may_read(path, patient.user):
        text = f"{path} cannot be read by {patient.user}, whom the service runs as"
        yield Finding("key", "fail", text, f"sudo chgrp {patient.user} {path} && sudo chmod 640 {path}")
        return
    yield Finding("key", "ok", f"from {where}")
