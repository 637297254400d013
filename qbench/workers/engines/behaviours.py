"""What a fake model says: built-in behaviours, scripts from a file, faults drawn by a seed.

Shared by ``scripted`` (in-process) and ``mock_endpoint`` (over HTTP), so that both misbehave in
the same ways.
"""

from __future__ import annotations

import ast
import hashlib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

import msgspec
import yaml
from msgspec import Struct
from msgspec.structs import replace

from qbench.benchmarks.chat import ChatRequest, Message, ToolCall
from qbench.errors import ConfigError, NotFound

Fault = Literal[
    "rate_limit", "http_500", "timeout", "hang", "disconnect", "malformed", "flood", "bad_key"
]
"""``timeout``: silent until the client gives up; in-process at once. ``hang``: silent for ever.
``disconnect``: breaks off mid-reply. ``malformed``: not JSON. ``flood``: bytes without end."""

FAULTS: tuple[str, ...] = get_args(Fault)
MEGABYTES = 2 * 1024 * 1024


class ScriptedTurn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One reply, or one way to fail."""

    say: str = ""
    think: str = ""
    call: str = ""
    """Name of a tool to call; several calls go into ``calls``."""
    arguments: Any = None
    """An object, or a string that is sent as it is."""
    calls: tuple[tuple[str, Any], ...] = ()
    """Pairs of name and arguments."""
    finish: str = ""
    """Empty: ``tool_calls`` when there are calls, else ``stop``."""
    fault: Fault | None = None
    prompt_tokens: int | None = None
    """None: a quarter of the characters."""
    completion_tokens: int | None = None

    @property
    def message(self) -> Message:
        """The assistant's message."""
        pairs = self.calls or (((self.call, self.arguments),) if self.call else ())
        calls = tuple(
            ToolCall(id=f"call_{n}", name=name, arguments=_arguments(given))
            for n, (name, given) in enumerate(pairs)
        )
        return Message(role="assistant", content=self.say, reasoning=self.think, tool_calls=calls)

    @property
    def finish_reason(self) -> str:
        """What the endpoint reports as ``finish_reason``."""
        return self.finish or ("tool_calls" if self.call or self.calls else "stop")


def _arguments(given: Any) -> str:
    if isinstance(given, str):
        return given
    return msgspec.json.encode({} if given is None else given).decode()


