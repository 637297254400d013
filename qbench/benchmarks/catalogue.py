"""Suites, strategies and sources of data by name: one table each, one place that imports them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any, cast

from qbench.benchmarks.data import Get
from qbench.benchmarks.strategies.way import Way
from qbench.benchmarks.strategy import Strategy, read_strategy
from qbench.benchmarks.suite import Suite
from qbench.benchmarks.suites.several import Several
from qbench.errors import ConfigError, NotFound

SUITES = {
    "bfcl": "qbench.benchmarks.suites.bfcl.suite:BfclSuite",
    "code": "qbench.benchmarks.suites.code.suite:CodeSuite",
    "humaneval": "qbench.benchmarks.suites.code.published.suite:HumanEvalSuite",
    "mbpp": "qbench.benchmarks.suites.code.published.suite:MbppSuite",
    "mcp": "qbench.benchmarks.suites.mcp:McpSuite",
    "open": "qbench.benchmarks.suites.open:OpenSuite",
    "prompts": "qbench.benchmarks.suites.prompts:PromptsSuite",
    "mcp-servers": "qbench.benchmarks.suites.mcp_servers.suite:McpServersSuite",
    "reasoning": "qbench.benchmarks.suites.reasoning.suite:ReasoningSuite",
    "sums": "qbench.benchmarks.suites.sums:SumsSuite",
    "tools-at-scale": "qbench.benchmarks.suites.tools_at_scale.suite:ToolsAtScaleSuite",
}

DECLARED = (
    "aime-2024",
    "aime-2025",
    "gpqa-diamond",
    "gsm8k",
    "ifeval",
    "math-500",
    "matscibench",
    "mmlu-pro",
)
"""Suites that a YAML file in ``suites/declared/shipped`` declares; users add files of their own."""
DECLARED_ROOM = "qbench.benchmarks.suites.declared"

REFERENCE_FREE = frozenset({"open", "prompts"})
"""Suites in which nothing passes or fails: their answers are compared by `qbench arena`."""

STRATEGIES = {
    "single": "qbench.benchmarks.strategies.single:Single",
    "cot": "qbench.benchmarks.strategies.cot:ChainOfThought",
    "few-shot": "qbench.benchmarks.strategies.few_shot:FewShot",
    "majority": "qbench.benchmarks.strategies.majority:Majority",
    "best-of": "qbench.benchmarks.strategies.best_of:BestOf",
    "self-critique": "qbench.benchmarks.strategies.self_critique:SelfCritique",
    "self-refine": "qbench.benchmarks.strategies.self_refine:SelfRefine",
    "sequential": "qbench.benchmarks.strategies.sequential:Sequential",
    "pdr": "qbench.benchmarks.strategies.pdr:ParallelDistilRefine",
    "budget": "qbench.benchmarks.strategies.budget:Budget",
    "agent": "qbench.benchmarks.strategies.agent:Agent",
    "tools": "qbench.benchmarks.strategies.tools:Tools",
    "cascade": "qbench.benchmarks.strategies.cascade:Cascade",
}

SOURCES: dict[str, str] = {
    "humaneval": "qbench.benchmarks.suites.code.published.records:get_humaneval",
    "mbpp": "qbench.benchmarks.suites.code.published.records:get_mbpp",
    "bfcl": "qbench.benchmarks.suites.bfcl.source:get",
    "prompts": "qbench.benchmarks.suites.prompts:get",
    "mcp-servers": "qbench.benchmarks.suites.mcp_servers.getting:get",
}
"""What `qbench suites get` fetches: functions of type ``Get``; besides those of ``DECLARED``."""


def load_suite(name: str) -> Suite:
    """Make the suite called ``name``, or several of them: ``mcp,sums``.

    A declared one is named by its YAML file, or as a run names it: ``NAME@DIGEST``.

    Raises:
        NotFound: there is no such suite.
        ConfigError: a declared suite's file is no definition, or is not on this machine.

    """
    names = name.split(",")
    if len(names) > 1:
        return Several([load_suite(part) for part in names])
    if is_declared(name):
        module = importlib.import_module(f"{DECLARED_ROOM}.loading")
        return cast("Suite", module.load_declared(name))
    if name not in SUITES:
        raise NotFound.among("suite", name, suite_names())
    return cast("Suite", _load("suite", name, SUITES)())


def suite_names() -> tuple[str, ...]:
    """Return the names of all suites that come with qbench."""
    return tuple(sorted((*SUITES, *DECLARED)))


def is_declared(name: str) -> bool:
    """Whether ``name`` is that of a declared suite: shipped, of a file, or of a run."""
    return name in DECLARED or "@" in name or name.endswith((".yaml", ".yml"))


def reference_free(name: str) -> bool:
    """Say whether nothing passes or fails in a suite, or in any of several.

    Raises:
        ConfigError: in some of them, but not in others.

    """
    free = {part.partition("/")[0] in REFERENCE_FREE for part in name.split(",")}
    if len(free) > 1:
        raise ConfigError(
            f"{name} mixes suites with and without right answers.",
            hint="Run those without, open and prompts, on their own: qbench arena ranks them.",
        )
    return free == {True}


def load_strategy(name: str) -> Way:
    """Return what carries out the strategy called ``name``. Raises NotFound."""
    return cast("Way", _load("strategy", name, STRATEGIES)())


def most_paths(strategy: Strategy) -> int:
    """Return how many paths an attempt takes at most."""
    return load_strategy(strategy.name).calls(strategy)


def load_source(name: str) -> Get:
    """Return what fetches the data of a suite. Raises NotFound."""
    if is_declared(name):
        module = importlib.import_module(f"{DECLARED_ROOM}.hub")
        return cast("Get", module.getter(name))
    if name not in SOURCES:
        raise NotFound.among("suite that needs data", name, (*SOURCES, *DECLARED))
    return cast("Get", _load("suite that needs data", name, SOURCES))


def data_name(name: str) -> str:
    """Return the name under which the data of a suite is kept: a YAML file says its own.

    Raises:
        ConfigError: the file is no definition.

    """
    if not name.endswith((".yaml", ".yml")):
        return name
    module = importlib.import_module(f"{DECLARED_ROOM}.loading")
    return str(module.definition_of(name).name)


def strategy_of(text: str) -> Strategy:
    """Read a strategy as a user writes it; see ``read_strategy``."""
    return read_strategy(text, load_strategy)


def asked(text: str) -> tuple[Suite, tuple[str, ...]]:
    """Read ``suite``, ``suite/task`` or several of them, as a user writes them.

    Returns the suite and its tasks that are meant, in its order.

    Raises:
        NotFound: there is no such suite or task.
        ConfigError: nothing is named.

    """
    wanted = _by_suite(text)
    if not wanted:
        raise ConfigError("No suite is named.", hint="See `qbench suites`.")
    suites = {name: load_suite(name) for name in wanted}
    if len(wanted) == 1:
        suite, tasks = suites[next(iter(wanted))], next(iter(wanted.values()))
    else:
        suite = Several(list(suites.values()))
        tasks = {
            f"{made.name}/{task}"
            for name, made in suites.items()
            for task in wanted[name] or made.tasks
        }
    every = tuple(dict.fromkeys((*suite.tasks, *suite.further_tasks)))
    for task in tasks:
        if task not in every:
            raise NotFound.among(f"task of suite {suite.name}", task, every)
    return suite, tuple(task for task in every if task in tasks) or suite.tasks


def _by_suite(text: str) -> dict[str, set[str]]:
    """Split at commas; a suite named alone means all of its tasks."""
    found: dict[str, set[str]] = {}
    whole: set[str] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, task = parted(part)
        found.setdefault(name, set())
        if task:
            found[name].add(task)
        else:
            whole.add(name)
    return {name: set() if name in whole else tasks for name, tasks in found.items()}


def parted(text: str) -> tuple[str, str]:
    """Split ``suite/task``; a YAML file's path has slashes of its own."""
    path = re.match(r"(.+\.ya?ml)(?:/(.*))?$", text)
    if path:
        return path[1], path[2] or ""
    name, _, task = text.partition("/")
    return name, task


def _load(what: str, name: str, table: Mapping[str, str]) -> Any:
    if name not in table:
        raise NotFound.among(what, name, table)
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
