"""The user's own open prompts: ``qbench suites get prompts --from FILE.jsonl``.

One JSON object a line: ``prompt``, and where wanted ``system``, ``family`` (prompts that belong
together, for the intervals) and ``license``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from qbench.benchmarks.chat import Message
from qbench.benchmarks.data import Origin, Say, needed
from qbench.benchmarks.servers.no_tools import no_tools
from qbench.benchmarks.suite import Environment, Sample, Score
from qbench.benchmarks.suites.drawing import named
from qbench.benchmarks.suites.open import OpenSuite, unjudged
from qbench.benchmarks.transcript import Transcript
from qbench.benchmarks.worlds.cases import drawn
from qbench.errors import ConfigError

FILE = "prompts.jsonl"


class Line(Struct, frozen=True, kw_only=True):
    """One prompt; further fields are left alone."""

    prompt: str
    system: str = ""
    family: str = ""
    license: str = ""


class PromptsSuite:
    """The suite."""

    name = "prompts"
    version = "1"
    tasks = ("own",)
    levels = (1,)
    description = "Your own open prompts, for qbench arena"
    license = "yours"
    generated = False
    further_tasks: tuple[str, ...] = ()
    tokens = 32_768

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Take ``limit`` prompts in an order of the seed's own. Raises ConfigError."""
        del tasks, levels
        lines = read(needed(self.name) / FILE)
        order = list(range(len(lines)))
        drawn("prompts", seed).shuffle(order)
        return tuple(_sample(lines[place], place) for place in order[:limit])

    def environment(self, *, slots: int) -> AbstractAsyncContextManager[Environment]:
        """Start nothing."""
        del slots
        return no_tools()

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Leave the verdict to a tournament."""
        del sample
        return unjudged(self.name, self.version, transcript)

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Return an answer; none passes and none fails."""
        return OpenSuite().solution(sample)

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Return a useless answer."""
        return OpenSuite().blunder(sample)


def _sample(line: Line, place: int) -> Sample:
    digest = hashlib.sha256(line.prompt.encode()).hexdigest()[:12]
    sample = Sample(
        id="",
        suite="prompts",
        task="own",
        level=1,
        family=line.family or digest,
        prompt=line.prompt,
        system=line.system,
    )
    return named(sample, place)


def read(path: Path) -> list[Line]:
    """Read a file of prompts. Raises ConfigError, naming the line."""
    found: list[Line] = []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"Cannot read {path}: {error}.", hint="Give a JSON Lines file in UTF-8."
        ) from error
    for number, row in enumerate(text.splitlines(), 1):
        if not row.strip():
            continue
        try:
            line = msgspec.json.decode(row.encode(), type=Line)
        except msgspec.MsgspecError as error:
            raise ConfigError(
                f"Line {number} of {path} is no prompt: {error}.",
                hint='Write one object a line, like {"prompt": "Explain tides."}.',
            ) from error
        found.append(line)
    if not found or any(not line.prompt.strip() for line in found):
        raise ConfigError(
            f"{path} has no prompt, or an empty one.", hint="Write one on every line."
        )
    return found


def get(folder: Path, source: str, say: Say) -> Origin:
    """Take over the user's file; see ``qbench.benchmarks.data.Get``."""
    if not source:
        raise ConfigError(
            "The suite prompts asks your own prompts, which nobody else has.",
            hint="Name your file: qbench suites get prompts --from prompts.jsonl",
        )
    lines = read(Path(source))
    data = Path(source).read_bytes()
    (folder / FILE).write_bytes(data)
    say(f"{len(lines)} prompts of {source}")
    licenses = sorted({line.license for line in lines if line.license})
    digest = hashlib.sha256(data).hexdigest()
    return Origin(
        source=source,
        version=digest[:12],
        license=", ".join(licenses) or "unknown",
        sha256=digest,
        fetched=datetime.now(UTC),
    )
