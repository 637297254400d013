"""The real program in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

REPOSITORY = Path(__file__).parents[2]
LIMIT_S = 120
"""A process that takes longer hangs."""


@dataclass(frozen=True)
class Ended:
    """What a process left."""

    code: int
    out: str
    talk: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out.encode())


@dataclass(frozen=True)
class Program:
    """``qbench`` with a database and an environment of its own."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("QBENCH_") and not name.endswith("_API_KEY")
        }
        own = {
            "QBENCH_DATABASE": str(self.folder / "qbench.db"),
            "XDG_DATA_HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder),
            "COLUMNS": "100",
            "PYTHONPATH": str(REPOSITORY),
        }
        return kept | own

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "qbench", *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, **environment: str) -> Ended:
        with self.start(*arguments, **environment) as process:
            out, talk = process.communicate(timeout=LIMIT_S)
        return Ended(code=process.returncode, out=out, talk=talk)

    def run(self, *arguments: str, accuracy: Any = 0.8, **options: Any) -> Ended:
        """Run small sums with the scripted engine."""
        texts = [f"{key}={json.dumps(value)}" for key, value in options.items()]
        texts.append(f"accuracy={json.dumps(accuracy)}")
        chosen = [part for text in texts for part in ("--option", text)]
        return self("run", "--engine", "scripted", "--suite", "sums", *chosen, *arguments)
