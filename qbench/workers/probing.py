"""Asking an engine for its next-token distributions on the fixed text.

One request a passage to ``/v1/completions`` with ``echo``: the distributions of the prompt's own
tokens come back and nothing is generated that counts.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import aiohttp
import numpy as np

from qbench.benchmarks.analysis.fidelity import Distributions
from qbench.benchmarks.probe import TOP, ProbeText, probe_text
from qbench.errors import EngineError
from qbench.service.domain import Endpoint, System
from qbench.service.store import Probe, Store
from qbench.workers.engines import Say

ENGINES = frozenset({"embedded", "vllm"})
"""Those that tell log-probabilities of a prompt."""

PATIENCE_S = 300.0
Position = tuple[int, float, list[tuple[int, float]]]
"""Token, its log-probability, and the most likely tokens with theirs."""


async def probe_session(
    store: Store, run_id: str, endpoint: Endpoint, system: System, *, floor: bool, say: Say
) -> None:
    """Measure a session's distributions and keep them, once for each engine of a run.

    A failure is said and costs nothing but the report's fidelity.

    Args:
        store: where they are kept.
        run_id: of the session.
        endpoint: what is up.
        system: what it serves.
        floor: measure twice, the second time all passages at once: the noise of rounding.
        say: takes lines for people.

    """
    text = probe_text()
    if system.engine not in ENGINES or store.probed(run_id, system.engine_key, text.digest):
        return
    try:
        for again in (False, True) if floor else (False,):
            told = await measure(endpoint, text, at_once=again)
            probe = Probe(engine_key=system.engine_key, text=text.digest, again=again, told=told)
            await asyncio.to_thread(store.save_probe, endpoint, probe)
    except (EngineError, aiohttp.ClientError, TimeoutError) as error:
        say(f"no fidelity for {system.label}: {error}")


async def measure(endpoint: Endpoint, text: ProbeText, *, at_once: bool) -> Distributions:
    """Return an endpoint's distributions on the passages of ``text``.

    Raises:
        EngineError: it refuses, or does not tell log-probabilities of a prompt.
        TimeoutError, aiohttp.ClientError: it does not answer.

    """
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    url = f"{endpoint.base_url.removesuffix('/v1')}/v1/completions"
    async with aiohttp.ClientSession(timeout=timeout) as session:
        ask = partial(_ask, session, url, endpoint.served_name)
        if at_once:
            told = await asyncio.gather(*map(ask, text.passages))
        else:
            told = [await ask(passage) for passage in text.passages]
    return _columns(told)


async def _ask(session: aiohttp.ClientSession, url: str, name: str, passage: str) -> list[Position]:
    body = {
        "model": name,
        "prompt": passage,
        "max_tokens": 1,
        "temperature": 0,
        "echo": True,
        "logprobs": TOP,
        "return_tokens_as_token_ids": True,
    }
    async with session.post(url, json=body) as response:
        if response.status != 200:
            said = (await response.text())[:200]
            raise EngineError(
                f"/v1/completions tells no log-probabilities, but {response.status}: {said}",
                hint="Leave it out with --no-probe.",
            )
        found: dict[str, Any] = await response.json()
    return _positions(found)


def _positions(found: dict[str, Any]) -> list[Position]:
    """Read one reply; its first token has no distribution and its last is generated."""
    try:
        told = found["choices"][0]["logprobs"]
        rows = zip(
            told["tokens"][1:-1],
            told["token_logprobs"][1:-1],
            told["top_logprobs"][1:-1],
            strict=True,
        )
        return [(_id(token), float(log), _most_likely(top)) for token, log, top in rows]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise EngineError(
            f"The log-probs of a prompt cannot be read ({error!r}).",
            hint="This engine does not tell them in OpenAI's form with token ids.",
        ) from error


def _id(token: str) -> int:
    return int(token.removeprefix("token_id:"))


def _most_likely(top: dict[str, float]) -> list[tuple[int, float]]:
    pairs = [(_id(token), float(log)) for token, log in top.items()]
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:TOP]


def _columns(told: Sequence[Sequence[Position]]) -> Distributions:
    """Put positions side by side, short lists filled up with nothing."""
    flat = [position for passage in told for position in passage]
    passage = [number for number, part in enumerate(told) for _ in part]
    width = max((len(top) for _, _, top in flat), default=1)
    filled = [top + [(-1, -math.inf)] * (width - len(top)) for _, _, top in flat]
    return Distributions(
        token=np.array([token for token, _, _ in flat], dtype=np.int32),
        passage=np.array(passage, dtype=np.int32),
        logprob=np.array([log for _, log, _ in flat], dtype=np.float64),
        top=np.array([[token for token, _ in top] for top in filled], dtype=np.int32),
        top_logprob=np.array([[log for _, log in top] for top in filled], dtype=np.float64),
    )
