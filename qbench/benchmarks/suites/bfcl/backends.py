"""The stateful back-ends of BFCL's multi-turn tasks, loaded from the unpacked data folder.

They are plain Python classes over a scenario: a file system, a car, a broker, a travel agency and
so on. A call returns text, as BFCL's own executor writes it, so that results can be compared with
those of its reference calls. The classes are imported under names of their own, and nothing of the
package they come from needs to be installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from qbench.benchmarks.data import needed
from qbench.benchmarks.suites.bfcl.records import BACKENDS, NAME, SHARED
from qbench.errors import ConfigError

PACKAGE = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"
"""Where the back-ends think that they live: one of them is imported by that name."""
STATELESS = ("MathAPI",)
LONGEST = 1_000
"""Characters of a result or an attribute that are kept as they are; longer ones by digest."""


def class_of(name: str) -> type:
    """Import a back-end. Raises ConfigError when its file or a module it needs is missing."""
    module = _module(needed(NAME) / "backends", BACKENDS[name])
    found: type = getattr(module, name)
    return found


@lru_cache(maxsize=32)
def _module(folder: Path, name: str) -> ModuleType:
    shared = f"{PACKAGE}.{SHARED}"
    before = sys.modules.get(shared)
    if name != SHARED:
        sys.modules[shared] = _module(folder, SHARED)
    try:
        return _executed(folder / f"{name}.py", f"qbench_bfcl_{name}")
    finally:
        if name != SHARED:
            _put_back(shared, before)


def _executed(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"BFCL's back-end {path.stem} needs the module {error.name}.",
            hint="pip install 'qbench[suites]'",
        ) from error
    return module


def _put_back(name: str, module: ModuleType | None) -> None:
    if module is None:
        del sys.modules[name]
    else:
        sys.modules[name] = module


class Scene:
    """The back-ends of one attempt, in the state of its scenario."""

    def __init__(
        self, classes: Sequence[str], config: dict[str, Any], *, long_context: bool = False
    ) -> None:
        self._instances: dict[str, Any] = {}
        self._methods: dict[str, Any] = {}
        for name in classes:
            instance = class_of(name)()
            if name not in STATELESS:
                instance._load_scenario(  # noqa: SLF001 - how a scenario is loaded
                    deepcopy(config.get(name, {})), long_context=long_context
                )
            self._instances[name] = instance
            self._methods |= dict(inspect.getmembers(instance, inspect.ismethod))

    def call(self, name: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """Run a method; return its result as text, and whether it is an error."""
        if name.startswith("_") or name not in self._methods:
            return f"Error during execution: name {name!r} is not defined", True
        try:
            result = self._methods[name](**deepcopy(arguments))
        except Exception as error:  # noqa: BLE001 - whatever a back-end raises is its answer
            return f"Error during execution: {error}", True
        return _text(result), isinstance(result, dict) and "error" in result

    def named(self, name: str, values: Sequence[Any]) -> list[str]:
        """Return the names of the parameters that ``values`` fill by their position."""
        return list(inspect.signature(self._methods[name]).parameters)[: len(values)]

    def state(self) -> dict[str, Any]:
        """Return the public attributes of each back-end, the long ones as digests."""
        return {
            name: {
                key: _short_value(_plain(value))
                for key, value in vars(instance).items()
                if not key.startswith("_")
            }
            for name, instance in self._instances.items()
        }


def _text(result: Any) -> str:
    if isinstance(result, dict):
        try:
            return json.dumps(result)
        except (TypeError, ValueError):
            return str(result)
    return str(result)


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON, so that what Python calls equal is equal.

    Whole floats and truth values become integers, tuples and keys that are no text are marked,
    and an object is its public attributes without the way back to its parent.
    """
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, bool | float):
        return int(value) if isinstance(value, bool) or value.is_integer() else value
    return value if value is None or isinstance(value, int | str) else _marked(value)


def _marked(value: Any) -> dict[str, Any]:
    """Return what JSON has no value for, under the name of its kind."""
    if isinstance(value, tuple):
        return {"tuple": [_plain(item) for item in value]}
    if isinstance(value, set | frozenset):
        return {"set": sorted(json.dumps(_plain(item), sort_keys=True) for item in value)}
    public = {
        key: _plain(item)
        for key, item in getattr(value, "__dict__", {"repr": repr(value)}).items()
        if key != "parent" and not key.startswith("_")
    }
    return {"object": type(value).__name__, **public}


def _key(key: Any) -> str:
    return key if isinstance(key, str) else f"key {json.dumps(_plain(key))}"


def _short_value(value: Any) -> Any:
    whole = msgspec.json.encode(value, order="deterministic")
    return value if len(whole) <= LONGEST else {"sha256": hashlib.sha256(whole).hexdigest()}


def short(text: str) -> str:
    """Return a text as it is kept for comparison: itself, or its digest when it is long."""
    if len(text) <= LONGEST:
        return text
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()}"
