"""The suites by name: one table, one place that imports them."""

from __future__ import annotations

import importlib
from typing import cast

from qbench.benchmarks.suite import Suite
from qbench.errors import NotFound

SUITES = {
    "mcp": "qbench.benchmarks.suites.mcp:McpSuite",
    "sums": "qbench.benchmarks.suites.sums:SumsSuite",
}


def load_suite(name: str) -> Suite:
    """Import and make the suite called ``name``. Raises NotFound."""
    if name not in SUITES:
        raise NotFound.among("suite", name, SUITES)
    module, _, attribute = SUITES[name].partition(":")
    return cast("Suite", getattr(importlib.import_module(module), attribute)())
