"""A run as logs of inspect_ai: one JSON log (version 2) for each system.

``accuracy`` is our pass rate: a passed attempt is ``C``, one that did not pass ``I``, an unscored
one NaN as inspect marks it; infrastructure failures are sample errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from qbench import __version__
from qbench.benchmarks.chat import Message, TokenUsage
from qbench.service.domain import Run, System
from qbench.service.exports.reading import Written, by_system
from qbench.service.store import Store

Json = dict[str, Any]

SCORER = "qbench"
STOPS = {"length": "max_tokens"}
LIMITS = {"tokens": "token", "time": "time", "turns": "message", "cost": "cost"}


def logs(store: Store, run: Run) -> Iterator[tuple[str, Json]]:
    """Yield a file name and a log for each system of a run."""
    for number, (system, mine) in enumerate(by_system(store, run), 1):
        yield f"{run.id}_{number:02d}_{_plain(system.label)}.json", _log(run, system, mine)


def _plain(text: str) -> str:
    return "".join(one if one.isalnum() or one in "-." else "-" for one in text)


def _log(run: Run, system: System, mine: Sequence[Written]) -> Json:
    ids = list(dict.fromkeys(made.sample.id for made in mine))
    request = run.request
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": f"{run.id}-{system.id}",
            "run_id": run.id,
            "created": run.created_at.isoformat(),
            "task": request.suite,
            "task_id": f"{run.id}-{system.id}",
            "task_version": request.suite_version,
            "task_args": {"tasks": list(request.tasks), "levels": list(request.levels)},
            "dataset": {
                "name": request.suite,
                "samples": len(ids),
                "sample_ids": ids,
                "shuffled": False,
            },
            "model": system.ref,
            "model_generate_config": {
                "temperature": system.sampling.temperature,
                "top_p": system.sampling.top_p,
                "max_tokens": system.sampling.max_tokens,
            },
            "model_args": msgspec.to_builtins(system.options),
            "config": {"epochs": request.epochs, "limit": request.limit},
            "packages": {"qbench": __version__},
            "scorers": [{"name": SCORER, "options": {}, "metrics": [], "metadata": {}}],
            "metadata": {"qbench": {"run": run.id, "system": system.id, "seed": request.seed}},
        },
        "plan": {"name": "plan", "steps": [{"solver": system.strategy.spelled, "params": {}}]},
        "results": _results(mine),
        "stats": _stats(run, system, mine),
        "samples": [_sample(system, made) for made in mine],
    }


def _results(mine: Sequence[Written]) -> Json:
    scored = [float(made.attempt.passed) for made in mine if made.attempt.status == "scored"]
    mean, error = mean_and_error(scored)
    metrics = {
        name: {"name": name, "value": value, "params": {}}
        for name, value in (("accuracy", mean), ("stderr", error))
        if value is not None
    }
    return {
        "total_samples": len(mine),
        "completed_samples": sum(made.attempt.status != "errored" for made in mine),
        "scores": [
            {
                "name": SCORER,
                "scorer": SCORER,
                "scored_samples": len(scored),
                "unscored_samples": sum(made.attempt.status == "unscored" for made in mine),
                "params": {},
                "metrics": metrics,
            }
        ],
    }


def mean_and_error(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the mean and its standard error; None where too few values tell."""
    n = len(values)
    if not n:
        return None, None
    mean = math.fsum(values) / n
    if n < 2:
        return mean, None
    spread = math.fsum((one - mean) ** 2 for one in values) / (n - 1)
    return mean, math.sqrt(spread / n)


def _stats(run: Run, system: System, mine: Sequence[Written]) -> Json:
    usages = [made.transcript.usage for made in mine if made.transcript.turns]
    known = [one for one in usages if one is not None]
    total = sum(known, TokenUsage()) if known and len(known) == len(usages) else None
    return {
        "started_at": _at(min((m.attempt.started_at for m in mine), default=run.created_at)),
        "completed_at": _at(max((m.attempt.ended_at for m in mine), default=run.created_at)),
        "model_usage": {system.ref: _usage(total)} if total else {},
    }


def _at(moment: datetime) -> str:
    return moment.isoformat()


def _usage(usage: TokenUsage, dollars: float | None = None) -> Json:
    """Write usage as inspect has it: input without what a cache served or took."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "input_tokens_cache_read": usage.cached_tokens,
        "input_tokens_cache_write": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    } | ({} if dollars is None else {"total_cost": dollars})


def _sample(system: System, made: Written) -> Json:
    attempt, transcript, sample = made.attempt, made.transcript, made.sample
    usage = transcript.usage if transcript.turns else None
    dollars = None if made.dollars is None else float(made.dollars)
    body: Json = {
        "id": sample.id,
        "epoch": attempt.epoch + 1,
        "input": sample.prompt,
        "target": sample.answer or "",
        "messages": [_message(one) for one in transcript.messages],
        "output": _output(system, made),
        "scores": {},
        "metadata": {"task": sample.task, "level": sample.level, "family": sample.family},
        "model_usage": {system.ref: _usage(usage, dollars)} if usage else {},
        "started_at": _at(attempt.started_at),
        "completed_at": _at(attempt.ended_at),
        "total_time": attempt.seconds,
        "uuid": attempt.id,
    }
    if attempt.status == "errored":
        fault = f"{attempt.fault_kind}: {attempt.fault_message}"
        body["error"] = {"message": fault, "traceback": fault, "traceback_ansi": fault}
    else:
        body["scores"] = {SCORER: _score(made)}
    if transcript.stop in LIMITS:
        body["limit"] = {"type": LIMITS[transcript.stop], "limit": 0}
    return body


def _score(made: Written) -> Json:
    attempt = made.attempt
    scored = attempt.status == "scored"
    return {
        "value": ("C" if attempt.passed else "I") if scored else math.nan,
        "answer": made.transcript.answer,
        "explanation": attempt.reason or None,
        "metadata": {
            "value": attempt.value,
            "scorer": attempt.scorer,
            "components": attempt.components,
        },
    }


def _output(system: System, made: Written) -> Json:
    said = {"role": "assistant", "content": made.transcript.answer}
    stop = STOPS.get(made.transcript.stop, "stop")
    return {
        "model": system.ref,
        "choices": [{"message": said, "stop_reason": stop}],
        "completion": made.transcript.answer,
    }


def _message(message: Message) -> Json:
    body: Json = {"role": message.role, "content": _content(message)}
    if message.tool_calls:
        body["tool_calls"] = [
            {"id": one.id, "function": one.name, "type": "function"} | _arguments(one.arguments)
            for one in message.tool_calls
        ]
    if message.tool_call_id:
        body["tool_call_id"] = message.tool_call_id
    return body


def _content(message: Message) -> Any:
    if not message.reasoning:
        return message.content
    thought = {"type": "reasoning", "reasoning": message.reasoning}
    return [thought, {"type": "text", "text": message.content}]


def _arguments(written: str) -> Json:
    try:
        return {"arguments": msgspec.json.decode(written, type=dict[str, Any])}
    except msgspec.MsgspecError as error:
        return {"arguments": {}, "parse_error": f"{error}: {written[:500]}"}
