"""The servers that keep no state: time and everything. Their tasks ask for answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcp import StdioServerParameters

from qbench.benchmarks.servers.seats import Room
from qbench.benchmarks.servers.world import State
from qbench.benchmarks.suites.mcp_servers.installed import node_server, python_server


class _Stateless:
    """Nothing to fill, nothing to read."""

    def fill(self, data: Path, state: State) -> None:
        """Do nothing."""

    def read(self, data: Path) -> State | None:
        """Return None: an answer is all there is to judge."""
        del data
        return None

    def refuse(self, name: str, arguments: dict[str, Any]) -> str:
        """Refuse nothing."""
        del name, arguments
        return ""


class TimePlace(_Stateless):
    """`mcp-server-time`, at home in UTC."""

    def command(self, room: Room) -> StdioServerParameters:
        """Name the local time zone, which would else be the machine's."""
        return python_server(room, "python", "mcp_server_time", "--local-timezone", "UTC")


class EverythingPlace(_Stateless):
    """`@modelcontextprotocol/server-everything`."""

    def command(self, room: Room) -> StdioServerParameters:
        """Start it as it is."""
        return node_server(room, "server-everything", "stdio")


TIME, EVERYTHING = TimePlace(), EverythingPlace()
