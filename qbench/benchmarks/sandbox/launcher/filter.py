"""The filter of system calls: what a tested program has no business to ask of the kernel.

It is a second wall. It also closes what the others do not measure: memory that belongs to no
address space (memfd, System V segments) and sockets that no network namespace holds (vsock).
"""

from __future__ import annotations

import errno
import os
import struct

_X86 = """ptrace 101 process_vm_readv 310 process_vm_writev 311 mount 165 umount2 166
pivot_root 155 chroot 161 unshare 272 setns 308 open_tree 428 move_mount 429 fsopen 430
fsconfig 431 fsmount 432 fspick 433 mount_setattr 442 keyctl 250 add_key 248 request_key 249
bpf 321 perf_event_open 298 userfaultfd 323 io_uring_setup 425 io_uring_enter 426
io_uring_register 427 kexec_load 246 kexec_file_load 320 init_module 175 finit_module 313
delete_module 176 reboot 169 swapon 167 swapoff 168 memfd_create 319 memfd_secret 447
shmget 29 shmat 30 msgget 68 semget 64 mq_open 240 name_to_handle_at 303
open_by_handle_at 304 acct 163 quotactl 179 syslog 103 kcmp 312 process_madvise 440
pidfd_getfd 438"""
_ARM = """ptrace 117 process_vm_readv 270 process_vm_writev 271 mount 40 umount2 39
pivot_root 41 chroot 51 unshare 97 setns 268 open_tree 428 move_mount 429 fsopen 430
fsconfig 431 fsmount 432 fspick 433 mount_setattr 442 keyctl 219 add_key 217 request_key 218
bpf 280 perf_event_open 241 userfaultfd 282 io_uring_setup 425 io_uring_enter 426
io_uring_register 427 kexec_load 104 kexec_file_load 294 init_module 105 finit_module 273
delete_module 106 reboot 142 swapon 224 swapoff 225 memfd_create 279 memfd_secret 447
shmget 194 shmat 196 msgget 186 semget 190 mq_open 180 name_to_handle_at 264
open_by_handle_at 265 acct 89 quotactl 60 syslog 116 kcmp 272 process_madvise 440
pidfd_getfd 438"""
_MACHINES = {
    "x86_64": (0xC000_003E, _X86, {"clone": 56, "socket": 41}),
    "aarch64": (0xC000_00B7, _ARM, {"clone": 220, "socket": 198}),
}
_CLONE3 = 435
_NEW_NAMESPACES = 0x7E02_0080
_UNIX = 1
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _REFUSE, _KILL = 0x7FFF_0000, 0x0005_0000, 0x8000_0000


def denied() -> dict[str, int]:
    """Return the refused system calls of this machine's architecture by name."""
    words = _MACHINES[os.uname().machine][1].split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def supported() -> bool:
    """Say whether the numbers of this machine's system calls are known here."""
    return os.uname().machine in _MACHINES


def program() -> bytes:
    """Assemble the filter as instructions of 8 bytes (classic BPF)."""
    machine, _, numbers = _MACHINES[os.uname().machine]
    told = [_line(_LOAD, _MACHINE), _line(_EQUAL, machine, 1, 0), _line(_RETURN, _KILL)]
    told += [_line(_LOAD, _NUMBER)]
    if os.uname().machine == "x86_64":  # the x32 calls are another door to the same rooms
        told += [_line(_AT_LEAST, 0x4000_0000, 0, 1), _refusal(errno.EPERM)]
    for number in denied().values():
        told += [_line(_EQUAL, number, 0, 1), _refusal(errno.EPERM)]
    told += [_line(_EQUAL, _CLONE3, 0, 1), _refusal(errno.ENOSYS)]  # the C library then clones
    told += [_line(_EQUAL, numbers["clone"], 0, 4), _line(_LOAD, _FIRST_ARGUMENT)]
    told += [_line(_ANY_BIT, _NEW_NAMESPACES, 0, 1), _refusal(errno.EPERM), _line(_RETURN, _ALLOW)]
    told += [_line(_EQUAL, numbers["socket"], 0, 3), _line(_LOAD, _FIRST_ARGUMENT)]
    told += [_line(_EQUAL, _UNIX, 1, 0), _refusal(errno.EACCES)]
    return b"".join([*told, _line(_RETURN, _ALLOW)])


def _line(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, when_true, when_false, value)


def _refusal(number: int) -> bytes:
    return _line(_RETURN, _REFUSE | number)
