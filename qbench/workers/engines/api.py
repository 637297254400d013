"""API models by litellm's names: ``openai/gpt-5``, ``anthropic/claude-sonnet-4-5``, and so on."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from msgspec import Struct

from qbench.errors import ConfigError, QbenchError, Unsupported
from qbench.service.domain import Endpoint, System, new_id
from qbench.service.redaction import environment_secrets
from qbench.workers.engines import Say
from qbench.workers.engines.external import check_url
from qbench.workers.engines.litellm_chat import LitellmChat, LitellmSettings, load_litellm
from qbench.workers.engines.openai_wire import Json
from qbench.workers.engines.options import DEFAULT_KEY, api_key, read_options
from qbench.workers.engines.serving import MeasuredServing
from qbench.workers.limiter import AdaptiveLimit, AdaptiveRule, FixedLimit, Gate

KEYS: dict[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "cerebras": ("CEREBRAS_API_KEY",),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "fireworks_ai": ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY", "FIREWORKSAI_API_KEY"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "mistral": ("MISTRAL_API_KEY",),
    "moonshot": ("MOONSHOT_API_KEY",),
    "nvidia_nim": ("NVIDIA_NIM_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY", "OR_API_KEY"),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY", "TOGETHER_AI_API_KEY"),
    "xai": ("XAI_API_KEY",),
}
"""Where litellm looks for a provider's key; providers with other ways to log in are not listed."""


class ApiOptions(Struct, frozen=True, kw_only=True):
    """``System.options`` of this engine."""

    adaptive: bool = True
    """Let the limit follow 429s up to the run's concurrency; False: always that many."""
    api_key_env: str = ""
    """Environment variable that holds the key; empty: the provider's own."""
    drop_unsupported: bool = False
    """Leave sampling parameters out that the model does not take, and record which."""
    reasoning_effort: str = ""
    extra: dict[str, Any] = {}
    """Added to every call, for example ``{"service_tier": "flex"}``."""


class ApiEngine:
    """Asks a provider; what serves the model there, and in which format, is not known."""

    def refuse(self, system: System) -> str:
        """Say what is missing: litellm, a key, options that exist. Does not import litellm."""
        try:
            options = read_options(system, ApiOptions)
            _check_library()
            _check_key(system, options)
            if system.base_url:
                check_url(system.base_url)
        except QbenchError as error:
            return str(error)
        return ""

    @asynccontextmanager
    async def serve(
        self, system: System, *, concurrency: int, say: Say
    ) -> AsyncIterator[MeasuredServing]:
        """Import litellm, check that the model takes what the system asks for, yield it.

        Raises:
            ConfigError: litellm or a key is missing, or an option is wrong.
            Unsupported: the model does not take the system's sampling parameters.

        """
        options = read_options(system, ApiOptions)
        _check_library()
        key_name = _check_key(system, options)
        say(f"{system.model}: importing litellm, which takes a few seconds")
        litellm = await asyncio.to_thread(load_litellm)
        missing = unsupported(litellm, system, options)
        if missing and not options.drop_unsupported:
            raise Unsupported(
                f"{system.model} does not take {' and '.join(sorted(missing))}.",
                hint="Allow it to be left out with -o drop_unsupported=true; it is recorded then.",
            )
        settings = LitellmSettings(
            fixed=_fixed(system, options),
            leave_out=missing,
            key_name=key_name,
            secrets=environment_secrets(),
        )
        chat = LitellmChat(system.model, gate=_gate(options, concurrency), settings=settings)
        try:
            yield MeasuredServing(_endpoint(system, missing), chat)
        finally:
            await chat.close()


def _check_library() -> None:
    if importlib.util.find_spec("litellm") is None:
        raise ConfigError(
            "The api engine needs litellm, which is not installed.",
            hint="Install it: pip install 'qbench[api]'.",
        )


def _check_key(system: System, options: ApiOptions) -> str:
    """Return the name of the variable that holds the key. Raises ConfigError where none does."""
    if options.api_key_env:
        api_key(options.api_key_env)
        return options.api_key_env
    names = KEYS.get(system.model.partition("/")[0], ())
    if system.base_url:
        names = (*names, DEFAULT_KEY)
    found = next((name for name in names if os.environ.get(name)), "")
    if names and not found:
        raise ConfigError(
            f"There is no API key for {system.model}: {' or '.join(names)} is not set.",
            hint=f"Put the key there: export {names[0]}=...",
        )
    return found


def unsupported(litellm: Any, system: System, options: ApiOptions) -> frozenset[str]:
    """Return the sampling parameters that litellm knows the model not to take as they are.

    A value that changes nothing is not asked for: a ``top_p`` of 1, or any at temperature 0.
    """
    sampling = system.sampling
    asked: Json = {"temperature": sampling.temperature}
    if sampling.top_p < 1 and sampling.temperature > 0:
        asked["top_p"] = sampling.top_p
    if sampling.seed is not None:
        asked["seed"] = sampling.seed
    effort = {"reasoning_effort": options.reasoning_effort} if options.reasoning_effort else {}
    try:
        model, provider = litellm.get_llm_provider(system.model)[:2]
    except litellm.exceptions.BadRequestError as error:
        raise ConfigError(
            f"litellm knows no provider for {system.model!r}.",
            hint="Name it provider/model, for example openai/gpt-4.1-mini.",
        ) from error
    target = {"model": model, "custom_llm_provider": provider, **effort}
    return frozenset(
        name for name, value in asked.items() if not _takes(litellm, {**target, name: value})
    )


def _takes(litellm: Any, parameters: Json) -> bool:
    try:
        litellm.get_optional_params(**parameters)
    except litellm.exceptions.UnsupportedParamsError:
        return False
    return True


def _fixed(system: System, options: ApiOptions) -> Json:
    fixed: Json = dict(options.extra)
    if options.reasoning_effort:
        fixed["reasoning_effort"] = options.reasoning_effort
    if system.base_url:
        fixed["base_url"] = system.base_url
    if options.api_key_env or system.base_url:
        # the default variable goes to an endpoint that was named, never to a provider
        fixed["api_key"] = api_key(options.api_key_env) or None
    return fixed


def _gate(options: ApiOptions, concurrency: int) -> Gate:
    if options.adaptive:
        return Gate(AdaptiveLimit(AdaptiveRule.up_to(concurrency)))
    return Gate(FixedLimit(concurrency))


def _endpoint(system: System, missing: frozenset[str]) -> Endpoint:
    return Endpoint(
        id=new_id(),
        run_id="",
        engine_key=system.engine_key,
        base_url=system.base_url,
        served_name=system.model,
        started_at=datetime.now(UTC),
        format_requested=system.format,
        engine_version=f"litellm {version('litellm')}",
        details={"left_out": sorted(missing)} if missing else {},
    )
