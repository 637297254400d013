"""What passes between qbench and the process that runs a program: plain values.

Only the standard library, and little of it: see ``kernel``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class Bounds(TypedDict):
        """What a program may use; see ``program.SandboxLimits``."""

        cpu_s: float
        wall_s: float
        memory_bytes: int
        address_space: bool
        """Whether memory is bounded as address space; else as data, for runtimes that reserve."""
        disk_bytes: int
        output_bytes: int
        processes: int
        files: int

    class Order(TypedDict):
        """One program to run."""

        kind: str
        """``namespaces``, ``bubblewrap`` or ``none``."""
        bubblewrap: str
        """Where that program is; empty where it is not."""
        stage: str
        """A Python interpreter among ``visible``: bubblewrap sets limits by it."""
        command: list[str]
        environment: dict[str, str]
        files: dict[str, str]
        stdin: str
        visible: list[str]
        """Files and folders that the program sees, read-only, at their own paths."""
        covered: list[str]
        """Folders below those that it sees empty."""
        bounds: Bounds

    class Ending(TypedDict):
        """How the process that was asked to become the program ended."""

        code: int
        """Exit code; negative for a signal."""
        cpu_s: float
        peak_bytes: int

    class Answer(TypedDict):
        """What came of an order."""

        refused: str
        """Why it was not run; empty when it was."""
        stopped: str
        """``timeout``, ``memory``, ``output`` or ``processes``; empty when it ended by itself."""
        ending: Ending
        stdout: str
        stderr: str
        wall_s: float
