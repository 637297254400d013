"""Hands its stdin, stdout and stderr to the launcher and lives as long as the host it gets.

Run as ``python -S -E shim.py SOCKET``: standard library only, so that it starts in a few
milliseconds where a host of its own would import the MCP SDK for most of a second.
"""

import socket
import sys


def main() -> int:
    """Send the three descriptors, then wait until the host is gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.connect(sys.argv[1])
        socket.send_fds(line, [b"\0"], [0, 1, 2])
        sys.stdin.close()
        line.recv(1)  # the host holds the other end: it closes when the host ends
    return 0


if __name__ == "__main__":
    sys.exit(main())
