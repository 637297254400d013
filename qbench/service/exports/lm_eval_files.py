"""A run as lm-evaluation-harness writes results: totals and samples for each system and task.

The metric ``acc`` is whether an attempt passed. lm-eval has no word for attempts that
infrastructure failed or that could not be scored: those are left out, and counted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from qbench import __version__
from qbench.service.domain import Run, System
from qbench.service.exports.inspect_log import mean_and_error
from qbench.service.exports.reading import Written, by_system
from qbench.service.store import Store

Json = dict[str, Any]
METRIC = "acc"
NO_WORD = re.compile(r"\W")
NO_NAME = re.compile(r"[\"<>:/|\\?*\[\]]+")


def folders(store: Store, run: Run) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Yield, for each system, a folder, its files by name, and how many attempts are left out.

    A file is a JSON object, or a list of them for JSON lines.
    """
    stamp = run.created_at.strftime("%Y-%m-%dT%H-%M-%S.%f")
    for system, mine in by_system(store, run):
        kept = [made for made in mine if made.attempt.status == "scored"]
        by_task: dict[str, list[Written]] = {}
        for made in kept:
            by_task.setdefault(made.sample.task, []).append(made)
        files: dict[str, Any] = {f"results_{stamp}.json": _results(run, system, by_task)}
        for task, part in by_task.items():
            files[f"samples_{NO_WORD.sub('_', task)}_{stamp}.jsonl"] = _samples(part)
        yield sanitized(system.ref), files, len(mine) - len(kept)


def sanitized(name: str) -> str:
    """Write a model as lm-eval does in the names of folders."""
    return NO_NAME.sub("__", name)


def _results(run: Run, system: System, by_task: dict[str, list[Written]]) -> Json:
    version = run.request.suite_version
    counts = {task: len({made.sample.id for made in part}) for task, part in by_task.items()}
    return {
        "results": {task: _totals(task, part) for task, part in by_task.items()},
        "group_subtasks": {},
        "configs": {
            task: {
                "task": task,
                "output_type": "generate_until",
                "repeats": run.request.epochs,
                "metric_list": [
                    {"metric": METRIC, "aggregation": "mean", "higher_is_better": True}
                ],
                "metadata": {"version": version, "suite": run.request.suite},
            }
            for task in by_task
        },
        "versions": dict.fromkeys(by_task, version),
        "n-shot": dict.fromkeys(by_task, 0),
        "higher_is_better": {task: {METRIC: True} for task in by_task},
        "n-samples": {task: {"original": n, "effective": n} for task, n in counts.items()},
        "config": {
            "model": f"qbench-{system.engine}",
            "model_args": {"pretrained": system.ref, "format": system.format},
            "gen_kwargs": msgspec.to_builtins(system.sampling),
            "random_seed": run.request.seed,
        },
        "git_hash": None,
        "date": run.created_at.timestamp(),
        "lm_eval_version": f"written by qbench {__version__}",
        "task_hashes": {},
        "model_source": "qbench",
        "model_name": system.ref,
        "model_name_sanitized": sanitized(system.ref),
        "system_instruction": None,
        "chat_template": None,
    }


def _totals(task: str, part: Sequence[Written]) -> Json:
    mean, error = mean_and_error([float(made.attempt.passed) for made in part])
    return {
        "name": task,
        "alias": task,
        "sample_len": len(part),
        f"{METRIC},none": mean,
        f"{METRIC}_stderr,none": "N/A" if error is None else error,
    }


def _samples(part: Sequence[Written]) -> list[Json]:
    places = {key: n for n, key in enumerate(dict.fromkeys(made.sample.id for made in part))}
    return [_sample(made, places[made.sample.id]) for made in part]


def _sample(made: Written, place: int) -> Json:
    sample, answer = made.sample, made.transcript.answer
    target = sample.answer or ""
    doc = {"id": sample.id, "prompt": sample.prompt, "answer": sample.answer, "level": sample.level}
    arguments = {"gen_args_0": {"arg_0": sample.prompt, "arg_1": {}}}
    return {
        "doc_id": place,
        "doc": doc,
        "target": target,
        "arguments": arguments,
        "resps": [[answer]],
        "filtered_resps": [answer],
        "filter": "none",
        "metrics": [METRIC],
        "doc_hash": _hash(msgspec.json.encode(doc)),
        "prompt_hash": _hash(sample.prompt.encode()),
        "target_hash": _hash(target.encode()),
        METRIC: float(made.attempt.passed),
        "qbench": {"attempt": made.attempt.id, "epoch": made.attempt.epoch},
    }


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
