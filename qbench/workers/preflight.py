"""Ten canned prompts before a run: they show whether a server sees what its model calls.

Each is asked three times: with calls parsed, whole and streamed, and with ``tool_choice: none``,
which leaves the text as the model wrote it. A parser that sees nothing in a text that holds calls
would make every attempt a failure of the model; that is refused before hours are spent. Nothing
here is scored, and none of its seconds are serving.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from qbench.benchmarks.chat import ChatRequest, Message, Sampling, ToolCall, ToolSpec, Turn
from qbench.errors import EngineError, EngineStartError
from qbench.workers.engines.openai_chat import ClientSettings, OpenAIChat
from qbench.workers.engines.openai_wire import Json
from qbench.workers.preflight_text import Visible, visible_calls

Finding = Literal["sees calls", "nothing to judge"]

TOKENS = 192
"""Longest reply: enough for a call, and for the beginning of a thought."""

PATIENCE_S = 600.0
"""A slow CPU is no fault of a parser."""

SHOWN = 400
"""Characters of a raw text in messages."""


def _tool(name: str, description: str, **properties: Json) -> ToolSpec:
    schema: Json = {"type": "object", "properties": properties, "required": [*properties]}
    return ToolSpec(name=name, description=description, parameters=schema)


_TEXT: Json = {"type": "string"}
TOOLS = (
    _tool("get_weather", "Current weather of a city.", city=_TEXT),
    _tool("add", "Add two integers.", a={"type": "integer"}, b={"type": "integer"}),
    _tool("save_note", "Save a note under a title.", title=_TEXT, text=_TEXT),
    _tool(
        "create_event",
        "Put an event into the calendar.",
        title=_TEXT,
        when={"type": "object", "properties": {"date": _TEXT, "time": _TEXT}},
        guests={"type": "array", "items": _TEXT},
    ),
)
NAMES = tuple(tool.name for tool in TOOLS)

PROMPTS = (
    "What is the weather in Paris? Use get_weather.",
    "What is the weather in Oslo and in Rome? Use get_weather for each.",
    "Use the add tool to add 17 and 25.",
    "Put 'Planning' into my calendar on 2026-03-04 at 10:30 with Ana and Bo, using create_event.",
    "Wie ist das Wetter in Zürich? Benutze get_weather.",
    "東京の天気は? get_weather を使ってください。",
    'Save a note titled "Menu" with the text: {"soup": "crème brûlée", "price": 4} \\ "yes".',
    "Think first, then call add: Ana has 3 boxes of 12 pens and 5 pens more. Add 36 and 5.",
    "Say hello in one word. Do not use a tool.",
    "What is the capital of France? Answer without a tool.",
)
CALLING = 8
"""The first of them ask for a call, the others for none."""


class Trial(Struct, frozen=True, kw_only=True):
    """What came of one prompt."""

    prompt: str
    raw: str = ""
    """The text with no calls parsed, thinking before it."""
    visible: tuple[Visible, ...] = ()
    whole: tuple[ToolCall, ...] = ()
    streamed: tuple[ToolCall, ...] = ()
    swallowed: bool = False
    """All of the text came back as thinking."""
    leaked: bool = False
    """Thinking stands in the content of the parsed reply."""


class Checked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a preflight found; kept with the endpoint."""

    finding: Finding
    parser: str
    prompts: int
    visible: int = 0
    """Prompts whose raw text holds a well-formed call."""
    whole: int = 0
    """Prompts with a parsed call, replies not streamed."""
    streamed: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


class Target(Struct, frozen=True, kw_only=True):
    """A server that is up, and how it is going to be asked."""

    base_url: str
    model: str
    parser: str
    """Its tool-call parser, for messages; empty where nobody knows."""
    settings: ClientSettings = ClientSettings()
    api_key: str = ""
    raw: Json = {}
    """Added to a request for the text as the model wrote it, beside ``tool_choice: none``."""
    options: bool = True
    """Whether the parser can be named with ``-o tool_call_parser``."""


async def preflight(target: Target) -> Checked:
    """Ask everything at once and judge.

    Raises:
        EngineStartError: the parser sees nothing of the calls that the model writes, or streamed
            and whole replies disagree in a way that the run would suffer from.

    """
    began = time.perf_counter()
    try:
        trials, blind = await _trials(target)
    except EngineError as error:
        raise EngineStartError(
            f"The preflight got no answer from {target.model}: {error.what}",
            hint="Look at the server's log, or skip it with -o preflight=false.",
        ) from error
    checked = judge(trials, target)
    if blind:
        checked = replace(checked, warnings=(*checked.warnings, BLIND))
    return replace(checked, seconds=round(time.perf_counter() - began, 2))


BLIND = (
    "a prompt is as long with tools as without: the chat template does not show them to the model "
    "(name one that does, or use --tool-protocol text)"
)


async def _trials(target: Target) -> tuple[list[Trial], bool]:
    whole, streamed = replace(target.settings, stream=False), replace(target.settings, stream=True)
    raw = replace(whole, extra={**whole.extra, "tool_choice": "none", **target.raw})
    async with (
        _chat(target, whole) as plain,
        _chat(target, streamed) as flowing,
        _chat(target, raw) as text,
    ):
        asked = [request(prompt) for prompt in PROMPTS]
        bare = replace(asked[0], tools=(), sampling=Sampling(max_tokens=1))
        chats = (text, plain, flowing)
        first, *rest = await asyncio.gather(
            plain.reply(bare), *(chat.reply(one) for chat in chats for one in asked)
        )
    n = len(PROMPTS)
    turns = zip(rest[:n], rest[n : 2 * n], rest[2 * n :], strict=True)
    trials = [_trial(prompt, *of) for prompt, of in zip(PROMPTS, turns, strict=True)]
    return trials, _same_length(first, rest[n])


