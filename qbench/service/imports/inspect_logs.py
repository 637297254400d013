"""Logs of inspect_ai (``.eval`` and ``.json``, log version 2) as attempts.

Its ``input_tokens`` leave cached tokens out; ours count them in. Calls made by scorers are not
the system's: their tokens are left out and counted as such.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qbench.benchmarks.chat import Message
from qbench.benchmarks.suite import Sample, Score
from qbench.errors import ConfigError
from qbench.service.domain import Fault
from qbench.service.imports.archive import members
from qbench.service.imports.inspect_talk import Talk, text_of, transcript_of
from qbench.service.imports.samples import sample_of
from qbench.service.imports.values import ForeignAttempt, ForeignEval, SourceFile

Json = dict[str, Any]

WORDS = {"c": 1.0, "p": 0.5, "i": 0.0, "n": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""inspect's own literals: correct, partial, incorrect, no answer."""


def read(path: Path, file: SourceFile, scorer: str = "") -> ForeignEval:
    """Read a log.

    Args:
        path: of the log.
        file: its name and hash.
        scorer: whose verdicts become the scores, or ``scorer/key`` of one that gives several;
            empty: the log's headline, else its first.

    Raises:
        ConfigError: it is no log, has no samples, or no such scorer.

    """
    header, samples = _parts(path)
    spec, lost = header["eval"], Counter[str]()
    chosen = scorer or _headline(header, samples)
    if not samples:
        raise ConfigError(
            f"{path} holds no samples.", hint="inspect leaves them out with --no-log-samples."
        )
    attempts = tuple(_attempt(header, sample, chosen, lost) for sample in samples)
    if not any(chosen.partition("/")[0] in (sample.get("scores") or {}) for sample in samples):
        known = sorted({name for sample in samples for name in sample.get("scores") or {}})
        raise ConfigError(
            f"No sample of {path} has a score of {chosen or 'any scorer'}.",
            hint=f"Name one with --scorer; there are: {', '.join(known) or 'none'}.",
        )
    config = spec.get("model_generate_config") or {}
    return ForeignEval(
        harness="inspect",
        version=str((spec.get("packages") or {}).get("inspect_ai", "unknown")),
        files=(file,),
        created=moment(spec["created"]),
        task=str(spec["task"]),
        task_version=str(spec.get("task_version", "")),
        model=str(spec["model"]),
        settings=_settings(spec, config),
        temperature=config.get("temperature"),
        max_tokens=config.get("max_tokens"),
        scorer=chosen,
        timed=all(sample.get("total_time") is not None for sample in samples),
        attempts=attempts,
        lost=lost,
    )


def _settings(spec: Json, config: Json) -> Json:
    """Return what makes two logs of one model two systems."""
    found = {
        "model_args": spec.get("model_args") or {},
        "task_args": spec.get("task_args") or {},
        "generate": config,
        "solver": spec.get("solver") or "",
        "base_url": spec.get("model_base_url") or "",
    }
    return {name: value for name, value in found.items() if value}


def _parts(path: Path) -> tuple[Json, list[Json]]:
    """Return the header and the samples of either kind of file."""
    if path.suffix == ".eval":
        found = dict(members(path))
        header = found.get("header.json")
        if header is None:
            raise ConfigError(
                f"{path} has no header: the evaluation did not end.",
                hint="Let it end, or retry it with `inspect eval-retry`.",
            )
        samples = [found[name] for name in sorted(found) if name.startswith("samples/")]
    else:
        try:
            header = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"Cannot read {path}: {error}.", hint="Give a JSON log.") from error
        samples = (header.get("samples") if isinstance(header, dict) else None) or []
    if not isinstance(header, dict) or "eval" not in header or header.get("version") != 2:
        raise ConfigError(
            f"{path} is no log of inspect in its version 2.",
            hint="Older ones are brought up to date by `inspect log convert`.",
        )
    return header, samples


def _headline(header: Json, samples: list[Json]) -> str:
    results = header.get("results") or {}
    told = (results.get("headline") or {}).get("scorer") or ""
    if told:
        return str(told)
    if results.get("scores"):
        return str(results["scores"][0]["name"])
    return next((name for sample in samples for name in sample.get("scores") or {}), "")


