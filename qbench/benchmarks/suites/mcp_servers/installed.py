"""How the installed servers are started: confined to their seat, with an environment of our own."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from mcp import StdioServerParameters

from qbench.benchmarks.data import needed
from qbench.benchmarks.servers import confined
from qbench.benchmarks.servers.seats import Room
from qbench.errors import ConfigError

SUITE = "mcp-servers"
SYSTEM_PLACES = tuple(
    "/usr /bin /lib /lib64 /dev /proc/self /proc/sys /proc/meminfo /proc/cpuinfo /proc/stat "
    "/etc/ld.so.cache /etc/localtime /etc/passwd /etc/alternatives /etc/ssl /sys/fs/cgroup".split()
)
"""What programs read to run at all."""
_DATE = "2026-01-05T09:00:00+0000"
_WHO = "Robin Example"


def python_server(
    room: Room, environment: str, module: str, *arguments: str
) -> StdioServerParameters:
    """Start a server of one of the virtual environments. Raises ConfigError."""
    folder = needed(SUITE) / environment
    python = folder / "bin" / "python"
    code = f"import sys; from {module} import main; sys.argv[0] = {module!r}; main()"
    command = [str(python), "-I", "-c", code, *arguments]
    return _started(room, command, [folder, _base(folder)])


def node_server(
    room: Room, package: str, *arguments: str, environment: dict[str, str] | None = None
) -> StdioServerParameters:
    """Start a server of the npm folder. Raises ConfigError."""
    folder = needed(SUITE) / "npm"
    home = folder / "node_modules" / "@modelcontextprotocol" / package
    manifest = msgspec.json.decode((home / "package.json").read_bytes())
    script = home / next(iter(manifest["bin"].values()))
    node = Path(program("node"))
    command = [str(node), str(script), *arguments]
    return _started(room, command, [folder, node.resolve().parent.parent], environment or {})


def program(name: str) -> str:
    """Find a program. Raises ConfigError."""
    found = shutil.which(name)
    if found is None:
        raise ConfigError(
            f"{SUITE} needs {name}, which is not on the PATH.", hint=f"Install {name}."
        )
    return found


def _base(environment: Path) -> Path:
    """Return where the Python of a virtual environment is really installed."""
    return (environment / "bin" / "python").resolve().parent.parent


def _started(
    room: Room, command: Sequence[str], readable: Sequence[Path], more: dict[str, str] | None = None
) -> StdioServerParameters:
    writable = [str(room.data), str(room.home)]
    seen = [str(path) for path in readable] + list(SYSTEM_PLACES)
    launcher = [sys.executable, "-S", "-E", "-I", confined.__file__]
    words = [*launcher, str(room.pid_file), *writable, "--", *seen, "--", *command]
    return StdioServerParameters(
        command=words[0], args=words[1:], env=_environment(room) | (more or {}), cwd=room.data
    )


def _environment(room: Room) -> dict[str, str]:
    """Return a server's variables: nothing of the user's but the PATH, and fixed dates for git."""
    home = str(room.home)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": home,
        "TMPDIR": home,
        "TZ": "UTC",
        "LANG": "C.UTF-8",
        "USER": "robin",
        "LOGNAME": "robin",
        "SHELL": "/bin/sh",
        **git_environment(),
    }


def git_environment() -> dict[str, str]:
    """Return variables with which git does the same everywhere, whatever the user configured."""
    who = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", _WHO), ("EMAIL", "robin@example.org"), ("DATE", _DATE))
    }
    return {
        **who,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
