"""Attempts as columns: the input of every analysis function. Pure data, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

SCORED, UNSCORED, ERRORED = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """N current attempts of one or more systems on a shared set of samples.

    Arrays named in the singular have length N and index into the plural tuples. Statistics are
    done in float64; sums of money for people come from the ledger, in Decimal.
    """

    systems: tuple[str, ...]
    """System ids."""
    samples: tuple[str, ...]
    """Sample ids, shared by all systems: equal index means equal sample."""
    sample_family: NDArray[np.int32]
    """(S,) index into ``families`` for each sample."""
    families: tuple[str, ...]
    sample_level: NDArray[np.int32]
    """(S,) difficulty level."""
    sample_task: NDArray[np.int32]
    """(S,) index into ``tasks``."""
    tasks: tuple[str, ...]
    system: NDArray[np.int32]
    sample: NDArray[np.int32]
    epoch: NDArray[np.int32]
    status: NDArray[np.int8]
    """SCORED, UNSCORED or ERRORED."""
    passed: NDArray[np.bool_]
    value: NDArray[np.float64]
    prompt_tokens: NDArray[np.float64]
    """NaN where the endpoint reported no usage."""
    cached_tokens: NDArray[np.float64]
    completion_tokens: NDArray[np.float64]
    seconds: NDArray[np.float64]
    """Wall seconds of the attempt."""
    truncated: NDArray[np.bool_]
    parse_failures: NDArray[np.int32]
    retries: NDArray[np.int32]
    calls: NDArray[np.int32]
    """Model calls."""
    cost: dict[str, NDArray[np.float64]]
    """Basis to (N,) dollars; NaN where unpriced. ``others``: 0 where no other model was asked."""


PER_ATTEMPT = (
    "system sample epoch status passed value prompt_tokens cached_tokens completion_tokens "
    "seconds truncated parse_failures retries calls"
).split()


def of_samples(outcomes: Outcomes, chosen: NDArray[np.bool_]) -> tuple[Outcomes, NDArray[np.bool_]]:
    """Return the attempts at the (S,) chosen samples, and which of the N attempts those are."""
    kept = chosen[outcomes.sample]
    columns = {name: getattr(outcomes, name)[kept] for name in PER_ATTEMPT}
    columns["sample"] = (np.cumsum(chosen) - 1).astype(np.int32)[columns["sample"]]
    families, family = np.unique(outcomes.sample_family[chosen], return_inverse=True)
    alone = replace(
        outcomes,
        **columns,
        cost={basis: values[kept] for basis, values in outcomes.cost.items()},
        samples=tuple(one for one, take in zip(outcomes.samples, chosen, strict=True) if take),
        families=tuple(outcomes.families[one] for one in families),
        sample_family=family.astype(np.int32),
        sample_level=outcomes.sample_level[chosen],
        sample_task=outcomes.sample_task[chosen],
    )
    return alone, kept
