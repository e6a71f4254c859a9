"""What processes use, as Linux reports it, and a crowd of idle connections."""

import contextlib
import os
import socket

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def tree(pid):
    """A process and its descendants."""
    pids = [pid]
    for parent in pids:
        for task in os.listdir(f"/proc/{parent}/task"):
            with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as children:
                pids += map(int, children.read().split())
    return pids


def cpu_ms(pid):
    """The CPU time, user and system, that a process and its living descendants have used."""
    ticks = 0
    for each in tree(pid):
        with open(f"/proc/{each}/stat", encoding="utf-8") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1000 / TICKS_PER_S


def rss(pid):
    """Resident bytes of a process and its descendants; pages that they share count for each."""
    total = 0
    for each in tree(pid):
        with open(f"/proc/{each}/status", encoding="utf-8") as status:
            line = next(line for line in status if line.startswith("VmRSS:"))
        total += int(line.split()[1]) * 1024
    return total


@contextlib.contextmanager
def crowd(address, size):
    """As many connections, each of which has had one response and is idle."""
    host, port = address.split(":")
    with contextlib.ExitStack() as stack:
        for _ in range(size):
            client = stack.enter_context(socket.create_connection((host, int(port)), 10))
            client.sendall(b"GET /api/tasks HTTP/1.1\r\nHost: bench\r\nx-api-key: crowd\r\n\r\n")
            if not client.recv(65536):
                raise RuntimeError(f"{address} closed a connection of the crowd")
        yield
