"""Judging a run's answers: heats at once, each match when its two sides are known.

Every judgement is written before the next match of its bracket is asked, so that a killed
tournament goes on where it stopped and no question is asked, or paid, twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

from msgspec import Struct

from qbench.benchmarks.agent.replies import clean_message
from qbench.benchmarks.chat import Chat, ChatRequest, Message, TokenUsage, Turn
from qbench.benchmarks.scoring.pairwise import opinion, question
from qbench.errors import ConfigError, EngineError, Unsupported
from qbench.service.apiprices import price_missing
from qbench.service.domain import Controls, System
from qbench.service.money import token_cost
from qbench.service.pricebook import PriceBook
from qbench.service.reports.arena.matches import Fixture, Plan, Played, fixtures, plan_of
from qbench.service.store import Store
from qbench.service.tournaments import Judgement, Tournament
from qbench.workers.budget import NOTHING, Budget
from qbench.workers.engines import Say, load_engine
from qbench.workers.pen import Pen
from qbench.workers.tariffs import Tariff, keeping, planned_tariff, tariff_of

HOSTED_ELSEWHERE = ("api", "external", "scripted")
"""Engines whose models are up already: a judge is asked, not started."""

TOLD = 64
"""Tokens that a chat template may add to a question."""

MOST_FAULTS = 20
"""Failed questions in a row after which a judge counts as down."""

Tell = Callable[[int, int, Decimal], None]
"""Takes questions answered, questions failed, and dollars so far."""


class Judged(Struct, frozen=True, kw_only=True):
    """What one call of ``judge_run`` did."""

    asked: int
    failed: int
    """Questions that the judge's infrastructure did not answer: asked again next time."""
    budget_reached: bool
    fault: str
    """The last of them."""


def refuse_judge(judge: System, controls: Controls, book: PriceBook) -> None:
    """Refuse what cannot judge, before anything is asked.

    Raises:
        Unsupported: its engine would have to be started, or refuses it.
        PriceMissing: a budget was set, and what it costs is not known.

    """
    if judge.engine not in HOSTED_ELSEWHERE:
        raise Unsupported(
            f"{judge.model} would have to be served by the engine {judge.engine} first.",
            hint="Start it yourself and name its URL: --judge-url http://host:8000/v1.",
        )
    if why := load_engine(judge.engine).refuse(judge):
        raise Unsupported(f"{judge.model} cannot judge on the engine {judge.engine}.", hint=why)
    if controls.budget is not None:
        tariff = planned_tariff(judge, controls, book)
        if tariff.token is None or tariff.token(datetime.now(UTC)) is None:
            raise price_missing(judge.model, book)


async def judge_run(
    tournament: Tournament, store: Store, book: PriceBook, controls: Controls, tell: Tell, say: Say
) -> Judged:
    """Ask what is still to be asked of a tournament.

    Raises:
        ConfigError: there is nothing to compare.
        EngineError: the judge does not answer at all.

    """
    plan = plan_of(store, tournament)
    if not plan.heats and not plan.pairs:
        raise ConfigError(
            f"Run {tournament.run_id} has nothing to compare: {plan.why_empty}.",
            hint="See `qbench show` for its attempts.",
        )
    store.open_tournament(tournament)
    judge = tournament.judge
    engine = load_engine(judge.engine)
    async with engine.serve(judge, concurrency=controls.concurrency, say=say) as serving:
        tariff = keeping(tariff_of(judge, serving.endpoint, controls, book), store.save_prices)
        bench = _Bench(
            tournament=tournament,
            store=store,
            chat=serving.chat,
            tariff=tariff,
            budget=Budget(controls.budget, settled=_settled(store, tournament)),
            plan=plan,
            tell=tell,
            pen=Pen(partial(store.save_judgements, tournament.id)),
            gate=asyncio.Semaphore(controls.concurrency),
            answers=store.answers(plan.attempts),
            prompts={key: one.prompt for key, one in store.samples(plan.samples).items()},
        )
        await bench.run()
    if bench.down and bench.fault is not None:
        raise bench.fault
    return Judged(
        asked=bench.asked,
        failed=bench.failed,
        budget_reached=bench.budget.reached,
        fault=bench.fault.what if bench.fault else "",
    )


def _settled(store: Store, tournament: Tournament) -> Decimal:
    made = store.judgements(tournament.id)
    return sum((one.dollars for one in made if one.dollars is not None), NOTHING)


