"""The other models that a strategy asks, opened beside the system whose attempts they are part of.

Each has its own tariff; its calls are marked, so that they never count as the system's own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from msgspec.structs import replace

from qbench.benchmarks.catalogue import most_paths
from qbench.benchmarks.chat import Chat, ChatRequest, Turn
from qbench.benchmarks.limits import Limits
from qbench.benchmarks.strategy import Other
from qbench.service.apiprices import price_missing
from qbench.service.attribution import other_lines
from qbench.service.domain import Attempt, LedgerLine, System
from qbench.service.others import others_of, system_of
from qbench.service.pricebook import PriceBook
from qbench.workers.engines import Say, load_engine
from qbench.workers.tariffs import NOTHING, Keep, Tariff, keeping, other_tariff


@dataclass(frozen=True, kw_only=True)
class Others:
    """The other models of one served system; none for most strategies."""

    chats: Mapping[str, Chat] = field(default_factory=dict)
    """By role."""
    tariffs: Mapping[str, Tariff] = field(default_factory=dict)
    """By model."""

    def turn_dollars(self, turn: Turn) -> Decimal | None:
        """Price a call that another model answered."""
        return self.tariffs[turn.by].turn_dollars(turn)

    def lines(self, attempt: Attempt) -> list[LedgerLine]:
        """Return the ledger lines of the calls that other models answered."""
        return other_lines(attempt, {name: one.token for name, one in self.tariffs.items()})


class Marked:
    """A chat whose turns say which model answered."""

    def __init__(self, chat: Chat, model: str, system: System | None = None) -> None:
        self._chat, self._model = chat, model
        self.system = system
        """What answers, for traces; None where nobody knows."""

    async def reply(self, request: ChatRequest) -> Turn:
        """Answer, and sign."""
        return replace(await self._chat.reply(request), by=self._model)


@asynccontextmanager
async def opened(
    system: System,
    book: PriceBook,
    keep: Keep,
    *,
    concurrency: int,
    say: Say,
    through: Callable[[Chat, System], Chat] = lambda chat, _: chat,
) -> AsyncIterator[Others]:
    """Open what the system's strategy asks beside it; each model once.

    ``through`` puts something before a model, such as its provider's rate limit.

    Raises:
        EngineStartError, ConfigError, Unsupported: a model cannot be asked.

    """
    wanted = others_of(system.strategy)
    made: dict[str, Chat] = {}
    async with AsyncExitStack() as stack:
        for other in {one.model: one for one in wanted}.values():
            second = system_of(other)
            engine = load_engine(second.engine)
            serving = await stack.enter_async_context(
                engine.serve(second, concurrency=concurrency, say=say)
            )
            made[other.model] = Marked(through(serving.chat, second), other.model, second)
        yield Others(
            chats={one.role: made[one.model] for one in wanted},
            tariffs={name: keeping(_tariff(one, book), keep) for name, one in _by_model(wanted)},
        )


def _by_model(wanted: tuple[Other, ...]) -> list[tuple[str, Other]]:
    return list({one.model: one for one in wanted}.items())


def _tariff(other: Other, book: PriceBook) -> Tariff:
    return other_tariff(system_of(other), book)


def refuse_others(system: System) -> str:
    """Say why a model that the strategy asks beside the system cannot be asked; empty: it can."""
    for other in others_of(system.strategy):
        second = system_of(other)
        if why := load_engine(second.engine).refuse(second):
            return f"its {other.role} {other.model}: {why}"
    return ""


def worst_attempt(system: System, tariff: Tariff, limits: Limits, book: PriceBook) -> Decimal:
    """Return the most that an attempt may cost by token, other models' calls too.

    What has no price counts nothing: a budget refuses it beforehand.
    """
    own = tariff.worst(limits, most_paths(system.strategy))
    others = (_tariff(one, book).worst(limits, one.paths) for one in others_of(system.strategy))
    return own + sum(others, NOTHING)


def check_others(system: System, book: PriceBook) -> None:
    """Refuse a budget that could not be watched. Raises PriceMissing."""
    for other in others_of(system.strategy):
        token = _tariff(other, book).token
        if token is None or token(datetime.now(UTC)) is None:
            raise price_missing(other.model, book)
