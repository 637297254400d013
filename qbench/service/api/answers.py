"""Bodies: one definition of each value serves the CLI, REST and the OpenAPI document."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Query, Request, Response
from msgspec import Struct

from qbench.errors import ConfigError
from qbench.service.reports.values import to_json

T = TypeVar("T")
JSON = "application/json"
PROBLEM = "application/problem+json"
MOST_BYTES = 1024 * 1024
REF = "#/components/schemas/{name}"

Known = dict[str, type]
KNOWN: Known = {}
"""Values that the document describes, by name; filled where routes are declared."""

Limit = Annotated[int, Query(ge=1, le=1000, description="Most items of one page.")]
Cursor = Annotated[str, Query(max_length=200, description="`next` of the page before.")]


class Problem(Struct, frozen=True, kw_only=True):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    hint: str = ""
    """What to do."""
    errors: tuple[dict[str, str], ...] = ()
    """Of a request that cannot be read: ``pointer`` and ``detail`` of each mistake."""


class BodyTooLarge(ConfigError):
    """The body is larger than any that makes sense."""


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Send a value as JSON."""
    return Response(to_json(value), status, dict(headers or {}), media_type=JSON)


async def body_of(request: Request, kind: type[T]) -> T:
    """Read a body strictly as ``kind``.

    Raises:
        BodyTooLarge: more than 1 MiB.
        ConfigError: a NUL character, which PostgreSQL cannot keep.
        msgspec.ValidationError: it is JSON, but not a ``kind``.
        msgspec.DecodeError: it is no JSON.

    """
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > MOST_BYTES:
            raise BodyTooLarge(
                f"The body is larger than {MOST_BYTES} bytes.", hint="Send a smaller one."
            )
    if b"\\u0000" in data:
        raise ConfigError("The body holds a NUL character.", hint="Send it without.")
    return msgspec.json.decode(data, type=kind)


def refer(kind: type) -> dict[str, Any]:
    """Describe a value in the document by reference."""
    KNOWN[kind.__name__] = kind
    return {"$ref": REF.format(name=kind.__name__)}


def says(kind: type, *problems: int, about: str = "Done.", status: int = 200) -> dict[Any, Any]:
    """Declare what a route answers: a value, or problems with these statuses."""
    declared: dict[Any, Any] = {
        status: {"description": about, "content": {JSON: {"schema": refer(kind)}}}
    }
    return declared | problems_of(*problems)


def problems_of(*statuses: int) -> dict[Any, Any]:
    """Declare problems; those of access and of the database can happen everywhere."""
    schema = refer(Problem)
    return {
        status: {"description": ABOUT[status], "content": {PROBLEM: {"schema": schema}}}
        for status in sorted({401, 403, 422, 429, 503, *statuses})
    }


ABOUT = {
    400: "The request cannot be read.",
    401: "No key, or one that is unknown, expired or revoked.",
    402: "A budget is reached.",
    403: "The key lacks the scope.",
    404: "There is no such thing; close names are listed.",
    409: "It conflicts with what is there.",
    413: "The body is too large.",
    422: "It cannot be done as written.",
    429: "Too many requests; see Retry-After.",
    502: "An engine failed.",
    503: "The database or the broker does not answer.",
}


def takes(kind: type, *, optional: bool = False, example: Any = None) -> dict[str, Any]:
    """Declare the body that a route takes."""
    content: dict[str, Any] = {"schema": refer(kind)}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": not optional, "content": {JSON: content}}}


def cursor_of(key: str) -> str:
    """Write the cursor that goes on after the item ``key``."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_of(cursor: str) -> str:
    """Read a cursor. Raises ConfigError for one that no page gave."""
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        key = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        key = "?"
    if key and not key.isalnum():
        raise ConfigError("The cursor is not one of ours.", hint="Take `next` of a page as it is.")
    return key


def components(kinds: Iterable[type]) -> dict[str, Any]:
    """Describe values and everything in them; a number may be infinite, which JSON cannot say."""
    _, found = msgspec.json.schema_components(list(kinds), ref_template=REF)
    written: dict[str, Any] = _with_infinity(found)
    return written


def _with_infinity(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_with_infinity(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "number":
        return {"anyOf": [schema, {"enum": ["inf", "-inf"]}, {"type": "null"}]}
    return {name: _with_infinity(part) for name, part in schema.items()}
