"""Every model call of a run as columns: token counts and seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.efficiency.runtime import denoised
from qbench.benchmarks.analysis.sums import Floats
from qbench.benchmarks.transcript import Transcript
from qbench.service.reports.evidence import Evidence
from qbench.service.store import Store


@dataclass(frozen=True, kw_only=True)
class Calls:
    """N calls of one system, in A attempts."""

    prompt: Floats
    """(N,) tokens; NaN where the endpoint reported no usage."""
    cached: Floats
    output: Floats
    seconds: Floats
    """(N,) send to last token."""
    number: NDArray[np.int32]
    """(N,) 0 for the first call of an attempt."""
    attempt: NDArray[np.int32]
    """(N,) index into the attempts."""
    scored: NDArray[np.bool_]
    """(A,) whether the pass rate counts the attempt."""
    sample: NDArray[np.int32]
    """(A,) index into the samples; -1 for one without a current attempt."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """(A,) scored attempts with calls, all of known usage."""
        unknown = np.bincount(self.attempt, np.isnan(self.prompt), len(self.scored)) > 0
        some = np.bincount(self.attempt, minlength=len(self.scored)) > 0
        found: NDArray[np.bool_] = self.scored & some & ~unknown & (self.sample >= 0)
        return found

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(N,) calls of the known attempts."""
        found: NDArray[np.bool_] = self.known[self.attempt]
        return found

    def prompts(self, *, cached: bool) -> Floats:
        """Return (N,) prompt tokens, at least 1; with ``cached`` those that no cache served."""
        fresh = self.prompt - self.cached if cached else self.prompt
        made: Floats = np.maximum(fresh, 1.0)
        return made

    def fastest(self) -> float | None:
        """Return the seconds of the counted calls, each as fast as its fastest repeat.

        Repeats are calls of one sample and place with the same token counts. None where no call
        was repeated.
        """
        chosen = self.counted
        columns = (self.sample[self.attempt], self.number, self.prompt, self.output)
        keys = np.column_stack([column[chosen] for column in columns])
        if not len(keys):
            return None
        _, group = np.unique(keys, axis=0, return_inverse=True)
        group = group.reshape(-1)
        fastest = denoised(self.seconds[chosen], group)
        return float(fastest[group].sum()) if len(fastest) < len(keys) else None


def recorded_calls(store: Store, evidence: Evidence) -> dict[str, Calls]:
    """Read the calls of every attempt of a run by system, errored and superseded ones too."""
    places = {name: place for place, name in enumerate(evidence.outcomes.samples)}
    makers: dict[str, _Maker] = {}
    for made, transcript in store.every_transcript(evidence.run.id):
        maker = makers.setdefault(made.system_id, _Maker())
        maker.add(transcript, sample=places.get(made.sample_id, -1), scored=made.scored)
    return {system: maker.calls() for system, maker in makers.items()}


class _Maker:
    """Collects rows."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, float, float, float, int, int]] = []
        self._scored: list[bool] = []
        self._samples: list[int] = []

    def add(self, transcript: Transcript, *, sample: int, scored: bool) -> None:
        """Add an attempt's calls."""
        place = len(self._scored)
        self._scored.append(scored)
        self._samples.append(sample)
        nan = float("nan")
        for number, turn in enumerate(transcript.turns):
            used, took = turn.usage, turn.timing.e2el_s
            counts = (nan, nan, nan)
            if used is not None:
                counts = (used.prompt_tokens, used.cached_tokens, max(1, used.completion_tokens))
            self._rows.append((*counts, took, number, place))

    def calls(self) -> Calls:
        """Return them as columns."""
        rows = np.array(self._rows, dtype=np.float64).reshape(-1, 6)
        return Calls(
            prompt=rows[:, 0],
            cached=rows[:, 1],
            output=rows[:, 2],
            seconds=rows[:, 3],
            number=rows[:, 4].astype(np.int32),
            attempt=rows[:, 5].astype(np.int32),
            scored=np.array(self._scored, dtype=np.bool_),
            sample=np.array(self._samples, dtype=np.int32),
        )


NO_CALLS = _Maker().calls()
"""Of a system that made none."""
