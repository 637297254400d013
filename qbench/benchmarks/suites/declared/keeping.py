"""A declared suite's full name, ``NAME@DIGEST``, and the definition that stays behind it.

The digest covers the definition and the data. The definition is kept when samples are drawn, so
that a run can be judged again after the file changed, and changed data is noticed.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from qbench.benchmarks.suites.declared.definition import Definition
from qbench.benchmarks.suites.declared.files import content_hash, kept_folder
from qbench.errors import ConfigError

DIGITS = 8


def full_name(definition: Definition) -> str:
    """Return ``NAME@DIGEST``, or the name alone while the data is not on this machine."""
    content = content_hash(definition)
    if not content:
        return definition.name
    return f"{definition.name}@{_digest(definition, content)}"


def _digest(definition: Definition, content: str) -> str:
    """Digest what decides the samples: where the files lie does not."""
    placeless = replace(
        definition,
        source=replace(definition.source, path=()),
        examples=replace(definition.examples, path="given" if definition.examples.path else ""),
        tasks=(),
        levels=(),
        note="",
        size=0,
    )
    text = msgspec.json.encode(placeless, order="deterministic") + content.encode()
    return hashlib.sha256(text).hexdigest()[:DIGITS]


def digest(definition: Struct) -> str:
    """Digest a definition that holds its own data."""
    return hashlib.sha256(msgspec.json.encode(definition, order="deterministic")).hexdigest()[
        :DIGITS
    ]


def keep(name: str, definition: Struct) -> None:
    """Keep the definition under its full name; a name means one definition, so once is enough."""
    path = kept_folder() / f"{name}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_suffix(".new")
        made.write_bytes(msgspec.json.format(msgspec.json.encode(definition)))
        made.replace(path)


def kept(name: str) -> dict[str, Any]:
    """Return the definition that was kept under a full name, undecoded. Raises ConfigError."""
    path = kept_folder() / f"{name}.json"
    if not path.is_file():
        raise ConfigError(
            f"This machine does not have the declared suite {name}.",
            hint="Bring its YAML file and its data here, then run: qbench suites check FILE",
        )
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])


def check_unchanged(name: str, definition: Definition) -> None:
    """Refuse to draw samples of data that is not what the name says. Raises ConfigError."""
    now = full_name(definition)
    if "@" in name and now != name:
        state = "is gone" if now == definition.name else f"changed: it is {now} now"
        raise ConfigError(
            f"The data of {name} {state}.",
            hint="Bring the data of that time back, or start a new run of the suite as it is now.",
        )