@dataclass(kw_only=True)
class _Bench:
    """What the matches of one tournament share."""

    tournament: Tournament
    store: Store
    chat: Chat
    tariff: Tariff
    budget: Budget
    plan: Plan
    tell: Tell
    pen: Pen
    gate: asyncio.Semaphore
    answers: dict[str, str]
    prompts: dict[str, str]
    asked: int = 0
    failed: int = 0
    in_a_row: int = 0
    fault: EngineError | None = None
    down: bool = False

    async def run(self) -> None:
        """Play all heats; those of a bracket in the order of its rounds."""
        played = Played(self.store.judgements(self.tournament.id))
        try:
            async with asyncio.TaskGroup() as group:
                for heat in self.plan.heats:
                    group.create_task(self._heat(heat, played))
                if self.plan.pairs:
                    group.create_task(self._matches(self.plan.pairs, played))
        except ExceptionGroup as failed:
            raise _first(failed) from failed
        finally:
            await self.pen.close()

    async def _heat(self, heat: tuple[str, int], played: Played) -> None:
        while True:
            due = fixtures(self.tournament, heat, self.plan.heats[heat], played)
            if not due:
                return
            await self._matches(due, played)
            if any(played.result(self.tournament, one) is None for one in due):
                return  # the judge failed, or the money is used up: the rest waits for next time

    async def _matches(self, due: Sequence[Fixture], played: Played) -> None:
        async with asyncio.TaskGroup() as group:
            for fixture in due:
                for swapped in (False, True) if self.tournament.swap else (False,):
                    if swapped not in played.orders(fixture):
                        group.create_task(self._ask(fixture, played, swapped=swapped))

    async def _ask(self, fixture: Fixture, played: Played, *, swapped: bool) -> None:
        shown = (fixture.second, fixture.first) if swapped else (fixture.first, fixture.second)
        messages = question(
            self.prompts[fixture.sample_id],
            *(self.answers[one] for one in shown),
            key=f"{self.tournament.seed} {fixture.sample_id} {fixture.epoch} {fixture.slot}",
        )
        async with self.gate:
            reserve = self._worst(messages)
            if self.down or not self.budget.admit(reserve):
                return
            turn = await self._turn(messages)
            if turn is None:
                self.budget.settle(reserve, NOTHING, 0.0)
                return
            made = judgement(fixture, shown, turn, self.tariff, swapped=swapped)
            cost = reserve if made.dollars is None else made.dollars
            self.budget.settle(reserve, cost, 0.0)
            await self._keep(made, played)

    async def _turn(self, messages: tuple[Message, ...]) -> Turn | None:
        """Ask; None where infrastructure failed."""
        request = ChatRequest(messages=messages, sampling=self.tournament.judge.sampling)
        try:
            turn = await self.chat.reply(request)
        except EngineError as error:
            self.failed, self.fault = self.failed + 1, error
            self.in_a_row += 1
            self.down = self.in_a_row >= MOST_FAULTS
            self.tell(self.asked, self.failed, self.budget.spent)
            return None
        self.in_a_row = 0
        return turn

    async def _keep(self, made: Judgement, played: Played) -> None:
        """Write a judgement before anything follows from it, even when cancelled meanwhile."""
        await self.pen.keep(made)
        played.add(made)
        self.asked += 1
        self.tell(self.asked, self.failed, self.budget.spent)

    def _worst(self, messages: tuple[Message, ...]) -> Decimal:
        """Return the most that a question may cost: a byte is a token at most."""
        price = self.tariff.token(datetime.now(UTC)) if self.tariff.token else None
        if price is None:
            return NOTHING
        size = sum(len(message.content.encode()) for message in messages) + TOLD
        most = self.tournament.judge.sampling.max_tokens
        return token_cost(TokenUsage(prompt_tokens=size, completion_tokens=most), price)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """Return what failed first, however deep."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


def judgement(
    fixture: Fixture, attempts: tuple[str, str], turn: Turn, tariff: Tariff, *, swapped: bool
) -> Judgement:
    """Read a judge's reply, and price the call."""
    text = clean_message(turn.message).content
    said, usage = opinion(text), turn.usage
    price = tariff.token(turn.timing.started_at) if tariff.token else None
    return Judgement(
        sample_id=fixture.sample_id,
        epoch=fixture.epoch,
        slot=fixture.slot,
        swapped=swapped,
        first=attempts[0],
        second=attempts[1],
        choice=said.choice,
        confidence=said.confidence,
        reply=text,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        raw_usage=turn.raw_usage,
        dollars=tariff.turn_dollars(turn),
        price_id=price.id if price else "",
        started_at=turn.timing.started_at,
        e2el_s=turn.timing.e2el_s,
        finish_reason=turn.finish_reason,
        served_model=turn.served_model,
        retries=turn.retries,
    )
