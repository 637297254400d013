"""The self-tests of suites as one table, and what went wrong below it."""

from __future__ import annotations

from collections.abc import Sequence

from qbench.benchmarks.checking.findings import CHECKS, Checked, Finding
from qbench.cli.render import console, tables


def checked(found: Sequence[Checked]) -> None:
    """Print a row a suite, then a line for each check that failed or could not be made."""
    headers = ("Suite", "Samples>", *(name.capitalize() for name in CHECKS), "Seconds>")
    tables.rows_of(headers, [_row(one) for one in found])
    for one in found:
        if one.skipped:
            console.out.print(f"{one.suite}: not checked. {one.skipped}", markup=False)
        for finding in one.findings:
            if finding.ok is False:
                told = f"{one.suite}: {finding.check} failed: {finding.detail}"
                console.out.print(told, style="red", markup=False)
            elif finding.detail and finding.check in ("references", "distinct"):
                told = f"{one.suite}: {finding.check}: {finding.detail}"
                console.out.print(told, markup=False)


def _row(one: Checked) -> list[str]:
    by_name = {finding.check: finding for finding in one.findings}
    cells = [_cell(by_name.get(name)) for name in CHECKS]
    samples = str(one.samples) if one.samples else "–"
    return [one.suite, samples, *cells, f"{one.seconds:.1f}"]


def _cell(finding: Finding | None) -> str:
    if finding is None or finding.ok is None:
        return "–"
    right = f"{finding.of - finding.missed}/{finding.of}"
    return right if finding.ok else f"FAIL {right}"
