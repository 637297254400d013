"""What stands behind an energy cost: measured or estimated, and what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qbench.service.domain import System
from qbench.service.reports.evidence import Evidence

COUNTERS = {"nvml": "the GPU driver's counter", "rapl": "the processor's counter"}


def energy_notes(
    evidence: Evidence, systems: Sequence[System], *, unpriced: bool = False
) -> Iterator[str]:
    """Yield what a reader of costs on basis ``energy`` must know; nothing on another basis.

    Args:
        evidence: of the run.
        systems: those with a known cost.
        unpriced: whether others have none.

    """
    if evidence.basis != "energy":
        return
    yield (
        "energy: the electricity of local systems' devices alone, without host, cooling or the "
        "machine; API systems stand beside it at their list price"
    )
    if unpriced:
        yield (
            "no energy is known where it was not measured and the draw of the hardware is not in "
            "the price book: add `power` and `electricity` to a file named by QBENCH_PRICES "
            "(docs/cost-of-pass.md)"
        )
    alike: dict[str, list[str]] = {}
    for system in systems:
        alike.setdefault(_said(evidence, system), []).append(system.label)
    yield from (f"{', '.join(names)}: {said}" for said, names in alike.items() if said)


def _said(evidence: Evidence, system: System) -> str:
    endpoint = evidence.endpoint(system)
    if endpoint is None or system.engine == "api":
        return ""
    measured = endpoint.details.get("energy")
    if not measured:
        return "estimated, the documented maximum of its devices for its busy seconds"
    busy = endpoint.seconds.busy
    mean = f", {measured['joules'] / busy:,.0f} W over its busy seconds" if busy else ""
    return f"measured by {COUNTERS[measured['meter']]}{mean}, idle time between attempts included"
