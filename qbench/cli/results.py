"""``runs``, ``show``, ``leaderboard``, ``compare``, ``frontier``, ``export``: verbs that read."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated

import msgspec
import typer

from qbench.benchmarks.transcript import Transcript
from qbench.cli.options import BasisName, Database, Json, RunRef, basis_of, command
from qbench.cli.render import console, tables
from qbench.cli.source import Server, Which, open_source
from qbench.errors import NotFound
from qbench.service.domain import variant
from qbench.service.listing import AttemptDetail, RunFacts
from qbench.service.queue import WorkerView
from qbench.service.reports.values import SCHEMA, to_json
from qbench.service.store import AttemptView


@command
def runs(
    limit: int = typer.Option(20, "--limit", "-n", min=1, help="Newest runs to list."),
    server: Server = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """List the runs."""
    with open_source(server, database) as source:
        found = source.runs(limit)
    if json:
        console.raw(to_json({"schema": SCHEMA, "runs": found}))
        return
    headers = ("Run", "Status", "Suite", "Systems>", "Done>", "Errored>", "Paid>", "Made")
    tables.rows_of(headers, (_run_row(facts) for facts in found))


def _run_row(facts: RunFacts) -> tuple[str, ...]:
    return (
        facts.id,
        facts.status,
        facts.suite,
        str(len(facts.systems)),
        f"{facts.done:,}/{facts.planned:,}",
        f"{facts.errored:,}",
        _paid(facts.paid, facts.unpriced),
        f"{facts.created_at:%b %d %H:%M}",
    )


def _paid(known: str | None, unpriced: int) -> str:
    """Write what is known; a sum that leaves something out says so."""
    if known is None:
        return "unpriced" if unpriced else "–"
    return f"{'> ' if unpriced else ''}{console.dollars(Decimal(known))}"


@command
def show(
    ref: Annotated[
        str, typer.Argument(metavar="RUN|ATTEMPT", help="A run or an attempt.")
    ] = "last",
    system: str = typer.Option("", help="Only this system: a format or MODEL@FORMAT."),
    failed: bool = typer.Option(False, "--failed", help="Only attempts that did not pass."),
    errored: bool = typer.Option(False, "--errored", help="Only infrastructure failures."),
    limit: int = typer.Option(40, "--limit", "-n", min=1, help="Most attempts to list."),
    server: Server = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Show a run's attempts, or one attempt's transcript."""
    status = "errored" if errored else "scored" if failed else ""
    which = Which(system=system, status=status, passed=False if failed else None, limit=limit)
    with open_source(server, database) as source:
        try:
            run = source.progress(ref)
        except NotFound:
            _show_attempt(source.attempt(ref), json=json)
            return
        found = source.attempts(ref, which).attempts
    labels = {
        key: variant(tally.format, tally.replica, tally.way) for key, tally in run.tallies.items()
    }
    if json:
        console.raw(to_json({"schema": SCHEMA, "run": run.run.id, "attempts": found}))
        return
    headers = ("Attempt", "System", "Sample", "Outcome", "Calls>", "Seconds>", "Why")
    tables.rows_of(headers, (_attempt_row(one, labels) for one in found))


def _attempt_row(one: AttemptView, labels: dict[str, str]) -> tuple[str, ...]:
    outcome = one.status if one.status != "scored" else "passed" if one.passed else "failed"
    return (
        one.id,
        labels.get(one.system_id, one.system_id),
        one.sample_id.partition("/")[2].rpartition("-")[0],
        outcome,
        str(one.calls),
        console.seconds(one.seconds),
        one.fault or one.reason,
    )


def _show_attempt(found: AttemptDetail, *, json: bool) -> None:
    view, transcript = found.attempt, found.transcript
    if json:
        console.raw(to_json({"schema": SCHEMA, "attempt": view, "transcript": transcript}))
        return
    for role, text in _lines(transcript):
        console.out.print(f"{role:>9}  {text}", markup=False, soft_wrap=True)
    verdict = "passed" if view.passed else f"{view.status}, not passed: {view.fault or view.reason}"
    console.out.print(f"\n{view.sample_id}: {verdict}", markup=False)


def _lines(transcript: Transcript) -> Iterator[tuple[str, str]]:
    for message in transcript.messages:
        if message.content:
            yield message.role, message.content
        for made in message.tool_calls:
            yield "call", f"{made.name} {made.arguments}"
    if transcript.end_state is not None:
        yield "end state", msgspec.json.encode(transcript.end_state).decode()


@command
def leaderboard(
    ref: RunRef = "last",
    basis: BasisName = "saturated",
    server: Server = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Rank the systems of a run."""
    with open_source(server, database) as source:
        found = source.leaderboard(ref, basis_of(basis), components=json)
    if json:
        console.raw(to_json(found))
    else:
        tables.leaderboard(found)


@command
def workers(
    alive_here: bool = typer.Option(
        False, "--alive-here", help="Exit with 1 unless a worker of this machine is alive."
    ),
    server: Server = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Show who works, what waits, and what is used."""
    with open_source(server, database) as source:
        found = source.workers()
    if json:
        console.raw(to_json(found))
    else:
        headers = ("Worker", "Host", "State", "Shards>", "Devices", "Heard of>", "Version")
        tables.rows_of(headers, map(_worker_row, found.workers))
        waiting = ", ".join(f"{number:,} {WAITING[name]}" for name, number in found.waiting.items())
        console.out.print(f"Waiting: {waiting}.", markup=False)
        for device, use in found.devices.items():
            console.out.print(f"{device.rpartition('/')[2]} is used for {use}.", markup=False)
    here = platform.node()
    if alive_here and not any(v.alive and v.worker.host == here for v in found.workers):
        raise typer.Exit(1)


WAITING = {"plan": "runs", "engine": "engines", "shard": "shards"}


def _worker_row(view: WorkerView) -> tuple[str, ...]:
    state = "draining" if view.draining else "alive" if view.alive else "silent"
    return (
        view.worker.id,
        view.worker.host,
        state,
        f"{view.shards}/{view.worker.threads}",
        ", ".join(device.rpartition("/")[2] for device in view.worker.devices) or "none",
        f"{console.seconds(view.beat_s)} ago",
        view.worker.version,
    )
