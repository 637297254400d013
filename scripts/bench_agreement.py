"""How far vLLM's answers are from the embedded engine's on the same checkpoint, format by format.

Both serve one folder; next-token distributions on the fixed text are compared, and greedy texts of
a few prompts. The embedded engine multiplies dequantized values, vLLM whatever kernel it chose, so
this is the distance between a format's definition and what a kernel makes of it::

    python scripts/bench_agreement.py MODEL --checkpoints DIR --formats bf16,fp8 [--out FILE]

``DIR`` holds one checkpoint folder per format; bf16 is MODEL itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp

from qbench.benchmarks.analysis.fidelity import agreement, divergence, perplexity, same_text
from qbench.benchmarks.probe import probe_text
from qbench.errors import QbenchError
from qbench.service.domain import Strategy, System
from qbench.workers.engines import Serving, load_engine
from qbench.workers.probing import measure

Row = dict[str, Any]
WORDS = 40
"""Each prompt is the beginning of a passage, continued greedily."""


async def ask(fmt: str, engine: str, wanted: argparse.Namespace) -> Row:
    """Serve a format by an engine; return what it told."""
    options: dict[str, Any] = json.loads(wanted.vllm_options) if engine == "vllm" else {}
    folder = Path(wanted.checkpoints) / fmt
    if folder.is_dir():
        options["checkpoint"] = {fmt: str(folder.resolve())}
    system = System(
        model=wanted.model,
        format=fmt,
        engine=engine,
        strategy=Strategy(tool_protocol="text"),
        options=options,
    )
    async with load_engine(engine).serve(system, concurrency=8, say=_say) as serving:
        return {
            "told": await measure(serving.endpoint, probe_text(), at_once=False),
            "texts": await _texts(serving, wanted.tokens),
            "kernel": serving.endpoint.kernel,
            "path": serving.endpoint.path,
        }


async def _texts(serving: Serving, tokens: int) -> list[str]:
    """Continue the beginning of each passage, one after the other."""
    endpoint = serving.endpoint
    url = f"{endpoint.base_url.removesuffix('/v1')}/v1/completions"
    found = []
    async with aiohttp.ClientSession() as session:
        for passage in probe_text().passages:
            prompt = " ".join(passage.split(" ")[:WORDS])
            body = {"model": endpoint.served_name, "prompt": prompt, "max_tokens": tokens}
            async with session.post(url, json=body | {"temperature": 0}) as response:
                response.raise_for_status()
                found.append((await response.json())["choices"][0]["text"])
    return found


def _say(line: str) -> None:
    sys.stderr.write(f"{line[:160]}\n")


async def compare(fmt: str, wanted: argparse.Namespace) -> Row:
    """Compare the two engines on one format."""
    try:
        one, other = [await ask(fmt, engine, wanted) for engine in ("embedded", "vllm")]
    except (QbenchError, aiohttp.ClientError) as error:
        return {"format": fmt, "error": str(error)[:400]}
    told, served = one["told"], other["told"]
    if not same_text(told, served):
        return {"format": fmt, "error": "the engines tokenize the text differently"}
    kl, same = divergence(told, served), agreement(told, served)
    texts = list(zip(one["texts"], other["texts"], strict=True))
    return {
        "format": fmt,
        "kernel": other["kernel"],
        "path": other["path"],
        "kl": kl.value,
        "kl_interval": kl.interval(),
        "top1": same.value,
        "perplexity_embedded": perplexity(told)[0],
        "perplexity_vllm": perplexity(served)[0],
        "positions": len(told.token),
        "texts_equal": sum(a == b for a, b in texts),
        "texts": len(texts),
        "first_difference": [_first(a, b) for a, b in texts if a != b],
    }


def _first(one: str, other: str) -> int:
    """Return the first character at which two texts differ."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def main() -> None:
    """Compare the formats one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--checkpoints", default="none")
    parser.add_argument("--formats", default="bf16")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--vllm-options", default='{"preflight": false}')
    parser.add_argument("--out", default="")
    wanted = parser.parse_args()
    rows = []
    for fmt in wanted.formats.split(","):
        rows.append(asyncio.run(compare(fmt, wanted)))
        print(json.dumps(rows[-1]))
        if wanted.out:
            Path(wanted.out).write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
