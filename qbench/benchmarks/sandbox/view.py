"""What of this machine a program sees: the interpreter, its library, nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from msgspec import Struct

from qbench.benchmarks.sandbox.program import MIB, Language, SandboxLimits
from qbench.errors import ConfigError

_LIBRARY = re.compile(r"(?:=>\s*|^\s*)(/\S+)", re.MULTILINE)
_CACHE = "/etc/ld.so.cache"
_DEBIAN_NODE = "/usr/share/nodejs"
"""Where Debian's node keeps parts of its own library."""


class View(Struct, frozen=True, kw_only=True):
    """One interpreter as a sandbox shows it."""

    executable: str
    visible: tuple[str, ...]
    covered: tuple[str, ...] = ()


@cache
def python_view() -> View:
    """Return this interpreter with its standard library, without installed packages."""
    executable = os.path.realpath(sys.executable)
    library = sysconfig.get_path("stdlib")
    found = sorted(Path(library, "lib-dynload").glob("*.so"))
    packages = (f"{library}/{name}" for name in ("site-packages", "dist-packages"))
    return View(
        executable=executable,
        visible=(executable, library, *_shared_libraries([executable, *map(str, found)])),
        covered=tuple(path for path in packages if Path(path).is_dir()),
    )


@cache
def node_view() -> View:
    """Return the node on PATH. Raises ConfigError when there is none."""
    found = shutil.which("node")
    if found is None:
        raise ConfigError(
            "JavaScript is run by node, which is not on PATH.",
            hint="Install Node.js 18 or newer, or leave the JavaScript tasks out.",
        )
    executable = os.path.realpath(found)
    extra = (path for path in (_DEBIAN_NODE,) if Path(path).is_dir())
    return View(
        executable=executable, visible=(executable, *_shared_libraries([executable]), *extra)
    )


def _shared_libraries(files: Sequence[str]) -> tuple[str, ...]:
    """Return what the dynamic loader would load for ``files``, by ldd."""
    tool = shutil.which("ldd")
    if tool is None:
        raise ConfigError(
            "The libraries of an interpreter are found with ldd, which is not on PATH.",
            hint="Install it (Debian: libc-bin).",
        )
    done = subprocess.run(  # noqa: S603 - the interpreter's own files
        [tool, *files], capture_output=True, text=True, check=False, timeout=60
    )
    told = {path for path in _LIBRARY.findall(done.stdout) if not path.endswith(":")}
    return tuple(sorted(_existing({*told, _CACHE})))


def _existing(paths: Iterable[str]) -> Iterable[str]:
    return (path for path in paths if Path(path).is_file())


def view_of(language: Language) -> View:
    """Return the interpreter of a language. Raises ConfigError when it is not installed."""
    return python_view() if language == "python" else node_view()


def command(language: Language, limits: SandboxLimits) -> list[str]:
    """Return how the main file is run. Hashing is fixed, so that sets are in one order."""
    executable = view_of(language).executable
    if language == "python":
        return [executable, "-S", "-P", "-s", "-B", "-X", "utf8", main_file(language)]
    heap = max(limits.memory_bytes * 3 // 4 // MIB, 16)
    return [executable, f"--max-old-space-size={heap}", main_file(language)]


def main_file(language: Language) -> str:
    """Return the name of the file that holds a program's source."""
    return "main.py" if language == "python" else "main.mjs"
