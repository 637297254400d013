"""Judging stored transcripts again; calls no model."""

from __future__ import annotations

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.scoring.judging import judge
from qbench.service.domain import Run
from qbench.service.store import Store


def rescore(store: Store, run: Run) -> int:
    """Judge every attempt of a run that did not error; return how many.

    Raises:
        Unsupported: the run was imported, so that its scorer is not ours.

    """
    store.refuse_imported(run.id, hint="Import its file anew with another --scorer.")
    suite, samples = load_suite(run.request.suite), store.samples_of(run.id)
    judged = (
        (attempt_id, judge(suite, samples[sample_id], transcript))
        for attempt_id, sample_id, transcript in store.for_rescore(run.id)
    )
    return store.rescore(judged)
