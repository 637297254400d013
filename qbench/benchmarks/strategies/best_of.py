"""best-of@n: n independent answers, the one that a verifier prefers.

``verifier=checker`` is the suite's own verdict: what a perfect verifier would reach, an upper
bound, as in Inference-Time Scaling (arXiv 2504.00294), and nothing that a deployment has.
``verifier=tests`` runs the tests that the prompt shows, not the hidden ones (AlphaCode, arXiv
2203.07814, filters so). ``verifier=judge`` is a model's rating of each: the system's own, or that
of ``judge=MODEL``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.strategies.majority import drawn
from qbench.benchmarks.strategies.rating import rated
from qbench.benchmarks.strategies.sequential import judges, wants_judge
from qbench.benchmarks.strategies.single import Single
from qbench.benchmarks.strategy import Option, Other, Strategy, option
from qbench.benchmarks.suite import Suite
from qbench.benchmarks.suites.drawing import training_samples

VERIFIERS = ("checker", "tests", "judge")
TESTS = "examples"
"""Score component: the share of the tests shown in the prompt that an answer passes."""


class BestOf(Single):
    """The way."""

    name = "best-of"
    version = "1"
    description = "several independent answers, the one that a verifier prefers"
    number = 4
    options: Mapping[str, Option] = {
        "verifier": "checker",
        "temperature": 0.0,
        "judge": "",
        "judge_url": "",
    }
    sampled = True
    alike = True

    def calls(self, strategy: Strategy) -> int:
        """Return the candidates, and their ratings where the model itself gives them."""
        own = option(self, strategy, "verifier") == "judge" and not option(self, strategy, "judge")
        return strategy.n * (2 if own else 1)

    def others(self, strategy: Strategy) -> tuple[Other, ...]:
        """Ask the judge about each candidate."""
        return judges(self, strategy, strategy.n)

    def caveat(self, strategy: Strategy) -> str:
        """Say what the perfect verifier is."""
        if option(self, strategy, "verifier") != "checker":
            return ""
        return "chosen by the suite's own verdict: an upper bound, which no deployment has"

    def refuse(self, strategy: Strategy, suite: Suite) -> str:
        """Refuse a verifier that there is not."""
        verifier = option(self, strategy, "verifier")
        if verifier not in VERIFIERS:
            return f"there is no verifier {verifier!r} (known: {', '.join(VERIFIERS)})"
        if verifier == "tests" and not _shows_tests(suite):
            return "its prompts show no tests to verify with"
        return "" if verifier == "judge" else wants_judge(self, strategy, wanted=False)

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Draw, judge, accept the first of the best."""
        warmth = float(option(self, asking.strategy, "temperature"))
        candidates = await drawn(asking, asking.strategy.n, warmth)
        verifier = option(self, asking.strategy, "verifier")
        if verifier != "judge":
            judged = checked if verifier == "checker" else tested
            return (best(candidates, judged(asking, candidates)),)
        by = "judge" if option(self, asking.strategy, "judge") else ""
        ratings, values = await rated(asking, candidates, by=by)
        chosen = best(candidates, values)
        return ratings[candidates.index(chosen)], chosen


def checked(asking: Asking, candidates: Sequence[int]) -> list[float]:
    """Let the suite judge each candidate."""
    value = asking.means.value
    assert value is not None
    return [value(asking.sample, asking.candidate(one)) for one in candidates]


def tested(asking: Asking, candidates: Sequence[int]) -> list[float]:
    """Return the share of the shown tests that each candidate passed; 0 where none ran."""
    suite = asking.means.suite
    assert suite is not None
    scores = (suite.score(asking.sample, asking.candidate(one)) for one in candidates)
    return [score.components.get(TESTS, 0.0) for score in scores]


def _shows_tests(suite: Suite) -> bool:
    """Whether the suite's samples carry the tests that their prompts show."""
    if not suite.generated:
        return False
    drawn = training_samples(suite, seed=0, limit=len(suite.tasks))
    return all(sample.details.get(TESTS) for sample in drawn)


def best(candidates: Sequence[int], values: Sequence[float]) -> int:
    """Return the first candidate of the highest value."""
    return candidates[max(range(len(candidates)), key=lambda place: values[place])]
