"""Building what a program sees: a root of its own with a read-only interpreter and one folder."""

from __future__ import annotations

import os

from qbench.benchmarks.sandbox.launcher import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qbench.benchmarks.sandbox.launcher.orders import Order

HOME = "/tmp"  # noqa: S108 - the program's own, not the machine's
_OLD = "/.outside"
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_NOBODY = 65534
_INODES = 4096


def build(order: Order) -> None:
    """Replace the root. Needs new user and mount namespaces with privileges in them."""
    shown = {path: os.path.realpath(path) for path in (*_DEVICES, *order["visible"])}
    kernel.mount("", "/", "", kernel.RECURSIVE | kernel.PRIVATE)
    kernel.mount("tmpfs", HOME, "tmpfs", kernel.NO_SETUID, "size=4m,mode=755")
    os.mkdir(HOME + _OLD)
    kernel.swap_root(HOME, HOME + _OLD)
    os.chdir("/")
    for path, source in shown.items():
        _show(path, _OLD + source)
    for path in order["covered"]:
        kernel.mount("tmpfs", path, "tmpfs", kernel.NO_SETUID, "size=4k,mode=755")
    os.makedirs(HOME, exist_ok=True)
    kernel.unmount(_OLD)
    os.rmdir(_OLD)
    kernel.make_read_only("/")
    room = f"size={order['bounds']['disk_bytes']},nr_inodes={_INODES},mode=1777"
    kernel.mount("tmpfs", HOME, "tmpfs", kernel.NO_SETUID | kernel.NO_DEVICES, room)
    os.chdir(HOME)


def _show(path: str, outside: str) -> None:
    """Bind one file or folder of the old root at its own path in the new one."""
    if os.path.isdir(outside):
        os.makedirs(path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.mount(outside, path, "", kernel.BIND | kernel.RECURSIVE)


def become_nobody() -> None:
    """Leave root behind where this is root's namespace, and every privilege in any case."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    kernel.give_up_privileges()
    kernel.hide_memory()
    kernel.die_with_parent()


def map_users(process: int) -> None:
    """Give a process's new user namespace its users: from outside it, once it exists.

    Root maps all that it has, so that the sandbox's builder may read what root may, and the
    program becomes nobody. Anybody else maps only itself.
    """
    if os.getuid() == 0:
        for kind in ("uid_map", "gid_map"):
            with open(f"/proc/self/{kind}") as file:
                lines = [line.split() for line in file]
            _write(process, kind, "".join(f"{one} {one} {size}\n" for one, _, size in lines))
        return
    _write(process, "setgroups", "deny")
    _write(process, "uid_map", f"{_NOBODY} {os.getuid()} 1\n")
    _write(process, "gid_map", f"{_NOBODY} {os.getgid()} 1\n")


def _write(process: int, name: str, text: str) -> None:
    with open(f"/proc/{process}/{name}", "w") as file:
        file.write(text)
