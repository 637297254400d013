"""Completions of exact lengths: prompts of random token ids, replies that go on past the end.

No two prompts begin alike, so that no cache serves a part of them. What the engine counted is
compared with what was asked for, and a request with other counts is discarded and said so.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, Self

import aiohttp
import msgspec

from qbench.errors import EngineError, EngineReplyInvalid
from qbench.service.domain import Endpoint, System
from qbench.service.profiles import Timed
from qbench.workers.engines.external import ExternalOptions
from qbench.workers.engines.options import api_key, read_options

FIRST, LAST = 10, 250
"""Token ids of prompts: small enough for every vocabulary, above most special tokens."""
PATIENCE_S = 3600.0
TRIES = 3
"""Times a request is sent where a cache served a part of its prompt."""


class ExactClient:
    """Asks for completions of exact lengths."""

    def __init__(self, session: aiohttp.ClientSession, endpoint: Endpoint, seed: int) -> None:
        self._session = session
        self._url = f"{endpoint.base_url.rstrip('/').removesuffix('/v1')}/v1/completions"
        self._name = endpoint.served_name
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._asked = 0
        self.discarded: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *about: object) -> None:
        await self._session.close()

    async def timed(self, prompt: int, output: int) -> Timed | None:
        """Ask once, again where a cache served a part; None where the counts are not these."""
        for _ in range(TRIES):
            began = time.perf_counter()
            usage = await self._ask(self._prompt(prompt), output)
            seconds = time.perf_counter() - began
            wrong = _wrong(usage, prompt, output)
            if not wrong:
                return Timed(prompt=prompt, output=output, seconds=seconds)
            if "cache" not in wrong:
                break
        self.discarded.append(f"{prompt} + {output}: {wrong}")
        return None

    def _prompt(self, length: int) -> list[int]:
        """Return random tokens; the first one differs from those of the last prompts."""
        self._asked += 1
        first = FIRST + self._asked % (LAST - FIRST)
        return [first, *(self._random.randrange(FIRST, LAST) for _ in range(length - 1))]

    async def _ask(self, prompt: Sequence[int], output: int) -> dict[str, Any]:
        body = {
            "model": self._name,
            "prompt": prompt,
            "max_tokens": output,
            "min_tokens": output,
            "temperature": 0,
            "ignore_eos": True,
        }
        try:
            async with self._session.post(self._url, json=body) as response:
                raw = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineError(
                f"{self._url} does not answer: {error!r}.", hint="Is the engine still up?"
            ) from None
        return _usage(response.status, raw)


def _usage(status: int, raw: bytes) -> dict[str, Any]:
    """Return the usage of a reply. Raises EngineError, EngineReplyInvalid."""
    if status != 200:
        said = raw[:200].decode(errors="replace")
        raise EngineError(
            f"/v1/completions refuses a prompt of token ids: {status} {said}",
            hint="A profile needs completions of exact lengths: embedded and vLLM serve them.",
        )
    try:
        usage = msgspec.json.decode(raw)["usage"]
        return {
            "prompt": int(usage["prompt_tokens"]),
            "output": int(usage["completion_tokens"]),
        } | {"cached": int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)}
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise EngineReplyInvalid(
            f"The reply of /v1/completions has no usage ({error!r}).",
            hint="Without the engine's own counts nothing can be profiled.",
        ) from None


def _wrong(usage: dict[str, Any], prompt: int, output: int) -> str:
    """Say how a reply differs from what was asked for; empty where it does not."""
    if usage["output"] != output:
        return f"it stopped after {usage['output']} of {output} tokens"
    if usage["prompt"] != prompt:
        return f"the engine counted {usage['prompt']} prompt tokens"
    return f"a cache served {usage['cached']} prompt tokens" if usage["cached"] else ""


def exact_client(system: System, endpoint: Endpoint) -> ExactClient:
    """Return a client of an endpoint; an external one gets its key."""
    headers = {}
    if system.engine == "external":
        key = api_key(read_options(system, ExternalOptions).api_key_env)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
    session = aiohttp.ClientSession(
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=PATIENCE_S),
        connector=aiohttp.TCPConnector(limit=0),
    )
    return ExactClient(session, endpoint, seed=0)
