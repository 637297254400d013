"""Runs inside the sandbox: an answer under the tests of HumanEval or MBPP, or on their inputs.

An order as JSON on stdin; one line of JSON for the loading and one for each test. With checks the
tests stand beside the answer, as these sets have them; a line tells the order's word when a
check went through, so that leaving early is no pass. With inputs the values are told.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO


def main() -> None:
    """Carry out the order on stdin."""
    order = json.load(sys.stdin)
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
    try:
        scope = _load(order)
    except BaseException as error:  # noqa: BLE001 - whatever an answer raises
        _tell(channel, {"broken": f"{type(error).__name__}: {error}"[:300]})
        return
    _tell(channel, {"ready": True})
    for check in order["checks"]:
        _tell(channel, _checked(order, scope, check))
    for text in map(json.dumps, order["calls"]):
        _tell(channel, _called(order, scope, text))


def _load(order: dict[str, Any]) -> dict[str, Any]:
    scope: dict[str, Any] = {"__name__": "answer"}
    exec(compile(order["source"], "answer.py", "exec"), scope)  # noqa: S102 - the sandbox is for it
    if not callable(scope.get(order["function"])):
        raise TypeError(f"there is no function {order['function']}")
    return scope


def _checked(order: dict[str, Any], scope: dict[str, Any], check: str) -> dict[str, Any]:
    try:
        exec(compile(check, "check.py", "exec"), dict(scope))  # noqa: S102 - as above
    except BaseException as error:  # noqa: BLE001 - as above
        return {"error": f"{type(error).__name__}: {error}"[:300]}
    return {"value": order["word"]}


def _called(order: dict[str, Any], scope: dict[str, Any], text: str) -> dict[str, Any]:
    try:
        value = scope[order["function"]](*json.loads(text))
        return {"value": _plain(value)}
    except BaseException as error:  # noqa: BLE001 - as above
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def _plain(value: Any) -> Any:
    """Write a value as JSON that keeps what JSON does not: sets, keys that are no strings."""
    if isinstance(value, set | frozenset):
        return {"set": sorted((_plain(one) for one in value), key=repr)}
    if isinstance(value, dict):
        pairs = [[_plain(key), _plain(part)] for key, part in value.items()]
        return {"dict": sorted(pairs, key=repr)}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else {"float": repr(value)}  # noqa: PLR0124
    return {"repr": repr(value)}


def _tell(channel: TextIO, what: dict[str, Any]) -> None:
    channel.write(json.dumps(what) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
