"""Function descriptions of BFCL as tools: safe names, JSON Schema, source text for Java and JS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qbench.benchmarks.chat import ToolSpec

JSON_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("integer", "byte", "short", "long", "Bigint"), "integer"),
    **dict.fromkeys(("number", "float", "double"), "number"),
    **dict.fromkeys(("boolean", "bool", "Boolean"), "boolean"),
    **dict.fromkeys(("array", "list", "tuple", "Array", "ArrayList", "Queue", "Stack"), "array"),
    **dict.fromkeys(("dict", "object", "HashMap", "Hashtable"), "object"),
}
"""JSON Schema's name of each type; any other is a string, ``any`` too, as BFCL has it."""
LANGUAGES: Mapping[str, str] = {"java": "Java", "javascript": "JavaScript"}
_KEPT = ("description", "default", "minimum", "maximum", "minItems", "maxItems")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST = 64


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """Map each function's name to one that endpoints accept: letters, digits, ``_`` and ``-``."""
    found: dict[str, str] = {}
    for name in names:
        plain = _UNSAFE.sub("_", name)[:_LONGEST]
        taken = found.values()
        spare = (f"{plain[: _LONGEST - 4]}_{number}" for number in range(2, 1000))
        found[name] = plain if plain not in taken else next(n for n in spare if n not in taken)
    return found


def tool_specs(functions: Sequence[dict[str, Any]], language: str) -> tuple[ToolSpec, ...]:
    """Return ``functions`` as they are offered to a model, in their order."""
    names = safe_names(function["name"] for function in functions)
    return tuple(
        ToolSpec(
            name=names[function["name"]],
            description=_description(function, language),
            parameters=_parameters(function["parameters"], language),
        )
        for function in functions
    )


def _description(function: dict[str, Any], language: str) -> str:
    said: str = function.get("description", "")
    if language not in LANGUAGES:
        return said
    return f"{said} Arguments are {LANGUAGES[language]} source text.".strip()


def _parameters(declared: dict[str, Any], language: str) -> dict[str, Any]:
    if language not in LANGUAGES:
        return schema({**declared, "type": "dict"})
    properties = declared.get("properties", {})
    written = {name: _as_text(part, language) for name, part in properties.items()}
    return _object({**declared, "properties": {}}) | {"properties": written}


def _as_text(part: dict[str, Any], language: str) -> dict[str, Any]:
    """Describe a parameter of another language: a string that holds source text."""
    kind, inner = part["type"], part.get("items", {}).get("type", "")
    named = "any type" if kind == "any" else f"type {kind}" + (f" of {inner}" if inner else "")
    fields = part.get("properties")
    keys = f" Its entries: {json.dumps(fields)}." if fields else ""
    said = f"{part.get('description', '')} {LANGUAGES[language]} source of {named}.{keys}"
    return {"type": "string", "description": said.strip()}


def schema(part: dict[str, Any]) -> dict[str, Any]:
    """Return a described type as JSON Schema; what that does not know is left out."""
    kind = JSON_TYPES.get(part.get("type", ""), "string")
    if kind == "object":
        return _object(part)
    made = {"type": kind, **{key: part[key] for key in _KEPT if key in part}}
    if isinstance(part.get("enum"), list):
        made["enum"] = part["enum"]
    if isinstance(part.get("items"), dict):
        made["items"] = schema(part["items"])
    return made


def _object(part: dict[str, Any]) -> dict[str, Any]:
    made = {"type": "object", **{key: part[key] for key in _KEPT if key in part}}
    properties = part.get("properties")
    if isinstance(properties, dict):
        made["properties"] = {name: schema(inner) for name, inner in properties.items()}
    if isinstance(part.get("required"), list):
        made["required"] = part["required"]
    return made
