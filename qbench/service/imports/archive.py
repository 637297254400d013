"""Reading the members of an ``.eval`` file: a ZIP whose members newer inspects pack with zstd."""

from __future__ import annotations

import importlib
import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qbench.errors import ConfigError

ZSTD = 93
"""Method of a member in the ZIP format; Python before 3.14 does not know it."""

LOCAL = struct.Struct("<4s5H3I2H")
"""A member's own header, of which the lengths of name and extra field are read."""

MOST = 2 * 1024**3
"""Bytes of one member: more is no log."""


def members(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield each JSON member's name and value.

    Raises:
        ConfigError: it is no ZIP, is damaged, or needs pyarrow to be read.

    """
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.endswith(".json"):
                    yield info.filename, json.loads(_bytes(path, archive, info))
    except (OSError, zipfile.BadZipFile, struct.error, ValueError) as error:
        raise ConfigError(
            f"{path} is no log of inspect that can be read: {error}.",
            hint="Convert it with `inspect log convert --to json`, and import that.",
        ) from error


def _bytes(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > MOST:
        raise ValueError(f"{info.filename} has {info.file_size} bytes")
    if info.compress_type != ZSTD:
        return archive.read(info)
    with path.open("rb") as file:
        file.seek(info.header_offset)
        *_, name, extra = LOCAL.unpack(file.read(LOCAL.size))
        file.seek(name + extra, 1)
        packed = file.read(info.compress_size)
    return _unpacked(packed, info.file_size)


def _unpacked(packed: bytes, size: int) -> bytes:
    try:
        arrow = importlib.import_module("pyarrow")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "This .eval file is packed with zstd, which needs pyarrow to be read.",
            hint="pip install 'qbench[suites]', or convert it: inspect log convert --to json",
        ) from error
    try:
        unpacked: bytes = arrow.Codec("zstd").decompress(packed, size, asbytes=True)
    except (OSError, arrow.ArrowException) as error:
        raise ValueError(str(error)) from error
    return unpacked
