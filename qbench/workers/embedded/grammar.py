"""Replies that must be JSON: tool calls that are due, and response formats. Through llguidance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import llguidance.hf
import llguidance.numpy
import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerFast

SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""As ``json.dumps`` writes: one way to write a value, so that most tokens are forced."""


class Guide:
    """Keeps one sequence within a grammar."""

    def __init__(self, tokenizer: LLTokenizer, grammar: str) -> None:
        self._matcher = LLMatcher(tokenizer, grammar)
        self._mask = llguidance.numpy.allocate_token_bitmask(1, tokenizer.vocab_size)
        if self._matcher.is_error():
            raise ValueError(self._matcher.get_error())

    @property
    def done(self) -> bool:
        """Whether the value is complete."""
        return bool(self._matcher.is_stopped())

    def begin(self) -> list[int]:
        """Return the tokens that the grammar forces before anything is chosen."""
        return self._forced()

    def restrict(self, logits: Tensor) -> None:
        """Set the logits (vocabulary,) of forbidden tokens to minus infinity, in place."""
        llguidance.numpy.fill_next_token_bitmask(self._matcher, self._mask, 0)
        bits = np.unpackbits(self._mask.view(np.uint8), bitorder="little")[: logits.shape[0]]
        forbidden = torch.from_numpy(bits == 0).to(logits.device)
        logits.masked_fill_(forbidden, -torch.inf)

    def advance(self, token: int) -> list[int]:
        """Take a chosen token; return those that are forced after it."""
        self._matcher.consume_token(token)
        return [] if self.done else self._forced()

    def _forced(self) -> list[int]:
        forced: list[int] = self._matcher.compute_ff_tokens()
        if forced:
            self._matcher.consume_tokens(forced)
        return forced


class Grammars:
    """Makes guides for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, vocabulary: int) -> None:
        self._tokenizer = llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocabulary)

    def for_schema(self, schema: dict[str, Any]) -> Guide:
        """Make a guide for a JSON Schema. Raises ValueError for one it cannot follow."""
        guided = schema | {"x-guidance": SPACING}
        return Guide(self._tokenizer, LLMatcher.grammar_from_json_schema(json.dumps(guided)))

    def for_call(self, tools: Sequence[dict[str, Any]]) -> Guide:
        """Make a guide for a call of one of ``tools``, each with ``name`` and ``parameters``."""
        return self.for_schema({"anyOf": [_call_schema(tool) for tool in tools]})


def _call_schema(tool: dict[str, Any]) -> dict[str, Any]:
    parameters = tool.get("parameters") or {"type": "object", "properties": {}}
    return {
        "type": "object",
        "properties": {"name": {"const": tool["name"]}, "arguments": parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }
