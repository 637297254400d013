"""Judging stored transcripts again; calls no model."""

from __future__ import annotations

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.scoring.judging import judge
from qbench.service.domain import Run
from qbench.service.store import Store


def rescore(store: Store, run: Run) -> int:
    """Judge every attempt of a run that did not error; return how many."""
    suite, samples = load_suite(run.request.suite), store.samples_of(run.id)
    judged = (
        (attempt_id, judge(suite, samples[sample_id], transcript))
        for attempt_id, sample_id, transcript in store.for_rescore(run.id)
    )
    return store.rescore(judged)
