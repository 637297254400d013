"""Questions of reasoning-gym: imported only where one is drawn (3 s of CPU).

The stream of a (seed, task, level) goes round the task's generators and leaves out questions
that it has already asked, so that a small space gives no sample twice; a generator that has run
dry is skipped from then on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from decimal import localcontext
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from reasoning_gym.dataset import ProceduralDataset
from reasoning_gym.factory import DATASETS

from qbench.benchmarks.suites.reasoning.generators import GENERATORS, PACKAGE, RELEASE, Generator
from qbench.errors import ConfigError

DRY = 25
"""Questions seen before, one after the other, after which a generator has run dry."""
SIZE = 10**6


class GymItem(Struct, frozen=True, kw_only=True):
    """A question with what its check needs."""

    generator: str
    question: str
    answer: str
    """A right answer."""
    details: dict[str, Any]


def stream(seed: int, task: str, level: int) -> Iterator[GymItem]:
    """Yield the questions of a task and level.

    Raises:
        ConfigError: another release of the package is installed.

    """
    _require_release()
    sources = [distinct(seed, one, level) for one in GENERATORS[task] if level in one.levels]
    while sources:
        for source in list(sources):
            item = next(source, None)
            if item is None:
                sources.remove(source)
            else:
                yield item


def distinct(seed: int, generator: Generator, level: int) -> Iterator[GymItem]:
    """Yield the questions of one generator until it has run dry."""
    start = number(seed, generator.name, level)
    made = dataset(generator.name, msgspec.json.encode(generator.settings(level)), start)
    seen: set[str] = set()
    repeats = index = 0
    while repeats < DRY:
        entry = _drawn(made, index)
        if entry["question"] in seen:
            repeats += 1
        else:
            repeats = 0
            seen.add(entry["question"])
            yield _item(generator, level, start, index, entry)
        index += 1


def _drawn(made: ProceduralDataset, index: int) -> dict[str, Any]:
    """Draw an entry without what generators leave behind.

    Some set the precision of the thread's decimals (money is counted in those) or numpy's seed.
    """
    state = np.random.get_state()  # noqa: NPY002 - the package's own
    with localcontext():
        entry: dict[str, Any] = made[index]
    np.random.set_state(state)  # noqa: NPY002
    return entry


def number(seed: int, name: str, level: int) -> int:
    """Return a generator's own seed: apart for each, since index i of seed s is that of s + i."""
    text = f"reasoning/{seed}/{name}/{level}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") >> 1


@cache
def dataset(name: str, settings: bytes, seed: int) -> ProceduralDataset:
    """Make a generator of the package with ``settings``, a JSON object."""
    made, arguments = DATASETS[name]
    config = arguments(**msgspec.json.decode(settings), seed=seed, size=SIZE)
    if hasattr(config, "validate"):
        config.validate()
    with localcontext():
        return made(config=config)


def _item(
    generator: Generator, level: int, seed: int, index: int, entry: dict[str, Any]
) -> GymItem:
    metadata = msgspec.to_builtins(entry["metadata"], str_keys=True, enc_hook=_builtin)
    answer = _answer(generator, entry, metadata)
    details = {
        "made_by": f"{PACKAGE} {RELEASE}",
        "generator": generator.name,
        "seed": seed,
        "index": index,
        "settings": generator.settings(level),
        "check": generator.check,
        "entry": {"answer": answer} | _needed(generator, metadata),
    }
    question = entry["question"].strip()
    return GymItem(generator=generator.name, question=question, answer=answer, details=details)


def _answer(generator: Generator, entry: dict[str, Any], metadata: dict[str, Any]) -> str:
    if not generator.reference:
        return str(entry["answer"]).strip()
    kept = metadata[generator.reference]
    return kept if isinstance(kept, str) else msgspec.json.encode(kept).decode()


def _builtin(value: object) -> object:
    """Turn numpy's numbers and arrays into Python's, anything else into text."""
    turned = getattr(value, "tolist", None)
    return turned() if turned is not None else str(value)


def _needed(generator: Generator, metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what the check reads of the metadata."""
    keys = {"arithmetic": ("numbers", "target"), "among": ("valid_answers",)}
    if generator.check in ("own", "formula"):
        return {"metadata": metadata}
    wanted = keys.get(generator.check, ())
    return {"metadata": {key: metadata[key] for key in wanted if key in metadata}}


def _require_release() -> None:
    installed = version(PACKAGE)
    if installed != RELEASE:
        raise ConfigError(
            f"{PACKAGE} {installed} may draw other samples than {RELEASE}, which this suite is of.",
            hint=f"pip install {PACKAGE}=={RELEASE}",
        )
