"""Rating candidates from 0 to 10 by a model: the system's own, or a judge."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec.structs import replace

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.chat import Message
from qbench.benchmarks.strategies.revising import asked, told

RATE = """\
Task:
{task}

An attempt at it:
{attempt}

How sure are you that this attempt is right? Check it briefly. The last line of your reply is \
"Rating: " and a whole number from 0 (surely wrong) to 10 (surely right)."""

UNREAD = -1.0
"""Of a reply without a rating: below every rating, and never sure."""
_RATING = re.compile(r"rating\W+(\d+)", re.IGNORECASE)


async def rated(
    asking: Asking, candidates: Sequence[int], *, by: str = ""
) -> tuple[tuple[int, ...], list[float]]:
    """Rate candidates, all at once; return the paths of the ratings and shares of 10."""
    paths = await asking.together(*(_rate(asking, one, by) for one in candidates))
    return paths, [read_rating(asking.answer(path)) for path in paths]


async def _rate(asking: Asking, candidate: int, by: str) -> int:
    text = RATE.format(task=asked(asking.sample), attempt=told(asking.candidate(candidate)))
    greedy = replace(asking.means.options.sampling, temperature=0.0)
    said = [Message(role="user", content=text)]
    return await asking.call(said, role="rating", sampling=greedy, by=by)


def read_rating(text: str) -> float:
    """Read the last rating, as a share of 10; ``UNREAD`` where there is none."""
    found = _RATING.findall(text)
    return min(int(found[-1]), 10) / 10 if found else UNREAD
