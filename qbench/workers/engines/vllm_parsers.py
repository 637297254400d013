"""Which of vLLM's parsers read a model family's tool calls and thinking.

Every name is registered by vLLM 0.26 and by 0.32. A name in a table is a guess from the model's
name: the preflight shows whether it reads what the model writes.
"""

from __future__ import annotations

TOOL_PARSERS = (
    ("llama-4", "llama4_pythonic"),
    ("llama-3", "llama3_json"),
    ("llama3", "llama3_json"),
    ("qwen3-coder", "qwen3_coder"),
    ("qwen3.5", "qwen3_coder"),
    ("qwen3.6", "qwen3_coder"),
    ("qwen", "hermes"),
    ("smollm", "hermes"),
    ("hermes", "hermes"),
    ("mistral", "mistral"),
    ("ministral", "mistral"),
    ("mixtral", "mistral"),
    ("devstral", "mistral"),
    ("magistral", "mistral"),
    ("granite-4", "granite4"),
    ("granite", "granite"),
    ("deepseek-v4", "deepseek_v4"),
    ("deepseek-v3.2", "deepseek_v32"),
    ("deepseek-v3.1", "deepseek_v31"),
    ("deepseek-v3", "deepseek_v3"),
    ("deepseek-r1", "deepseek_v3"),
    ("kimi-k2", "kimi_k2"),
    ("glm-4.7", "glm47"),
    ("glm-4", "glm45"),
    ("gpt-oss", "openai"),
    ("phi-4-mini", "phi4_mini_json"),
    ("olmo-3", "olmo3"),
    ("minimax-m2", "minimax_m2"),
    ("seed-oss", "seed_oss"),
    ("internlm", "internlm"),
    ("jamba", "jamba"),
    ("xlam", "xlam"),
    ("functiongemma", "functiongemma"),
    ("gemma-4", "gemma4"),
    ("ernie-4.5", "ernie45"),
    ("hunyuan-a13b", "hunyuan_a13b"),
    ("lfm2", "lfm2"),
    ("longcat", "longcat"),
    ("apertus", "apertus"),
)
"""Part of a model's name, parser that reads its calls; the first that fits counts."""

REASONING_PARSERS = (
    ("deepseek-r1", "deepseek_r1"),
    ("deepseek-v3.1", "deepseek_v3"),
    ("qwq", "deepseek_r1"),
    ("qwen3-coder", ""),
    ("qwen3-next-80b-a3b-instruct", ""),
    ("instruct-2507", ""),
    ("qwen3", "qwen3"),
    ("glm-4.7", "glm47"),
    ("glm-4.5", "glm45"),
    ("magistral", "mistral"),
    ("gpt-oss", "openai_gptoss"),
    ("kimi-k2-thinking", "kimi_k2"),
    ("minimax-m2", "minimax_m2"),
    ("seed-oss", "seed_oss"),
    ("gemma-4", "gemma4"),
)
"""Likewise for thinking; an empty name ends the search: that kind of the family does not think."""


def by_family(model: str, table: tuple[tuple[str, str], ...], told: str) -> str:
    """Return the parser told, else the one of the model's family, else an empty string."""
    if told:
        return "" if told == "none" else told
    name = model.rstrip("/").rpartition("/")[2].lower()
    return next((parser for part, parser in table if part in name), "")
