"""Runs a command where nothing outside exists, and records which names it asks for.

python -m tests.outside RECORD COMMAND ...    in a new network and mount namespace

The loopback interface is all there is; a recorder answers as the only name server that no name
exists, and writes each to the file RECORD. Native code is seen like Python.
"""

import fcntl
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

NAMESPACES = ["unshare", "--map-root-user", "--net", "--mount"]
NO_SUCH_NAME = 0x8183  # flags of the answer
SET_FLAGS, UP = 0x8914, 0x1  # SIOCSIFFLAGS, IFF_UP


def require_namespaces() -> None:
    """Skip the test where this user may not make namespaces, as in most containers."""
    usable = shutil.which("unshare") and not subprocess.run([*NAMESPACES, "true"]).returncode
    if not usable:
        pytest.skip("this user may not make a network namespace")


def command(record: Path, *line: str) -> list[str]:
    """Return the command line that runs `line` and records the names it asks for."""
    return [*NAMESPACES, sys.executable, str(Path(__file__)), str(record), *line]


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))


def _name(query: bytes) -> str:
    """Return the name in a DNS query."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    return ".".join(labels)


def _answer(server: socket.socket, record: Path) -> None:
    while True:
        query, client = server.recvfrom(4096)
        with record.open("a") as file:
            print(_name(query), file=file)
        header = query[:2] + struct.pack(">HHHHH", NO_SUCH_NAME, 1, 0, 0, 0)
        end = query.index(b"\0", 12) + 5
        server.sendto(header + query[12:end], client)


def main(record: str, *line: str) -> int:
    """Run `line`; return its exit code."""
    _loopback_up()
    with tempfile.NamedTemporaryFile("w") as resolver:
        resolver.write("nameserver 127.0.0.1\n")
        resolver.flush()
        Path(resolver.name).chmod(0o644)
        subprocess.run(["mount", "--bind", resolver.name, "/etc/resolv.conf"], check=True)
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 53))
        threading.Thread(target=_answer, args=[server, Path(record)], daemon=True).start()
        return subprocess.run(line).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