class Asked(Struct, frozen=True, kw_only=True):
    """The part of a request that behaviours look at."""

    messages: Sequence[Message]
    tools: Sequence[str] = ()
    seed: int | None = None
    temperature: float = 0.0
    about: str = ""

    @classmethod
    def of(cls, request: ChatRequest) -> Asked:
        """Take the part out of ``request``."""
        names = tuple(tool.name for tool in request.tools)
        sampling = request.sampling
        return cls(
            messages=request.messages,
            tools=names,
            seed=sampling.seed,
            temperature=sampling.temperature,
            about=request.about,
        )

    @property
    def prompt(self) -> str:
        """The last user message."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")


Behaviour = Callable[[Asked], ScriptedTurn]


class Draw(Protocol):
    """A number in [0, 1) fixed by a seed and what it is drawn for."""

    def __call__(self, *what: object) -> float:
        """Draw for ``what``."""
        ...


def seeded(seed: int) -> Draw:
    """Return a draw that is the same on any machine and in any order of calls."""

    def draw(*what: object) -> float:
        digest = hashlib.blake2b(repr((seed, *what)).encode(), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64

    return draw


_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_TIMES = "\u00d7"
_EXPRESSION = re.compile(rf"[-(\d][-+*{_TIMES}\d\s()]*[-+*{_TIMES}][-+*{_TIMES}\d\s()]*[\d)]")


def arithmetic(text: str) -> int | None:
    """Return the value of the last sum or product written in ``text``; None without one."""
    for found in reversed(_EXPRESSION.findall(text[-2000:])):
        try:
            return _value(ast.parse(found.replace(_TIMES, "*").strip(), mode="eval").body)
        except (SyntaxError, ValueError):
            continue
    return None


def _value(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
    raise ValueError(f"not arithmetic: {ast.dump(node)[:80]}")


def sums(accuracy: float, draw: Draw, *, unsteady: float = 0.0, again: str = "") -> Behaviour:
    """Answer arithmetic, right with probability ``accuracy`` and else off by a little.

    The draw belongs to the question and the request's seed: systems of different accuracy fail
    on nested sets of questions, as formats of one model tend to. A share ``unsteady`` of the
    replies is drawn anew by how many were made before and by ``again``: the same question asked
    twice, or at another concurrency, may then be answered otherwise, as by a real engine.
    """
    count = 0

    def reply(asked: Asked) -> ScriptedTurn:
        nonlocal count
        count += 1
        prompt = asked.prompt
        value = arithmetic(prompt)
        if value is None:
            return ScriptedTurn(say="I see nothing to compute.")
        if unsteady and draw("unsteady", again, count) < unsteady:
            luck = draw("anew", again, count)
        else:
            luck = draw("sum", prompt, asked.seed)
        return ScriptedTurn(say=str(value if luck < accuracy else value + 1 + int(luck * 7)))

    return reply


def _fault(name: Fault) -> Behaviour:
    turn = ScriptedTurn(fault=name)
    return lambda _: turn


def _unknown_tool(_: Asked) -> ScriptedTurn:
    return ScriptedTurn(call="no_such_tool", arguments={"x": 1})


def _invalid_json_call(asked: Asked) -> ScriptedTurn:
    return ScriptedTurn(call=asked.tools[0] if asked.tools else "any", arguments='{"x": 1,')


BEHAVIOURS: dict[str, Behaviour] = {
    "echo": lambda asked: ScriptedTurn(say=asked.prompt),
    "empty": lambda _: ScriptedTurn(),
    "garbage": lambda _: ScriptedTurn(say="<|}{ \u0000\ufffd]] tool_call>> {'x': nan, \u202e"),
    "megabytes": lambda _: ScriptedTurn(say="All work and no play. " * (MEGABYTES // 22)),
    "truncated": lambda _: ScriptedTurn(say="The answer is", finish="length"),
    "unknown_tool": _unknown_tool,
    "invalid_json_call": _invalid_json_call,
    **{name: _fault(cast("Fault", name)) for name in FAULTS},
}


class Script:
    """Replies by prompt: the n-th turn answers the n-th call after that prompt.

    A conversation that goes on after the last turn gets the last turn again.
    """

    def __init__(self, turns: Mapping[str, Sequence[ScriptedTurn]], *, source: str = "") -> None:
        self._turns = turns
        self._source = source or "the script"

    def __call__(self, asked: Asked) -> ScriptedTurn:
        """Return the turn that is due. Raises ConfigError for a prompt that is not scripted."""
        said = 0
        for message in reversed(asked.messages):
            if message.role == "assistant":
                said += 1
            elif message.role == "user" and (turns := self._turns.get(message.content)):
                return turns[min(said, len(turns) - 1)]
        if turns := self._turns.get("*"):
            return turns[min(said, len(turns) - 1)]
        raise ConfigError(
            f"{self._source} has no turns for the prompt {asked.prompt[:80]!r}.",
            hint='Add it, or a "*" entry for all others.',
        )

    @classmethod
    def of(cls, raw: Any, *, source: str = "") -> Script:
        """Check a mapping of prompt to list of turns, as read from YAML or JSON."""
        try:
            turns = msgspec.convert(raw, dict[str, list[ScriptedTurn]])
        except msgspec.ValidationError as error:
            raise ConfigError(
                f"{source or 'The script'} is not a mapping of prompts to turns: {error}.",
                hint="See docs/engines.md for an example.",
            ) from error
        empty = [prompt for prompt, said in turns.items() if not said]
        if empty:
            raise ConfigError(f"The prompt {empty[0]!r} has no turns.", hint="Give it one.")
        return cls(turns, source=source)


def behaviour(
    script: Any, *, accuracy: float = 0.8, seed: int = 0, unsteady: float = 0.0, again: str = ""
) -> Behaviour:
    """Return the behaviour that ``script`` names: built in, a mapping, or a YAML or JSON file.

    All but ``script`` concern the one named ``sum``.

    Raises ConfigError; NotFound for a name that is neither.
    """
    if isinstance(script, Mapping):
        return Script.of(script)
    name = str(script)
    if name == "sum":
        return sums(accuracy, seeded(seed), unsteady=unsteady, again=again)
    if name in BEHAVIOURS:
        return BEHAVIOURS[name]
    path = Path(name)
    if path.suffix not in (".yaml", ".yml", ".json"):
        raise NotFound.among("scripted behaviour", name, [*BEHAVIOURS, "sum"])
    return Script.of(_read(path), source=name)


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"The script {path} cannot be read: {error}.", hint="Name a YAML or JSON file."
        ) from error


def faulty(inner: Behaviour, rates: Mapping[str, float], draw: Draw) -> Behaviour:
    """Let ``inner`` fail now and then; a request that comes again is drawn anew.

    Raises NotFound for an unknown fault.
    """
    for name in rates:
        if name not in FAULTS:
            raise NotFound.among("fault", name, FAULTS)
    if not rates:
        return inner
    count = 0

    def reply(asked: Asked) -> ScriptedTurn:
        nonlocal count
        count += 1
        luck = draw("fault", count)
        for name, rate in rates.items():
            if luck < rate:
                return ScriptedTurn(fault=cast("Fault", name))
            luck -= rate
        return inner(asked)

    return reply


def longer(inner: Behaviour, tokens: int) -> Behaviour:
    """Let ``inner`` say that each reply took ``tokens`` more than it did."""
    if not tokens:
        return inner

    def reply(asked: Asked) -> ScriptedTurn:
        turn = inner(asked)
        return replace(turn, completion_tokens=completion_tokens(turn) + tokens)

    return reply


def prompt_tokens(turn: ScriptedTurn, asked: Asked) -> int:
    """Return the turn's prompt tokens, else a quarter of the characters."""
    if turn.prompt_tokens is not None:
        return turn.prompt_tokens
    return 1 + sum(len(message.content) for message in asked.messages) // 4


def completion_tokens(turn: ScriptedTurn) -> int:
    """Return the turn's completion tokens, else a quarter of the characters."""
    if turn.completion_tokens is not None:
        return turn.completion_tokens
    size = len(turn.say) + len(turn.think) + len(turn.call) + 20 * len(turn.calls)
    return 1 + size // 4
