"""An MCP server to test against, by the official SDK: `python mcp_server.py stdio`, or `http PORT`.

Its tools say everything that a server may say, and misbehave on request.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import Any

from mcp.server.fastmcp import Context, FastMCP, Image
from pydantic import BaseModel

server = FastMCP("house", log_level="CRITICAL")


class Room(BaseModel):
    name: str
    floor: int | None = None


@server.tool()
def add(a: int, b: int = 1) -> int:
    """Adds two numbers."""
    return a + b


@server.tool(name="setLight")
def set_light(room: Room, level: int | str = 100) -> dict[str, Any]:
    """Sets a light."""
    return {"room": room.name, "level": level}


@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("the lamp is broken")


@server.tool(structured_output=False)
def picture() -> list[Any]:
    """Takes a picture."""
    return ["Here it is.", Image(data=b"12345", format="png")]


@server.tool()
def variable(name: str) -> str:
    """Tells a variable of its environment, or all of their names."""
    return os.environ.get(name, "") if name else " ".join(sorted(os.environ))


@server.tool()
async def wait(seconds: float) -> str:
    """Takes its time."""
    await asyncio.sleep(seconds)
    return "done"


@server.tool()
def hang() -> str:
    """Never comes back, and hears nobody meanwhile."""
    time.sleep(1000)
    return ""


@server.tool()
def crash() -> str:
    """Ends the server."""
    print("the roof came down", file=sys.stderr, flush=True)
    os._exit(3)


@server.tool()
def child() -> str:
    """Starts a program that outlives its parent."""
    return str(subprocess.Popen(["sleep", "1000"]).pid)


@server.tool()
async def learn(context: Context[Any, Any]) -> str:
    """Gets a tool more."""
    server.add_tool(lambda: "woof", name="bark", description="Barks.")
    await context.session.send_tool_list_changed()
    return "learnt"


@server.tool()
def header(name: str, context: Context[Any, Any]) -> str:
    """Tells a header of the request."""
    request = context.request_context.request
    return str(request.headers.get(name)) if request is not None else "none"


if __name__ == "__main__":
    if sys.argv[1] == "http":
        server.settings.port = int(sys.argv[2])
        server.run("streamable-http")
    else:
        server.run("stdio")
