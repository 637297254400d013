"""self-refine@rounds: feedback and revision until the model is content (arXiv 2303.17651)."""

from __future__ import annotations

import re

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.strategies.revising import again, review, together, told
from qbench.benchmarks.strategies.single import Single
from qbench.benchmarks.strategy import Strategy

FEEDBACK = """\
Task:
{task}

An attempt at it:
{attempt}

Give feedback on this attempt: what is wrong, and how to make it better, briefly. Do not solve the \
task. If nothing needs to change, write exactly: STOP"""

_STOP = re.compile(r"^\W*STOP\W*$", re.MULTILINE)


class SelfRefine(Single):
    """The way."""

    name = "self-refine"
    version = "1"
    description = "feedback by the model itself and revision, until it is content"
    number = 2

    def calls(self, strategy: Strategy) -> int:
        """Return the first answer, and a feedback and a revision for each round."""
        return 1 + 2 * strategy.n

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Answer, then refine; the last answer is accepted."""
        made, heard = [await asking.path()], list[str]()
        for _ in range(asking.strategy.n):
            draft = made[-1]
            feedback = await review(asking, FEEDBACK, draft, role="feedback")
            if _STOP.search(asking.answer(feedback)):
                return (*made[:-1], feedback, draft)
            heard.append(asking.answer(feedback))
            attempt = told(asking.candidate(draft))
            better = await asking.path(again(asking.sample, attempt, together(heard)))
            made += [feedback, better]
        return tuple(made)
