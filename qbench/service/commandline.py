"""A request as the command line that would make it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

import msgspec

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.chat import Sampling
from qbench.service.domain import Request, Strategy, System
from qbench.service.order import Order


def command_of(request: Request, systems: Sequence[System], *, samples: int) -> str:
    """Write the command line that runs some of a request's systems on another number of samples.

    The systems share their engine, strategy, sampling and options with each other, as those of a
    request made from one order do.
    """
    first, baseline = systems[0], next(s for s in request.systems if s.id == request.baseline)
    copies = any(system.replica for system in request.systems)
    return shlex.join(
        [
            "qbench",
            "run",
            *_of_suite(request),
            *(part for model in _distinct(s.model for s in systems) for part in ("-m", model)),
            *("-f", ",".join(_distinct(s.format for s in systems))),
            *_of_strategies(_distinct(s.strategy.spelled for s in systems)),
            *("--baseline", baseline.ref.partition("#")[0]),
            *("--engine", first.engine),
            *(("--base-url", first.base_url) if first.base_url else ()),
            *("-n", str(samples)),
            *("--noise-floor" if copies else "--no-noise-floor",),
            *_of_system(first),
        ]
    )


def _of_strategies(spelled: list[str]) -> list[str]:
    return [] if spelled == ["single"] else ["--strategy", ",".join(spelled)]


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _of_suite(request: Request) -> list[str]:
    made = ["--suite", _suite(request)]
    made += ["--level", ",".join(map(str, request.levels))]
    usual, limits = Order(), request.limits
    for name, value, default in (
        ("--epochs", request.epochs, usual.epochs),
        ("--seed", request.seed, usual.seed),
        ("--margin", request.margin, usual.margin),
        ("--until", request.until, usual.until),
        ("--turns", limits.turns, usual.limits.turns),
        ("--token-limit", limits.tokens, usual.limits.tokens),
        ("--time-limit", limits.seconds, usual.limits.seconds),
    ):
        if value != default:
            made += [name, str(value)]
    return made


def _suite(request: Request) -> str:
    """Name the suite, and its tasks where not all are asked."""
    if len(request.tasks) == len(load_suite(request.suite).tasks):
        return request.suite
    start = "" if "," in request.suite else f"{request.suite}/"
    return ",".join(f"{start}{task}" for task in request.tasks)


def _of_system(system: System) -> list[str]:
    sampling, usual = system.sampling, Sampling()
    made = ["--max-tokens", str(sampling.max_tokens)]
    if sampling.temperature != usual.temperature:
        made += ["--temperature", str(sampling.temperature)]
    if sampling.top_p != usual.top_p:
        made += ["--top-p", str(sampling.top_p)]
    if system.strategy.tool_protocol != Strategy().tool_protocol:
        made += ["--tool-protocol", system.strategy.tool_protocol]
    if not system.strategy.examples:
        made += ["--no-examples"]
    for name, value in system.options.items():
        made += ["-o", f"{name}={msgspec.json.encode(value).decode()}"]
    return made
