"""Where the rows of a definition are on this machine, and what they hash to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from qbench.benchmarks.data import data_folder, needed, origin_of
from qbench.benchmarks.suites.declared.definition import Definition, local
from qbench.errors import ConfigError

ASKED, SHOWN = "asked", "examples"
"""Folders of fetched data: the rows that are asked, and those of the worked examples."""


def asked_files(definition: Definition) -> tuple[Path, ...]:
    """Return the files whose rows are asked. Raises ConfigError when they are not here."""
    if definition.source.hub:
        return _fetched(definition, ASKED)
    return tuple(map(Path, local(definition.source)))


def example_files(definition: Definition) -> tuple[Path, ...]:
    """Return the files that only examples come from; empty when they come from the asked ones."""
    shown = definition.examples
    if shown.path:
        return (Path(shown.path),)
    return _fetched(definition, SHOWN) if shown.files or shown.split else ()


def _fetched(definition: Definition, part: str) -> tuple[Path, ...]:
    found = tuple(sorted((needed(definition.name) / part).glob("*")))
    if not found:
        raise ConfigError(
            f"The data of {definition.name} on this machine has no {part} files.",
            hint=f"Run: qbench suites get {definition.name}",
        )
    return found


def content_hash(definition: Definition) -> str:
    """Return the SHA-256 of the data; empty when it is not all here."""
    if definition.source.hub:
        origin = origin_of(definition.name)
        return origin.sha256 if origin else ""
    files = [
        *map(Path, local(definition.source)),
        *map(Path, filter(None, [definition.examples.path])),
    ]
    return digest_of(files) if all(path.is_file() for path in files) else ""


def digest_of(files: Sequence[Path]) -> str:
    """Return one SHA-256 over the contents of ``files`` in order."""
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def kept_folder() -> Path:
    """Return the folder of the definitions that runs were made with."""
    return data_folder("declared")
