"""What an OpenAI-compatible endpoint says of itself before the first request."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from qbench.errors import EngineStartError
from qbench.workers.engines.openai_chat import display_url
from qbench.workers.engines.openai_errors import Refusal

LOOK_S = 15.0
MOST_BYTES = 4 * 1024 * 1024


class Card(Struct, frozen=True, kw_only=True):
    """One model of ``GET /v1/models``."""

    id: str
    root: str | None = None
    """What the server loaded, where ``id`` is only an alias of it (vLLM)."""
    owned_by: str | None = None
    max_model_len: int | None = None
    """Context window in tokens (vLLM)."""


class _List(Struct, frozen=True, kw_only=True):
    data: list[Card]


class _Version(Struct, frozen=True, kw_only=True):
    version: str


class Found(Struct, frozen=True, kw_only=True):
    """What the endpoint told; empty fields where it told nothing."""

    cards: tuple[Card, ...] = ()
    version: str = ""
    server: str = ""
    """Its ``Server`` header."""

    def card(self, name: str) -> Card | None:
        """Return the card of the model that ``name`` is the id or the root of."""
        by_id = [card for card in self.cards if card.id == name]
        return next(iter(by_id or [card for card in self.cards if card.root == name]), None)

    def engine_version(self, card: Card | None) -> str:
        """Name the server as well as it is known: ``vllm 0.26.0``, or its ``Server`` header."""
        owner = (card.owned_by or "") if card else ""
        return f"{owner} {self.version}".strip() if self.version else owner or self.server


async def look_up(base_url: str, key: str, *, key_name: str) -> Found:
    """Ask the endpoint for its models and version; either may be missing.

    Args:
        base_url: Ends in ``/v1`` as a rule.
        key: Sent as a bearer token when not empty.
        key_name: The environment variable that holds the key, for messages.

    Raises:
        EngineStartError: nothing answers there, the key is not accepted, or the server is ill.

    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=LOOK_S)
    root = base_url.rstrip("/")
    where = display_url(root)
    try:
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            status, body, server = await _get(session, f"{root}/models")
            _check(status, body, where, (key, key_name))
            cards = _decoded(body, _List) if status == HTTPStatus.OK else None
            _, told, _ = await _get(session, f"{root.removesuffix('/v1')}/version")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise EngineStartError(
            f"Nothing answers at {where}: {error or type(error).__name__}.",
            hint="Start the server, or check --base-url (it usually ends in /v1).",
        ) from error
    version = _decoded(told, _Version)
    return Found(
        cards=tuple(cards.data) if cards else (),
        version=version.version if version else "",
        server=server,
    )


async def _get(session: aiohttp.ClientSession, url: str) -> tuple[int, bytes, str]:
    async with session.get(url, allow_redirects=False) as response:
        body = await response.content.read(MOST_BYTES)
        while len(body) < MOST_BYTES and not response.content.at_eof():
            body += await response.content.read(MOST_BYTES)
        return response.status, body, response.headers.get("Server", "")


def _check(status: int, body: bytes, where: str, key: tuple[str, str]) -> None:
    """Raise what a status means; a server without ``/models`` is fine."""
    secret, name = key
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        said = "the key in" if secret else "no key was sent; set"
        raise EngineStartError(
            f"{where} answered HTTP {status}: {said} {name}"
            + (" is not accepted." if secret else "."),
            hint=f"Put a key that this endpoint accepts into {name}: export {name}=...",
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED:
        message = Refusal.read(body).message
        message = message.replace(secret, "***") if secret else message
        raise EngineStartError(
            f"{where} answered HTTP {status}: {message}.",
            hint="Wait until the server is up, or look at its log; then run again.",
        )


def _decoded(body: bytes, kind: type[Any]) -> Any:
    """Decode ``body``; None when it is something else."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
