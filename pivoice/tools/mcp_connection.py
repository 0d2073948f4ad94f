"""One connection to an MCP server, by the official SDK, which is imported here and nowhere else.

Event loop only, but importing this file takes half a second of a PC and several of a small Pi: that is for
a thread, and for a device that has such servers. A connection is entered and left in one task, by the SDK's
nature (cancel scopes); calls may come from any. It knows no second try, and waits for nothing without end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import anyio
import httpx
from mcp import types
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import McpError
from mcp.shared.message import SessionMessage
from pydantic import BaseModel, ValidationError

from pivoice import __version__
from pivoice.errors import ToolError
from pivoice.tools.mcp_process import Program
from pivoice.tools.mcp_server import LostError, Place
from pivoice.tools.mcp_tools import Offered

logger = logging.getLogger(__name__)

MAX_TOOLS = 500  # of one server; it is asked no further
MAX_RESPONSE_BYTES = 2**22  # of one answer over HTTP, or one stream of them
MAX_GARBAGE = 100  # lines in a row that are no MCP; one that prints a greeting is forgiven
_GET_PAUSE_S = 5.0  # between two asks for the stream of what a server says by itself: the SDK has no limit
_HTTP_S = 10.0
_CLOSED, _FORGOTTEN = -32000, 32600  # the SDK's own: a closed connection, and a session its server forgot

Result = TypeVar("Result", bound=BaseModel)


class Connection:
    """A server that has shaken hands. `lost` has the reason as soon as the connection is of no use."""

    def __init__(self, session: ClientSession, lost: asyncio.Future[str]) -> None:
        self._session = session
        self.lost = lost

    async def list_tools(self) -> list[Offered]:
        """Return the server's tools, all pages of them.

        Raises:
            ToolError: it has none to tell.
        """
        found: list[Offered] = []
        cursor: str | None = None
        while len(found) < MAX_TOOLS:
            page = types.PaginatedRequestParams(cursor=cursor) if cursor else None
            listed = await self._ask(types.ListToolsRequest(params=page), types.ListToolsResult)
            found += [
                Offered(tool.name, tool.description or tool.title or "", tool.inputSchema)
                for tool in listed.tools
            ]
            if not (cursor := listed.nextCursor) or not listed.tools:
                break
        return found[:MAX_TOOLS]

    async def call(self, name: str, arguments: Mapping[str, object]) -> str:
        """Return what the tool says, as text or JSON.

        What it says is not held against its own schema: that might send us anywhere, by a reference.

        Raises:
            LostError: the connection is gone.
            ToolError: the tool failed.
        """
        asked = types.CallToolRequestParams(name=name, arguments=dict(arguments))
        result = await self._ask(types.CallToolRequest(params=asked), types.CallToolResult)
        text = _told(result)
        if result.isError:
            raise ToolError(text or "it does not say why")
        return text

    async def ping(self) -> None:
        """Return when the server answers."""
        await self._ask(types.PingRequest(), types.EmptyResult)

    async def _ask(self, request: Any, kind: type[Result]) -> Result:
        """Return the answer; the caller has the time-out."""
        asking = asyncio.ensure_future(self._session.send_request(types.ClientRequest(request), kind))
        try:
            await asyncio.wait(_either(asking, self.lost), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise LostError(self.lost.result())
            return asking.result()
        except McpError as error:
            if error.error.code == _FORGOTTEN and error.error.message == "Session terminated":
                raise LostError(error.error.message, was_forgotten=True) from None
            if error.error.code == _CLOSED:
                raise LostError(error.error.message) from None
            raise ToolError(error.error.message) from None
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            raise LostError("it closed the connection") from None
        except ValidationError:
            raise ToolError("its answer is not what MCP says") from None
        finally:
            asking.cancel()


@asynccontextmanager
async def connect(place: Place, on_change: Callable[[], None]) -> AsyncIterator[Connection]:
    """Give a connection to the server at `place`; `on_change` is told when its tools change.

    Raises:
        LostError: it cannot be had, or broke while it was held.
    """
    lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def lose(reason: str) -> None:
        if not lost.done():
            lost.set_result(reason)

    async def hear(message: object) -> None:
        if isinstance(message, types.ServerNotification) and isinstance(
            message.root, types.ToolListChangedNotification
        ):
            on_change()
        elif isinstance(message, Exception) and not isinstance(message, RuntimeError):  # that: a late answer
            lose("it says what is not MCP")

    try:
        async with AsyncExitStack() as stack:
            streams = _http_streams(place) if place.url else _program_streams(place, lose)
            reading, writing = await stack.enter_async_context(streams)
            about = types.Implementation(name="pivoice", version=__version__)
            session = ClientSession(reading, writing, message_handler=hear, client_info=about)
            await stack.enter_async_context(session)
            await _shake_hands(session, lost)
            yield Connection(session, lost)
    except ToolError:
        raise
    except Exception as error:
        lose(_reason(error))
        raise LostError(_reason(error)) from None
    finally:
        lose("it was left")


async def _shake_hands(session: ClientSession, lost: asyncio.Future[str]) -> None:
    shaking = asyncio.ensure_future(session.initialize())
    try:
        await asyncio.wait(_either(shaking, lost), return_when=asyncio.FIRST_COMPLETED)
        if not shaking.done():
            raise LostError(lost.result())
        shaking.result()
    finally:
        shaking.cancel()  # nobody else does, of a server that never answers and is given up


@asynccontextmanager
async def _program_streams(place: Place, lose: Callable[[str], None]) -> AsyncIterator[tuple[Any, Any]]:
    """Give the streams of a program's input and output. As the SDK's own, but it is bounded in every way."""
    into, reading = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    writing, out_of = anyio.create_memory_object_stream[SessionMessage](0)
    program = await Program.start(place.command, environment=place.environment, directory=place.directory)

    async def hear() -> None:
        garbage = 0
        while garbage < MAX_GARBAGE:
            line = await program.read_line()
            try:
                message = types.JSONRPCMessage.model_validate_json(line)
            except ValidationError:
                garbage += 1
                continue
            garbage = 0
            await into.send(SessionMessage(message))
        raise ToolError("it writes what is not MCP")

    async def say() -> None:
        async for message in out_of:
            text = message.message.model_dump_json(by_alias=True, exclude_none=True)
            await program.write(text.encode() + b"\n")

    async def until_lost(work: Callable[[], Any]) -> None:
        try:
            await work()
        except ToolError as error:
            lose(str(error))
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            lose("it closed the connection")

    around = [
        asyncio.create_task(until_lost(work), name="mcp program") for work in (hear, say, program.ended)
    ]
    try:
        yield reading, writing
    finally:
        for task in around:
            task.cancel()
        try:
            await program.stop()
        finally:
            for stream in (into, reading, writing, out_of):
                stream.close()


@asynccontextmanager
async def _http_streams(place: Place) -> AsyncIterator[tuple[Any, Any]]:
    trusted = await asyncio.to_thread(ssl.create_default_context)  # reads the system's certificates
    client = httpx.AsyncClient(
        headers={"User-Agent": f"pivoice/{__version__}", "Accept-Encoding": "identity", **place.headers},
        timeout=httpx.Timeout(
            _HTTP_S, read=None
        ),  # each request has its time-out; a stream is quiet for long
        transport=_Bounded(httpx.AsyncHTTPTransport(verify=trusted)),
        trust_env=False,
    )
    async with client, streamable_http_client(place.url, http_client=client) as (reading, writing, _):
        yield reading, writing


class _Bounded(httpx.AsyncBaseTransport):
    """HTTP that neither takes an answer without end nor asks for a stream without pause."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._next_get_s = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            now_s = asyncio.get_running_loop().time()
            wait_s, self._next_get_s = self._next_get_s - now_s, max(now_s, self._next_get_s) + _GET_PAUSE_S
            await asyncio.sleep(max(0.0, wait_s))
        response = await self._inner.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream), "an asynchronous transport makes those"
        response.stream = _BoundedStream(response.stream)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        async for chunk in self._inner:
            taken += len(chunk)
            if taken > MAX_RESPONSE_BYTES:
                raise httpx.ReadError(f"an answer of more than {MAX_RESPONSE_BYTES} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def _either(one: asyncio.Future[Any], other: asyncio.Future[Any]) -> set[asyncio.Future[Any]]:
    return {one, other}


def _told(result: types.CallToolResult) -> str:
    """Return a result as text: what is written in it, and of all else that it is there."""
    parts = [_part(each) for each in result.content]
    structured = result.structuredContent
    if structured is not None and not any(_is_json_of(part, structured) for part in parts):
        parts.append(json.dumps(structured, ensure_ascii=False))
    return "\n".join(part for part in parts if part)


def _part(content: types.ContentBlock) -> str:
    match content:
        case types.TextContent():
            return content.text
        case types.ImageContent():
            return f"[an image, {content.mimeType}, which cannot be shown here]"
        case types.AudioContent():
            return f"[a sound, {content.mimeType}, which cannot be played here]"
        case types.ResourceLink():
            return f"[a link to {content.name}: {content.uri}]"
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return resource.text
        case types.EmbeddedResource():
            return f"[a file, {content.resource.mimeType or 'of unknown kind'}: {content.resource.uri}]"


def _is_json_of(text: str, structured: dict[str, Any]) -> bool:
    """Whether `text` says what `structured` does, as servers do for older clients."""
    only = structured.get("result") if len(structured) == 1 else structured
    if text == only:
        return True
    try:
        return json.loads(text) in (structured, only)
    except (ValueError, RecursionError):
        return False


def _reason(error: BaseException) -> str:
    """Return why a connection failed, in a few words, without the address: it may hold a token."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case ToolError():
            return str(error)
        case httpx.HTTPStatusError(response=response):
            told = f"it answers HTTP {response.status_code} {response.reason_phrase}".rstrip()
            if response.is_redirect:  # not followed: it might lead our secrets anywhere
                return f"{told}, it is elsewhere; check its url, and a / at its end"
            return f"{told}; check its headers and secrets" if response.status_code in (401, 403) else told
        case httpx.TimeoutException():
            return "it does not answer in time"
        case httpx.UnsupportedProtocol() | httpx.InvalidURL():
            return "its url is none of http or https"
        case httpx.TransportError():
            return str(error) or type(error).__name__
        case McpError() if error.error.code == _FORGOTTEN:  # the SDK's word for it, before any session, too
            return "it answers HTTP 404; check its url"
        case McpError():
            return error.error.message
        case ValidationError():
            return "it says what is not MCP"
    return f"{type(error).__name__}: {error}"


def _quiet() -> None:
    """Keep out of the journal what the SDK and its libraries log: addresses with tokens, every bad line."""
    for name in ("mcp", "httpx", "httpcore", "httpx_sse", "client"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    logging.getLogger().addFilter(lambda record: "/mcp/" not in record.pathname.replace("\\", "/"))


_quiet()
