"""llm-compressor's environment: found, or made.

It has its own, because its pins disagree with vLLM's; nothing is installed into the environment
that runs qbench.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from qbench.errors import EngineStartError
from qbench.workers.checkpoints import Say, cache_folder
from qbench.workers.hardware import this_machine
from qbench.workers.quantize.locks import locked

VARIABLE = "QBENCH_LLMCOMPRESSOR"
VERSION = "0.14.0.1"
TORCH = "2.13.0"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
READY = "qbench-ready.json"
NEEDED_BYTES = 12 << 30
NEEDED_BYTES_CPU = 3 << 30

_ASK = """
import importlib.metadata as m, json
names = "llmcompressor compressed-tensors torch transformers".split()
print(json.dumps({name: m.version(name) for name in names}))
"""


class Tool(Struct, frozen=True, kw_only=True):
    """An environment that has llm-compressor."""

    python: str
    versions: dict[str, str]
    """Of llmcompressor, compressed-tensors, torch and transformers; torch's says for what."""


def home() -> Path:
    """Return where ``doctor --fix`` makes it."""
    return cache_folder() / "environments" / f"llmcompressor-{VERSION}"


def find_tool(environment: Mapping[str, str] = os.environ) -> Tool | None:
    """Return the environment at ``QBENCH_LLMCOMPRESSOR``, else ours; None without one.

    The variable names a Python, or the folder of its environment or of its programs.
    """
    told = environment.get(VARIABLE, "")
    if not told:
        return _look(_python(home())) if (home() / READY).is_file() else None
    path = Path(told).expanduser()
    candidates = (path, path / "bin" / "python", path / "python", path / "python.exe")
    return next((_look(one) for one in candidates if one.is_file()), None)


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@cache
def _look(python: Path) -> Tool | None:
    """Ask a Python what it has; None when it lacks llm-compressor."""
    try:
        said = subprocess.run(  # noqa: S603 - the user's own choice
            (str(python), "-I", "-c", _ASK), capture_output=True, timeout=60, check=True
        )
        versions = msgspec.json.decode(said.stdout, type=dict[str, str])
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError):
        return None
    return Tool(python=str(python), versions=versions)


def make_tool(say: Say) -> Tool:
    """Make the environment where it is missing; a half-made one is made anew.

    Several processes may ask: one makes it, the others wait.

    Raises:
        EngineStartError: it cannot be made; with what pip said.

    """
    folder = home()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_suffix(".lock"), lambda: say("another process is making it; waiting")):
        if (folder / READY).is_file() and (found := _look(_python(folder))):
            say(f"llm-compressor {VERSION} is ready in {folder}")
            return found
        _make(folder, say)
    _look.cache_clear()
    found = _look(_python(folder))
    if found is None:
        raise EngineStartError(
            f"The environment in {folder} was made and has no llm-compressor.",
            hint=f"Remove that folder, or install it yourself and set {VARIABLE}.",
        )
    return found


def _make(folder: Path, say: Say) -> None:
    """Make a virtual environment; the file that says it is ready is written last."""
    needed = NEEDED_BYTES if _wants_cuda() else NEEDED_BYTES_CPU
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise EngineStartError(
            f"{folder.parent} has {free >> 30} GiB free, and {needed >> 30} are needed.",
            hint="Make room, or set QBENCH_CACHE to a larger disk.",
        )
    if folder.exists():
        say(f"removing what was left half-made in {folder}")
        shutil.rmtree(folder)
    say(f"making a virtual environment in {folder}")
    _step([sys.executable, "-m", "venv", str(folder)], say)
    python = str(_python(folder))
    _torch(python, say)
    _install(python, [f"llmcompressor=={VERSION}"], say)
    (folder / READY).write_bytes(msgspec.json.encode({"llmcompressor": VERSION, "torch": TORCH}))


def _wants_cuda() -> bool:
    return this_machine().gpus > 0


def torch_choices() -> list[list[str]]:
    """Return pip's arguments for torch, tried in order: the CPU build where there is no GPU.

    The CPU build is a tenth of the size, and on a PyPI of one's own it may be there already.
    """
    plain = [f"torch=={TORCH}"]
    if _wants_cuda() or platform.system() != "Linux":
        return [plain]
    cpu = [f"torch=={TORCH}+cpu"]
    return [cpu, [*cpu, "--extra-index-url", CPU_INDEX], plain]


def _torch(python: str, say: Say) -> None:
    *first, last = torch_choices()
    for arguments in first:
        try:
            _install(python, arguments, say)
        except EngineStartError:
            say(f"pip install {' '.join(arguments)} did not do")
        else:
            return
    _install(python, last, say)


def _install(python: str, arguments: list[str], say: Say) -> None:
    say(f"pip install {' '.join(arguments)}")
    command = [python, "-I", "-m", "pip", "install", "--progress-bar", "off"]
    _step([*command, "--disable-pip-version-check", *arguments], say)


def _step(command: list[str], say: Say) -> None:
    """Run a command, telling what it collects and installs. Raises EngineStartError."""
    lines: list[str] = []
    with subprocess.Popen(  # noqa: S603 - pip and venv
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            lines.append(line.strip())
            if line.startswith(("Collecting ", "Installing collected")):
                say(f"  {line.strip()[:100]}")
    if running.returncode:
        failed = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        raise EngineStartError(
            f"{' '.join(command[1:4])} ended with {running.returncode}: {' '.join(failed[:2])}",
            hint=f"Check the network; or install llmcompressor yourself and set {VARIABLE}.",
        )
