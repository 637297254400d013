"""cascade: the system answers first; a dearer model answers where it seems unsure.

Unsure is: no answer could be read (``unread``), k answers disagree (``votes``), or a judge, or the
model itself, gives a low rating (``judge``). Several first answers are drawn at ``temperature``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.scoring.votes import agreement, most_votes
from qbench.benchmarks.strategies.majority import drawn, read
from qbench.benchmarks.strategies.rating import rated
from qbench.benchmarks.strategies.sequential import judges, wants_judge
from qbench.benchmarks.strategies.single import Single
from qbench.benchmarks.strategy import Option, Other, Strategy, option
from qbench.benchmarks.suite import Suite

SIGNALS = ("unread", "votes", "judge")


class Cascade(Single):
    """The way."""

    name = "cascade"
    version = "1"
    description = "one answer, or several; another model's where they seem unsure"
    number = 1
    options: Mapping[str, Option] = {
        "to": "",
        "to_url": "",
        "unsure": "unread",
        "least": 0.7,
        "judge": "",
        "judge_url": "",
        "temperature": 0.7,
    }

    def calls(self, strategy: Strategy) -> int:
        """Return the first answers, and the rating where the model itself gives it."""
        own = self._signal(strategy) == "judge" and not option(self, strategy, "judge")
        return strategy.n + own

    def _signal(self, strategy: Strategy) -> str:
        return str(option(self, strategy, "unsure"))

    def others(self, strategy: Strategy) -> tuple[Other, ...]:
        """Ask who it is handed on to, and the judge, once each."""
        to, url = (str(option(self, strategy, key)) for key in ("to", "to_url"))
        return (Other(role="to", model=to, base_url=url, paths=1), *judges(self, strategy, 1))

    def refuse(self, strategy: Strategy, suite: Suite) -> str:
        """Refuse a cascade that leads nowhere, or whose signal cannot be had."""
        del suite
        signal = self._signal(strategy)
        if not option(self, strategy, "to"):
            return "it needs a model to hand on to: add :to=MODEL, such as to=openai/gpt-4.1"
        if signal not in SIGNALS:
            return f"there is no signal {signal!r} (known: {', '.join(SIGNALS)})"
        if signal == "votes" and strategy.n < 2:
            return "votes need at least two answers: cascade@3:unsure=votes"
        if option(self, strategy, "judge") and signal != "judge":
            return wants_judge(self, strategy, wanted=False)
        return ""

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Answer, measure how sure that is, hand on where it is not."""
        strategy = asking.strategy
        several = strategy.n > 1
        warmth = float(option(self, strategy, "temperature")) if several else 0.0
        drafts = await drawn(asking, strategy.n, warmth)
        keys = read(asking, drafts)
        chosen = drafts[most_votes(keys)]
        waited, surety = await self._sure(asking, chosen, keys)
        if surety >= float(option(self, strategy, "least")):
            return (*waited, chosen)
        return (chosen, *waited, await asking.path(by="to"))

    async def _sure(
        self, asking: Asking, chosen: int, keys: Sequence[str | None]
    ) -> tuple[tuple[int, ...], float]:
        """Return what was asked for it, and how sure the chosen answer is, 0 to 1."""
        signal = self._signal(asking.strategy)
        if signal == "judge":
            by = "judge" if option(self, asking.strategy, "judge") else ""
            paths, found = await rated(asking, (chosen,), by=by)
            return paths, found[0]
        if signal == "votes":
            return (), agreement(keys)
        return (), float(any(key is not None for key in keys))
