"""Temporary tokens for devices that must not hold the key. Event loop only; keeps nothing, shows no token."""

from __future__ import annotations

import msgspec

from pivoice.agent.obstacles import explain_status, host_of
from pivoice.agent.rest import request
from pivoice.errors import LinkError

_SETTING = "agent.token_url"


class _Answer(msgspec.Struct):
    token: str


async def fetch_token(url: str) -> str:
    """GET `url` and return the `token` of the JSON it answers; each connect needs a new one.

    Raises:
        AuthError: the address refused us, or the key behind it was refused.
        LinkError: it did not answer, or not with a token.
        AgentError: the address can never work.
    """
    answer = await request("GET", url, setting=_SETTING)
    if answer.status != 200:
        raise explain_status(
            answer.status, url, body=answer.body, location=answer.location, setting=_SETTING, for_token=True
        )
    try:
        token = msgspec.json.decode(answer.body, type=_Answer).token
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        token = ""
    if not token or not token.isascii() or not token.isprintable():
        told = f'{host_of(url)} did not answer with {{"token": "..."}}'
        raise LinkError(told, advice=f"check {_SETTING}; or a log-in page of the network is in between")
    return token
