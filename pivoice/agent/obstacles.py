"""Why a server was not reached: each obstacle's sentence and the next step, the key told apart from the net.

No I/O but a look at this file's date, which a clock cannot be older than. Shows hosts and status codes,
never an address's query, a header or a body: any of them may carry a secret.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

from pivoice.errors import AgentError, AuthError, LinkError

_PORTAL = "a log-in page of the network may be in between: open a web page in this network and log in"
_NO_NET = "check the network: is the Wi-Fi connected?"
_LATER = "try again later"

# X509_verify_cert's codes (OpenSSL, x509_vfy.h)
_NOT_YET_VALID, _EXPIRED = 9, 10
_WRONG_NAME = (62, 64)
_UNKNOWN_ISSUER = (18, 19, 20, 21)

_DOWN = (errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.EADDRNOTAVAIL)
_HUNG_UP = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)


def explain_failure(error: Exception, url: str, *, setting: str, timeout_s: float) -> AgentError:
    """Return our error for one that connecting to `url` raised. `setting` is where `url` was configured."""
    host = host_of(url)
    if isinstance(error, ssl.SSLError):
        return _explain_tls(error, host, setting, now_s=time.time())
    if isinstance(error, socket.gaierror):
        return _explain_lookup(error, host, setting)
    if isinstance(error, TimeoutError):
        return LinkError(f"{host} did not answer within {timeout_s:g} s", advice=_NO_NET)
    if not isinstance(error, OSError):
        return AgentError(f"{_shown(url)!r} is not an address that works", advice=f"set {setting}")
    number = _number(error)
    if number == errno.ECONNREFUSED:
        return LinkError(f"{host} refuses the connection", advice=f"check {setting}, or {_LATER}")
    if number in _DOWN:
        return LinkError(f"there is no way to {host} ({error.strerror or error})", advice=_NO_NET)
    if number in _HUNG_UP or isinstance(error, ConnectionError):
        return LinkError(f"{host} hung up during the handshake", advice=f"{_LATER}; {_PORTAL}")
    return LinkError(f"cannot reach {host}: {error.strerror or type(error).__name__}", advice=_NO_NET)


def explain_status(
    status: int, url: str, *, body: bytes, location: str, setting: str, for_token: bool = False
) -> AgentError:
    """Return our error for an HTTP answer that was not the one hoped for.

    `for_token`: the device sent no key; it is the token's giver that is refused, or that refuses.
    """
    if status == 407:
        return explain_proxy_status(status, "")
    host = host_of(url)
    told = f"{host} answered HTTP {status}"
    if _names_a_bad_key(status, body) and for_token:
        return AuthError(f"{host} has no valid API key to make tokens with (HTTP {status})", advice="mend it")
    if status in (401, 403) and for_token:
        return AuthError(f"{host} refused to give a token (HTTP {status})", advice=f"check {setting}")
    if status in (401, 403) or _names_a_bad_key(status, body):
        return AuthError(f"{host} refused the API key (HTTP {status})", advice="check the key")
    if status == 511 or 200 <= status < 300:
        return LinkError(f"{told}, as a web page does", advice=f"{_PORTAL}; or check {setting}")
    if 300 <= status < 400:
        to = f" to {host_of(location)}" if location else ""
        return LinkError(f"{told}: it sends us elsewhere{to}", advice=f"{_PORTAL}; or check {setting}")
    if status in (404, 410):
        return LinkError(f"{told}: nothing is there", advice=f"check {setting}")
    if status == 429:
        return LinkError(f"{told}: too many requests or sessions", advice=_LATER)
    if status >= 500:
        return LinkError(f"{told}: it is in trouble", advice=_LATER)
    return LinkError(told, advice=f"{_LATER}, or check {setting}")


def explain_proxy_status(status: int, proxy: str) -> AgentError:
    """Return our error for a proxy that did not let us through."""
    host = f"the proxy {host_of(proxy)}" if proxy else "a proxy"
    if status == 407:
        told = f"{host} wants a name and a password (HTTP {status})"
        return LinkError(told, advice="set https_proxy to http://NAME:PASSWORD@HOST:PORT")
    return LinkError(
        f"{host} does not let us through (HTTP {status})", advice=f"{_LATER}, or set https_proxy"
    )


def explain_proxy_fault() -> AgentError:
    """Return our error for a proxy that cannot even be tried."""
    told = "the proxy that the environment names cannot be used: it must be http://HOST:PORT"
    return AgentError(told, advice="set or unset https_proxy")


def explain_stranger(url: str, *, setting: str) -> AgentError:
    """Return our error for an answer that is not even HTTP."""
    return LinkError(
        f"{host_of(url)} does not answer as a web server", advice=f"{_PORTAL}; or check {setting}"
    )


def host_of(url: str) -> str:
    """Return the host and port of an address, without the name and password it may carry."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "the server"
    except ValueError:
        return "the server"


