"""The agent loop: one sample, one model, its tools; a transcript comes out.

The model's faults never raise: an unknown tool, arguments that are not JSON or not as declared,
endless repetition or megabytes of text are answered with an error text, like a tool's own errors,
and noted in the transcript. Only infrastructure raises.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from qbench.benchmarks.agent import text_protocol
from qbench.benchmarks.agent.calls import Checked, check_call
from qbench.benchmarks.agent.replies import clean, clean_calls, clean_message, to_send
from qbench.benchmarks.chat import (
    Chat,
    ChatRequest,
    Message,
    Sampling,
    ToolCall,
    ToolChoice,
    ToolSpec,
    Turn,
)
from qbench.benchmarks.limits import Limits
from qbench.benchmarks.suite import FollowUp, Sample, ToolBox, ToolResult
from qbench.benchmarks.transcript import CallFault, Stop, ToolRun, Transcript
from qbench.errors import EngineError, QbenchError, ToolServerError

REPEATS = 3
"""Equal calls in a row that are run; a tool may fail twice, but a model in a loop never ends."""

Price = Callable[[Turn], Decimal | None]
"""Dollars of one model call; None when unknown."""


class AgentOptions(Struct, frozen=True, kw_only=True):
    """How an attempt is made, apart from its sample."""

    limits: Limits = Limits()
    sampling: Sampling = Sampling()
    tool_protocol: Literal["native", "text"] = "native"
    """``text``: see ``qbench.benchmarks.agent.text_protocol``."""
    examples: bool = True
    """Show the sample's worked examples."""


class AttemptFailed(QbenchError):
    """Infrastructure failed during an attempt; ``transcript`` is as far as it came."""

    def __init__(self, transcript: Transcript, cause: EngineError | ToolServerError) -> None:
        super().__init__(cause.what, hint=cause.hint)
        self.transcript = transcript
        self.cause = cause


async def run_attempt(
    sample: Sample,
    chat: Chat,
    tools: ToolBox,
    options: AgentOptions,
    *,
    price: Price | None = None,
) -> Transcript:
    """Let ``chat`` work on ``sample`` with ``tools`` until it answers or a limit stops it.

    ``price`` is asked after each model call when ``options.limits.dollars`` is set. Limits are
    checked between model calls, so that one call can pass them; only ``seconds`` also interrupts
    a model call. Without usage from the endpoint the token limit cannot be watched.

    Raises:
        AttemptFailed: the engine or a tool server failed; its ``cause`` is an EngineError or a
            ToolServerError.

    """
    loop = Loop(sample, chat, tools, options, price=price)
    try:
        await loop.run()
    except (EngineError, ToolServerError) as cause:
        raise AttemptFailed(loop.transcript(), cause) from cause
    return loop.transcript()


