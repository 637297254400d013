"""A server of the user's for tests: tickets in a JSON file, over stdio or streamable HTTP.

Run as ``python tickets_server.py stdio FILE`` or ``... http FILE PORT [TOKEN]``.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from mcp.server import MCPServer
from starlette.requests import Request
from starlette.responses import PlainTextResponse

server = MCPServer("tickets")
FILE = Path(sys.argv[2])


def load() -> dict[str, str]:
    tickets: dict[str, str] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return tickets


@server.tool()
def close_ticket(number: int) -> str:
    """Close a ticket."""
    tickets = load()
    if str(number) not in tickets:
        raise ValueError(f"There is no ticket {number}.")
    FILE.write_text(json.dumps(tickets | {str(number): "closed"}))
    return f"Ticket {number} is closed."


@server.tool()
def count_open() -> int:
    """Count the open tickets."""
    return sum(state == "open" for state in load().values())


@server.tool()
def start_over(tickets: dict[str, str]) -> str:
    """Put these tickets in the place of all others."""
    FILE.write_text(json.dumps(tickets))
    return "done"


@server.tool()
def wait(seconds: float) -> str:
    """Take a while."""
    time.sleep(seconds)
    return "rested"


@server.resource("tickets://all")
def everything() -> str:
    """All tickets."""
    return json.dumps(load())


def guarded(app: Any, token: str) -> Any:
    """Let nobody in without the token."""

    async def check(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and token:
            given = Request(scope).headers.get("authorization", "")
            if given != f"Bearer {token}":
                await PlainTextResponse("no", status_code=401)(scope, receive, send)
                return
        await app(scope, receive, send)

    return check


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run()
    else:
        uvicorn = importlib.import_module("uvicorn")  # which the other way does not need
        app = guarded(server.streamable_http_app(), "".join(sys.argv[4:]))
        uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[3]), log_level="warning")
