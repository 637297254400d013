"""Finding a declared suite: by its file, by its name among those that ship, by its full name."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from qbench.benchmarks.suites.declared import keeping
from qbench.benchmarks.suites.declared.definition import Definition, read_definition
from qbench.benchmarks.suites.declared.suite import DeclaredSuite

ENDINGS = (".yaml", ".yml")


def load_declared(name: str) -> DeclaredSuite:
    """Make the suite of a YAML file, one that ships, or one kept under ``NAME@DIGEST``.

    Raises:
        ConfigError: the file is no definition, or this machine does not have the suite.

    """
    if name in shipped_names():
        return DeclaredSuite(shipped(name))
    if name.endswith(ENDINGS):
        return DeclaredSuite(read_definition(Path(name).expanduser()))
    if name.partition("@")[0] in shipped_names():
        now = DeclaredSuite(shipped(name.partition("@")[0]))
        if now.name == name:
            return now
    return DeclaredSuite(keeping.kept(name), name=name)


def definition_of(name: str) -> Definition:
    """Return the definition of a YAML file or of a suite that ships. Raises ConfigError."""
    if name.endswith(ENDINGS):
        return read_definition(Path(name).expanduser())
    return shipped(name)


@cache
def shipped(name: str) -> Definition:
    """Read a definition that comes with qbench."""
    folder = resources.files("qbench.benchmarks.suites.declared") / "shipped"
    with resources.as_file(folder / f"{name}.yaml") as path:
        return read_definition(path)


@cache
def shipped_names() -> tuple[str, ...]:
    """Return the names of the definitions that come with qbench."""
    folder = resources.files("qbench.benchmarks.suites.declared") / "shipped"
    found = (path.name for path in folder.iterdir() if path.name.endswith(".yaml"))
    return tuple(sorted(name.removesuffix(".yaml") for name in found))
