"""Installs the third-party servers once: `qbench suites get mcp-servers`.

Two virtual environments and one npm folder inside the suite's data folder, every package pinned
by the lists in ``pins/``. Nothing is fetched when a suite runs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from qbench.benchmarks.data import Origin, Say
from qbench.errors import ConfigError

PINS = Path(__file__).parent / "pins"
NODE = 20
"""The oldest major version of Node.js that the npm servers run on."""
SERVERS = {
    "mcp-server-time": "2026.10.19",
    "mcp-server-git": "2026.10.19",
    "mcp-server-sqlite": "2025.4.25",
    "@modelcontextprotocol/server-filesystem": "2026.8.31",
    "@modelcontextprotocol/server-memory": "2026.8.31",
    "@modelcontextprotocol/server-everything": "2026.8.31",
}
"""What is installed; the pins name the same versions, which the tests hold to."""
ARCHIVES = "archives.txt"
_MOST_S = 900.0
_TAIL = 600


def get(folder: Path, source: str, say: Say) -> Origin:
    """Install the servers into the empty ``folder``.

    Raises:
        ConfigError: a source is given, git or Node.js is missing, or a registry does not answer.

    """
    if source:
        raise ConfigError(
            f"mcp-servers cannot be read from {source}.",
            hint="Leave --from out: the servers come from PyPI and npm (set their mirrors there).",
        )
    _look_for_programs()
    with ThreadPoolExecutor() as several:
        jobs = [
            several.submit(_npm, folder / "npm", say),
            several.submit(_python, folder / "python", PINS / "python.txt", say),
            several.submit(_python, folder / "sqlite", PINS / "sqlite.txt", say),
        ]
        archives = sorted(archive for job in jobs for archive in job.result())
    (folder / ARCHIVES).write_text("".join(f"{archive}\n" for archive in archives))
    return Origin(
        source="PyPI and npm: " + ", ".join(f"{name} {SERVERS[name]}" for name in SERVERS),
        version=f"pins {pinned()}",
        license="MIT",
        sha256=hashlib.sha256((folder / ARCHIVES).read_bytes()).hexdigest(),
        fetched=datetime.now(UTC),
        note=f"The digest is that of {ARCHIVES}: {len(archives)} archives with their own.",
    )


def pinned() -> str:
    """Return a short digest of all pins."""
    parts = [path.read_bytes() for path in sorted(PINS.rglob("*")) if path.is_file()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:10]


def _look_for_programs() -> None:
    for program in ("git", "node", "npm"):
        if shutil.which(program) is None:
            raise ConfigError(
                f"mcp-servers needs {program}, which is not on the PATH.",
                hint=f"Install git and Node.js {NODE} or newer (apt install git nodejs npm).",
            )
    said = _run(["node", "--version"], Path.cwd()).strip()
    if int(said.removeprefix("v").partition(".")[0]) < NODE:
        raise ConfigError(
            f"mcp-servers needs Node.js {NODE} or newer; here is {said}.",
            hint="Install a newer Node.js and put it first on the PATH.",
        )


def _python(folder: Path, pins: Path, say: Say) -> list[str]:
    """Make a virtual environment of what ``pins`` names; return name and digest of each archive."""
    say(f"installing {pins.stem} servers from PyPI")
    ours = importlib.util.find_spec("pip") is not None
    venv.create(folder, with_pip=not ours, symlinks=os.name != "nt")
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)] if ours else [str(python), "-mpip"]
    report = folder / "report.json"
    wanted = ["install", "--quiet", "--no-deps", "--only-binary=:all:", "--report", str(report)]
    _run([*pip, *wanted, "--requirement", str(pins)], folder)
    said = msgspec.json.decode(report.read_bytes())
    report.unlink()
    return [_archive(one["metadata"], one["download_info"]) for one in said["install"]]


def _archive(metadata: dict[str, str], download: dict[str, dict[str, dict[str, str]]]) -> str:
    digest = download.get("archive_info", {}).get("hashes", {}).get("sha256", "unknown")
    return f"{metadata['name']}=={metadata['version']} sha256:{digest}"


def _npm(folder: Path, say: Say) -> list[str]:
    """Install what the lock file names, running no package's scripts."""
    say("installing Node.js servers from npm")
    shutil.copytree(PINS / "npm", folder)
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev", "--loglevel=error"]
    _run(["npm", "ci", *quiet], folder)
    lock = msgspec.json.decode((folder / "package-lock.json").read_bytes())
    packages = {name: one for name, one in lock["packages"].items() if name}
    return [
        f"{name.removeprefix('node_modules/')}@{one['version']} {one['integrity']}"
        for name, one in packages.items()
    ]


def _run(command: Sequence[str], folder: Path) -> str:
    """Run an installer. Raises ConfigError with its last words."""
    try:
        done = subprocess.run(  # noqa: S603 - installers with arguments of our own
            command, cwd=folder, capture_output=True, text=True, timeout=_MOST_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{command[0]} did not run: {error}.", hint="Try again.") from error
    if done.returncode:
        raise ConfigError(
            f"{' '.join(command[:4])} failed: {(done.stderr or done.stdout).strip()[-_TAIL:]}",
            hint="Check that PyPI and npm, or your mirrors of them, answer; then try again.",
        )
    return done.stdout
