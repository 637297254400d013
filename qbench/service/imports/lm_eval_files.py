"""Results of lm-evaluation-harness: ``results_*.json`` with the ``samples_*.jsonl`` beside it.

It reports neither tokens nor seconds of a request: costs are unpriced and times unknown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qbench.benchmarks.agent.replies import clean
from qbench.benchmarks.chat import Message
from qbench.benchmarks.suite import Sample, Score
from qbench.benchmarks.transcript import Transcript
from qbench.errors import ConfigError
from qbench.service.imports.samples import sample_of
from qbench.service.imports.values import ForeignAttempt, ForeignEval, SourceFile

Json = dict[str, Any]

PREFERRED = ("exact_match", "acc", "pass@1", "pass_at_1", "prompt_level_strict_acc", "acc_norm")
"""Metrics that say right or wrong, in the order in which one is chosen."""


def sample_files(results: Path) -> dict[str, Path]:
    """Return, by task as it is written in file names, the samples beside a results file."""
    stamp = results.name.removeprefix("results").removesuffix(".json")
    beside = sorted(results.parent.glob(f"samples_*{stamp}.jsonl"))
    return {one.name.removeprefix("samples_").removesuffix(f"{stamp}.jsonl"): one for one in beside}


def read(results: Path, files: tuple[SourceFile, ...], scorer: str = "") -> list[ForeignEval]:
    """Read a results file and the samples beside it: one evaluation for each task.

    Args:
        results: the ``results_*.json``.
        files: names and hashes of all of them.
        scorer: ``metric`` or ``metric,filter`` whose values become the scores; empty: one that
            says right or wrong.

    Raises:
        ConfigError: it is no such file, or no samples lie beside it.

    """
    body = _decoded(results)
    found = sample_files(results)
    if not found:
        raise ConfigError(
            f"No samples lie beside {results}.",
            hint="Run lm-eval with --log_samples: totals alone cannot be compared by pairs.",
        )
    return [_task(body, task, path, files, scorer) for task, path in found.items()]


def _decoded(path: Path) -> Json:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"Cannot read {path}: {error}.", hint="Give results_*.json.") from error
    if not isinstance(body, dict) or "results" not in body or "configs" not in body:
        raise ConfigError(f"{path} is no results file of lm-eval.", hint="Give results_*.json.")
    return body


def _lines(path: Path) -> list[Json]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"Cannot read {path}: {error}.", hint="Give samples as lm-eval wrote them."
        ) from error


def _task(
    body: Json, written: str, path: Path, files: tuple[SourceFile, ...], scorer: str
) -> ForeignEval:
    lines = _lines(path)
    task = next((name for name in body["configs"] if _spelled(name) == written), written)
    config, lost = body["configs"].get(task) or {}, Counter[str]()
    metric, chosen = _chosen(lines, scorer, path)
    kept = [line for line in lines if line.get("filter", "none") == chosen]
    if len(kept) < len(lines):
        lost[f"lines of other filters than {chosen}"] += len(lines) - len(kept)
    lost["requests whose tokens are not told: unpriced"] += len(kept)
    lost["attempts whose seconds are not told"] += len(kept)
    at = datetime.fromtimestamp(float(body.get("date") or 0), UTC)
    generation = config.get("generation_kwargs") or {}
    return ForeignEval(
        harness="lm-eval",
        version=str(body.get("lm_eval_version", "unknown")),
        files=files,
        created=at,
        task=task,
        task_version=str(body.get("versions", {}).get(task, "")),
        model=_model(body),
        settings=_settings(body, task),
        temperature=generation.get("temperature"),
        max_tokens=generation.get("max_gen_toks"),
        scorer=f"{metric},{chosen}",
        timed=False,
        attempts=tuple(_attempts(task, config, kept, (metric, chosen), at, lost)),
        lost=lost,
    )


def _spelled(task: str) -> str:
    """Write a task as lm-eval does in file names."""
    return "".join(one if one.isalnum() or one == "_" else "_" for one in task)


def _model(body: Json) -> str:
    """Name the model: by its arguments, else by the kind of model."""
    config = body.get("config") or {}
    arguments = config.get("model_args") or {}
    if isinstance(arguments, str):
        arguments = dict(part.partition("=")[::2] for part in arguments.split(","))
    told = arguments.get("pretrained") or arguments.get("model") or arguments.get("path")
    return str(told or config.get("model") or body.get("model_name") or "unknown")


def _settings(body: Json, task: str) -> Json:
    config = body.get("config") or {}
    found = {
        "model": config.get("model"),
        "model_args": config.get("model_args"),
        "gen_kwargs": config.get("gen_kwargs"),
        "shots": (body.get("n-shot") or {}).get(task),
        "chat_template": body.get("chat_template_sha"),
        "system_instruction": body.get("system_instruction_sha"),
    }
    return {name: value for name, value in found.items() if value}


def _chosen(lines: Sequence[Json], scorer: str, path: Path) -> tuple[str, str]:
    """Choose metric and filter. Raises ConfigError where the one asked for is not there."""
    there = [(m, line.get("filter", "none")) for line in lines for m in line.get("metrics") or ()]
    known = list(dict.fromkeys(there))
    metric, _, wanted = scorer.partition(",")
    if metric:
        known = [one for one in known if one[0] == metric and wanted in ("", one[1])]
    ranked = sorted(known, key=lambda one: _preference(one[0]))
    if not ranked:
        names = ", ".join(f"{one},{of}" for one, of in dict.fromkeys(there)) or "none"
        raise ConfigError(
            f"{path} has no metric {scorer or 'at all'}.",
            hint=f"Name one with --scorer; there are: {names}.",
        )
    return ranked[0]


def _preference(metric: str) -> int:
    return PREFERRED.index(metric) if metric in PREFERRED else len(PREFERRED)


def _attempts(
    task: str,
    config: Json,
    lines: Sequence[Json],
    scorer: tuple[str, str],
    at: datetime,
    lost: Counter[str],
) -> Iterator[ForeignAttempt]:
    seen: Counter[str] = Counter()
    for line in lines:
        sample = _sample(task, config, line)
        answer = _answer(line)
        said = Message(role="assistant", content=answer)
        asked = Message(role="user", content=sample.prompt)
        yield ForeignAttempt(
            sample=sample,
            epoch=seen[sample.id],
            transcript=Transcript(messages=(asked, said), turns=(), answer=answer),
            score=_score(line, scorer, lost),
            fault=None,
            started_at=at,
            ended_at=at,
        )
        seen[sample.id] += 1


def _sample(task: str, config: Json, line: Json) -> Sample:
    first: Json = next(iter((line.get("arguments") or {}).values()), {})
    prompt = first.get("arg_0")
    text = prompt if isinstance(prompt, str) else json.dumps(prompt, sort_keys=True)
    continuations = [_continuation(one) for one in (line.get("arguments") or {}).values()]
    choice = config.get("output_type") == "multiple_choice"
    target = line.get("target")
    return sample_of(
        suite=f"lm-eval:{task}",
        task=task,
        native=str(line["doc_id"]),
        prompt=clean(text),
        answer=None if target is None else str(target),
        details={
            "target": target,
            "choices": continuations if choice else None,
            "doc": line.get("doc"),
        },
    )


def _continuation(argument: Json) -> str:
    told = argument.get("arg_1")
    return told if isinstance(told, str) else ""


def _answer(line: Json) -> str:
    """Return the filtered reply, or the likeliest of the continuations that were weighed."""
    replies = line.get("filtered_resps") or line.get("resps") or []
    if replies and all(isinstance(one, list) and len(one) == 2 for one in replies):
        weighed = [float(one[0]) for one in replies]
        best = weighed.index(max(weighed))
        arguments = list((line.get("arguments") or {}).values())
        return _continuation(arguments[best]).strip() if best < len(arguments) else str(best)
    first = replies[0] if replies else ""
    return clean(first if isinstance(first, str) else json.dumps(first))


def _score(line: Json, scorer: tuple[str, str], lost: Counter[str]) -> Score:
    metric, chosen = scorer
    numbers = {name: line.get(name) for name in line.get("metrics") or ()}
    parts = {n: float(v) for n, v in numbers.items() if isinstance(v, bool | int | float)}
    for name in numbers.keys() - parts.keys():
        lost[f"values of metric {name} that are no number"] += 1
    value, label = parts.get(metric), f"lm-eval:{metric},{chosen}"
    if value is None or not 0 <= value <= 1:
        lost[f"values of {metric} that are no number from 0 to 1: left unscored"] += 1
        why = f"{metric} is no number from 0 to 1"
        return Score(status="unscored", reason=why, components=parts, scorer=label)
    wrong = f"target {str(line.get('target'))[:200]}"
    return Score(
        status="scored",
        value=value,
        passed=value >= 1,
        reason="" if value >= 1 else wrong,
        components=parts,
        scorer=label,
    )
