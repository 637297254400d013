"""Pin the dependencies: requirements.lock, for every platform, without torch.

torch is left out because each machine wants another build of it (CPU, CUDA, MPS); the Makefile
installs it first.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEADER = "# Made by `make lock`; torch is installed by the Makefile.\n"
EXTRAS = ("local", "api", "postgres", "service", "otel", "suites", "dev")
LEAVE_OUT = "torch ; sys_platform == 'never'\n"


def main() -> int:
    """Write the lock with uv."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as override:
        override.write(LEAVE_OUT)
        override.flush()
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--universal"]
        command += ["--no-header", "--no-annotate", "--python-version", "3.11", "--quiet"]
        command += ["--override", override.name]
        command += [part for extra in EXTRAS for part in ("--extra", extra)]
        done = subprocess.run(  # noqa: S603 - a fixed command
            command, cwd=ROOT, capture_output=True, text=True, check=False
        )
    if done.returncode:
        sys.stderr.write(done.stderr)
        return done.returncode
    lines = [line for line in done.stdout.splitlines() if not line.startswith("torch==")]
    (ROOT / "requirements.lock").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
