"""sequential@rounds: try, hear a verdict, try again (Inference-Time Scaling, arXiv 2504.00294)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.strategies.revising import again, review, told
from qbench.benchmarks.strategies.single import Single
from qbench.benchmarks.strategy import Option, Other, Strategy, option
from qbench.benchmarks.suite import Suite

CRITICS = ("checker", "self", "judge")
WRONG = "The answer is not right."

VERDICT = """\
Task:
{task}

An attempt at it:
{attempt}

Is this attempt right? Say briefly what is wrong with it, without solving the task. The last line \
of your reply is either "Verdict: right" or "Verdict: wrong"."""

_RIGHT = re.compile(r"verdict\W+right\b", re.IGNORECASE)


class Sequential(Single):
    """The way."""

    name = "sequential"
    version = "1"
    description = "one try after another, until a critic accepts one"
    number = 3
    options: Mapping[str, Option] = {"critic": "checker", "judge": "", "judge_url": ""}

    def calls(self, strategy: Strategy) -> int:
        """Return the tries, and the verdicts where the model itself gives them."""
        own = option(self, strategy, "critic") == "self"
        return strategy.n + (strategy.n - 1 if own else 0)

    def others(self, strategy: Strategy) -> tuple[Other, ...]:
        """Ask the judge before every try but the first."""
        if option(self, strategy, "critic") != "judge":
            return ()
        return judges(self, strategy, strategy.n - 1)

    def caveat(self, strategy: Strategy) -> str:
        """Say what the checker is."""
        if option(self, strategy, "critic") != "checker":
            return ""
        return "told by the suite's own verdict when to stop: an upper bound"

    def refuse(self, strategy: Strategy, suite: Suite) -> str:
        """Refuse a critic that there is not."""
        del suite
        critic = option(self, strategy, "critic")
        if critic not in CRITICS:
            return f"there is no critic {critic!r} (known: {', '.join(CRITICS)})"
        return wants_judge(self, strategy, wanted=critic == "judge")

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Try until a try is accepted, or no more is allowed."""
        made, sample = [await asking.path()], asking.sample
        for _ in range(asking.strategy.n - 1):
            draft = made[-1]
            critique, right = await self._judged(asking, draft)
            heard = asking.answer(critique) if critique is not None else WRONG
            if critique is not None:
                made.insert(len(made) - 1 if right else len(made), critique)
            if right:
                break
            made.append(await asking.path(again(sample, told(asking.candidate(draft)), heard)))
        return tuple(made)

    async def _judged(self, asking: Asking, draft: int) -> tuple[int | None, bool]:
        """Return the path of the verdict, None for the checker's, and whether it is good."""
        critic = option(self, asking.strategy, "critic")
        if critic == "checker":
            value = asking.means.value
            assert value is not None
            return None, value(asking.sample, asking.candidate(draft)) >= 1
        by = "judge" if critic == "judge" else ""
        number = await review(asking, VERDICT, draft, role="critique", by=by)
        return number, bool(_RIGHT.search(asking.answer(number)))


def judges(way: Single, strategy: Strategy, paths: int) -> tuple[Other, ...]:
    """Return the judge that a strategy's options name, where they name one."""
    model = str(option(way, strategy, "judge"))
    url = str(option(way, strategy, "judge_url"))
    return (Other(role="judge", model=model, base_url=url, paths=paths),) if model else ()


def wants_judge(way: Single, strategy: Strategy, *, wanted: bool) -> str:
    """Say that a judge is missing, or named and not asked; empty where it fits."""
    named = bool(option(way, strategy, "judge"))
    if wanted and not named:
        return "it needs a judge: add :judge=MODEL, such as judge=openai/gpt-4.1-mini"
    if named and not wanted:
        return "a judge is named that nothing would ask"
    return ""
