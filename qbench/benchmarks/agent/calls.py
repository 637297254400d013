"""Whether a tool call is well-formed: name offered, arguments JSON and as declared."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, validator_for
from msgspec import Struct
from referencing import Registry
from referencing.exceptions import Unresolvable

from qbench.benchmarks.chat import ToolCall, ToolSpec
from qbench.benchmarks.transcript import CallFault
from qbench.errors import NotFound, ToolServerError

_LONGEST = 500  # characters of a complaint: the value that is wrong may be long
_DEEPEST = 64  # levels of nested arguments: far below where storing and sending them would fail


class Checked(Struct, frozen=True, kw_only=True):
    """A call that may be run, or what is wrong with it."""

    arguments: dict[str, Any] | None = None
    """Parsed; None when they are not a JSON object."""
    fault: CallFault = ""
    complaint: str = ""
    """What the model is told; empty when the call may be run."""


def check_call(
    call: ToolCall, specs: Mapping[str, ToolSpec], *, any_arguments: bool = False
) -> Checked:
    """Check ``call`` against the offered tools; ``any_arguments``: not against their schemas.

    Raises:
        ToolServerError: the tool's own schema is no JSON Schema.

    """
    arguments = _read_object(call.arguments)
    if arguments is None or not call.name:
        return Checked(fault="invalid_json", complaint=_unreadable(call))
    spec = specs.get(call.name)
    if spec is None:
        said = str(NotFound.among("tool", call.name[:64], specs))
        return Checked(arguments=arguments, fault="unknown_tool", complaint=f"Error: {said}")
    complaint = "" if any_arguments else _complaint(spec, arguments)
    if complaint:
        return Checked(arguments=arguments, fault="invalid_arguments", complaint=complaint)
    return Checked(arguments=arguments)


def _unreadable(call: ToolCall) -> str:
    if not call.name:
        return 'Error: the call could not be read. Write {"name": ..., "arguments": {...}} as JSON.'
    return f"Error: the arguments of {call.name[:64]} are not a JSON object. Write valid JSON."


def _read_object(text: str) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(text or "{}")  # some endpoints send "" for no arguments
    except (ValueError, RecursionError):
        return None
    if text.count("[") + text.count("{") > _DEEPEST and _deeper(value, _DEEPEST):
        return None
    return value if isinstance(value, dict) else None


def _deeper(value: Any, levels: int) -> bool:
    """Say whether ``value`` is nested in more than ``levels`` levels."""
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(item, levels - 1) for item in inner)


def _complaint(spec: ToolSpec, arguments: dict[str, Any]) -> str:
    """Return what is wrong with ``arguments``, or an empty string."""
    try:
        validator = _validator(msgspec.json.encode(spec.parameters))
        error = best_match(validator.iter_errors(arguments))
    except (SchemaError, Unresolvable, RecursionError) as broken:
        raise ToolServerError(
            f"The tool {spec.name} declares parameters that are no JSON Schema: {broken}.",
            hint="Mend the server, or leave the tool out.",
        ) from broken
    if error is None:
        return ""
    where = "".join(f" in {part!r}" for part in error.absolute_path)
    said = error.message if len(error.message) <= _LONGEST else error.message[:_LONGEST] + "..."
    return f"Error: invalid arguments of {spec.name}{where}: {said}"


@lru_cache(maxsize=1024)
def _validator(schema: bytes) -> Validator:
    """Make the validator of a schema, given as JSON; compiling costs far more than validating."""
    parsed = msgspec.json.decode(schema)
    kind = validator_for(parsed, default=Draft202012Validator)
    kind.check_schema(parsed)
    return kind(parsed, registry=Registry())  # an empty registry: nothing is fetched
