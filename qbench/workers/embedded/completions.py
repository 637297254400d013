"""``POST /v1/completions``: plain texts, and the log-probabilities of their tokens.

The same request gets the same kind of answer from vLLM, so next-token distributions of a fixed
text can be compared: ``{"prompt": [ids], "max_tokens": 1, "prompt_logprobs": 64}`` or ``echo`` with
``logprobs``. Log-probabilities are the model's own, before temperature and nucleus.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from qbench.workers.embedded.batching import Batcher
from qbench.workers.embedded.generation import Generation
from qbench.workers.embedded.loading import Loaded
from qbench.workers.embedded.prompts import Json
from qbench.workers.embedded.sampling import Sampler
from qbench.workers.embedded.scores import Scored, Scores
from qbench.workers.embedded.wire import CompletionBody, Refused, Usage, problem

MOST_TOP = 1024
"""Most likeliest tokens per position: more is a vocabulary, and megabytes per text."""


class Completions:
    """Answers the legacy route over a server's batcher."""

    def __init__(self, loaded: Loaded, batcher: Batcher, name: str, ends: frozenset[int]) -> None:
        self._tokenizer = loaded.tokenizer
        self._vocabulary = int(loaded.model.config.vocab_size)  # type: ignore[union-attr, arg-type]
        self._batcher = batcher
        self._name = name
        self._ends = ends

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a request; several prompts run in one batch."""
        generations: list[Generation] = []
        try:
            body = self._read(await request.read())
            waiting = [self._begin(body, tokens, generations) for tokens in self._prompts(body)]
            finishes = await asyncio.gather(*waiting)
        except Refused as refused:
            said = problem(str(refused), refused.code)
            return web.json_response(said, status=refused.status)
        finally:
            for generation in generations:
                generation.cancelled = True
        raw = msgspec.json.encode(self._body(body, generations, finishes))
        return web.Response(body=raw, content_type="application/json")

    def _read(self, raw: bytes) -> CompletionBody:
        try:
            body = msgspec.json.decode(raw, type=CompletionBody)
        except msgspec.DecodeError as error:
            raise Refused(f"The request cannot be read: {error}.", "bad_request") from error
        if body.model not in ("", self._name):
            raise Refused(f"The model {body.model!r} is not served here.", "model_not_found", 404)
        if body.n != 1 or body.stream:
            raise Refused("Only n = 1, not streamed, is served on this route.", "unsupported")
        wanted = (body.logprobs or 0, body.prompt_logprobs or 0)
        if min(wanted) < 0 or max(wanted) > MOST_TOP:
            raise Refused(f"logprobs are served from 0 to {MOST_TOP}.", "bad_request")
        if (body.max_tokens or 0) < 0:
            raise Refused("max_tokens must not be negative.", "bad_request")
        return body

    def _prompts(self, body: CompletionBody) -> list[list[int]]:
        """Return the tokens of each prompt. Raises Refused."""
        given: Any = body.prompt
        alone = isinstance(given, str) or (bool(given) and isinstance(given[0], int))
        prompts = [self._encode(one, body) for one in ([given] if alone else given)]
        if not prompts or not all(prompts):
            raise Refused("A prompt has no tokens.", "bad_prompt")
        longest = max(map(len, prompts)) + (body.max_tokens == 0)
        if longest > self._batcher.length - 1:
            raise Refused(
                f"This model's maximum context length is {self._batcher.length} tokens; the "
                f"prompt has {longest}.",
                "context_length_exceeded",
            )
        return prompts

    def _encode(self, prompt: str | Sequence[int], body: CompletionBody) -> list[int]:
        if isinstance(prompt, str):
            special = body.add_special_tokens
            found: list[int] = self._tokenizer.encode(prompt, add_special_tokens=special)
            return found
        if not all(0 <= token < self._vocabulary for token in prompt):
            raise Refused(f"Token ids go from 0 to {self._vocabulary - 1}.", "bad_prompt")
        return list(prompt)

    def _begin(
        self, body: CompletionBody, tokens: list[int], generations: list[Generation]
    ) -> asyncio.Future[str]:
        """Queue one prompt; return what becomes its finish reason."""
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[str] = loop.create_future()
        told = _Told(self, body, finished, loop)
        generation = Generation(
            tokens=tokens,
            sampler=Sampler(temperature=body.temperature, top_p=body.top_p, seed=body.seed),
            told=told,
            max_tokens=16 if body.max_tokens is None else body.max_tokens,
            ends=frozenset() if body.ignore_eos else self._ends,
            scores=_scores(body),
        )
        told.generation = generation
        generations.append(generation)
        self._batcher.submit(generation)
        return finished

    def cut(self, tokens: Sequence[int], stops: Sequence[str]) -> str | None:
        """Return the text before the first of ``stops``; None where there is none of them."""
        if not stops:
            return None
        text = self._text(tokens)
        at = min((text.find(stop) for stop in stops if stop in text), default=-1)
        return text[:at] if at >= 0 else None

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def _body(
        self, body: CompletionBody, generations: Sequence[Generation], finishes: Sequence[str]
    ) -> Json:
        choices = [
            self._choice(body, number, generation, finish)
            for number, (generation, finish) in enumerate(zip(generations, finishes, strict=True))
        ]
        usage = Usage(
            prompt_tokens=sum(made.prompt for made in generations),
            completion_tokens=sum(made.generated for made in generations),
            cached_tokens=sum(made.cached for made in generations),
        )
        head: Json = {"id": f"cmpl-{secrets.token_hex(8)}", "object": "text_completion"}
        head |= {"created": int(time.time()), "model": self._name}
        return head | {"choices": choices, "usage": usage.body()}

    def _choice(self, body: CompletionBody, number: int, made: Generation, finish: str) -> Json:
        prompt, new = made.tokens[: made.prompt], made.tokens[made.prompt :]
        cut = self.cut(new, body.stops)
        text = self._text(new) if cut is None else cut
        text = self._text(prompt) + text if body.echo else text
        choice: Json = {"index": number, "text": text, "finish_reason": finish, "logprobs": None}
        scores = made.scores
        if scores is not None and body.logprobs is not None:
            known = scores.prompt if body.echo else []
            first = prompt[:1] if body.echo else []
            choice["logprobs"] = self._legacy(body, first, [*known, *scores.generated])
        if scores is not None and body.prompt_logprobs is not None:
            top = body.prompt_logprobs
            choice["prompt_logprobs"] = [None, *(self._vllm(one, top) for one in scores.prompt)]
        if body.return_token_ids:
            ended = [] if made.end is None else [made.end]
            choice |= {"prompt_token_ids": prompt, "token_ids": [*new, *ended]}
        return choice

    def _legacy(self, body: CompletionBody, first: Sequence[int], known: Sequence[Scored]) -> Json:
        """Return OpenAI's ``logprobs``; the prompt's first token has none."""
        tokens = [*first, *(one.token for one in known)]
        written = [self._written(token, body) for token in tokens]
        offsets, at = [], 0
        for token in tokens:
            offsets.append(at)
            at += len(self._piece(token))
        absent: list[None] = [None] * len(first)
        return {
            "tokens": written,
            "token_logprobs": [*absent, *(one.logprob for one in known)],
            "top_logprobs": [*absent, *(self._top(one, body) for one in known)],
            "text_offset": offsets,
        }

    def _top(self, one: Scored, body: CompletionBody) -> dict[str, float]:
        """Return the likeliest tokens and the one that stands there, as OpenAI does."""
        best = one.top[: body.logprobs or 0]
        return {self._written(token, body): value for token, value in best} | {
            self._written(one.token, body): one.logprob
        }

    def _vllm(self, one: Scored, top: int) -> Json:
        """Return a position as vLLM's ``prompt_logprobs`` do: by token id, with ranks."""
        ranked = [(token, value, rank) for rank, (token, value) in enumerate(one.top[:top], 1)]
        ranked.append((one.token, one.logprob, one.rank))
        return {
            str(token): {"logprob": value, "rank": rank, "decoded_token": self._piece(token)}
            for token, value, rank in ranked
        }

    def _written(self, token: int, body: CompletionBody) -> str:
        return f"token_id:{token}" if body.return_tokens_as_token_ids else self._piece(token)

    def _piece(self, token: int) -> str:
        return str(self._tokenizer.decode([token]))


class _Told:
    """Hears of one generation in the model's thread, and ends it at a stop text."""

    def __init__(
        self,
        completions: Completions,
        body: CompletionBody,
        finished: asyncio.Future[str],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._completions = completions
        self._stops = body.stops
        self._finished = finished
        self._loop = loop
        self._tokens: list[int] = []
        self.generation: Generation | None = None

    def __call__(self, tokens: Sequence[int], finish: str) -> None:
        self._tokens += tokens
        if not finish and self._completions.cut(self._tokens, self._stops) is not None:
            finish = "stop"
            if self.generation is not None:
                self.generation.cancelled = True
        if finish and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, finish)

    def _settle(self, finish: str) -> None:
        if not self._finished.done():
            self._finished.set_result(finish)


def _scores(body: CompletionBody) -> Scores | None:
    """Return what collects the log-probabilities that were asked for; None without any."""
    wanted = [number for number in (body.logprobs, body.prompt_logprobs) if number is not None]
    if not wanted:
        return None
    of_prompt = body.prompt_logprobs is not None or (body.echo and body.logprobs is not None)
    return Scores(top=max(wanted), of_prompt=of_prompt)
