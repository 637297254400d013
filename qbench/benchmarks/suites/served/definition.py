"""What a YAML file says of servers and tasks, read strictly: a misspelt key is an error."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from qbench.benchmarks.chat import ToolChoice
from qbench.errors import ConfigError

URL = ("http://", "https://")
ALONE = "server"
"""What a server is called that the command line names by its command alone."""


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A server of the user's: a command that speaks MCP over stdio, or a URL."""

    command: tuple[str, ...] | str = ()
    """``{folder}`` in it stands for the attempt's own folder, in which it also starts."""
    url: str = ""
    token: str = ""
    """Name of the environment variable that holds the URL's bearer token."""
    variables: tuple[str, ...] = ()
    """Names of environment variables that the command gets: the place for its secrets."""
    env: dict[str, str] = {}
    """Variables written here, which are kept with the suite."""
    at_once: int = 0
    """Most attempts that use it at a time; 0: as many as the run has. 1 for a server at a URL
    whose state the attempts change."""

    @property
    def words(self) -> list[str]:
        """The command, split as a shell would."""
        return shlex.split(self.command) if isinstance(self.command, str) else list(self.command)


class Call(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A tool call."""

    call: str
    arguments: dict[str, Any] = {}


class Read(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A look at the state once the model has answered, and what it must show."""

    call: str = ""
    """A tool, which need not be offered to the model."""
    arguments: dict[str, Any] = {}
    resource: str = ""
    """A resource's URI, in place of a call."""
    file: str = ""
    """A file in the attempt's folder, in place of both."""
    equals: Any = UNSET
    """The value: JSON where the text is JSON, else the text without blanks at its ends."""
    contains: str = ""


class Expect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What makes an attempt pass: everything that is said here."""

    answer: str | int | float | None = None
    """In the last line of the answer."""
    calls: tuple[Call, ...] | UnsetType = UNSET
    """Each must have been made, with these arguments; an empty list: none may be made."""
    state: tuple[Read, ...] = ()


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One sample."""

    prompt: str
    expect: Expect
    task: str = "tasks"
    id: str = ""
    level: int = 1
    tools: tuple[str, ...] = ()
    """Offered; empty: those of the suite."""
    tool_choice: ToolChoice = "auto"
    max_calls: int = 0
    files: dict[str, str] = {}
    """In the attempt's folder before the servers start."""
    before: tuple[Call, ...] = ()
    """Made before the model is asked: they set the state."""
    solution: tuple[Call, ...] | UnsetType = UNSET
    """Calls that a right attempt makes, for `qbench suites check`; else those of ``expect``."""


class Served(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A suite over the user's servers."""

    name: str
    tasks: tuple[Asked, ...]
    servers: dict[str, Server] = {}
    tools: tuple[str, ...] = ()
    """Offered where a task names none of its own."""
    system: str = ""
    description: str = ""
    version: str = "1"
    """To be changed when a prompt or the servers change."""
    license: str = "unknown"


def is_served(raw: Any) -> bool:
    """Say whether a YAML document is a suite over servers, not one over rows of data."""
    if not isinstance(raw, dict) or "world" in raw:  # a conversation over a world of qbench's
        return False
    tasks = raw.get("tasks")
    return "servers" in raw or (isinstance(tasks, list) and any(isinstance(t, dict) for t in tasks))


def read_yaml(path: Path) -> Any:
    """Read a YAML file. Raises ConfigError."""
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", hint="Check it.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML: {error}", hint="Mend it.") from None


def read_served(path: Path, servers: Mapping[str, Server] | None = None) -> Served:
    """Read a suite over servers; ``servers`` are added to those of the file.

    Raises:
        ConfigError: it is no such suite.

    """
    raw = read_yaml(path)
    for task in raw.get("tasks") or [] if isinstance(raw, dict) else []:
        if isinstance(task, dict) and isinstance(task.get("expect"), dict):
            task["expect"] = _whole(task["expect"])
    try:
        served = msgspec.convert(raw, Served)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}.", hint="See docs/own-servers.md.") from None
    served = replace(served, servers={**served.servers, **(servers or {})})
    check_served(served, str(path))
    return served


def _whole(expect: dict[str, Any]) -> dict[str, Any]:
    """Allow one look at the state to be written without ``state`` or without a list."""
    look = {key: expect[key] for key in Read.__struct_fields__ if key in expect}
    rest = {key: value for key, value in expect.items() if key not in look}
    state = rest.get("state", [])
    looks = [*(state if isinstance(state, list) else [state]), *([look] if look else [])]
    return rest | ({"state": looks} if looks else {})


def named_servers(texts: Sequence[str]) -> dict[str, Server]:
    """Read servers as the command line names them: ``COMMAND``, ``URL``, or ``NAME=`` before it.

    Raises:
        ConfigError: two have the same name.

    """
    found: dict[str, Server] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        if not (equals and name.isidentifier()):
            name, rest = ALONE, text
        if name in found:
            raise ConfigError(
                f"Two MCP servers are called {name}.", hint="Write --mcp-server NAME=COMMAND."
            )
        found[name] = Server(url=rest) if rest.startswith(URL) else Server(command=rest)
    return found


def check_served(served: Served, where: str) -> None:
    """Refuse what cannot be meant. Raises ConfigError."""
    for said, hint in _complaints(served):
        raise ConfigError(f"{where}: {said}.", hint=hint)


def _complaints(served: Served) -> list[tuple[str, str]]:
    found = []
    if not served.name or set(served.name) & set("/,@: "):
        found.append((f"the name {served.name!r} has a blank or one of / , @ :", "Use hyphens."))
    if not served.servers:
        hint = "Add servers: to the file, or --mcp-server 'COMMAND' or URL."
        found.append(("no MCP server is named", hint))
    if not served.tasks:
        found.append(("it has no tasks", "Write at least one."))
    for name, server in served.servers.items():
        if bool(server.words) == bool(server.url):
            found.append((f"server {name} needs a command or a URL, one of them", "Give one."))
        if server.url and not server.url.startswith(URL):
            found.append((f"{server.url} is no URL", "Begin it with http:// or https://."))
    for number, task in enumerate(served.tasks, 1):
        found += [(f"task {number}: {said}", hint) for said, hint in _task(task, served)]
    return found


def _task(task: Asked, served: Served) -> list[tuple[str, str]]:
    found = []
    if not 1 <= task.level <= 5:
        found.append((f"level {task.level} is not 1 to 5", "Levels go from 1 to 5."))
    if not (task.tools or served.tools):
        found.append(("no tools are offered", "List them under tools."))
    wanted = task.expect
    if wanted.answer is None and wanted.calls is UNSET and not wanted.state:
        found.append(("nothing is expected", "Write expect.answer, expect.calls or expect.state."))
    for look in wanted.state:
        if sum(map(bool, (look.call, look.resource, look.file))) != 1:
            found.append(("a look at the state needs a call, a resource or a file", "Give one."))
        if look.equals is UNSET and not look.contains:
            found.append(("a look at the state says not what it must show", "Write equals."))
    outside = [
        name for name in (*task.files, *(one.file for one in wanted.state)) if _outside(name)
    ]
    if outside:
        found.append((f"{outside[0]} is outside the folder", "Write relative paths."))
    return found


def _outside(name: str) -> bool:
    path = Path(name)
    return path.is_absolute() or ".." in path.parts
