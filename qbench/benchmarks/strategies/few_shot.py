"""few-shot@k: k worked examples before the question (Brown et al., arXiv 2005.14165).

They are training draws of the same task and level, whose seeds no run can have, solved by the
suite's own solution. Tool calls are really made, so that the results shown are true.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.chat import Message
from qbench.benchmarks.strategies.single import Single
from qbench.benchmarks.strategy import Strategy
from qbench.benchmarks.suite import Sample, Suite, ToolBox
from qbench.benchmarks.suites.drawing import TRAINING_SEEDS

SPARE = 2
"""More draws than are shown: one may be the very question that is asked."""


class FewShot(Single):
    """The way."""

    name = "few-shot"
    version = "1"
    description = "one answer, after worked examples that no run asks"
    number = 3

    def refuse(self, strategy: Strategy, suite: Suite) -> str:
        """Refuse a finite suite, whose samples are all an evaluation's."""
        del strategy
        if suite.generated:
            return ""
        return "it is a finite set, and every example would be one of the questions"

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Show the examples and ask once."""
        shown: list[Message] = []
        for number, one in enumerate(_examples(asking)):
            shown += await _worked(asking, one, f"example_{number}_")
        return (await asking.path(examples=tuple(shown)),)


def _examples(asking: Asking) -> Sequence[Sample]:
    suite, sample, k = asking.means.suite, asking.sample, asking.strategy.n
    assert suite is not None
    found = suite.samples(
        seed=TRAINING_SEEDS, tasks=(sample.task,), levels=(sample.level,), limit=k + SPARE
    )
    return [one for one in found if one.prompt != sample.prompt][:k]


async def _worked(asking: Asking, one: Sample, prefix: str) -> list[Message]:
    """Play the solution of an example in a world of its own."""
    suite = asking.means.suite
    assert suite is not None
    messages = [Message(role="user", content=one.prompt)]
    async with asking.means.open_world(one) as tools:
        for said in suite.solution(one):
            messages += await _played(said, tools, prefix)
    return messages


async def _played(said: Message, tools: ToolBox, prefix: str) -> list[Message]:
    calls = tuple(msgspec.structs.replace(call, id=prefix + call.id) for call in said.tool_calls)
    answers = [
        Message(
            role="tool",
            content=(await tools.call(call.name, msgspec.json.decode(call.arguments))).text,
            tool_call_id=call.id,
        )
        for call in calls
    ]
    return [msgspec.structs.replace(said, tool_calls=calls), *answers]
