"""A served suite's full name, ``NAME@DIGEST``, and the definition that stays behind it.

Runs name suites so. The definition is kept when the suite is loaded, so that a run can go on and
be judged again after its file has changed. Tokens and variables are named in it, never written.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from qbench.benchmarks.data import data_folder
from qbench.benchmarks.suites.served.definition import (
    Served,
    is_served,
    named_servers,
    read_served,
    read_yaml,
)
from qbench.errors import ConfigError

DIGITS = 8
VARIABLE = "QBENCH_SUITES"
"""Names the operator's folder of suites: what orders sent to a server may start."""


def full_name(served: Served) -> str:
    """Return ``NAME@DIGEST``; the digest covers all of the definition."""
    text = msgspec.json.encode(served, order="deterministic")
    return f"{served.name}@{hashlib.sha256(text).hexdigest()[:DIGITS]}"


def with_servers(suite: str, servers: Sequence[str]) -> str:
    """Return what to call a file's suite with servers from the command line, which is kept.

    Raises:
        ConfigError: the suite is no file of tasks over MCP servers.

    """
    path = Path(suite).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(
            f"--mcp-server needs tasks to ask, and {suite} is no file of them.",
            hint="Write them as docs/own-servers.md shows: --suite tasks.yaml.",
        )
    return keep(read_served(path, named_servers(servers)))


def _place(name: str) -> Path:
    return data_folder("served") / f"{name}.json"


def keep(served: Served) -> str:
    """Keep a definition under its full name, which is returned."""
    name = full_name(served)
    path = _place(name)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_suffix(f".{os.getpid()}")
        made.write_bytes(msgspec.json.format(msgspec.json.encode(served)))
        made.replace(path)
    return name


def kept(name: str) -> Served | None:
    """Return what is kept under a full name; None when nothing is."""
    path = _place(name)
    return msgspec.json.decode(path.read_bytes(), type=Served) if path.is_file() else None


def operators() -> dict[str, Served]:
    """Return the served suites of the operator's folder by full name."""
    folder = os.environ.get(VARIABLE, "")
    if not folder:
        return {}
    paths = sorted(Path(folder).expanduser().glob("*.y*ml"))
    found = [read_served(path) for path in paths if is_served(read_yaml(path))]
    return {full_name(one): one for one in found}


def operators_file(name: str) -> Path:
    """Return a file of the operator's folder by its bare name. Raises ConfigError."""
    folder = os.environ.get(VARIABLE, "")
    path = Path(folder).expanduser() / name
    if not folder or "/" in name or "\\" in name or not path.is_file():
        raise ConfigError(
            f"This server has no suite {name}: files of the sender's are not read here.",
            hint=f"Its operator can put the file into the folder that ${VARIABLE} names; then "
            "send its name.",
        )
    return path
