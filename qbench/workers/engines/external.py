"""The engine that somebody else started: any OpenAI-compatible URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from msgspec import Meta, Struct, to_builtins
from msgspec.structs import replace

from qbench.errors import ConfigError, EngineStartError, NotFound, QbenchError
from qbench.service.domain import Endpoint, System, new_id
from qbench.workers.engines import Say
from qbench.workers.engines.openai_chat import ClientSettings, OpenAIChat, display_url
from qbench.workers.engines.openai_models import Card, Found, look_up
from qbench.workers.engines.options import DEFAULT_KEY, api_key, read_options
from qbench.workers.engines.serving import MeasuredServing
from qbench.workers.limiter import AdaptiveLimit, AdaptiveRule, FixedLimit, Gate
from qbench.workers.preflight import Target, preflight


class ExternalOptions(Struct, frozen=True, kw_only=True):
    """``System.options`` of this engine."""

    served_name: str = ""
    """The model's name at the endpoint; empty: the system's model."""
    unlisted: bool = False
    """Ask for a model that the endpoint does not list."""
    stream: bool = True
    """Streamed replies have a TTFT and gaps; whole ones cost the harness less CPU."""
    adaptive: bool = True
    """Let the limit follow 429s up to the run's concurrency; False: always that many."""
    api_key_env: str = ""
    """Environment variable that holds the key; empty: ``QBENCH_API_KEY`` if it is set."""
    hardware: str = ""
    """Price-book name of the machine behind the URL; empty: unknown, so unpriced."""
    devices: Annotated[int, Meta(ge=1)] = 1
    max_tokens_field: str = "max_tokens"
    reasoning_field: str = ""
    extra_body: dict[str, Any] = {}
    """Added to every request, for example ``chat_template_kwargs``."""
    preflight: bool = False
    """Ask ten canned prompts first, and refuse a tool-call parser that sees nothing."""


class ExternalEngine:
    """Measures an endpoint as it is; what it runs on and with is known only as far as told."""

    def refuse(self, system: System) -> str:
        """Say what is missing: a URL, a key that was named, options that exist."""
        try:
            options = read_options(system, ExternalOptions)
            check_url(system.base_url)
            api_key(options.api_key_env)
        except QbenchError as error:
            return str(error)
        return ""

    @asynccontextmanager
    async def serve(
        self, system: System, *, concurrency: int, say: Say
    ) -> AsyncIterator[MeasuredServing]:
        """Check that the endpoint answers and knows the model; yield it.

        Raises:
            ConfigError: the URL or an option is wrong.
            EngineStartError: it does not answer, refuses the key, or has no such model.

        """
        options = read_options(system, ExternalOptions)
        check_url(system.base_url)
        key, key_name = api_key(options.api_key_env), options.api_key_env or DEFAULT_KEY
        found = await look_up(system.base_url, key, key_name=key_name)
        card = chosen(found, system, options)
        endpoint = _endpoint(system, options, found, card)
        if options.preflight:
            endpoint = await _checked(endpoint, options, key, say)
        chat = OpenAIChat(
            system.base_url,
            endpoint.served_name,
            api_key=key,
            gate=gate(options, concurrency),
            settings=client_settings(options),
        )
        say(f"{chat.where} serves {endpoint.served_name} ({endpoint.engine_version or 'unknown'})")
        async with chat:
            yield MeasuredServing(endpoint, chat)


async def _checked(endpoint: Endpoint, options: ExternalOptions, key: str, say: Say) -> Endpoint:
    """Judge the server's tool-call parser. Raises EngineStartError when it sees nothing."""
    target = Target(
        base_url=endpoint.base_url,
        model=endpoint.served_name,
        parser="",
        settings=client_settings(options),
        api_key=key,
        options=False,
    )
    checked = await preflight(target)
    for warning in checked.warnings:
        say(f"preflight: {warning}")
    return replace(endpoint, details={**endpoint.details, "preflight": to_builtins(checked)})


def check_url(url: str) -> None:
    """Raise ConfigError unless ``url`` is an HTTP URL without secrets in it."""
    if not url:
        raise ConfigError(
            "The external engine needs a URL.", hint="Give --base-url http://host:8000/v1."
        )
    try:
        parts = urlsplit(url)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # an IPv6 address without its closing bracket
        is_http = False
    if not is_http:
        raise ConfigError(
            "The base URL is not an HTTP URL.", hint="Give one like http://host:8000/v1."
        )
    if parts.username or parts.password or parts.query:
        raise ConfigError(
            f"The URL of {parts.hostname} carries a user, a password or a query, which would be "
            "stored with the run.",
            hint=f"Put the key into the environment variable {DEFAULT_KEY} instead.",
        )


def chosen(found: Found, system: System, options: ExternalOptions) -> Card | None:
    """Return the card of the model asked for; None when the endpoint lists none.

    A server that answers to any name would let the row say one model and measure another.
    """
    name = options.served_name or system.model
    card = found.card(name)
    if card is not None or not found.cards or options.unlisted:
        return card
    error = NotFound.among("model", name, (card.id for card in found.cards))
    raise EngineStartError(
        f"{display_url(system.base_url)} does not list {name!r}.",
        hint=f"{error.hint[:500]} Say which it is with -o served_name=NAME "
        "(or -o unlisted=true if it serves models that it does not list).",
    )


def gate(options: ExternalOptions, concurrency: int) -> Gate:
    """Return the gate for up to ``concurrency`` requests."""
    if options.adaptive:
        return Gate(AdaptiveLimit(AdaptiveRule.up_to(concurrency)))
    return Gate(FixedLimit(concurrency))


def client_settings(options: ExternalOptions) -> ClientSettings:
    """Return how the client is to talk to the endpoint."""
    return ClientSettings(
        stream=options.stream,
        max_tokens_field=options.max_tokens_field,
        reasoning_field=options.reasoning_field,
        extra=options.extra_body,
    )


def _endpoint(
    system: System, options: ExternalOptions, found: Found, card: Card | None
) -> Endpoint:
    details: dict[str, Any] = {"server": found.server} if found.server else {}
    if card is not None and card.root:
        details["root"] = card.root
    if card is not None and card.max_model_len:
        details["max_model_len"] = card.max_model_len
    return Endpoint(
        id=new_id(),
        run_id="",
        engine_key=system.engine_key,
        base_url=system.base_url,
        served_name=card.id if card else options.served_name or system.model,
        started_at=datetime.now(UTC),
        hardware=options.hardware,
        devices=options.devices,
        format_requested=system.format,
        engine_version=found.engine_version(card),
        details=details,
    )
