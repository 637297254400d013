"""What more attempts buy: curves, a verifier's ceiling, and the best plan for a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.scaling.coverage import doublings
from qbench.benchmarks.analysis.scaling.kinetics import MACHINES, Machine, Replies, work
from qbench.benchmarks.analysis.scaling.tallies import Redraws, Row, tally
from qbench.benchmarks.analysis.scaling.verifier import Verifier
from qbench.benchmarks.analysis.scaling.weak import WeakTest
from qbench.benchmarks.analysis.sums import Floats, dollars
from qbench.errors import ConfigError, NotFound
from qbench.service.domain import Basis, RunStatus, System
from qbench.service.reports.efficiency.shapes import decoder_of
from qbench.service.reports.evidence import Evidence
from qbench.service.reports.scaling.curves import (
    Bench,
    against,
    checked,
    depths,
    saturation,
    tested,
)
from qbench.service.reports.scaling.finding import finding
from qbench.service.reports.scaling.plans import GROUPS, candidates, judged
from qbench.service.reports.scaling.values import (
    Choice,
    Plan,
    Scaling,
    ScalingAsked,
    SystemScaling,
)
from qbench.service.store import Store

COUNTED = (
    "TeFLOPs are counted, not measured (Kinetics, arXiv 2506.05333): generation with 16-bit keys "
    "and values in a large batch; prompts and the reading of weights are not in them, so formats "
    "of one model differ by their tokens alone."
)


@dataclass(frozen=True, kw_only=True)
class Told:
    """A system that can be told of, with its attempts."""

    system: System
    row: Row
    ks: tuple[int, ...]
    weak: WeakTest | None = None


def scaling_of(
    store: Store, run_ref: str, asked: ScalingAsked, basis: Basis = "saturated"
) -> Scaling:
    """Say what more attempts buy.

    Raises:
        NotFound: no such run or GPU.
        ConfigError: a k beyond the attempts there are, or a verifier worse than chance.

    """
    evidence = Evidence.of(store, run_ref, basis)
    if not asked.weak_test:
        return scaled(evidence, asked)
    run_id = evidence.run.id
    outcomes, places = store.placed_outcomes(run_id)
    values = store.attempt_components(run_id, places, asked.weak_test)
    if np.isnan(values).all():
        known = {name for parts in store.components(run_id).values() for name in parts}
        raise NotFound.among("score component", asked.weak_test, known)
    return scaled(replace(evidence, outcomes=outcomes), asked, values >= 1)


def scaled(
    evidence: Evidence, asked: ScalingAsked, accepted: NDArray[np.bool_] | None = None
) -> Scaling:
    """Say what more attempts buy, from what was read of a run. Raises as ``scaling_of``.

    ``accepted``: (N,) by the weak test, where one is asked for.
    """
    verifier, machine = _verifier(asked), _machine(asked)
    costs = _costs(evidence, machine)
    found = tally(evidence.outcomes, costs)
    left_out, told = _sorted_out(evidence, asked, found.row)
    if accepted is not None:
        told = _weakly(evidence, told, accepted, costs)
    redraws = Redraws.of(found, seed=evidence.run.request.seed)
    bench = Bench(asked=asked, redraws=redraws, verifier=verifier)
    systems = tuple(sorted(_systems(bench, told), key=lambda one: -one.depths[-1].coverage.value))
    plans, choices = _plans(bench, told)
    return Scaling(
        run_id=evidence.run.id,
        basis=evidence.basis,
        asked=asked,
        unit="TeFLOP" if machine else "$",
        systems=systems,
        plans=plans,
        choices=choices,
        left_out=left_out,
        notes=_notes(evidence, systems, asked, told),
        finding=finding(systems, choices, asked),
    )


def _weakly(
    evidence: Evidence, told: list[Told], accepted: NDArray[np.bool_], costs: Floats
) -> list[Told]:
    """Add what a weak test says of every attempt."""
    outcomes = evidence.outcomes
    taken = tally(replace(outcomes, passed=accepted), costs)
    both = tally(replace(outcomes, passed=accepted & outcomes.passed), costs)
    made = []
    for one in told:
        place = outcomes.systems.index(one.system.id)
        weak = WeakTest(row=taken.row(place), right=both.row(place).passed, truth=one.row.passed)
        made.append(replace(one, weak=weak))
    return made


def _verifier(asked: ScalingAsked) -> Verifier | None:
    if asked.soundness is None and asked.completeness is None:
        if (asked.false_positive_cost or asked.attempt_cost) and not asked.weak_test:
            raise ConfigError(
                "What a false answer or an attempt costs concerns a verifier.",
                hint="Add --soundness, the share of wrong answers it rejects, or --weak-test.",
            )
        return None
    completeness = 1.0 if asked.completeness is None else asked.completeness
    soundness = 1.0 if asked.soundness is None else asked.soundness
    if completeness <= 1 - soundness:
        raise ConfigError(
            f"A verifier that accepts {100 * completeness:g} % of the right answers and "
            f"{100 * (1 - soundness):g} % of the wrong ones chooses no better than chance.",
            hint="Completeness plus soundness must be above 1.",
        )
    return Verifier(completeness=completeness, soundness=soundness)


def _machine(asked: ScalingAsked) -> Machine | None:
    if asked.cost == "dollars":
        return None
    if asked.gpu not in MACHINES:
        raise NotFound.among("GPU with known speed", asked.gpu, MACHINES)
    return MACHINES[asked.gpu]


def _costs(evidence: Evidence, machine: Machine | None) -> Floats:
    """Return (N,) cost of each attempt: dollars, or TeFLOPs where a machine is named."""
    outcomes = evidence.outcomes
    if machine is None:
        return dollars(outcomes, evidence.basis)
    systems = {system.id: system for system in evidence.run.request.systems}
    cost = np.full(len(outcomes.status), np.nan)
    calls = np.maximum(outcomes.calls, 1).astype(np.float64)
    made = Replies(prompt=outcomes.prompt_tokens / calls, reply=outcomes.completion_tokens / calls)
    for place, key in enumerate(outcomes.systems):
        model = decoder_of(systems[key].model)
        if model is not None:
            mine = outcomes.system == place
            cost[mine] = (calls * work(model, made, machine=machine).total)[mine]
    return cost


def _sorted_out(
    evidence: Evidence, asked: ScalingAsked, row_of: Callable[[int], Row]
) -> tuple[dict[str, str], list[Told]]:
    """Return who is left out and why, and who is told of."""
    left_out, kept = {}, []
    for system in evidence.run.request.systems:
        place = evidence.place(system.id)
        why = _why_not(evidence, system)
        if why or place is None:
            left_out[system.label] = why or "nothing was scored"
        else:
            kept.append((system, row_of(place)))
    most = max((row.most for _, row in kept), default=0)
    _check(asked, most, any_system=bool(kept))
    return left_out, [Told(system=system, row=row, ks=_ks(asked, row.most)) for system, row in kept]


def _why_not(evidence: Evidence, system: System) -> str:
    if system.replica:
        return "the noise floor: the baseline measured once more"
    return evidence.invalid(system.id)


def _check(asked: ScalingAsked, most: int, *, any_system: bool) -> None:
    wanted = max(asked.ks, default=1)
    if min(asked.ks, default=1) < 1:
        raise ConfigError("k is a number of attempts, from 1 up.", hint="Write --k 1,2,4,8.")
    if any_system and wanted > most:
        raise ConfigError(
            f"k = {wanted} needs {wanted} scored attempts at a sample; this run has {most}.",
            hint=f"Measure more with `qbench run --epochs {wanted}`, or ask for k up to {most}.",
        )


def _ks(asked: ScalingAsked, most: int) -> tuple[int, ...]:
    if not asked.ks:
        return doublings(most)
    return tuple(sorted({1, *(k for k in asked.ks if k <= most)}))


def _systems(bench: Bench, told: list[Told]) -> list[SystemScaling]:
    strongest = max(told, key=lambda one: float(one.row.rates.mean()), default=None)
    return [_system(bench, one, strongest) for one in told]


def _system(bench: Bench, one: Told, strongest: Told | None) -> SystemScaling:
    row, seen = one.row, int(one.row.kept.sum())
    compared = strongest is not None and strongest is not one
    return SystemScaling(
        system_id=one.system.id,
        label=one.system.label,
        attempts=row.most,
        samples=seen,
        left_out=len(row.kept) - seen,
        greedy=one.system.sampling.temperature == 0,
        depths=depths(bench, row, one.ks),
        saturation=saturation(bench, row),
        checked=checked(bench, row, one.ks),
        tested=tested(bench, one.weak, one.ks) if one.weak else None,
        against=against(bench, row, strongest.row, strongest.system.label)
        if compared and strongest
        else None,
    )


def _plans(bench: Bench, told: list[Told]) -> tuple[tuple[Plan, ...], tuple[Choice, ...]]:
    priced = [(one.system.label, one.row, one.ks, one.weak) for one in told if _priced(one)]
    plans: list[Plan] = []
    choices: list[Choice] = []
    found = candidates(bench, priced)
    for group in GROUPS:
        more, chosen = judged(bench, group, found[group])
        plans += more
        choices += chosen
    return tuple(plans), tuple(sorted(choices, key=lambda choice: choice.budget))


def _priced(one: Told) -> bool:
    return not np.isnan(one.row.cost).any()


def _seconds(systems: tuple[SystemScaling, ...], machine: Machine) -> list[str]:
    """Say how long a machine at full speed takes for what was counted."""
    told = [
        f"{one.label} {float(machine.seconds(np.array(cost.value))):.3g} s"
        for one in systems
        if (cost := one.depths[0].cost) is not None
    ]
    return [f"An attempt at full speed of a {machine.name}: {', '.join(told)}."] if told else []


def _notes(
    evidence: Evidence, systems: tuple[SystemScaling, ...], asked: ScalingAsked, told: list[Told]
) -> tuple[str, ...]:
    said = [
        f"{one.label}: {one.left_out} samples have fewer than {one.attempts} scored attempts and "
        "are left out."
        for one in systems
        if one.left_out
    ]
    if greedy := [one.label for one in systems if one.greedy and one.attempts > 1]:
        said.append(
            f"At temperature 0 attempts at a sample hardly differ: {', '.join(greedy)}. "
            "Measure with `--temperature` above 0 to see what sampling buys."
        )
    if any(one.attempts == 1 for one in systems):
        said.append("One attempt per sample tells no curve: measure with `--epochs 8`.")
    if unknown := [one.system.label for one in told if not _priced(one)]:
        why = "shape or tokens unknown" if asked.cost == "kinetics" else "see `qbench prices`"
        said.append(f"Without cost, and so in no plan: {', '.join(unknown)} ({why}).")
    if asked.cost == "kinetics":
        said += [COUNTED, *_seconds(systems, MACHINES[asked.gpu])]
    if evidence.run.status is not RunStatus.DONE:
        said.append(f"The run is {evidence.run.status.value}.")
    return tuple(said)
