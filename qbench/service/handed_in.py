"""Suites in orders that others send: what a server takes from them, and what it refuses.

A suite over MCP servers starts commands, and a suite's file is read from disk. Whoever may submit
runs must not thereby choose a command or a file: those come from the operator's folder of suites
(``QBENCH_SUITES``) alone.
"""

from __future__ import annotations

from msgspec.structs import replace

from qbench.benchmarks.catalogue import parted
from qbench.benchmarks.suites.served.definition import is_served, read_served, read_yaml
from qbench.benchmarks.suites.served.keeping import (
    VARIABLE,
    keep,
    kept,
    operators,
    operators_file,
)
from qbench.errors import Unsupported
from qbench.service.order import Order

ENDINGS = (".yaml", ".yml")


def admitted(order: Order) -> Order:
    """Return an order from elsewhere with its suites as this server may load them.

    Raises:
        ConfigError: a file is named that the operator's folder does not have.
        Unsupported: a suite would start commands or call servers that the operator does not offer.

    """
    parts = (part.strip() for part in order.suite.split(","))
    return replace(order, suite=",".join(_part(part) for part in parts))


def _part(text: str) -> str:
    name, task = parted(text)
    return "/".join(filter(None, (_suite(name), task)))


def _suite(name: str) -> str:
    if name.endswith(ENDINGS):
        path = operators_file(name)
        return keep(read_served(path)) if is_served(read_yaml(path)) else str(path)
    if kept(name) is not None and name not in operators():
        raise Unsupported(
            f"The suite {name} starts MCP servers that this server's operator does not offer.",
            hint=f"Run it where you are, or ask the operator to put its file into ${VARIABLE}.",
        )
    return name
