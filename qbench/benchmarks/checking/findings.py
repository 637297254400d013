"""What the self-tests of a suite found."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Check = Literal["references", "blunders", "same", "extends", "distinct", "tools", "skill"]
CHECKS: dict[Check, str] = {
    "references": "the suite's own solutions pass, through its tools and the agent loop",
    "blunders": "the suite's own wrong answers fail there",
    "same": "another process with another hash seed draws the same samples",
    "extends": "a larger limit extends a smaller one",
    "distinct": "ids are unique, and what is asked twice is clustered in one family",
    "tools": "every tool that a solution calls is offered",
    "skill": "a fake model's known skill comes back at each level, and declines with the level",
}


class Finding(Struct, frozen=True, kw_only=True):
    """The outcome of one check."""

    check: Check
    ok: bool | None
    """None: it does not apply, or nothing is known to try."""
    of: int = 0
    """How many samples it was tried on."""
    missed: int = 0
    detail: str = ""
    """What went wrong first, or why it was not tried."""


class Checked(Struct, frozen=True, kw_only=True):
    """A suite's findings."""

    suite: str
    samples: int
    findings: tuple[Finding, ...] = ()
    skipped: str = ""
    """Why nothing could be checked: data or a package is missing; the hint says how to get it."""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether a check found something wrong."""
        return any(finding.ok is False for finding in self.findings)
