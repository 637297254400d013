"""majority@k: k independent answers, the one given most often (Wang et al., arXiv 2203.11171).

Answers are equal when the suite reads them as equal; for tools the state that they left counts
too. An answer that cannot be read abstains; ties go to the first vote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.chat import Sampling
from qbench.benchmarks.scoring.votes import answer_key, most_votes
from qbench.benchmarks.strategies.single import Single
from qbench.benchmarks.strategy import Option, Strategy, option


class Majority(Single):
    """The way."""

    name = "majority"
    version = "1"
    description = "several independent answers, the most frequent one"
    number = 5
    options: Mapping[str, Option] = {"temperature": 0.0}
    sampled = True
    alike = True

    def calls(self, strategy: Strategy) -> int:
        """Return the votes."""
        return strategy.n

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Ask, count, accept."""
        warmth = float(option(self, asking.strategy, "temperature"))
        votes = await drawn(asking, asking.strategy.n, warmth)
        return (votes[most_votes(read(asking, votes))],)


def warm(asking: Asking, temperature: float) -> Sampling:
    """Return the system's sampling at ``temperature``; 0 leaves it as it is."""
    own = asking.means.options.sampling
    return replace(own, temperature=temperature) if temperature else own


async def drawn(asking: Asking, number: int, temperature: float) -> tuple[int, ...]:
    """Draw independent candidates at once; return them in the order of their paths."""
    sampling = warm(asking, temperature)
    paths = await asking.together(*(asking.path(sampling=sampling) for _ in range(number)))
    return tuple(sorted(paths))


def read(asking: Asking, candidates: Sequence[int]) -> list[str | None]:
    """Return what the suite reads of each candidate."""
    suite = asking.means.suite
    assert suite is not None
    return [answer_key(suite, asking.sample, asking.candidate(one)) for one in candidates]
