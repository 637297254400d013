"""Which parts of a suite tell systems apart: ``qbench noise RUN --by task --least-snr 3``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.noise.snr import Ratio, ratio
from qbench.errors import ConfigError
from qbench.service.domain import Run
from qbench.service.reports.evidence import Evidence, estimate
from qbench.service.reports.noise.repeats import Cube, complete_cube, measured, runs_of
from qbench.service.reports.noise.values import PartKind, SignalNoise, SignalPart
from qbench.service.reports.values import Estimate
from qbench.service.store import Store

Chosen = NDArray[np.bool_]
RESAMPLES = 2_000
"""Of each part's families; there may be hundreds of parts."""


def signal_noise(
    store: Store, refs: Sequence[str], by: PartKind = "task", least: float = 0.0
) -> SignalNoise:
    """Measure the signal-to-noise ratio of every part of a suite.

    Args:
        store: where the runs are.
        refs: runs, as in ``noise_of``.
        by: what makes a part.
        least: parts with a lower ratio, or none, are left out.

    Raises:
        NotFound: no such run, or nothing that was scored every time.
        ConfigError: one system alone, or nothing was measured again.

    """
    runs = runs_of(store, refs)
    groups, left_out = measured([Evidence.of(store, run.id) for run in runs])
    if len(groups) < 2:
        raise ConfigError(
            f"A signal is between systems; there is {len(groups)} to read.",
            hint="Run two or more formats or models, or read its epochs: qbench noise RUN",
        )
    cube = complete_cube(groups)
    parts = {name: _ratio(cube, chosen) for name, chosen in _parts(cube, by).items()}
    everyone = _ratio(cube, np.ones(len(cube.samples), dtype=np.bool_))
    assert everyone is not None
    made = [
        _part(name, found, kept=_clear(found[0], least))
        for name, found in parts.items()
        if found is not None
    ]
    made.sort(key=_snr, reverse=True)
    kept = _together(cube, by, made)
    whole = _part("all", everyone, kept=True)
    return SignalNoise(
        runs=tuple(run.id for run in runs),
        suite=runs[0].request.suite,
        by=by,
        systems=cube.labels,
        repeats=cube.repeats.shape[1],
        chance=_known(everyone[0].chance),
        least=least,
        whole=whole,
        parts=tuple(made),
        kept=kept,
        options=tuple(_options(runs[0], by, made)) if least else (),
        left_out=left_out,
        notes=tuple(_notes(cube, least, everyone[0])),
        finding=_finding(by, least, whole, made, kept),
    )


def _parts(cube: Cube, by: PartKind) -> dict[str, Chosen]:
    named = {
        "task": list(cube.task),
        "level": [f"level {level}" for level in cube.level],
        "family": [cube.families[code] for code in cube.family],
    }[by]
    column = np.array(named)
    return {str(name): column == name for name in np.unique(column)}


def _ratio(cube: Cube, chosen: Chosen) -> tuple[Ratio, int] | None:
    kept = chosen & cube.complete
    if not kept.any():
        return None
    found = ratio(cube.repeats[:, :, kept], cube.family[kept], resamples=RESAMPLES)
    return found, int(kept.sum())


def _clear(found: Ratio, least: float) -> bool:
    return not least or (not math.isnan(found.snr) and found.snr >= least)


def _part(name: str, found: tuple[Ratio, int], *, kept: bool) -> SignalPart:
    one, samples = found
    return SignalPart(
        name=name,
        samples=samples,
        signal=_known(one.signal),
        noise=_known(one.noise),
        snr=_estimate(one),
        agreement=_known(one.agreement),
        kept=kept,
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _estimate(found: Ratio) -> Estimate | None:
    if math.isnan(found.snr):
        return None
    low, high = found.interval
    ends = (0.0, math.inf) if math.isnan(low) else (low, high)
    return estimate(found.snr, ends)


def _snr(part: SignalPart) -> float:
    return -1.0 if part.snr is None else part.snr.value


def _together(cube: Cube, by: PartKind, made: Sequence[SignalPart]) -> SignalPart | None:
    names = {part.name for part in made if part.kept}
    if not names or len(names) == len(made):
        return None
    chosen = np.logical_or.reduce([c for name, c in _parts(cube, by).items() if name in names])
    found = _ratio(cube, chosen)
    return None if found is None else _part("kept", found, kept=True)


def _options(run: Run, by: PartKind, made: Sequence[SignalPart]) -> Iterator[str]:
    """Say which options of ``qbench run`` measure the kept parts; a run has all tasks or one."""
    kept = [part.name for part in made if part.kept]
    if len(kept) == len(made):
        return
    if by == "task":
        yield from (f"--suite {run.request.suite}/{name}" for name in sorted(kept))
    elif by == "level" and kept:
        yield f"--level {','.join(sorted(name.removeprefix('level ') for name in kept))}"


def _notes(cube: Cube, least: float, everyone: Ratio) -> Iterator[str]:
    unread = int((~cube.complete).sum())
    if unread:
        yield f"{unread} of {len(cube.samples)} samples were not scored every time: left out."
    if not math.isnan(everyone.chance):
        yield (
            f"Where no two systems differ, a ratio of about {everyone.chance:.1f} is to be "
            f"expected from {len(cube.labels)} systems measured {cube.repeats.shape[1]} times."
        )
    if least:
        yield (
            "The parts were chosen by these very results: some are clear by chance, so what is "
            "kept looks clearer than it is, and a suite of kept parts asks something else. Judge "
            "it in a run with another --seed."
        )


def _finding(
    by: PartKind,
    least: float,
    whole: SignalPart,
    made: Sequence[SignalPart],
    kept: SignalPart | None,
) -> str:
    if whole.snr is None:
        return f"All {whole.samples} samples tell no two systems apart, nor one from itself."
    said = f"All {whole.samples} samples have a signal-to-noise ratio of {_told(whole)}"
    if len(made) > 1:
        said += f"; clearest {by}: {made[0].name} ({_told(made[0])})"
        said += f", noisiest: {made[-1].name} ({_told(made[-1])})"
    out = [part.name for part in made if not part.kept]
    if least and out:
        together = f", which leaves {kept.samples} samples with {_told(kept)}" if kept else ""
        said += f". Below {least:g}: leave out {', '.join(out)}{together}"
    elif least:
        said += f". None is below {least:g}"
    return f"{said}."


def _told(part: SignalPart) -> str:
    if part.snr is None:
        return "none"
    return f"{_number(part.snr.value)} [{_number(part.snr.low)}, {_number(part.snr.high)}]"


def _number(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.1f}"
