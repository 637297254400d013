"""What single samples contribute: ``qbench noise RUN --items``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.noise.items import ItemStatistics, item_statistics
from qbench.service.reports.evidence import Evidence, estimate
from qbench.service.reports.noise.repeats import Cube, complete_cube, measured, runs_of
from qbench.service.reports.noise.values import Item, ItemGroup, ItemReport
from qbench.service.reports.values import Estimate
from qbench.service.store import Store

SUSPICIOUS = 0.05


def items_of(store: Store, refs: Sequence[str]) -> ItemReport:
    """Describe every sample of runs in which something was measured more than once.

    Raises:
        NotFound: no such run, or nothing that was scored every time.
        ConfigError: the runs asked different suites, or nothing was measured again.

    """
    runs = runs_of(store, refs)
    groups, left_out = measured([Evidence.of(store, run.id) for run in runs])
    cube = complete_cube(groups)
    places = np.flatnonzero(cube.complete)
    found = item_statistics(cube.repeats[:, :, places])
    tasks = np.array(cube.task)[places]
    whole = _group("all", found, np.ones(len(places), dtype=np.bool_))
    alpha = _alpha(found)
    return ItemReport(
        runs=tuple(run.id for run in runs),
        suite=runs[0].request.suite,
        systems=cube.labels,
        repeats=cube.repeats.shape[1],
        whole=whole,
        tasks=tuple(_group(str(name), found, tasks == name) for name in np.unique(tasks)),
        items=tuple(sorted(_items(cube, places, found), key=_order)),
        alpha=alpha,
        split_half=_known(found.split_half),
        left_out=left_out,
        notes=tuple(_notes(cube, found)),
        finding=_finding(whole, alpha),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _alpha(found: ItemStatistics) -> Estimate | None:
    if math.isnan(found.alpha) or math.isnan(found.alpha_interval[0]):
        return None
    return estimate(found.alpha, found.alpha_interval)


def _items(cube: Cube, places: NDArray[np.intp], found: ItemStatistics) -> Iterator[Item]:
    for at, place in enumerate(places):
        yield Item(
            sample=cube.samples[place],
            task=cube.task[place],
            level=int(cube.level[place]),
            family=cube.families[cube.family[place]],
            difficulty=float(found.difficulty[at]),
            discrimination=_known(found.discrimination[at]),
            p=_known(found.p[at]),
            flips=_known(found.flips[at]),
        )


def _order(item: Item) -> tuple[float, str]:
    return (2.0 if item.discrimination is None else item.discrimination, item.sample)


def _group(name: str, found: ItemStatistics, chosen: NDArray[np.bool_]) -> ItemGroup:
    difficulty, linked = found.difficulty[chosen], found.discrimination[chosen]
    varied = linked[~np.isnan(linked)]
    flips, p = found.flips[chosen], found.p[chosen]
    return ItemGroup(
        name=name,
        samples=len(difficulty),
        difficulty=float(difficulty.mean()),
        all_pass=int((difficulty == 1).sum()),
        all_fail=int((difficulty == 0).sum()),
        flipping=int((flips > 0).sum()),
        discrimination=float(varied.mean()) if len(varied) else None,
        negative=int((varied < 0).sum()),
        suspicious=int((p < SUSPICIOUS).sum()),
    )


def _notes(cube: Cube, found: ItemStatistics) -> Iterator[str]:
    unread = int((~cube.complete).sum())
    if unread:
        yield f"{unread} of {len(cube.samples)} samples were not scored every time: left out."
    if np.isnan(found.p).all():
        yield (
            "No discrimination could be tested: it takes 3 systems, or 3 repeats of one; below 0 "
            "may be chance."
        )
    if len(cube.labels) < 10:
        yield (
            f"Discrimination and alpha are over {len(cube.labels)} systems and their repeats: "
            "read them as a first look."
        )


def _finding(whole: ItemGroup, alpha: Estimate | None) -> str:
    dead = whole.all_pass + whole.all_fail
    said = (
        f"{dead} of {whole.samples} samples tell nothing ({whole.all_pass} always passed, "
        f"{whole.all_fail} never), {whole.flipping} flip when measured again, "
        f"{whole.suspicious} discriminate the wrong way beyond chance"
    )
    if alpha is not None:
        said += f"; reliability (alpha) {alpha.value:.2f} [{alpha.low:.2f}, {alpha.high:.2f}]"
    return f"{said}."