def request(prompt: str) -> ChatRequest:
    """Return what a prompt asks."""
    return ChatRequest(
        messages=(Message(role="user", content=prompt),),
        tools=TOOLS,
        sampling=Sampling(max_tokens=TOKENS, seed=0),
        timeout_s=PATIENCE_S,
    )


def _chat(target: Target, settings: ClientSettings) -> OpenAIChat:
    return OpenAIChat(target.base_url, target.model, api_key=target.api_key, settings=settings)


def _same_length(bare: Turn, shown: Turn) -> bool:
    if bare.usage is None or shown.usage is None:
        return False
    return bare.usage.prompt_tokens == shown.usage.prompt_tokens > 0


def _trial(prompt: str, raw: Turn, whole: Turn, streamed: Turn) -> Trial:
    text = "\n".join(part for part in (raw.message.reasoning, raw.message.content) if part)
    parsed = whole.message
    return Trial(
        prompt=prompt,
        raw=text,
        visible=tuple(visible_calls(text, NAMES)),
        whole=parsed.tool_calls,
        streamed=streamed.message.tool_calls,
        swallowed=bool(raw.message.reasoning and not raw.message.content),
        leaked="<think>" in parsed.content or "</think>" in parsed.content,
    )


def judge(trials: Sequence[Trial], target: Target) -> Checked:
    """Say what the trials show.

    The parser is at fault when texts hold calls and it sees none of them: one call that is
    announced as one is enough, of look-alikes half of the prompts that ask for a call.

    Raises:
        EngineStartError: see ``preflight``.

    """
    used = [trial.streamed if target.settings.stream else trial.whole for trial in trials]
    holding = [trial for trial in trials if trial.visible]
    missed = [t for t, calls in zip(trials, used, strict=True) if t.visible and not calls]
    marked = [trial for trial in missed if any(call.marked for call in trial.visible)]
    differing = [trial for trial in trials if differs(trial.whole, trial.streamed)]
    seen = sum(bool(calls) for calls in used)
    if len(differing) >= 2 and 2 * len(differing) > max(len(holding), seen):
        _refuse_stream(differing, target)
    alike = len(missed) >= CALLING // 2 and not seen
    if (marked and not seen) or 2 * len(marked) > len(holding) or alike:
        raise _blind_parser((marked or missed)[0], len(missed), target)
    return Checked(
        finding="sees calls" if seen else "nothing to judge",
        parser=target.parser,
        prompts=len(trials),
        visible=len(holding),
        whole=sum(bool(trial.whole) for trial in trials),
        streamed=sum(bool(trial.streamed) for trial in trials),
        warnings=tuple(_warnings(trials, len(missed), len(differing), seen)),
    )


def differs(whole: Sequence[ToolCall], streamed: Sequence[ToolCall]) -> bool:
    """Whether a stream lost or broke what the whole reply holds, or the other way round.

    Other words in an argument are no difference: two requests may be answered differently.
    """
    return [_shape(call) for call in whole] != [_shape(call) for call in streamed]


def _shape(call: ToolCall) -> tuple[str, frozenset[str] | None]:
    """Return the name and the arguments' names; None for what is no JSON object."""
    try:
        return call.name, frozenset(msgspec.json.decode(call.arguments, type=dict[str, object]))
    except msgspec.MsgspecError:
        return call.name, None


def _refuse_stream(differing: Sequence[Trial], target: Target) -> None:
    """Refuse when streams are what the run is going to use and lose more than whole replies."""
    lost = [t for t in differing if _worth(t.streamed) < _worth(t.whole)]
    if not target.settings.stream or 2 * len(lost) <= len(differing):
        return
    raise EngineStartError(
        f"The tool-call parser {target.parser or 'of the server'} loses calls when it streams: "
        f"{len(lost)} of {len(PROMPTS)} prompts have less than in a whole reply. The model wrote:"
        f"\n  {_quoted(lost[0])}\n",
        hint="Ask for whole replies with -o stream=false, or try another parser.",
    )


def _worth(calls: Sequence[ToolCall]) -> tuple[int, int]:
    """Count calls, and arguments of readable ones."""
    shapes = [_shape(call)[1] for call in calls]
    return len(calls), sum(1 + len(shape) for shape in shapes if shape is not None)


def _blind_parser(trial: Trial, missed: int, target: Target) -> EngineStartError:
    name = target.parser or "of the server"
    other = "Name the parser of the model's family with -o tool_call_parser=..."
    if not target.options:
        other = "Start the server with the parser of the model's family"
    if trial.swallowed:
        other = "All of it came back as thinking: try -o reasoning_parser=none"
    return EngineStartError(
        f"The tool-call parser {name} does not see the calls that {target.model} writes "
        f"({missed} of {len(PROMPTS)} prompts). It wrote:\n  {_quoted(trial)}\n",
        hint=f"{other}, or use --tool-protocol text; -o preflight=false goes on regardless.",
    )


def _quoted(trial: Trial) -> str:
    return trial.raw[:SHOWN].replace("\n", "\n  ")


def _warnings(trials: Sequence[Trial], missed: int, differing: int, seen: int) -> list[str]:
    said = []
    if not seen and not missed:
        said.append("no reply held a tool call: the parser could not be judged")
    if missed:
        said.append(f"{missed} replies held a call that was not parsed")
    if differing:
        said.append(f"streamed and whole replies differ in {differing} prompts")
    if leaked := sum(trial.leaked for trial in trials):
        said.append(f"thinking stands in the answer of {leaked} replies: name a reasoning parser")
    return said
