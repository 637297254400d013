"""Other models that a strategy asks: a judge, or who a question is handed on to.

They are asked where somebody else serves them: by an API's name, at a URL, or as a script. A model
that would be loaded here needs an engine and a bill of its own, which an attempt does not have.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec

from qbench.benchmarks.catalogue import load_strategy
from qbench.benchmarks.strategy import Other
from qbench.errors import Unsupported
from qbench.service.catalogue import default_engine
from qbench.service.domain import Strategy, System

SCRIPTED = "scripted/"
"""``scripted/SCRIPT?option=value&…``: the fake that ships, with its options."""


def others_of(strategy: Strategy) -> tuple[Other, ...]:
    """Return the other models that a strategy asks."""
    return load_strategy(strategy.name).others(strategy)


def system_of(other: Other) -> System:
    """Return another model as a system of its own.

    Raises:
        Unsupported: it would have to be loaded here.

    """
    if other.model.startswith(SCRIPTED):
        return _scripted(other.model)
    engine = default_engine(other.model, other.base_url)
    if engine not in ("api", "external"):
        raise Unsupported(
            f"{other.model} cannot be asked as {other.role}: it would have to be loaded here.",
            hint=f"Serve it, and add {other.role}_url=http://… to the strategy; or name an API "
            "model such as openai/gpt-4.1-mini.",
        )
    options = {"drop_unsupported": True} if engine == "api" else {}
    return System(
        model=other.model,
        format="native",
        engine=engine,
        base_url=other.base_url,
        options=options,
    )


def _scripted(name: str) -> System:
    script, _, query = name.removeprefix(SCRIPTED).partition("?")
    options = {key: _value(value) for key, value in parse_qsl(query)}
    return System(
        model=name, format="native", engine="scripted", options={"script": script} | options
    )


def _value(text: str) -> object:
    try:
        return msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        return text
