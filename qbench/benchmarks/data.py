"""Data of suites on the user's machine: fetched once by `qbench suites get`, never at run time."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from qbench.errors import ConfigError

Say = Callable[[str], None]
"""Takes one line of progress for the user."""

ORIGIN = "origin.json"


class Origin(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a suite's data came from."""

    source: str
    """URL, package with version, or the user's file."""
    version: str
    license: str
    """SPDX name or the licence's own words; ``unknown`` where the source does not say."""
    sha256: str
    """Of what was fetched."""
    fetched: datetime
    """UTC."""
    note: str = ""


Get = Callable[[Path, str, Say], Origin]
"""Fills an empty folder from a source (empty: the usual one) and says where it came from."""


def data_root() -> Path:
    """Return the folder of all data: ``QBENCH_DATA``, else in the user's data folder."""
    given = os.environ.get("QBENCH_DATA")
    if given:
        return Path(given).expanduser()
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "qbench" / "data"


def data_folder(name: str) -> Path:
    """Return the folder of one suite's data, there or not."""
    return data_root() / name


def origin_of(name: str) -> Origin | None:
    """Return where a suite's data came from; None when it is not here."""
    path = data_folder(name) / ORIGIN
    return msgspec.json.decode(path.read_bytes(), type=Origin) if path.is_file() else None


def needed(name: str) -> Path:
    """Return the folder of a suite's data. Raises ConfigError when it is not here."""
    if origin_of(name) is None:
        raise ConfigError(
            f"The data of {name} is not on this machine.", hint=f"Run: qbench suites get {name}"
        )
    return data_folder(name)


def fetch(name: str, get: Get, source: str, say: Say) -> Origin:
    """Fetch a suite's data anew; what was there stays until the new is complete.

    Raises:
        ConfigError: the source is not there or holds something else.

    """
    folder = data_folder(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as made:
        fresh = Path(made) / "data"
        fresh.mkdir()
        origin = get(fresh, source, say)
        (fresh / ORIGIN).write_bytes(msgspec.json.format(msgspec.json.encode(origin)))
        if folder.exists():
            shutil.move(folder, Path(made) / "old")
        shutil.move(fresh, folder)
    return origin
