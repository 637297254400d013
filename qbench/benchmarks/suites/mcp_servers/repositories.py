"""The git task: `mcp-server-git` over a small repository.

The start state is ``{"branches": {name: {"from": branch or "", "commits": [{"message", "files"}]}},
"head": branch, "work": {path: text}, "index": {path: text}}``: what each commit changes, and what
lies changed in the working tree, staged or not. The state as read back is ``{"head", "branches":
{name: {"log": [messages, newest first], "files"}}, "index", "work"}`` with whole trees.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from mcp import StdioServerParameters

from qbench.benchmarks.servers.seats import Room
from qbench.benchmarks.servers.world import State
from qbench.benchmarks.suites.mcp_servers.installed import git_environment, program, python_server

_WHO = "Robin Example <robin@example.org>"
_FIRST = 1767603600
"""Seconds since 1970 of a repository's first commit; the next ones come an hour apart."""
_GIT_S = 20.0


class RepositoryPlace:
    """The server and its repository."""

    def command(self, room: Room) -> StdioServerParameters:
        """Confine it to the attempt's repository."""
        return python_server(room, "python", "mcp_server_git", "--repository", str(room.data))

    def fill(self, data: Path, state: State) -> None:
        """Make the repository: equal states give equal commit ids."""
        _git(data, "init", "--quiet", "--initial-branch=main")
        _git(data, "fast-import", "--quiet", feed=_stream(state))
        _git(data, "symbolic-ref", "HEAD", f"refs/heads/{state['head']}")
        _git(data, "reset", "--quiet", "--hard")
        _write(data, state["index"])
        if state["index"]:
            _git(data, "add", "--", *state["index"])
        _write(data, state["work"])

    def read(self, data: Path) -> State:
        """Read branches, index and working tree with git itself."""
        names = _git(data, "for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines()
        head = _git(data, "rev-parse", "--abbrev-ref", "HEAD").strip()
        branches = {
            name: {
                "log": _git(data, "log", "--format=%s", name, "--").splitlines(),
                "files": _blobs(data, _git(data, "ls-tree", "-r", "-z", name)),
            }
            for name in names
        }
        return {
            "head": head,
            "branches": branches,
            "index": _blobs(data, _git(data, "ls-files", "--stage", "-z")),
            "work": {
                str(path.relative_to(data)): path.read_text(errors="replace").rstrip("\n")
                for path in sorted(data.rglob("*"))
                if path.is_file() and ".git" not in path.relative_to(data).parts
            },
        }

    def refuse(self, name: str, arguments: dict[str, Any]) -> str:
        """Refuse nothing: the server is confined to its repository."""
        del name, arguments
        return ""


def _write(data: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        (data / path).write_text(f"{text}\n")


def _stream(state: State) -> bytes:
    """Write the history as git's fast-import reads it."""
    parts: list[bytes] = []
    clock = _FIRST
    for name, branch in state["branches"].items():
        if branch["from"]:
            parts.append(f"reset refs/heads/{name}\nfrom refs/heads/{branch['from']}\n".encode())
        for commit in branch["commits"]:
            parts.append(_commit(name, commit, clock))
            clock += 3600
    return b"\n".join((*parts, b"done\n"))


def _commit(branch: str, commit: dict[str, Any], clock: int) -> bytes:
    who = f"{_WHO} {clock} +0000"
    head = f"commit refs/heads/{branch}\nauthor {who}\ncommitter {who}\n".encode()
    body = head + _data(commit["message"])
    for path, text in commit["files"].items():
        body += f"M 100644 inline {path}\n".encode() + _data(f"{text}\n")
    return body


def _data(text: str) -> bytes:
    raw = text.encode()
    return b"data %d\n%s\n" % (len(raw), raw)


def _blobs(data: Path, listing: str) -> dict[str, str]:
    """Return path and text of each blob in a listing of git's."""
    found = {}
    for line in filter(None, listing.split("\0")):
        facts, path = line.split("\t", 1)
        found[path] = next(word for word in facts.split() if len(word) == 40)
    ids = "\n".join(found.values())
    if not ids:
        return {}
    said = _git(data, "cat-file", "--batch=%(objectsize)", feed=ids.encode())
    return dict(zip(found, _texts(said), strict=True))


def _texts(said: str) -> list[str]:
    """Split what ``cat-file --batch`` says: a size, that many bytes, a newline, and again."""
    raw, texts, place = said.encode(), [], 0
    while place < len(raw):
        end = raw.index(b"\n", place)
        size = int(raw[place:end])
        texts.append(raw[end + 1 : end + 1 + size].decode(errors="replace").rstrip("\n"))
        place = end + size + 2
    return texts


def _git(data: Path, *arguments: str, feed: bytes = b"") -> str:
    """Run git on the repository. Raises OSError."""
    try:
        done = subprocess.run(  # noqa: S603 - arguments of our own
            [program("git"), "--no-optional-locks", *arguments],
            cwd=data,
            input=feed,
            capture_output=True,
            timeout=_GIT_S,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(data)} | git_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(str(error)) from error
    if done.returncode:
        raise OSError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return done.stdout.decode(errors="surrogateescape")


def final(state: State) -> State:
    """Return a start state as it would be read back."""
    branches: dict[str, Any] = {}
    for name, branch in state["branches"].items():
        base = branches.get(branch["from"], {"log": [], "files": {}})
        log, files = list(base["log"]), dict(base["files"])
        for commit in branch["commits"]:
            log.insert(0, commit["message"])
            files |= commit["files"]
        branches[name] = {"log": log, "files": files}
    index = branches[state["head"]]["files"] | state["index"]
    return {
        "head": state["head"],
        "branches": branches,
        "index": index,
        "work": index | state["work"],
    }
