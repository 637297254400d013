"""Finding a declared suite: by its file, by its name among those that ship, by its full name."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from qbench.benchmarks.suite import Suite
from qbench.benchmarks.suites.declared import conversation, keeping
from qbench.benchmarks.suites.declared.conversation import ConversationSuite
from qbench.benchmarks.suites.declared.definition import Definition, converted, read_yaml
from qbench.benchmarks.suites.declared.suite import DeclaredSuite
from qbench.benchmarks.suites.served.definition import is_served
from qbench.benchmarks.suites.served.keeping import kept
from qbench.benchmarks.suites.served.suite import ServedSuite, load_served

ENDINGS = (".yaml", ".yml")
WORLD = "world"
"""A key that conversations have and rows do not."""


def load_declared(name: str) -> Suite:
    """Make the suite of a YAML file, one that ships, or one kept under ``NAME@DIGEST``.

    A file may declare tasks over MCP servers, too.

    Raises:
        ConfigError: the file is no definition, or this machine does not have the suite.

    """
    if name in shipped_names():
        return DeclaredSuite(shipped(name))
    if name.endswith(ENDINGS):
        path = Path(name).expanduser()
        return _suite(read_yaml(path), path, "")
    served = kept(name)
    if served is not None:
        return ServedSuite(served)
    if name.partition("@")[0] in shipped_names():
        now = DeclaredSuite(shipped(name.partition("@")[0]))
        if now.name == name:
            return now
    return _suite(keeping.kept(name), Path(name), name)


def _suite(raw: dict[str, Any], path: Path, name: str) -> Suite:
    if WORLD in raw:
        return ConversationSuite(conversation.converted(raw, path), name=name)
    if is_served(raw):
        return load_served(path)
    return DeclaredSuite(converted(raw, path), name=name)


def definition_of(name: str) -> Definition:
    """Return the definition of a YAML file or of a suite that ships. Raises ConfigError."""
    if name.endswith(ENDINGS):
        path = Path(name).expanduser()
        return converted(read_yaml(path), path)
    return shipped(name)


@cache
def shipped(name: str) -> Definition:
    """Read a definition that comes with qbench."""
    folder = resources.files("qbench.benchmarks.suites.declared") / "shipped"
    with resources.as_file(folder / f"{name}.yaml") as path:
        return converted(read_yaml(path), path)


@cache
def shipped_names() -> tuple[str, ...]:
    """Return the names of the definitions that come with qbench."""
    folder = resources.files("qbench.benchmarks.suites.declared") / "shipped"
    found = (path.name for path in folder.iterdir() if path.name.endswith(".yaml"))
    return tuple(sorted(name.removesuffix(".yaml") for name in found))
