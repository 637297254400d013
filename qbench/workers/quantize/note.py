"""The README of a made checkpoint."""

from __future__ import annotations

from pathlib import Path

from qbench.workers.quantize.cache import Manifest


def write_note(folder: Path, manifest: Manifest) -> None:
    """Write README.md: what this is, of what, how and with what it was made."""
    (folder / "README.md").write_text("\n".join(_lines(manifest)) + "\n")


def _lines(told: Manifest) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in told.identity.versions.items())
    worst, size = told.worst, told.size
    bits = (
        f"{size.bits_per_weight:.3f} bits per quantized weight, "
        f"{size.bits_overall:.3f} over all weights"
    )
    lines = [
        f"# {told.model} in {told.format}",
        "",
        f"Made by qbench from {told.model} ({told.origin}) with the recipe `{told.recipe}`.",
        "",
        f"- Licence of the source, which holds here too: {told.license}",
        f"- Calibration: {told.calibration or 'none, the recipe needs no data'}",
        f"- Options: {told.identity.options or 'none'}; seed {told.identity.seed}",
        f"- Made with: {versions or 'unknown'}; on {told.hardware}, in {told.seconds:.0f} s",
        f"- Size: {told.size.bytes:,} bytes; {bits}",
        f"- Fingerprint: {told.fingerprint}",
    ]
    if told.identity.layers:
        mixed = ", ".join(f"`{name}` {fmt.name}" for name, fmt in told.identity.layers.items())
        lines.append(f"- Layers in another format: {mixed}")
    if worst is not None:
        lines.append(
            f"- Error of decoder layers on held-out text: mean {told.mean_error:.4f}, "
            f"worst {worst[1]:.4f} ({worst[0]})"
        )
    return lines
