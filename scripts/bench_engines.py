"""Speed of every format served by vLLM, started by qbench's own engine: tokens a second by streams.

Each format's server is started by the same code that a run uses, so the row says which kernel
multiplied. Prompts are random token ids, replies have a fixed length, and what the GPU drew is
sampled beside it: where it idles, the server's or this client's CPU was the limit::

    python scripts/bench_engines.py FOLDERS --formats bf16,fp8 [--streams 1,64,256] [--out FILE]

``FOLDERS`` holds one model folder per format, named after it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

from qbench.errors import QbenchError
from qbench.service.domain import Endpoint, Strategy, System
from qbench.workers.engines import load_engine

Row = dict[str, Any]
GPU = ("nvidia-smi", "--query-gpu=utilization.gpu,power.draw", "--format=csv,noheader,nounits")


async def one(
    session: aiohttp.ClientSession, url: str, name: str, wanted: argparse.Namespace
) -> int:
    """Ask for one reply of fixed length; return its tokens."""
    body = {
        "model": name,
        "prompt": [random.randrange(10, 49_000) for _ in range(wanted.prompt)],  # noqa: S311
        "max_tokens": wanted.output,
        "temperature": 0,
        "ignore_eos": True,
    }
    async with session.post(f"{url}/completions", json=body) as response:
        response.raise_for_status()
        return int((await response.json())["usage"]["completion_tokens"])


async def load(url: str, name: str, streams: int, wanted: argparse.Namespace) -> float:
    """Keep ``streams`` requests in flight; return output tokens a second."""
    total = max(wanted.waves * streams, wanted.waves)
    left = iter(range(total))
    tokens = 0
    timeout = aiohttp.ClientTimeout(total=600)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

        async def worker() -> None:
            nonlocal tokens
            for _ in left:
                made = await one(session, url, name, wanted)
                tokens += made  # after the await: others add to it meanwhile

        began = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(streams)))
        return tokens / (time.perf_counter() - began)


async def watched(url: str, name: str, streams: int, wanted: argparse.Namespace) -> Row:
    """Measure one number of streams ``--repeats`` times, with what the GPU did meanwhile."""
    mine = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    sampler = subprocess.Popen(  # noqa: ASYNC220, S603
        (*GPU, "-lms", "200", *(("--id", mine) if mine else ())),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        rates = [await load(url, name, streams, wanted) for _ in range(wanted.repeats)]
    finally:
        sampler.terminate()
        said, _ = sampler.communicate()
    samples = [[float(x) for x in line.split(",")] for line in said.splitlines() if "," in line]
    busy, watts = zip(*samples, strict=False) if samples else ((), ())
    return {
        "streams": streams,
        "tokens_per_s": statistics.median(rates),
        "spread": [min(rates), max(rates)],
        "gpu_busy_percent": statistics.median(busy) if busy else None,
        "watts": statistics.median(watts) if watts else None,
    }


async def measure(fmt: str, wanted: argparse.Namespace) -> Row:
    """Start a format's server, load it, and say what it was."""
    folder = str((Path(wanted.folders) / fmt).resolve())
    options = json.loads(wanted.options) | {"checkpoint": {fmt: folder}}
    system = System(
        model=folder,
        format=fmt,
        engine="vllm",
        strategy=Strategy(tool_protocol="text"),
        options=options,
    )
    row: Row = {"format": fmt, "prompt": wanted.prompt, "output": wanted.output}
    try:
        most = max(wanted.streams)
        async with load_engine("vllm").serve(system, concurrency=most, say=say) as serving:
            row |= facts(serving.endpoint)
            url, name = serving.endpoint.base_url, serving.endpoint.served_name
            await load(url, name, min(most, 16), wanted)  # warm
            row["runs"] = []
            for streams in wanted.streams:
                row["runs"].append(await watched(url, name, streams, wanted))
                say(f"{fmt}: {json.dumps(row['runs'][-1])}")
    except (QbenchError, aiohttp.ClientError, TimeoutError) as error:
        row["error"] = str(error)[:3000]
        say(f"{fmt}: {row['error']}")
    return row


def facts(endpoint: Endpoint) -> Row:
    """Return what stands behind a row."""
    return {
        "kernel": endpoint.kernel,
        "path": endpoint.path,
        "hardware": endpoint.hardware,
        "engine": endpoint.engine_version,
        "checkpoint": endpoint.checkpoint,
        "load_s": endpoint.seconds.load,
        "details": endpoint.details,
    }


def say(line: str) -> None:
    """Talk on stderr."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


def show(rows: list[Row], streams: list[int]) -> None:
    """Print one line a format."""
    heads = " ".join(f"{f'{n} streams':>22}" for n in streams)
    print(f"{'format':10} {'path':22} {heads}  kernel")
    for row in rows:
        cells = " ".join(f"{_cell(run):>22}" for run in row.get("runs", []))
        told = row.get("kernel") or row.get("error", "")[:80]
        print(f"{row['format']:10} {row.get('path', 'failed'):22} {cells}  {told}")


def _cell(run: Row) -> str:
    low, high = run["spread"]
    return f"{run['tokens_per_s']:,.0f} ({low:,.0f}-{high:,.0f})"


def main() -> None:
    """Measure the formats one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders")
    parser.add_argument("--formats", default="bf16,fp8")
    parser.add_argument("--streams", default="1,64,256")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--output", type=int, default=128)
    parser.add_argument("--waves", type=int, default=2, help="requests per stream")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--options", default="{}", help="engine options as JSON")
    parser.add_argument("--deadline", type=float, default=0, help="start no server after this time")
    parser.add_argument("--out", default="")
    wanted = parser.parse_args()
    wanted.streams = [int(n) for n in wanted.streams.split(",")]
    rows = []
    for fmt in wanted.formats.split(","):
        if wanted.deadline and time.time() > wanted.deadline:
            say(f"no time for {fmt}")
            continue
        rows.append(asyncio.run(measure(fmt, wanted)))
        if wanted.out:
            Path(wanted.out).write_text(json.dumps(rows, indent=1, default=str), encoding="utf-8")
    show(rows, wanted.streams)


if __name__ == "__main__":
    main()
