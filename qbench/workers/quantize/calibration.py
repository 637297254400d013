"""Calibration data: where it comes from, and its tokens, kept as a file of their own.

Reading is done by programs of their own: ``tokens`` needs transformers, a hub data set needs the
``datasets`` package, which llm-compressor's environment has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from qbench.benchmarks.catalogue import SUITES, load_suite
from qbench.errors import ConfigError, NotFound, QuantizationFailed
from qbench.service.domain import fingerprint
from qbench.workers.checkpoints import Say, cache_folder, digest
from qbench.workers.quantize.environment import Tool

HUB = "hub:"
HUB_SCRIPT = Path(__file__).parent / "hub_texts.py"
PROBES = 4
"""Held-out sequences on which errors of layers are measured."""
PROBE_TOKENS = 512
VERSION = 1
"""Raised when the same words would become other tokens."""


class Calibration(Struct, frozen=True, kw_only=True):
    """What a recipe with data looks at."""

    source: str = "mcp"
    """A suite, whose training seeds are drawn; a text file; or ``hub:NAME``, a data set."""
    samples: int = 128
    """Sequences."""
    length: int = 2048
    """Longest sequence, in tokens."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if self.samples < 1 or self.length < 1 or self.seed < 0:
            raise ConfigError(
                f"Cannot calibrate with {self.samples} samples of {self.length} tokens, "
                f"seed {self.seed}.",
                hint="Give at least one of each, and a seed of 0 or more.",
            )

    @property
    def about(self) -> str:
        """For people: ``128 of mcp's training samples, at most 2048 tokens each, seed 0``."""
        what = f"{self.source}'s training samples" if self.source in SUITES else self.source
        return f"{self.samples} of {what}, at most {self.length} tokens each, seed {self.seed}"


class Tokens(Struct, frozen=True, kw_only=True):
    """Token files that are ready."""

    path: str
    probe: str
    digest: str
    """SHA-256 of the calibration file."""


class Reading(Struct, frozen=True, kw_only=True):
    """What the token program is told; written as JSON."""

    checkpoint: str
    calibration: Calibration
    texts: str
    """File with text, JSON lines of texts or messages; empty for a suite."""
    out: str
    probe: str


def check_source(calibration: Calibration) -> None:
    """Refuse a source that does not exist. Raises NotFound with close names."""
    source = calibration.source
    if source.startswith(HUB) or source in SUITES or Path(source).expanduser().is_file():
        return
    raise NotFound.among("suite or text file", source, [*SUITES, f"{HUB}NAME"])


def _place(checkpoint: Path, calibration: Calibration) -> Path:
    """Return where the tokens are kept: named by all that makes them what they are."""
    names = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja")
    files = {name: digest(checkpoint / name) for name in names if (checkpoint / name).exists()}
    source, told = calibration.source, ""
    if source in SUITES:
        told = load_suite(source).version
    elif not source.startswith(HUB):
        told = digest(Path(source).expanduser())
    key = fingerprint((VERSION, calibration, told, files))
    return cache_folder() / "quantized" / "calibration" / f"{key}.jsonl"


def find_tokens(checkpoint: Path, calibration: Calibration) -> Tokens | None:
    """Return the tokens made before; None where there are none."""
    place = _place(checkpoint, calibration)
    probe = place.with_suffix(".probe")
    if not (place.is_file() and probe.is_file()):
        return None
    return Tokens(path=str(place), probe=str(probe), digest=digest(place))


def ready_tokens(checkpoint: Path, calibration: Calibration, tool: Tool | None, say: Say) -> Tokens:
    """Return the tokens, made where they are missing.

    Raises:
        NotFound: an unknown source.
        QuantizationFailed: the data cannot be read; says why.

    """
    check_source(calibration)
    if found := find_tokens(checkpoint, calibration):
        return found
    place = _place(checkpoint, calibration)
    place.parent.mkdir(parents=True, exist_ok=True)
    say(f"reading calibration data: {calibration.about}")
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        folder = Path(scratch)
        reading = Reading(
            checkpoint=str(checkpoint),
            calibration=calibration,
            texts=_texts(calibration, tool, folder),
            out=str(folder / "tokens"),
            probe=str(folder / "probe"),
        )
        (folder / "reading.json").write_bytes(msgspec.json.encode(reading))
        module = "qbench.workers.quantize.tokens"
        _run([sys.executable, "-m", module, str(folder / "reading.json")], "The calibration data")
        Path(reading.probe).replace(place.with_suffix(".probe"))
        Path(reading.out).replace(place)
    found = find_tokens(checkpoint, calibration)
    assert found is not None
    return found


def _texts(calibration: Calibration, tool: Tool | None, folder: Path) -> str:
    """Return the file to read: the user's, or what a hub data set holds; empty for a suite."""
    source = calibration.source
    if source in SUITES:
        return ""
    if not source.startswith(HUB):
        return str(Path(source).expanduser())
    if tool is None:
        raise QuantizationFailed(
            "Hub data sets are read by llm-compressor's environment, and there is none.",
            hint="Make one with `qbench doctor --fix`, or take --calibration mcp.",
        )
    out = folder / "texts.jsonl"
    told = {
        "name": source.removeprefix(HUB),
        "rows": calibration.samples + PROBES,
        "seed": calibration.seed,
        "out": str(out),
    }
    _run([tool.python, "-I", str(HUB_SCRIPT), json.dumps(told)], f"The data set {told['name']}")
    return str(out)


def _run(command: list[str], what: str) -> None:
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(  # noqa: S603 - our own programs
        command, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise QuantizationFailed(
            f"{what} could not be read: {last}",
            hint="Check the name and the file; --calibration mcp needs neither.",
        )
