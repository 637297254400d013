"""Samples of other harnesses: equal content is the same sample, whoever asked it."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from qbench.benchmarks.chat import Message
from qbench.benchmarks.suite import Sample
from qbench.service.domain import fingerprint

UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def sample_of(  # noqa: PLR0913 - the fields of a sample
    *,
    suite: str,
    task: str,
    native: str,
    prompt: str,
    answer: str | None,
    details: dict[str, Any],
    system: str = "",
    before: tuple[Message, ...] = (),
) -> Sample:
    """Make a sample; its id is its native one with a digest of what is asked.

    Args:
        suite: as the run names it.
        task: as the harness names it.
        native: id in the harness.
        prompt: the last thing that the user said.
        answer: the target, where it is one text.
        details: JSON facts to keep: target, choices, metadata.
        system: the system message.
        before: messages between that and the prompt.

    """
    kept: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(details))
    digest = fingerprint((task, system, before, prompt, answer, kept.get("choices")))[:10]
    return Sample(
        id=f"{suite}/{task}/1/{UNSAFE.sub('_', native)[:40]}-{digest}",
        suite=suite,
        task=task,
        level=1,
        family=f"{task}/{native}",
        prompt=prompt,
        system=system,
        examples=before,
        answer=answer,
        details=kept | {"native_id": native},
    )
