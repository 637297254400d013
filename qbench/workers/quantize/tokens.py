"""Makes calibration tokens: ``python -m qbench.workers.quantize.tokens reading.json``.

A suite's samples are rendered as they are asked in an evaluation, with the model's chat template
and tools, and end with the reference solution's calls and answer. Texts are cut into sequences.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from qbench.benchmarks.agent.loop import AgentOptions, first_messages
from qbench.benchmarks.catalogue import SUITES, load_suite
from qbench.benchmarks.chat import Message, ToolCall, ToolSpec
from qbench.benchmarks.suite import Sample
from qbench.benchmarks.suites.drawing import training_samples
from qbench.errors import ConfigError, QbenchError
from qbench.workers.embedded.prompts import Prompts
from qbench.workers.engines.openai_wire import message_body
from qbench.workers.quantize.calibration import PROBE_TOKENS, PROBES, Calibration, Reading


def main(path: str) -> int:
    """Write both files; the last line of stderr is the reason where it fails."""
    reading = msgspec.json.decode(Path(path).read_bytes(), type=Reading)
    try:
        rows = _sequences(reading)
    except (QbenchError, OSError, ValueError) as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return 1
    probe = [row[:PROBE_TOKENS] for row in rows[-PROBES:]]
    _write(Path(reading.out), rows[:-PROBES])
    _write(Path(reading.probe), probe)
    return 0


def _write(file: Path, rows: Sequence[Sequence[int]]) -> None:
    file.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def _sequences(reading: Reading) -> list[list[int]]:
    """Return the calibration sequences, and behind them those of the probe."""
    told = reading.calibration
    tokenizer = cast("PreTrainedTokenizerFast", AutoTokenizer.from_pretrained(reading.checkpoint))
    if told.source in SUITES:
        rows = asyncio.run(_of_suite(told, tokenizer))
    else:
        rows = _of_texts(told, Path(reading.texts), tokenizer)
    return [row[: told.length] for row in rows]


async def _of_suite(told: Calibration, tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    suite, prompts = load_suite(told.source), Prompts(tokenizer)
    samples = training_samples(suite, seed=told.seed, limit=told.samples + PROBES)
    samples = tuple(random.Random(told.seed).sample(samples, len(samples)))  # noqa: S311 - an order
    rows = []
    async with suite.environment(slots=1) as environment:
        for sample in samples:
            async with environment.open(sample) as tools:
                rows.append(solved(sample, tools.specs, prompts))
    return rows


def solved(sample: Sample, specs: tuple[ToolSpec, ...], prompts: Prompts) -> list[int]:
    """Return the tokens of a sample's conversation as its reference solution begins and ends."""
    messages = first_messages(sample, AgentOptions(), specs)
    calls = tuple(
        ToolCall(id=f"c{n}", name=call.name, arguments=msgspec.json.encode(call.arguments).decode())
        for n, call in enumerate(sample.reference)
    )
    said = "" if sample.answer is None else str(sample.answer)
    if calls or said:
        messages.append(Message(role="assistant", content=said, tool_calls=calls))
    tools = [{"type": "function", "function": msgspec.to_builtins(spec)} for spec in specs]
    return prompts.encode([message_body(one) for one in messages], tools, forced=False)


def _of_texts(told: Calibration, file: Path, tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """Cut plain text into sequences; rows of JSON lines are one sequence each."""
    wanted = told.samples + PROBES
    if file.suffix == ".jsonl":
        rows = [_row(value, tokenizer) for value in _json_rows(file)]
        rows = [row for row in rows if row]
    else:
        tokens: list[int] = tokenizer.encode(file.read_text(), add_special_tokens=False)
        rows = [tokens[at : at + told.length] for at in range(0, len(tokens), told.length)]
        rows = random.Random(told.seed).sample(rows, min(wanted, len(rows)))  # noqa: S311
    if len(rows) < PROBES + 1:
        raise ConfigError(
            f"{file.name} gives {len(rows)} sequences of {told.length} tokens, and "
            f"{PROBES + 1} are needed.",
            hint="Take a longer text, or a smaller --length.",
        )
    return rows[:wanted]


def _json_rows(file: Path) -> Iterator[Any]:
    for line in file.read_bytes().splitlines():
        if line.strip():
            value = msgspec.json.decode(line)
            yield value.get("messages", value.get("text")) if isinstance(value, dict) else value


def _row(value: Any, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    if isinstance(value, list) and value:
        text = tokenizer.apply_chat_template(value, tokenize=False)
        return list(tokenizer.encode(str(text), add_special_tokens=False))
    return list(tokenizer.encode(str(value or ""), add_special_tokens=False))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
