"""``System.options`` as an engine reads them, and the one way a key is found."""

from __future__ import annotations

import difflib
import os
from typing import TypeVar

import msgspec
from msgspec import Struct

from qbench.errors import ConfigError
from qbench.service.domain import System

DEFAULT_KEY = "QBENCH_API_KEY"

Options = TypeVar("Options", bound=Struct)


def read_options(system: System, kind: type[Options]) -> Options:
    """Read a system's options as a ``kind``. Raises ConfigError that lists what exists."""
    known = kind.__struct_fields__
    for name in system.options:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            said = f"Did you mean {close[0]}?" if close else f"It knows {', '.join(known)}."
            raise ConfigError(f"The {system.engine} engine has no option {name!r}.", hint=said)
    try:
        return msgspec.convert(system.options, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"The options of the {system.engine} engine are wrong: {error}.",
            hint="See docs/engines.md for what each takes.",
        ) from error


def api_key(variable: str) -> str:
    """Return the key in the environment variable ``variable``, or in ``QBENCH_API_KEY``.

    A key lives in the environment only: options are stored with the run, and shown. Empty when
    none is set. Raises ConfigError when a variable was named and is not set.
    """
    key = os.environ.get(variable or DEFAULT_KEY, "").strip()
    if variable and not key:
        raise ConfigError(
            f"The environment variable {variable} is not set.",
            hint=f"Put the endpoint's key there: export {variable}=...",
        )
    return key
