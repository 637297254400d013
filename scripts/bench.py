"""Measure qbench on this machine: the harness, the client, a leaderboard. `make bench`.

Each part is a program of its own with more options; see the files named below.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PARTS = (
    ("a run, the store, a run's columns", ("bench_store.py", "--rows", "200000")),
    ("the client of every HTTP engine", ("bench_client.py",)),
    ("the service on PostgreSQL and Redis", ("bench_service.py",)),
    ("a leaderboard over a million attempts", ("bench_leaderboard.py",)),
    ("a million attempts at other prices", ("bench_repricing.py",)),
    ("the same leaderboard in pandas", ("bench_pandas.py", "--families", "200")),
)


def main() -> int:
    """Run every part; fail if one does."""
    failed = 0
    for what, (file, *options) in PARTS:
        print(f"\n== {what} ({file})", flush=True)
        command = [sys.executable, str(HERE / file), *options]
        failed |= subprocess.run(command, check=False).returncode  # noqa: S603 - our own files
    return failed


if __name__ == "__main__":
    sys.exit(main())