class Loop:
    """One chain of model calls while it runs: asks, runs tools, asks again.

    ``messages``: what is said first, in place of the sample's system text, examples and prompt.
    """

    def __init__(
        self,
        sample: Sample,
        chat: Chat,
        tools: ToolBox,
        options: AgentOptions,
        *,
        price: Price | None = None,
        messages: Sequence[Message] = (),
    ) -> None:
        self._sample, self._chat, self._tools, self._options = sample, chat, tools, options
        self._price = price if options.limits.dollars is not None else None
        self._text = options.tool_protocol == "text"
        later = {name for one in sample.follow_ups for name in one.tools} - set(sample.tools)
        self._specs = {spec.name: spec for spec in tools.specs if spec.name not in later}
        self._names = frozenset(self._specs)
        self._messages = list(messages) or first_messages(
            sample, options, tuple(self._specs.values())
        )
        self._asked, self._asked_at = 0, 0
        self._stop: Stop = "answered"
        self._end_state: dict[str, Any] | None = None
        self._states: list[dict[str, Any] | None] = []
        self._turns: list[Turn] = []
        self._runs: list[ToolRun] = []
        self._answer = ""
        self._parse_failures = 0
        self._tokens = 0
        self._dollars = Decimal(0)
        self._last_call, self._repeats = ("", ""), 0
        self._started = time.monotonic()

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools that are offered now."""
        return tuple(self._specs.values())

    def transcript(self) -> Transcript:
        """Return what happened so far."""
        return Transcript(
            messages=tuple(self._messages),
            turns=tuple(self._turns),
            tool_runs=tuple(self._runs),
            answer=self._answer,
            stop=self._stop,
            end_state=self._end_state,
            states=tuple(self._states),
            parse_failures=self._parse_failures,
            seconds=time.monotonic() - self._started,
        )

    async def run(self) -> None:
        """Work until the model has answered or a limit stops it, then read the world.

        Raises:
            EngineError, ToolServerError: infrastructure failed.

        """
        self._stop = await self._answer_user()
        for follow_up in self._sample.follow_ups:
            if self._stop not in ("answered", "empty"):
                break
            self._states.append(await self._state())
            self._hear(follow_up)
            self._stop = await self._answer_user()
        self._end_state = await self._state()

    async def _state(self) -> dict[str, Any] | None:
        return await self._tools.end_state(self._answer) if self._sample.world else None

    def _hear(self, follow_up: FollowUp) -> None:
        """Let the user go on."""
        self._asked, self._asked_at = self._asked + 1, len(self._turns)
        known = {spec.name: spec for spec in self._tools.specs}
        self._specs |= {name: known[name] for name in follow_up.tools}
        self._names = frozenset(self._specs)
        self._messages.append(Message(role="user", content=self._heard(follow_up)))

    def _heard(self, follow_up: FollowUp) -> str:
        """Say in words which tools are new where tools are described in the prompt."""
        if not (self._text and follow_up.tools):
            return follow_up.prompt
        new = [self._specs[name] for name in follow_up.tools]
        return f"{text_protocol.instructions(new, 'auto')}\n\n{follow_up.prompt}"

    async def _answer_user(self) -> Stop:
        """Ask and run calls in turn; return why it ended."""
        while True:
            stop = self._limit()
            if stop:
                return stop
            choice = self._tool_choice()
            turn = await self._ask(choice)
            if turn is None:
                return "time"
            calls = self._record(turn)
            if not calls:
                return self._finish(turn)
            await self._run_calls(calls)
            if self._sample.one_reply or (self._spent() and self._judged_by_state()):
                return "answered"
            if choice == "none":
                return "calls"

    def _limit(self) -> Stop | None:
        """Say which limit forbids another model call."""
        limits = self._options.limits
        if len(self._turns) - self._asked_at >= limits.turns:
            return "turns"
        if self._tokens >= limits.tokens:
            return "tokens"
        if limits.dollars is not None and self._dollars >= limits.dollars:
            return "cost"
        return "time" if self._seconds_left() <= 0 else None

    def _seconds_left(self) -> float:
        return self._options.limits.seconds - (time.monotonic() - self._started)

    def _spent(self) -> bool:
        """Say whether the sample's tool calls are used up."""
        return 0 < self._sample.max_calls <= len(self._runs)

    def _judged_by_state(self) -> bool:
        """Say whether nothing that the model could still say would count."""
        return self._sample.answer is None and self._sample.end_state is not None

    def _tool_choice(self) -> ToolChoice:
        if not self._turns:
            return self._sample.tool_choice
        return "none" if self._spent() else "auto"

    async def _ask(self, choice: ToolChoice) -> Turn | None:
        """Make one model call; None when the attempt's time ran out."""
        native = not self._text and bool(self._specs)
        request = ChatRequest(
            messages=tuple(self._messages),
            tools=tuple(self._specs.values()) if native else (),
            tool_choice=choice if native else "auto",
            sampling=self._options.sampling,
            about=self._sample.id,
        )
        try:
            async with asyncio.timeout(self._seconds_left()) as scope:
                return await self._chat.reply(request)
        except TimeoutError:
            if not scope.expired():
                raise
            return None

    def _record(self, turn: Turn) -> tuple[ToolCall, ...]:
        """Keep ``turn``, and return the calls it asks for."""
        message = clean_message(turn.message)
        if message is not turn.message:
            turn = replace(turn, message=message)
        self._turns.append(turn)
        if turn.usage is not None:
            self._tokens += turn.usage.prompt_tokens + turn.usage.completion_tokens
        if self._price is not None:
            self._dollars += self._price(turn) or 0
        return self._read_text(message) if self._text else self._read_native(message)

    def _read_native(self, message: Message) -> tuple[ToolCall, ...]:
        self._answer = message.content
        self._messages.append(message)  # made sendable when its calls have been checked
        if not message.tool_calls and self._specs and text_protocol.OPEN in message.content:
            self._note_unread(message.content)
        return message.tool_calls

    def _read_text(self, message: Message) -> tuple[ToolCall, ...]:
        self._messages.append(replace(message, reasoning="") if message.reasoning else message)
        self._answer = message.content
        if not self._specs:
            return ()
        prefix = f"call_{len(self._turns) - 1}_"
        reading = text_protocol.read_reply(message.content, id_prefix=prefix)
        self._answer = reading.text
        return clean_calls(reading.calls)

    def _note_unread(self, content: str) -> None:
        """Note calls that the model wrote as text and the endpoint did not recognise.

        They are not run: the row must show that the endpoint lacks the model's call parser.
        """
        self._parse_failures += 1
        unread = text_protocol.read_reply(content, id_prefix="unread_").calls
        for call in clean_calls(unread):
            self._keep(call, Checked(fault="invalid_json"), "")

    def _finish(self, turn: Turn) -> Stop:
        """Say how a reply without calls ends the attempt."""
        last = self._messages[-1]
        self._messages[-1] = to_send(last, unreadable=frozenset(), known=self._names)
        if turn.finish_reason == "length":
            return "length"
        return "answered" if self._answer.strip() else "empty"

    async def _run_calls(self, calls: Sequence[ToolCall]) -> None:
        """Run the calls of one turn in order and tell the model what came of them."""
        self._answer = ""
        first = len(self._runs)
        asked = len(self._messages) - 1
        for call in calls:
            await self._run_call(call)
        runs = self._runs[first:]
        unreadable = frozenset(run.call_id for run in runs if run.arguments is None)
        self._parse_failures += bool(unreadable)
        if self._text:
            self._messages.append(self._text_results(runs))
            return
        sent = to_send(self._messages[asked], unreadable=unreadable, known=self._names)
        self._messages[asked] = sent
        self._messages += [
            Message(role="tool", content=run.result, tool_call_id=run.call_id) for run in runs
        ]

    def _text_results(self, runs: Sequence[ToolRun]) -> Message:
        message = text_protocol.write_results(run.result for run in runs)
        if not self._spent():
            return message
        return replace(message, content=f"{message.content}\nNo more calls are possible. Answer.")

    async def _run_call(self, call: ToolCall) -> None:
        """Run one call if it is well-formed and allowed; note it in any case."""
        refusal = self._refusal(call)
        checked = check_call(call, self._specs, any_arguments=self._sample.any_arguments)
        if refusal or checked.fault or checked.arguments is None:
            fault: CallFault = checked.fault or "refused"
            self._keep(call, replace(checked, fault=fault), checked.complaint or refusal)
            return
        began = time.monotonic()
        result = await self._call_tool(call.name, checked)
        if result.is_error:
            checked = replace(checked, fault="tool_error")
        self._keep(call, checked, result.text, seconds=time.monotonic() - began)

    def _refusal(self, call: ToolCall) -> str:
        """Say why ``call`` is not run however well-formed it is, or return an empty string."""
        self._repeats = self._repeats + 1 if self._last_call == (call.name, call.arguments) else 1
        self._last_call = (call.name, call.arguments)
        if self._spent():
            return f"Error: not run. At most {self._sample.max_calls} tool calls are allowed."
        if self._seconds_left() <= 0:
            return "Error: not run. The time for this attempt is over."
        if self._repeats > REPEATS:
            return f"Error: not run. The same call was made {self._repeats} times in a row."
        return ""

    async def _call_tool(self, name: str, checked: Checked) -> ToolResult:
        seconds = self._options.limits.call_seconds
        try:
            async with asyncio.timeout(seconds) as scope:
                return await self._tools.call(name, checked.arguments or {})
        except TimeoutError:
            if not scope.expired():
                raise
            raise ToolServerError(
                f"The tool {name} did not answer within {seconds:g} s.",
                hint="Raise the limit of a tool call, or mend the server.",
            ) from None

    def _keep(self, call: ToolCall, checked: Checked, result: str, *, seconds: float = 0.0) -> None:
        run = ToolRun(
            turn=len(self._turns) - 1,
            call_id=call.id,
            name=call.name,
            arguments=checked.arguments,
            result=clean(result),
            fault=checked.fault,
            seconds=seconds,
            asked=self._asked,
        )
        self._runs.append(run)


def first_messages(
    sample: Sample, options: AgentOptions, specs: tuple[ToolSpec, ...]
) -> list[Message]:
    """Build what is said before the first model call: system, examples, prompt."""
    text = options.tool_protocol == "text"
    system = sample.system
    if text and specs and sample.tool_choice != "none":
        guide = text_protocol.instructions(specs, sample.tool_choice)
        system = f"{system}\n\n{guide}" if system else guide
    messages = [Message(role="system", content=system)] if system else []
    if options.examples and sample.examples:
        messages += text_protocol.as_text(sample.examples) if text else sample.examples
    messages.append(Message(role="user", content=sample.prompt))
    return messages