def moment(text: str) -> datetime:
    """Read a time; one without a zone is UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _attempt(header: Json, body: Json, scorer: str, lost: Counter[str]) -> ForeignAttempt:
    spec = header["eval"]
    talk = Talk.of(body, str(spec["model"]), lost)
    scores = body.get("scores") or {}
    error = body.get("error")
    started = moment(body.get("started_at") or spec["created"])
    ended = moment(body.get("completed_at") or body.get("started_at") or spec["created"])
    if body.get("error_retries"):
        lost["attempts that inspect made again after an error"] += len(body["error_retries"])
    return ForeignAttempt(
        sample=_sample(str(spec["task"]), body, talk),
        epoch=int(body["epoch"]) - 1,
        transcript=transcript_of(talk, started),
        score=None if error and not scores else _score(scores, scorer, lost),
        fault=_fault(error) if error and not scores else None,
        started_at=started,
        ended_at=max(started, ended),
    )


def _fault(error: Json) -> Fault:
    said = str(error.get("message") or "unknown")
    return Fault(kind="InspectError", message=said[:2000])


def _sample(task: str, body: Json, talk: Talk) -> Sample:
    asked = body["input"]
    system, prompt = "", ""
    before: tuple[Message, ...] = ()
    if isinstance(asked, str):
        prompt = talk.resolved(asked)
    else:
        said = [
            Message(role=one["role"], content=text_of(one["content"], talk))
            for one in asked
            if one["role"] in ("system", "user", "assistant")
        ]
        system = next((one.content for one in said if one.role == "system"), "")
        rest = [one for one in said if one.role != "system"]
        prompt, before = (rest[-1].content, tuple(rest[:-1])) if rest else ("", ())
    target = body.get("target")
    return sample_of(
        suite=f"inspect:{task}",
        task=task,
        native=str(body["id"]),
        prompt=prompt,
        answer=target if isinstance(target, str) else None,
        details={
            "target": target,
            "choices": body.get("choices"),
            "metadata": body.get("metadata") or {},
        },
        system=system,
        before=before,
    )


def _score(scores: Json, scorer: str, lost: Counter[str]) -> Score:
    """Map the chosen scorer's verdict; the others become components."""
    parts = _components(scores, lost)
    name, _, key = scorer.partition("/")
    found = scores.get(name)
    label = f"inspect:{scorer}"
    if found is None:
        return Score(
            status="unscored", reason=f"no score of {name}", components=parts, scorer=label
        )
    raw = found.get("value")
    value = number(raw.get(key) if key and isinstance(raw, dict) else raw)
    if value is None or not 0 <= value <= 1:
        lost[f"scores of {scorer} that are no number from 0 to 1: left unscored"] += 1
        return Score(
            status="unscored",
            reason=f"{scorer} says {str(raw)[:100]}, which is no number from 0 to 1",
            components=parts,
            scorer=label,
        )
    passed = value >= 1
    said = "" if passed else str(found.get("explanation") or found.get("answer") or "")[:500]
    return Score(
        status="scored", value=value, passed=passed, reason=said, components=parts, scorer=label
    )


def _components(scores: Json, lost: Counter[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, score in scores.items():
        raw = score.get("value")
        pairs = raw.items() if isinstance(raw, dict) else [("", raw)]
        for key, part in pairs:
            value = number(part)
            label = f"{name}/{key}" if key else name
            if value is None:
                lost[f"values of scorer {label} that are no number"] += 1
            else:
                found[label] = value
    return found


def number(value: Any) -> float | None:
    """Read a verdict as inspect does; None for no number, and for NaN, its mark of unscored."""
    if isinstance(value, bool | int | float):
        return None if value != value else float(value)  # noqa: PLR0124 - NaN
    if not isinstance(value, str):
        return None
    word = value.strip().lower()
    if word in WORDS:
        return WORDS[word]
    try:
        return float(word)
    except ValueError:
        return None
