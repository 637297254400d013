"""self-critique: answer, criticise, answer again; once (the loop of PeRFICS, arXiv 2310.07611)."""

from __future__ import annotations

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.strategies.revising import again, review, told
from qbench.benchmarks.strategies.single import Single
from qbench.benchmarks.strategy import Strategy

CRITIQUE = """\
Task:
{task}

An attempt at it:
{attempt}

Review this attempt critically. Name every mistake and everything that is missing, briefly. Do not \
solve the task."""


class SelfCritique(Single):
    """The way."""

    name = "self-critique"
    version = "1"
    description = "an answer, the model's own critique of it, a second answer"

    def calls(self, strategy: Strategy) -> int:
        """Return two answers and a critique."""
        del strategy
        return 3

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Answer, criticise, answer again; the second answer is accepted in any case."""
        draft = await asking.path()
        critique = await review(asking, CRITIQUE, draft, role="critique")
        attempt = told(asking.candidate(draft))
        better = await asking.path(again(asking.sample, attempt, asking.answer(critique)))
        return draft, critique, better
