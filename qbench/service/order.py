"""Order: what a user writes on a command line or posts, and the Request it means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from qbench.benchmarks.catalogue import asked, load_strategy, reference_free, strategy_of
from qbench.benchmarks.chat import Sampling
from qbench.benchmarks.suite import Suite
from qbench.benchmarks.suites.drawing import TRAINING_SEEDS
from qbench.errors import ConfigError, NotFound, Unsupported
from qbench.kernels.formats import get_format
from qbench.service.catalogue import DEFAULT_MODEL, MODELS, default_engine, full_name
from qbench.service.domain import Limits, Request, Strategy, System, Until
from qbench.service.others import others_of, system_of

LOADS_FORMATS = ("embedded", "vllm")
"""Engines on which the second measurement of the baseline costs machine time alone."""

NATIVE = "native"
"""Format name of a model that somebody else serves: what really runs is unknown to us."""

DEFAULT_SAMPLES = 200
DEFAULT_MOST = 1000
"""Samples at most where a run goes on until it is decided."""
DEFAULT_TOKENS = 512


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to measure, as the user says it; empty fields mean the sensible default."""

    suite: str = "mcp"
    """A suite, ``suite/task``, or several of either, separated by commas."""
    formats: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    engine: str = ""
    base_url: str = ""
    baseline: str = ""
    """``FORMAT``, ``MODEL@FORMAT`` or ``FORMAT+STRATEGY``; empty: the unquantized first model with
    the first strategy."""
    levels: tuple[int, ...] = ()
    samples: int = 0
    epochs: int = 1
    seed: int = 0
    margin: float = 0.05
    noise_floor: bool | None = None
    """Measure the baseline once more (an A/A copy). None: where formats are compared on an engine
    that loads them itself; not where every answer is paid for or made up."""
    strategies: tuple[str, ...] = ()
    """As written: ``single``, ``majority@5``; each is asked in every format. Empty: single."""
    strategy: Strategy = Strategy()
    """How tools and worked examples are shown, in every strategy."""
    sampling: Sampling = Sampling(max_tokens=0)
    """``max_tokens`` 0: the default for the model."""
    limits: Limits = Limits()
    until: Until = "done"
    """``decided``: stop each system when its verdict is in; ``samples`` are the most then."""
    options: dict[str, Any] = {}


def to_request(order: Order) -> Request:
    """Turn an order into a request in which nothing is left implicit.

    Raises:
        NotFound: for an unknown suite, task, format or baseline; lists close names.
        ConfigError: for numbers out of range.

    """
    _check_numbers(order)
    suite, tasks = asked(order.suite)
    systems = _systems(order, suite)
    baseline = _baseline(order.baseline, systems)
    if order.until == "decided" and len(systems) < 2:
        raise ConfigError(
            "There is nothing to decide: one system alone has no verdict.",
            hint="Name formats or models to compare it with, or leave --until decided out.",
        )
    if reference_free(suite.name) and order.until == "decided":
        raise ConfigError(
            f"There is nothing to decide: nothing passes or fails in {suite.name}.",
            hint="Leave --until decided out; rank the answers with `qbench arena`.",
        )
    copies = (replace(baseline, replica=1),) if _noise_floor(order, baseline, systems) else ()
    return Request(
        systems=systems + copies,
        baseline=baseline.id,
        suite=suite.name,
        suite_version=suite.version,
        tasks=tasks,
        levels=_levels(suite, order, systems),
        limit=order.samples or _default_samples(order, systems),
        epochs=order.epochs,
        seed=order.seed,
        margin=order.margin,
        limits=_limits(order, suite),
        until=order.until,
    )


def refuse_sequential(request: Request) -> None:
    """Refuse what cannot recur. Raises Unsupported."""
    if request.sequential:
        raise Unsupported(
            "What recurs asks every sample: its runs are compared with each other by them.",
            hint="Leave --until decided out of the schedule.",
        )


def _check_numbers(order: Order) -> None:
    if order.samples < 0 or order.epochs < 1:
        raise ConfigError(
            f"Cannot run {order.samples} samples for {order.epochs} epochs.",
            hint="Give at least one of each.",
        )
    if not -TRAINING_SEEDS < order.seed < TRAINING_SEEDS:
        raise ConfigError(
            f"Seed {order.seed} is kept for calibration data.",
            hint="Take one between -2^62 and 2^62: a model must not be judged by what tuned it.",
        )
    if not 0 < order.margin < 1:
        raise ConfigError(
            f"A margin of {order.margin} is not a difference of pass rates.",
            hint="Give it between 0 and 1, for example --margin 0.05.",
        )


