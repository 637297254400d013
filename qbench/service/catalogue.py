"""Models qbench knows by name, and how a name is read."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct


class Model(Struct, frozen=True, kw_only=True):
    """A language model by name, with what is good to know before it is run."""

    name: str
    """Hugging Face id, or an API name in litellm's spelling."""
    parameters: int
    """Weights, embeddings included."""
    license: str
    levels: tuple[int, ...] = ()
    """Difficulty levels worth asking it by default; empty: all of the suite."""
    samples: int = 0
    """Samples per run by default; 0: the suite's default."""
    max_tokens: int = 0
    """Most tokens of one reply by default; 0: the program's default."""
    note: str = ""


DEFAULT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"

MODELS: dict[str, Model] = {
    DEFAULT_MODEL: Model(
        name=DEFAULT_MODEL,
        parameters=134_515_008,
        license="Apache-2.0",
        levels=(1,),
        samples=160,
        max_tokens=96,  # a right call takes 20 to 40; a lost model would ramble to any limit
        note="small enough for two CPU cores; level 1 is within its reach",
    ),
}

ENGINES = {
    "embedded": "our own server on this machine's CPU or GPU; small models, every format",
    "vllm": "vLLM, found on PATH or at QBENCH_VLLM, in a process of its own",
    "external": "any OpenAI-compatible URL that somebody else started",
    "api": "a provider by litellm's name, for example openai/gpt-4.1-mini",
    "scripted": "the fake that ships: plays back answers and faults",
}
"""What serves a model."""

PROVIDERS = frozenset(
    "anthropic azure azure_ai bedrock cerebras cohere deepseek fireworks_ai gemini groq mistral "
    "moonshot nvidia_nim openai openrouter perplexity sambanova together_ai vertex_ai xai".split()
)
"""Prefixes that mean an API model in litellm's spelling rather than a Hugging Face id."""


def full_name(name: str) -> str:
    """Return the id of a known model written short or in another case, else ``name``."""
    for known in MODELS:
        if name.lower() in (known.lower(), known.rsplit("/", 1)[-1].lower()):
            return known
    return name


def is_api(name: str) -> bool:
    """Whether ``name`` is an API model rather than weights to be served here."""
    return name.partition("/")[0] in PROVIDERS and not Path(name).exists()


def default_engine(name: str, base_url: str) -> str:
    """Choose the engine for a model when the user names none."""
    if base_url:
        return "external"
    return "api" if is_api(name) else "embedded"
