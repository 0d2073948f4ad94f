"""Clock, names, and real TLS on loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from pivoice.agent import rest
from pivoice.checks import network
from pivoice.checks.machine import run_command
from tests.checks.pi import NOW_S, FakePi, only

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("said", "verdict", "text"),
    [
        ("NTP=yes\nNTPSynchronized=yes\n", "ok", "2026-09-21 "),
        ("NTP=yes\nNTPSynchronized=no\n", "warn", "not synchronized"),
        ("NTP=no\nNTPSynchronized=no\n", "warn", "no time server is asked"),
        (None, "ok", "cannot be told"),
    ],
)
def test_what_the_clock_says_and_whether_it_is_synchronized(
    pi: FakePi, said: str | None, verdict: str, text: str
):
    if said:
        pi.says("timedatectl show", said)

    found = only(network.clock, pi.patient())

    assert found.verdict == verdict and text in found.text
    assert ("set-ntp true" in found.next) == (verdict == "warn")


def test_a_clock_of_before_this_program_is_wrong(pi: FakePi):
    pi.now_s = 86400.0
    pi.says("timedatectl show", "NTPSynchronized=yes\n")

    found = only(network.clock, pi.patient())

    assert found.verdict == "fail" and "1970-01-02" in found.text and "timedatectl" in found.next


def test_a_name_that_there_is_not_is_told_with_who_was_asked(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    def nobody_knows(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody_knows)
    pi.write("/etc/resolv.conf", "# by hand\nnameserver 192.0.2.1\n")

    found = only(network.names, pi.patient('[agent]\nurl = "wss://agents.invalid/v1/ws"'))

    assert found.verdict == "fail" and "agents.invalid" in found.text and "192.0.2.1" in found.text
    assert found.next


def test_a_proxys_name_is_what_must_be_known(pi: FakePi, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("https_proxy", "http://me:secretword@127.0.0.1:3128")

    found = only(network.names, pi.patient('[agent]\nurl = "wss://agents.invalid/v1/ws"'))

    assert found.verdict == "ok" and "the proxy 127.0.0.1 is an address" in found.text
    assert "secretword" not in str(found)


def test_loopback_needs_no_tls_and_strangers_do(pi: FakePi):
    near = only(network.tls, pi.patient('[agent]\nurl = "ws://127.0.0.1:9/"'))
    named = only(network.tls, pi.patient('[agent]\nurl = "ws://localhost:9/"'))
    far = only(network.tls, pi.patient('[agent]\nurl = "ws://agents.invalid/"'))

    assert near.verdict == named.verdict == "ok" and "this device" in near.text
    assert far.verdict == "warn" and "in the open" in far.text


@pytest.fixture
def trusted(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[trustme.CA]:
    """The one authority that this device trusts."""
    authority = trustme.CA(organization_name="Those We Trust")
    bundle = tmp_path_factory.mktemp("tls") / "authorities.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    rest._tls.cache_clear()
    yield authority
    rest._tls.cache_clear()


async def stop(listening: asyncio.Server) -> None:
    """Close, and let go of whoever is still being served."""
    listening.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def server(certificate: trustme.LeafCert | None) -> Iterator[str]:
    """Serve TLS (or nothing) on loopback in a thread; yield host and port."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
    loop = asyncio.new_event_loop()

    async def serve() -> asyncio.Server:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if not certificate:
                writer.write(b"220 mail.example.org ESMTP\r\n")
            writer.close()

        return await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)

    listening = loop.run_until_complete(serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"localhost:{listening.sockets[0].getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(stop(listening), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def shaken(pi: FakePi, host: str) -> tuple[str, str, str]:
    patient = pi.patient(f'[agent]\nurl = "wss://{host}/v1/ws"')
    patient.machine.runs = run_command  # openssl's own word
    found = only(network.tls, patient)
    return found.verdict, found.text.replace(host, "HOST"), found.next


def test_a_certificate_that_holds_is_shown_with_who_vouches_and_until_when(pi: FakePi, trusted: trustme.CA):
    pi.now_s = time.time()
    until = datetime.now(UTC) + 90 * DAY
    with server(trusted.issue_cert("localhost", not_after=until)) as host:
        verdict, text, _ = shaken(pi, host)

    assert verdict == "ok"
    assert (
        text.startswith("HOST: TLSv1.3, vouched for by Those We Trust") and f"until {until:%Y-%m-%d}" in text
    )


def test_a_certificate_that_ends_soon_is_warned_of(pi: FakePi, trusted: trustme.CA):
    pi.now_s = time.time()
    with server(trusted.issue_cert("localhost", not_after=datetime.now(UTC) + 3 * DAY)) as host:
        assert shaken(pi, host)[0] == "warn"


def test_whoever_puts_himself_in_between_is_named(pi: FakePi, trusted: trustme.CA):
    stranger = trustme.CA(organization_name="Nosy Networks Inc")
    with server(stranger.issue_cert("localhost")) as host:
        verdict, text, todo = shaken(pi, host)

    assert verdict == "fail" and "nobody we trust vouches for the certificate of HOST" in text
    assert "Nosy Networks Inc" in text and "SSL_CERT_FILE" in todo


def test_what_is_no_tls_is_told(pi: FakePi, trusted: trustme.CA):
    with server(None) as host:
        verdict, text, _ = shaken(pi, host)

    assert verdict == "fail" and "does not speak TLS" in text


def test_nobody_there_is_told(pi: FakePi, trusted: trustme.CA):
    verdict, text, _ = shaken(pi, "127.0.0.1:9")

    assert verdict == "fail" and "refuses the connection" in text


def test_the_year_is_not_ahead_of_the_tests_own_time():
    assert time.gmtime(NOW_S).tm_year >= network.YEAR
