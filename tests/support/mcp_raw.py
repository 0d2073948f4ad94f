"""An MCP server without the SDK, which does one thing wrong: `python mcp_raw.py FAULT`. Starts at once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

FAULT = sys.argv[1]


def say(request: dict[str, object], result: object) -> None:
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)


def answer(request: dict[str, object]) -> None:
    match request["method"]:
        case "initialize":
            about = {"name": "raw", "version": "1"}
            say(
                request, {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": about}
            )
        case "tools/list":
            tool = {"name": "lamp", "inputSchema": {"type": "object"}}
            say(request, {"tools": [tool], **({"nextCursor": "on"} if FAULT == "endless" else {})})
        case "tools/call" if FAULT == "crash":
            print("first\nthe roof came down", file=sys.stderr, flush=True)
            sys.exit(3)
        case "tools/call" if FAULT == "child":
            child = subprocess.Popen(["sleep", "1000"])
            say(request, {"content": [{"type": "text", "text": str(child.pid)}]})
        case "tools/call" if FAULT == "odd":
            say(request, {"content": [{"type": "smell"}]})
        case "tools/call":
            say(request, {"content": [{"type": "text", "text": "on"}]})


if __name__ == "__main__":
    if FAULT == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while FAULT == "garbage":
        print("hello", "\udcff\x00", flush=True)
    while FAULT == "line":
        print("x" * 100_000, end="", flush=True)
    while FAULT == "complaints":
        print("hello" * 1000, file=sys.stderr, flush=True)
    if FAULT == "banner":
        print("Welcome to the house!\n{}\n[]\nnull", flush=True)
    if FAULT == "deaf":
        time.sleep(1000)
    for line in sys.stdin:
        if (message := json.loads(line)).get("id") is not None:
            answer(message)
    while FAULT == "stubborn":
        time.sleep(1)
