"""What exports are made of: a run's current attempts with their samples, transcripts and money."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from qbench.benchmarks.suite import Sample
from qbench.benchmarks.transcript import Transcript
from qbench.service.domain import Run, System
from qbench.service.store import Exported, Store

WITHHELD = "(withheld: the set is marked by a canary)"


class Written(Struct, frozen=True, kw_only=True):
    """One attempt as it is exported."""

    attempt: Exported
    sample: Sample
    transcript: Transcript
    dollars: Decimal | None


def by_system(store: Store, run: Run) -> Iterator[tuple[System, list[Written]]]:
    """Yield each system with its current attempts, in the order of samples and epochs.

    What a canary marks is withheld: files wander.
    """
    samples = store.samples_of(run.id)
    costs: dict[str, Decimal | None] = {}
    for line in store.ledger(run.id):
        if line.basis in ("api", "saturated"):
            costs[line.attempt_id] = line.dollars
    found: dict[str, list[Written]] = {system.id: [] for system in run.request.systems}
    for one, transcript in store.exported(run.id):
        sample = samples[one.sample_id]
        told = _withheld(sample, transcript) if sample.canary else (sample, transcript)
        made = Written(attempt=one, sample=told[0], transcript=told[1], dollars=costs.get(one.id))
        found[one.system_id].append(made)
    for system in run.request.systems:
        mine = found[system.id]
        mine.sort(key=lambda made: (made.sample.id, made.attempt.epoch))
        yield system, mine


def _withheld(sample: Sample, transcript: Transcript) -> tuple[Sample, Transcript]:
    hidden = replace(
        sample, family="", prompt=WITHHELD, system="", examples=(), answer=None, details={}
    )
    return hidden, Transcript(
        messages=(), turns=transcript.turns, answer=WITHHELD, stop=transcript.stop
    )
