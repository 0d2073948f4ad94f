"""The way to the agent's server, step by step: this device's clock, the name, TLS. No key is sent."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pivoice.agent.obstacles import explain_failure, host_of
from pivoice.agent.rest import is_loopback, open_stream, proxy_for
from pivoice.checks.machine import Machine
from pivoice.checks.patient import Patient
from pivoice.errors import AgentError
from pivoice.findings import Finding

YEAR = 2026
"""Of this program: no clock that is right says less."""
LOOKUP_S = 4.0
TLS_S = 4.5
EXPIRES_DAYS = 14
_SET_CLOCK = "sudo timedatectl set-ntp true, and wait until timedatectl says it is synchronized"


def clock(patient: Patient) -> Iterator[Finding]:
    """Whether the time is right: with a wrong one no certificate is valid."""
    machine = patient.machine
    now_s = machine.now_s()
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now_s))
    if time.gmtime(now_s).tm_year < YEAR:
        yield Finding("clock", "fail", f"{shown} is in the past, so no certificate is valid", _SET_CLOCK)
        return
    facts = machine.facts("timedatectl", "show")
    match facts.get("NTPSynchronized"):
        case "yes":
            yield Finding("clock", "ok", f"{shown}, synchronized")
        case "no":
            off = "" if facts.get("NTP", "yes") == "yes" else ", and no time server is asked"
            yield Finding("clock", "warn", f"{shown}, not synchronized{off}", _SET_CLOCK)
        case _:
            yield Finding(
                "clock", "ok", f"{shown}; whether it is synchronized cannot be told (no timedatectl)"
            )


def names(patient: Patient) -> Iterator[Finding]:
    """Whether the names on the way can be looked up."""
    agent = patient.config.agent
    for url, setting in ((agent.url, "agent.url"), (agent.token_url, "agent.token_url")):
        if url:
            yield _looked_up(url, setting, patient)


def tls(patient: Patient) -> Iterator[Finding]:
    """Whether the server proves who it is, and by whose word."""
    url = patient.config.agent.url
    host, scheme = host_of(url), urlsplit(url).scheme
    if scheme != "wss":
        if is_loopback(urlsplit(url).hostname or ""):
            yield Finding("TLS", "ok", f"none: {host} is this device")
        else:
            text = f"none: the key and what is said go to {host} in the open"
            yield Finding("TLS", "warn", text, f"set agent.url to wss:// in {patient.path}")
        return
    by = f" through the proxy {host_of(proxy)}" if (proxy := proxy_for(url)) else ""
    try:
        version, certificate = asyncio.run(_shake(f"https{url.removeprefix('wss')}"))
    except AgentError as error:
        yield Finding("TLS", "fail", f"{error.reason}{by}", error.advice)
        return
    except (OSError, ValueError) as error:
        told = explain_failure(error, url, setting="agent.url", timeout_s=TLS_S)
        who = (
            "" if proxy or not isinstance(error, ssl.SSLError) else _issuer_of_stranger(patient.machine, url)
        )
        yield Finding("TLS", "fail", f"{told.reason}{by}{who}", told.advice)
        return
    yield _certified(patient.machine, host, by, version, certificate)


# --- inside ---


def _looked_up(url: str, setting: str, patient: Patient) -> Finding:
    proxy = proxy_for(url)
    parts = urlsplit(proxy or url)
    host, whose = parts.hostname or "", "the proxy " if proxy else ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return Finding("DNS", "ok", f"{whose}{host} is an address, not a name")
    began_s = time.monotonic()
    try:
        found = socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)
    except OSError as error:
        told = explain_failure(
            error, proxy or url, setting="https_proxy" if proxy else setting, timeout_s=LOOKUP_S
        )
        servers = re.findall(
            r"^nameserver\s+(\S+)", patient.machine.read("/etc/resolv.conf") or "", re.MULTILINE
        )
        asked = f" (asked: {', '.join(servers)})" if servers else " (no name server in /etc/resolv.conf)"
        return Finding("DNS", "fail", f"{whose}{told.reason}{asked}", told.advice)
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
    took_ms = 1000 * (time.monotonic() - began_s)
    return Finding("DNS", "ok", f"{whose}{host} is {addresses[0]}{more}, in {took_ms:.0f} ms")


async def _shake(url: str) -> tuple[str, dict[str, Any]]:
    """Return TLS's version and the server's certificate."""
    async with asyncio.timeout(TLS_S):
        _, writer = await open_stream(url)
        try:
            secured = writer.get_extra_info("ssl_object")
            return secured.version(), secured.getpeercert()
        finally:
            writer.transport.abort()


def _certified(machine: Machine, host: str, by: str, version: str, certificate: dict[str, Any]) -> Finding:
    ends_s = ssl.cert_time_to_seconds(certificate["notAfter"])
    day = time.strftime("%Y-%m-%d", time.gmtime(ends_s))
    text = f"{host}{by}: {version}, vouched for by {_name_of(certificate.get('issuer', ()))} until {day}"
    if ends_s - machine.now_s() < EXPIRES_DAYS * 86400:
        return Finding(
            "TLS", "warn", f"{text}: that is soon", "its owner must renew it; is this device's clock right?"
        )
    return Finding("TLS", "ok", text)


def _name_of(issuer: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    parts = {key: value for relative in issuer for key, value in relative}
    named = [parts[key] for key in ("organizationName", "commonName") if parts.get(key)]
    return ", ".join(named) or "nobody named"


def _issuer_of_stranger(machine: Machine, url: str) -> str:
    """Say who signed the certificate that we do not trust: a proxy that reads along mostly says its name."""
    parts = urlsplit(url)
    try:
        pem = ssl.get_server_certificate((parts.hostname or "", parts.port or 443), timeout=2.0)
    except (OSError, ValueError):
        return ""
    outcome = machine.run(
        "openssl", "x509", "-noout", "-issuer", "-nameopt", "utf8,sep_comma_plus_space", given=pem
    )
    issuer = outcome.text.strip().removeprefix("issuer=").strip()
    return f" (it was signed by {issuer[:100]})" if outcome.is_well and issuer else ""
