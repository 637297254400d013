"""HumanEval and MBPP as their files have them, and EvalPlus's versions of both.

HumanEval: JSON lines with ``task_id``, ``prompt``, ``entry_point``, ``canonical_solution`` and
``test`` (a function ``check(candidate)``). MBPP: ``task_id``, ``text`` or ``prompt``, ``code``,
``test_list`` and perhaps ``test_setup_code`` or ``test_imports``. EvalPlus adds ``base_input``,
``plus_input`` and ``atol``; there the canonical solution says what is right.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from qbench.benchmarks.data import Origin, Say
from qbench.errors import ConfigError

RECORDS = "records.jsonl"
LICENSES = {"humaneval": "MIT", "mbpp": "CC-BY-4.0"}
"""Of the original questions; EvalPlus's additions are Apache-2.0."""


class Record(Struct, frozen=True, kw_only=True):
    """One question of either set."""

    task_id: str | int
    prompt: str = ""
    text: str = ""
    """MBPP's name of the prompt in its first version."""
    entry_point: str = ""
    canonical_solution: str = ""
    code: str = ""
    """MBPP's name of the solution."""
    test: str = ""
    test_list: list[str] = []
    test_setup_code: str = ""
    test_imports: list[str] = []
    base_input: list[Any] = []
    plus_input: list[Any] = []
    atol: float = 0.0
    contract: str = ""

    @property
    def plus(self) -> bool:
        """Whether it is EvalPlus's version, with inputs and no tests."""
        return bool(self.base_input)


def get_humaneval(folder: Path, source: str, say: Say) -> Origin:
    """Fill ``folder`` from the user's file; see ``get``."""
    return get("humaneval", folder, source, say)


def get_mbpp(folder: Path, source: str, say: Say) -> Origin:
    """Fill ``folder`` from the user's file; see ``get``."""
    return get("mbpp", folder, source, say)


def get(name: str, folder: Path, source: str, say: Say) -> Origin:
    """Check the user's JSON lines (also gzipped, also one JSON list) and keep them.

    Raises:
        ConfigError: no file is given, or it holds something else.

    """
    if not source:
        raise ConfigError(
            f"qbench does not fetch {name} itself.",
            hint=f"Download it and run: qbench suites get {name} --from FILE.jsonl",
        )
    content = _content(Path(source).expanduser())
    records = read(content, source)
    problem = next((why for why in map(_lacking, records) if why), "")
    if problem or not records:
        raise ConfigError(
            f"{source} is not {name}: {problem or 'it is empty'}.",
            hint="Known are the original files and EvalPlus's (base_input, plus_input).",
        )
    (folder / RECORDS).write_bytes(b"\n".join(map(msgspec.json.encode, records)))
    plus = sum(record.plus for record in records)
    say(f"{len(records)} questions, {plus} of them in EvalPlus's version.")
    return Origin(
        source=source,
        version="plus" if plus else "original",
        license=f"{LICENSES[name]}{' and Apache-2.0' if plus else ''}",
        sha256=hashlib.sha256(content).hexdigest(),
        fetched=datetime.now(UTC),
    )


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError) as error:
        raise ConfigError(
            f"Cannot read {path}: {error}.", hint="Give a .jsonl or .jsonl.gz file."
        ) from error


def read(content: bytes, source: str) -> list[Record]:
    """Read records. Raises ConfigError with the line that is none."""
    if content.lstrip()[:1] == b"[":
        parts: Sequence[bytes] = [
            bytes(one) for one in msgspec.json.decode(content, type=list[msgspec.Raw])
        ]
    else:
        parts = [line for line in content.splitlines() if line.strip()]
    found = []
    for number, part in enumerate(parts, 1):
        try:
            found.append(msgspec.json.decode(part, type=Record))
        except msgspec.MsgspecError as error:
            raise ConfigError(
                f"Line {number} of {source} is no question: {error}.",
                hint="See docs/suites.md for the fields.",
            ) from error
    return found


def _lacking(record: Record) -> str:
    """Say what a record lacks; empty for nothing."""
    if not (record.prompt or record.text):
        return f"{record.task_id} has no prompt"
    if record.plus and not (record.entry_point and record.canonical_solution):
        return f"{record.task_id} has inputs, but no entry_point or canonical_solution"
    if not (record.plus or record.test or record.test_list):
        return f"{record.task_id} has no tests"
    return ""
