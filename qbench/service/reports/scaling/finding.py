"""What test-time scaling found, in one sentence with its intervals."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from qbench.service.reports.scaling.values import Choice, Plan, ScalingAsked, SystemScaling
from qbench.service.reports.values import Estimate


def finding(
    systems: Sequence[SystemScaling], choices: Sequence[Choice], asked: ScalingAsked
) -> str:
    """State what the best system reaches, what the verifier allows, and what a budget buys."""
    if not systems:
        return "Nothing can be said: no system is valid."
    parts = [_curve(systems[0]), *_tested(systems[0], asked)]
    parts += [*_verified(systems), *_bought(choices, asked)]
    return f"{'; '.join(parts)}."


def _curve(best: SystemScaling) -> str:
    first, last = best.depths[0], best.depths[-1]
    if last.k == 1:
        return f"{best.label} passes {shares(first.coverage)} with the one attempt it had"
    return (
        f"{best.label} passes {shares(first.coverage)} at one attempt and, if a perfect verifier "
        f"chose (an upper bound), {shares(last.coverage)} within {last.k}"
    )


def shares(found: Estimate) -> str:
    """Write a share with its interval: ``63.0 % [58.1, 67.7]``."""
    return f"{100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def _tested(best: SystemScaling, asked: ScalingAsked) -> list[str]:
    if best.tested is None:
        return []
    last = best.tested.depths[-1]
    right, false = shares(last.right), shares(last.false)
    return [f"stopping when {asked.weak_test} is 1, {right} are right and {false} false"]


def _verified(systems: Sequence[SystemScaling]) -> list[str]:
    best = systems[0]
    if best.checked is None:
        return []
    ceiling = best.checked.ceiling
    told = f"{shares(ceiling)}, " if ceiling else ""
    most = 100 * best.checked.at_most.high
    said = [f"with the supposed verifier its ceiling is {told}not above {most:.1f} %"]
    never = [one for one in systems if one.against and one.against.reach == "never"]
    if never and never[0].against:
        names = ", ".join(one.label for one in never)
        said.append(
            f"{names} and that verifier never reach the {100 * never[0].against.pass_rate:.1f} % "
            f"of one attempt of {never[0].against.strongest}"
        )
    return said


def _bought(choices: Sequence[Choice], asked: ScalingAsked) -> list[str]:
    said = []
    for choice in choices:
        if choice.group == "within reach":
            bought = _plan(choice.plan, choice.chance) if choice.plan else "buys no attempt"
            said.append(f"{price(choice.budget, asked)} per sample {bought}")
    return said


def price(budget: float, asked: ScalingAsked) -> str:
    """Write a budget: ``$0.00002``, ``2 TeFLOP``."""
    text = f"{Decimal(str(budget)).normalize():f}"
    return f"{text} TeFLOP" if asked.cost == "kinetics" else f"${text}"


def _plan(plan: Plan, chance: float) -> str:
    return (
        f"buys {shares(plan.passed)} with {plan.label}, {told(plan)} (the same choice in "
        f"{100 * chance:.0f} % of resamples)"
    )


def told(plan: Plan) -> str:
    """Name what is done: ``once``, ``a vote of 3``, ``until accepted, at most 8``."""
    if plan.strategy == "once":
        return "once"
    if plan.strategy == "vote":
        return f"a vote of {plan.k}"
    return f"{plan.strategy}, at most {plan.k}"
