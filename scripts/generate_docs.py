"""Write docs/cli.md from the commands themselves; ``--check`` exits 1 when it is out of date."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from qbench.cli.main import VERBS

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
WIDTH = 96
HEADER = """\
# Commands

Made by `make docs` from the program itself. Every flag is also an environment variable:
`qbench run --suite mcp` is `QBENCH_RUN_SUITE=mcp qbench run`. The result goes to stdout, everything
else to stderr. Exit codes: 0 done, 1 failed, 2 usage, 3 run invalid or budget reached,
130 interrupted.
"""


def page() -> str:
    """Return the page."""
    parts = [HEADER]
    for section, verbs in VERBS.items():
        parts.append(f"\n## {section}\n")
        parts += [_command(name, place) for name, (place, _) in verbs.items()]
    return "".join(parts)


def _command(name: str, place: str) -> str:
    module, _, attribute = place.partition(":")
    return _help(name, get_command(getattr(importlib.import_module(module), attribute)))


def _help(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=f"qbench {name}", terminal_width=WIDTH)
    context.max_content_width = WIDTH
    text = f"\n### {name}\n\n```\n{command.get_help(context).strip()}\n```\n"
    parts = getattr(command, "commands", {})
    return text + "".join(_help(f"{name} {part}", made) for part, made in parts.items())


def main() -> int:
    """Write or check the page."""
    wanted = page()
    if "--check" in sys.argv:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
            return 0
        sys.stderr.write("docs/cli.md is out of date: run `make docs`.\n")
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
