"""What the sandbox asks of the Linux kernel, by ctypes: namespaces, mounts, privileges, filter.

Only the standard library: these modules start in tens of milliseconds, once for each program.
All functions raise OSError with the call's name.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence

NEW_MOUNTS = 0x0002_0000
NEW_HOSTNAME = 0x0400_0000
NEW_IPC = 0x0800_0000
NEW_USERS = 0x1000_0000
NEW_PROCESSES = 0x2000_0000
NEW_NETWORK = 0x4000_0000
ALL_NEW = NEW_MOUNTS | NEW_HOSTNAME | NEW_IPC | NEW_USERS | NEW_PROCESSES | NEW_NETWORK

NO_SETUID, NO_DEVICES = 2, 4
BIND, RECURSIVE, PRIVATE = 4096, 16384, 1 << 18
DETACH = 2

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR = 442
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_READ_ONLY, _NO_SETUID = 1, 2
_DEATH_SIGNAL, _DUMPABLE, _SECCOMP, _SUBREAPER, _NO_NEW_PRIVILEGES = 1, 4, 22, 36, 38
_FILTER = 2
_CAPABILITIES_V3 = 0x2008_0522

_libc = ctypes.CDLL(None, use_errno=True)


def _done(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces named by ``flags``; a process namespace holds the next child."""
    _done("unshare", _libc.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount; ``kind`` is the file system, empty for a bind."""
    parts = (part.encode() or None for part in (source, target, kind))
    told = options.encode() or None
    _done(f"mount {target}", _libc.mount(*parts, ctypes.c_ulong(flags), told))


def unmount(target: str) -> None:
    """Take a mount and all below it out of sight."""
    _done("umount2", _libc.umount2(target.encode(), ctypes.c_int(DETACH)))


def swap_root(new: str, old: str) -> None:
    """Make ``new`` the root and put the former one at ``old``, a folder below it."""
    number = _PIVOT_ROOT[os.uname().machine]
    _done("pivot_root", _libc.syscall(ctypes.c_long(number), new.encode(), old.encode()))


def make_read_only(target: str) -> None:
    """Make a mount and all below it read-only, without set-user-id (Linux 5.12 or newer)."""
    attributes = struct.pack("QQQQ", _READ_ONLY | _NO_SETUID, 0, 0, 0)
    told = (ctypes.c_int(_AT_FDCWD), target.encode(), ctypes.c_uint(_AT_RECURSIVE), attributes)
    size = ctypes.c_size_t(len(attributes))
    _done("mount_setattr", _libc.syscall(ctypes.c_long(_MOUNT_SETATTR), *told, size))


def _prctl(name: str, option: int, second: int, third: int = 0) -> None:
    told = (ctypes.c_ulong(one) for one in (second, third, 0, 0))
    _done(name, _libc.prctl(ctypes.c_int(option), *told))


def die_with_parent(signal: int = 9) -> None:
    """Ask for ``signal`` when the parent ends."""
    _prctl("PR_SET_PDEATHSIG", _DEATH_SIGNAL, signal)


def adopt_orphans() -> None:
    """Become the parent of grandchildren whose parent ended."""
    _prctl("PR_SET_CHILD_SUBREAPER", _SUBREAPER, 1)


def hide_memory() -> None:
    """Forbid others of this user to trace this process."""
    _prctl("PR_SET_DUMPABLE", _DUMPABLE, 0)


def give_up_privileges() -> None:
    """Drop all capabilities, and the ways to get one by executing a file."""
    _prctl("PR_SET_NO_NEW_PRIVS", _NO_NEW_PRIVILEGES, 1)
    header = struct.pack("Ii", _CAPABILITIES_V3, 0)
    _done("capset", _libc.capset(header, bytes(24)))


def install_filter(program: bytes) -> None:
    """Put a BPF program between this process and the kernel, for good."""
    kept = ctypes.create_string_buffer(program, len(program))
    what = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(kept))
    told = ctypes.create_string_buffer(what, len(what))
    _prctl("PR_SET_SECCOMP", _SECCOMP, _FILTER, ctypes.addressof(told))


def children(process: int) -> Sequence[int]:
    """Return the children of a process (of all its threads)."""
    found: list[int] = []
    folder = f"/proc/{process}/task"
    try:
        for thread in os.listdir(folder):
            with open(f"{folder}/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        pass
    return found
