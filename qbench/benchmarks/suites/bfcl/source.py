"""Getting BFCL's files: out of its wheel, which is downloaded or given, and never installed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from qbench.benchmarks.data import Origin, Say
from qbench.benchmarks.suites.bfcl.records import BACKENDS, MULTI_TURN, PREFIX, SHARED, SINGLE
from qbench.errors import ConfigError

VERSION = "2026.3.23"
SHA256 = "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a"
WHEEL = f"bfcl_eval-{VERSION}-py3-none-any.whl"
_CODE = "bfcl_eval/eval_checker/multi_turn_eval/func_source_code"
_DOWNLOAD_S = 300


def get(folder: Path, source: str, say: Say) -> Origin:
    """Fill ``folder`` with the questions, the answers and the back-ends of the pinned wheel.

    ``source``: path of the wheel; empty: it is downloaded with pip.

    Raises:
        ConfigError: it cannot be had, or it is another one than was pinned.

    """
    with tempfile.TemporaryDirectory() as made:
        wheel = Path(source).expanduser() if source else downloaded(Path(made), say)
        digest = _digest(wheel)
        _unpack(wheel, folder)
    say("The back-ends are Python code of that wheel; qbench runs them as tools.")
    return Origin(
        source=source or f"PyPI: bfcl-eval=={VERSION}",
        version=VERSION,
        license="Apache-2.0",
        sha256=digest,
        fetched=datetime.now(UTC),
    )


def downloaded(folder: Path, say: Say) -> Path:
    """Download the wheel into ``folder``. Raises ConfigError when pip cannot."""
    say(f"Downloading bfcl-eval=={VERSION} from PyPI (2 MB; its dependencies are not needed).")
    name = f"bfcl-eval=={VERSION}"
    options = ("--no-deps", "--only-binary=:all:", "--quiet", "--dest", str(folder))
    command = [sys.executable, "-m", "pip", "download", name, *options]
    hint = "Give the wheel by hand: qbench suites get bfcl --from WHEEL"
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            command, capture_output=True, text=True, check=False, timeout=_DOWNLOAD_S
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError("Downloading bfcl-eval took too long.", hint=hint) from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise ConfigError(f"pip could not download {name}: {last[0]}.", hint=hint)
    return folder / WHEEL


def _digest(wheel: Path) -> str:
    """Return the wheel's digest. Raises ConfigError when it is not the pinned one."""
    try:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"{wheel} cannot be read: {error}.", hint=f"Give {WHEEL}.") from error
    if digest != SHA256:
        raise ConfigError(
            f"{wheel} is not {WHEEL}: its sha256 is {digest[:12]}.., not {SHA256[:12]}..",
            hint=f"Get it with: pip download --no-deps bfcl-eval=={VERSION}",
        )
    return digest


def _unpack(wheel: Path, folder: Path) -> None:
    try:
        with ZipFile(wheel) as archive:
            for inside, place in _wanted():
                path = folder / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(str(inside)))
    except (BadZipFile, KeyError) as error:
        raise ConfigError(f"{wheel} lacks BFCL's files: {error}.", hint=f"Give {WHEEL}.") from error


def _wanted() -> Iterator[tuple[PurePosixPath, str]]:
    """Yield the wheel's files that are used, and where each goes."""
    data = PurePosixPath("bfcl_eval/data")
    tasks = [f"{PREFIX}{task}.json" for task in (*SINGLE, *MULTI_TURN)]
    answered = [name for name in tasks if "relevance" not in name]
    kept = [*tasks, *(f"possible_answer/{name}" for name in answered)]
    kept += [f"multi_turn_func_doc/{module}.json" for module in BACKENDS.values()]
    yield from ((data / name, name) for name in kept)
    for module in (SHARED, *BACKENDS.values()):
        yield PurePosixPath(_CODE) / f"{module}.py", f"backends/{module}.py"
    yield PurePosixPath(f"bfcl_eval-{VERSION}.dist-info/METADATA"), "METADATA"
