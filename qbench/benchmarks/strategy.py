"""Strategy: how one answer is made. A value, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from qbench.errors import ConfigError, NotFound

Option = int | float | str

_SPELLED = re.compile(r"(?P<name>[a-z][a-z-]*)(?:@(?P<n>\d+))?(?P<rest>(?::[a-z][a-z_-]*=.*)?)")
_NEXT = re.compile(r":(?=[a-z][a-z_-]*=)")
"""Between options: a colon before ``key=``, so that a value may be a URL."""


class Strategy(Struct, frozen=True, kw_only=True):
    """How one answer is made. Part of a System's identity."""

    name: str = "single"
    tool_protocol: Literal["native", "text"] = "native"
    """``text``: tools are described in the prompt and calls are read from the reply."""
    examples: bool = True
    """Show a sample's worked examples where it has some."""
    n: int = 0
    """How many: votes, candidates, rounds, by the strategy; 0 where it takes no number."""
    options: dict[str, Option] = {}
    """Those that differ from the strategy's defaults."""
    version: str = ""
    """Of the strategy's prompts and procedure; empty for ``single``."""

    @property
    def spelled(self) -> str:
        """For command lines: ``majority@5:temperature=0.8``."""
        number = f"@{self.n}" if self.n else ""
        options = (f":{key}={value}" for key, value in sorted(self.options.items()))
        return self.name + number + "".join(options)

    @property
    def short(self) -> str:
        """For people: as it is written, models without provider and options, no addresses."""
        number = f"@{self.n}" if self.n else ""
        shown = {key: one for key, one in sorted(self.options.items()) if not key.endswith("_url")}
        return self.name + number + "".join(f":{key}={_tail(one)}" for key, one in shown.items())

    @property
    def identity(self) -> dict[str, Any]:
        """All fields, without those that are newer than the ids of stored systems where empty."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return {
            key: value
            for key, value in fields.items()
            if value or key not in ("n", "options", "version")
        }


def _tail(value: Option) -> str:
    return str(value).partition("?")[0].rpartition("/")[2]


class Other(Struct, frozen=True, kw_only=True):
    """Another model that a strategy asks: a judge, or who a question is handed on to."""

    role: str
    """Of ``Means.others``."""
    model: str
    """As an order names it."""
    base_url: str = ""
    paths: int
    """That it is asked along, at most, in one attempt."""


class Takes(Protocol):
    """What a strategy may be told, by which a spelling is read."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def version(self) -> str:
        """Of prompts and procedure: a change of either is another strategy."""
        ...

    @property
    def number(self) -> int:
        """Default of ``n``; 0 where the strategy takes no number."""
        ...

    @property
    def options(self) -> Mapping[str, Option]:
        """Option names with their defaults, which also say the type."""
        ...


def read_strategy(text: str, find: Callable[[str], Takes]) -> Strategy:
    """Read ``name``, ``name@n`` or ``name@n:key=value:key=value``.

    ``find`` returns the way of a name and raises NotFound.

    Raises:
        ConfigError: it is written in no such way, or an option has another type.
        NotFound: there is no such strategy or option.

    """
    found = _SPELLED.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            f"Cannot read a strategy from {text!r}.",
            hint="Write name, name@n or name@n:option=value, like majority@5.",
        )
    way = find(found["name"])
    return Strategy(
        name=way.name,
        n=_number(way, found["n"]),
        options=_options(way, found["rest"]),
        version=way.version,
    )


def _number(way: Takes, text: str | None) -> int:
    if text is not None and not way.number:
        raise ConfigError(
            f"The strategy {way.name} takes no number.", hint=f"Write {way.name} alone."
        )
    number = int(text) if text is not None else way.number
    if way.number and number < 1:
        raise ConfigError(f"{way.name}@{number} asks for nothing.", hint="Give at least 1.")
    return number


def _options(way: Takes, rest: str) -> dict[str, Option]:
    found: dict[str, Option] = {}
    for part in _NEXT.split(rest):
        if not part:
            continue
        key, _, value = part.partition("=")
        if key not in way.options:
            raise NotFound.among(f"option of strategy {way.name}", key, way.options)
        read = _typed(way, key, value)
        if read != way.options[key]:
            found[key] = read
    return found


def _typed(way: Takes, key: str, value: str) -> Option:
    kind = type(way.options[key])
    try:
        return kind(value)
    except ValueError:
        raise ConfigError(
            f"{key}={value} of strategy {way.name} is no {kind.__name__}.",
            hint=f"The default is {way.options[key]}.",
        ) from None


def option(way: Takes, strategy: Strategy, key: str) -> Option:
    """Return the value of an option: the strategy's, else the default."""
    return strategy.options.get(key, way.options[key])
