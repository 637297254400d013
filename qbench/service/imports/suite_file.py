"""The samples of imported results as a declared suite, so that qbench can ask them itself.

Data alone: solvers and scorers are programs of the other harness and stay there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from qbench.benchmarks.suite import Sample
from qbench.errors import ConfigError
from qbench.service.imports.values import ForeignEval

GRADERS = {"includes": "contains", "match": "exact", "exact": "exact", "exact_match": "exact"}
"""Scorers of others that a grader of ours is like."""


def write_suite(evals: Sequence[ForeignEval], path: Path) -> tuple[int, str]:
    """Write ``path`` (YAML) and the rows beside it; return how many, and how they are graded.

    Raises:
        ConfigError: the name is no YAML file, targets are no texts, or some samples have choices
            and others none.

    """
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{path} is no YAML file.", hint="Name one: --suite-to mine.yaml")
    found = {made.sample.id: made.sample for one in evals for made in one.attempts}
    samples = list(found.values())
    if any(not isinstance(one.answer, str) for one in samples):
        raise ConfigError(
            "Some samples have no target, or several.", hint="A declared suite needs one text each."
        )
    rows = path.with_suffix(".jsonl")
    body = _definition(evals, samples, path.stem, rows.name)
    try:
        rows.write_bytes(b"".join(msgspec.json.encode(_row(one)) + b"\n" for one in samples))
        path.write_text(yaml.safe_dump(body, sort_keys=False, allow_unicode=True), "utf-8")
    except OSError as error:
        raise ConfigError(
            f"Cannot write {path}: {error.strerror}.", hint="Name a file in a folder of yours."
        ) from None
    return len(samples), str(body["grader"])


def _row(sample: Sample) -> dict[str, Any]:
    return {
        "id": sample.details.get("native_id", sample.id),
        "task": sample.task,
        "prompt": sample.prompt,
        "target": sample.answer,
        "choices": sample.details.get("choices"),
    }


def _definition(
    evals: Sequence[ForeignEval], samples: Sequence[Sample], name: str, rows: str
) -> dict[str, Any]:
    first = evals[0]
    choices = [bool(one.details.get("choices")) for one in samples]
    if any(choices) and not all(choices):
        raise ConfigError(
            "Some samples have choices and others none.", hint="Import one task at a time."
        )
    systems = {one.system for one in samples}
    if len(systems) > 1 or any(one.examples for one in samples):
        raise ConfigError(
            "The samples have messages of their own before the question.",
            hint="A declared suite has one system message; write the YAML file yourself.",
        )
    columns = {"prompt": "prompt", "answer": "target", "id": "id", "task": "task"}
    body: dict[str, Any] = {
        "name": re.sub(r"[/,@: ]+", "-", name),
        "description": f"Samples of {first.task}, from {first.harness} {first.version}",
        "source": {"path": rows},
        "columns": columns,
        "system": systems.pop(),
        "grader": GRADERS.get(first.scorer.partition(",")[0], "exact"),
    }
    if any(choices):
        columns |= {"prompt": "{prompt}\n{choices}", "choices": "choices"}
        body |= {
            "grader": "choice",
            "choices": {"answer": "letter" if first.harness == "inspect" else "index"},
        }
    return body
