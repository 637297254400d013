"""Noise: what an attempt's variance is made of, parts by their clarity, samples by their use."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from qbench.cli.pictures.canvas import GREY, colour
from qbench.service.reports.noise.values import ItemReport, RunNoise, SignalNoise

MOST = 30
"""Parts that fit on a picture; the clearest and, of those left out, none."""

PARTS = {
    "samples": "between samples",
    "runs": "between runs",
    "interaction": "between runs within a sample",
    "epochs": "within a sample",
}


def noise(figure: Figure, report: RunNoise) -> None:
    """Paint each system's variance, part upon part."""
    axes = figure.subplots()
    labels = [one.label for one in report.variance]
    start = [0.0] * len(labels)
    for place, (name, about) in enumerate(PARTS.items()):
        known = [one.parts[name].value if name in one.parts else 0.0 for one in report.variance]
        if any(name in one.parts for one in report.variance):
            axes.barh(labels, known, left=start, color=colour(place), label=about)
        start = [one + more for one, more in zip(start, known, strict=True)]
    axes.set_xlabel("variance of an attempt's result")
    axes.invert_yaxis()
    axes.set_title("Where spread comes from")
    if any(start):
        figure.legend(loc="outside lower center", ncols=2)


def signal(figure: Figure, report: SignalNoise) -> None:
    """Paint the signal-to-noise ratio of each part with its interval."""
    axes = figure.subplots()
    parts = [
        part for part in report.parts if part.snr is not None and math.isfinite(part.snr.value)
    ][:MOST]
    for part in parts:
        assert part.snr is not None
        high = part.snr.value if math.isinf(part.snr.high) else part.snr.high
        spread = [[part.snr.value - part.snr.low], [high - part.snr.value]]
        axes.errorbar(
            part.snr.value,
            part.name,
            xerr=spread,
            fmt="o",
            color=colour(0) if part.kept else GREY,
            capsize=2,
        )
    lines = (("least", report.least), ("chance", report.chance))
    for place, (name, at) in enumerate(lines, 1):
        if at:
            axes.axvline(at, color=colour(place), linewidth=1, linestyle="--", label=name)
    axes.invert_yaxis()
    axes.set_xlabel("signal-to-noise ratio")
    axes.set_title(f"Which {report.by} tells systems apart")
    if any(at for _, at in lines):
        figure.legend(loc="outside lower center", ncols=2)


def items(figure: Figure, report: ItemReport) -> None:
    """Paint discrimination over difficulty; samples that flip stand out."""
    axes = figure.subplots()
    for place, (flips, about) in enumerate(((False, "steady"), (True, "flips when repeated"))):
        chosen = [
            (one.difficulty, one.discrimination)
            for one in report.items
            if one.discrimination is not None and bool(one.flips) is flips
        ]
        axes.plot(
            [difficulty for difficulty, _ in chosen],
            [discrimination for _, discrimination in chosen],
            "o^"[place],
            color=colour(place),
            alpha=0.6,
            label=about,
        )
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set_xlabel("passed, mean over systems")
    axes.set_ylabel("discrimination (item-rest correlation)")
    axes.set_title("Samples")
    figure.legend(loc="outside lower center", ncols=2)
