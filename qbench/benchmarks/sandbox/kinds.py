"""Which sandbox this machine has, and the refusal to run without one."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Mapping
from functools import cache

from msgspec import Struct

from qbench.benchmarks.sandbox.launcher import filter as calls
from qbench.benchmarks.sandbox.program import Kind
from qbench.errors import ConfigError

UNSANDBOXED = "QBENCH_UNSANDBOXED"
"""Set to 1 to run programs that models wrote without walls: with this user's rights."""
FORCED = "QBENCH_SANDBOX"
"""``namespaces`` or ``bubblewrap``: use that one and no other."""


class Found(Struct, frozen=True, kw_only=True):
    """What a try of one kind of sandbox told."""

    kind: Kind
    works: bool
    why: str = ""
    """Why it does not work."""


def choose(tried: Collection[Found], environ: Mapping[str, str]) -> Kind:
    """Return the first kind that works, or ``none`` where the user asked for that.

    Raises:
        ConfigError: nothing works and nobody said that programs may run unsandboxed.

    """
    wanted = environ.get(FORCED, "")
    usable = [one for one in tried if one.works and wanted in ("", one.kind)]
    if usable:
        return usable[0].kind
    if environ.get(UNSANDBOXED) == "1":
        return "none"
    missing = " ".join(f"{one.kind}: {one.why}" for one in tried if not one.works)
    raise ConfigError(
        "There is no sandbox for programs that models write, and they are not run without one. "
        f"{missing}".strip(),
        hint="Install bubblewrap, or allow user namespaces (sysctl user.max_user_namespaces; in a "
        "container: --security-opt seccomp=unconfined), or run all of qbench in a machine to be "
        f"thrown away and set {UNSANDBOXED}=1.",
    )


@cache
def precluded() -> Mapping[Kind, str]:
    """Say what can be seen without a try to forbid a kind; empty where nothing does."""
    found: dict[Kind, str] = {}
    if sys.platform != "linux":
        return {"namespaces": "needs Linux.", "bubblewrap": "needs Linux."}
    if not calls.supported():
        found["namespaces"] = f"not made for {os.uname().machine}."
    if shutil.which("bwrap") is None:
        found["bubblewrap"] = "bwrap is not installed."
    return found