def _levels(suite: Suite, order: Order, systems: Sequence[System]) -> tuple[int, ...]:
    wanted = order.levels or _default_levels(systems) or suite.levels
    unknown = [level for level in wanted if level not in suite.levels]
    if unknown:
        raise NotFound.among(
            f"level of suite {suite.name}", str(unknown[0]), map(str, suite.levels)
        )
    return tuple(sorted(set(wanted)))


def _default_levels(systems: Iterable[System]) -> tuple[int, ...]:
    """Levels that every model is known to reach; empty when one is not in the catalogue."""
    known = [MODELS[s.model].levels if s.model in MODELS else () for s in systems]
    shared = set(known[0]).intersection(*map(set, known[1:]))
    return tuple(sorted(shared))


def _default_samples(order: Order, systems: Iterable[System]) -> int:
    if order.until == "decided":
        return DEFAULT_MOST
    known = [MODELS[s.model].samples if s.model in MODELS else 0 for s in systems]
    return max(known) or DEFAULT_SAMPLES


def _systems(order: Order, suite: Suite) -> tuple[System, ...]:
    models = tuple(full_name(name) for name in order.models) or (DEFAULT_MODEL,)
    found = [
        _system(order, model, fmt, strategy)
        for model in models
        for fmt in _formats_of(order, model)
        for strategy in _strategies(order, suite)
    ]
    return tuple({system.id: system for system in found}.values())


def _strategies(order: Order, suite: Suite) -> list[Strategy]:
    """Read the strategies. Raises NotFound, ConfigError, Unsupported."""
    shown = {"tool_protocol": order.strategy.tool_protocol, "examples": order.strategy.examples}
    texts = order.strategies or (order.strategy.spelled,)
    read = [replace(strategy_of(text), **shown) for text in texts]
    for strategy in read:
        if why := load_strategy(strategy.name).refuse(strategy, suite):
            raise ConfigError(
                f"The strategy {strategy.spelled} does not fit suite {suite.name}: {why}.",
                hint="See `qbench strategies`.",
            )
        for other in others_of(strategy):
            system_of(other)
    return read


def _formats_of(order: Order, model: str) -> tuple[str, ...]:
    if _engine(order, model) in ("api", "external"):
        return order.formats or (NATIVE,)
    unquantized = _baseline_format(order.baseline)
    return (unquantized, *(get_format(name).name for name in order.formats))


def _baseline_format(baseline: str) -> str:
    name = baseline.partition("+")[0].rpartition("@")[2]
    return get_format(name).name if name else "bf16"


def _engine(order: Order, model: str) -> str:
    return order.engine or default_engine(model, order.base_url)


def _system(order: Order, model: str, fmt: str, strategy: Strategy) -> System:
    engine = _engine(order, model)
    system = System(
        model=model,
        format=fmt,
        engine=engine,
        strategy=strategy,
        sampling=_sampling(order, model, strategy),
        options=order.options,
    )
    return replace(system, base_url=order.base_url) if engine == "external" else system


def _limits(order: Order, suite: Suite) -> Limits:
    """Take the suite's limit of tokens where nobody set another."""
    if order.limits.tokens != Limits().tokens:
        return order.limits
    return replace(order.limits, tokens=suite.tokens)


DRAWN_TEMPERATURE = 0.7
"""Of strategies that draw several answers, where the user gives none (as Cost-of-Pass does)."""


def _sampling(order: Order, model: str, strategy: Strategy) -> Sampling:
    known = MODELS[model].max_tokens if model in MODELS else 0
    most = order.sampling.max_tokens or known or DEFAULT_TOKENS
    warmth = order.sampling.temperature
    if not warmth and load_strategy(strategy.name).sampled:
        warmth = DRAWN_TEMPERATURE
    return _as_default(replace(order.sampling, max_tokens=most, temperature=warmth))


def _as_default(sampling: Sampling) -> Sampling:
    """Leave out what equals a default: msgspec omits only the default object itself.

    A temperature of 0.0 that somebody wrote is another object than the default's 0.0; without
    this, the same order given on a command line and over REST would be two requests.
    """
    usual = msgspec.structs.asdict(Sampling())
    given = msgspec.structs.asdict(sampling)
    return Sampling(**{name: value for name, value in given.items() if value != usual[name]})


def _noise_floor(order: Order, baseline: System, systems: Sequence[System]) -> bool:
    if order.noise_floor is not None:
        return order.noise_floor
    compared = {system.format for system in systems if system.model == baseline.model}
    return baseline.engine in LOADS_FORMATS and len(compared) > 1


def _baseline(baseline: str, systems: Sequence[System]) -> System:
    named, _, way = baseline.partition("+")
    model, _, fmt = named.rpartition("@")
    for system in systems:
        fits = fmt in ("", system.format) and way in ("", system.strategy.spelled)
        if fits and model in ("", system.model, full_name(model)):
            return system
    names = [system.ref for system in systems]
    raise NotFound.among("baseline", baseline, names)
