"""What a provider's ``usage`` body says, in every spelling met so far."""

from __future__ import annotations

from typing import Any

from qbench.benchmarks.chat import TokenUsage

Json = dict[str, Any]


def _first(*values: Any) -> int | None:
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _details(raw: Json, *names: str) -> Json:
    for name in names:
        if isinstance(value := raw.get(name), dict):
            return value
    return {}


def token_usage(raw: Json) -> TokenUsage | None:
    """Read a provider's ``usage`` body; None unless both prompt and completion are told.

    Spellings: OpenAI (``*_tokens_details``), its Responses API and Anthropic (``input_tokens``,
    ``output_tokens``), DeepSeek (``prompt_cache_hit_tokens``), Moonshot (``cached_tokens`` at the
    top), OpenRouter (``cache_write_tokens``), litellm (``cache_creation_input_tokens``).
    Anthropic's input leaves cached tokens out and xAI's completion leaves reasoning out; both
    are added, so that counts mean the same everywhere.
    """
    prompt = _first(raw.get("prompt_tokens"), raw.get("input_tokens"))
    completion = _first(raw.get("completion_tokens"), raw.get("output_tokens"))
    if prompt is None or completion is None:
        return None
    into = _details(raw, "prompt_tokens_details", "input_tokens_details")
    out = _details(raw, "completion_tokens_details", "output_tokens_details")
    read, write = raw.get("cache_read_input_tokens"), raw.get("cache_creation_input_tokens")
    if "prompt_tokens" not in raw:
        prompt += (_first(read) or 0) + (_first(write) or 0)
    reasoning = _first(out.get("reasoning_tokens"), raw.get("reasoning_tokens")) or 0
    if reasoning and raw.get("total_tokens") == prompt + completion + reasoning:
        completion += reasoning
    hits = (into.get("cached_tokens"), raw.get("prompt_cache_hit_tokens"), raw.get("cached_tokens"))
    writes = (into.get("cache_write_tokens"), into.get("cache_creation_tokens"), write)
    return TokenUsage(
        prompt_tokens=prompt,
        cached_tokens=_first(*hits, read) or 0,
        cache_write_tokens=_first(*writes) or 0,
        completion_tokens=completion,
        reasoning_tokens=reasoning,
    )