def _explain_tls(error: ssl.SSLError, host: str, setting: str, *, now_s: float) -> AgentError:
    if not isinstance(error, ssl.SSLCertVerificationError):
        reason = error.reason or type(error).__name__
        return LinkError(f"{host} does not speak TLS ({reason})", advice=f"{_PORTAL}; or check {setting}")
    code = getattr(error, "verify_code", 0)
    today = time.strftime("%Y-%m-%d %H:%M", time.gmtime(now_s))
    clock = (
        f"if this device's clock ({today} UTC) is wrong, run: sudo timedatectl set-ntp true, "
        "and wait until timedatectl says it is synchronized"
    )
    if _is_before_us(now_s):
        return LinkError(
            f"this device's clock is wrong: it says {today} UTC, and so no certificate is valid",
            advice="run: sudo timedatectl set-ntp true, and wait until timedatectl says it is synchronized",
        )
    if code == _NOT_YET_VALID:
        return LinkError(f"the certificate of {host} is not valid yet", advice=clock)
    if code == _EXPIRED:
        return LinkError(f"the certificate of {host} has expired", advice=clock)
    if code in _WRONG_NAME:
        return LinkError(f"what answers is not {host}: its certificate is for another name", advice=_PORTAL)
    if code in _UNKNOWN_ISSUER:
        return LinkError(
            f"nobody we trust vouches for the certificate of {host}",
            advice=f"{_PORTAL}; a proxy that reads TLS needs its certificate in $SSL_CERT_FILE",
        )
    said = getattr(error, "verify_message", "") or f"code {code}"
    return LinkError(f"the certificate of {host} is not accepted: {said}", advice=clock)


def _is_before_us(now_s: float) -> bool:
    """Whether the clock shows a time before this program was installed: a Pi has no clock of its own."""
    try:
        return now_s < Path(__file__).stat().st_mtime
    except OSError:  # read from an archive
        return False


def _explain_lookup(error: socket.gaierror, host: str, setting: str) -> AgentError:
    if error.errno == socket.EAI_AGAIN:
        return LinkError(f"no name server answers, so {host} cannot be looked up", advice=_NO_NET)
    return LinkError(f"the name {host} cannot be looked up", advice=f"{_NO_NET} Or check {setting}")


def _number(error: OSError) -> int | None:
    """Return the error's number; for several addresses that failed differently asyncio only gives text."""
    if error.errno is None and f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return errno.ECONNREFUSED
    return error.errno


def _names_a_bad_key(status: int, body: bytes) -> bool:
    """The vendor answers 404 {"detail":"Invalid API key"}; a page that is missing says something else."""
    return 400 <= status < 500 and b"api key" in body[:2000].lower() and not body.lstrip().startswith(b"<")


def _shown(url: str) -> str:
    """Return an address without what may be secret in it."""
    scheme, slashes, rest = url.partition("?")[0].partition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"[:120]
