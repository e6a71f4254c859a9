"""Counts user-space instructions and allocations per request, under valgrind."""

import os
import re
import signal
import time

from processes import run
from subject import Subject

# A short and a long load: their difference holds neither the start nor the connections' set-up.
SHORT, LONG = 1000, 3000
WARM_UP = 400
# Whole rounds of what runs without requests: tidegate reads its configuration every 0.4 s.
IDLE_S = 2.0
# Where the profiles stay, for callgrind_annotate.
PROFILES = "target/instructions"


def instructions(row, around):
    """Instructions per request, by callgrind."""
    os.makedirs(PROFILES, exist_ok=True)
    profile = os.path.join(PROFILES, re.sub(r"[^a-z0-9_]+", "-", row.key.lower()))
    tool = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={profile}"]
    with Subject(row, around, tool) as subject:
        monitor(subject, "instrumentation on")
        subject.load(WARM_UP)
        before = subject.decisions()
        monitor(subject, "zero")

        def count(number, work):
            seconds = timed(work)
            # Also sets the counters to zero.
            monitor(subject, "dump")
            return total(f"{profile}.{number}"), seconds

        idle, idle_s = count(1, lambda: time.sleep(IDLE_S))
        short, short_s = count(2, lambda: subject.load(SHORT))
        long, long_s = count(3, lambda: subject.load(LONG))
        subject.check_decisions(before, SHORT + LONG)
    os.replace(f"{profile}.3", profile)
    for number in (1, 2):
        os.remove(f"{profile}.{number}")
    background = idle / idle_s * (long_s - short_s)
    return (long - short - background) / (LONG - SHORT)


def monitor(subject, command):
    """Sends a command to the valgrind that runs the proxy."""
    run("vgdb", f"--pid={subject.pid}", *command.split())


def total(dump):
    """All instructions of a dump."""
    with open(dump, encoding="utf-8", errors="replace") as file:
        return int(re.findall(r"^(?:summary|totals): (\d+)", file.read(), re.MULTILINE)[-1])


def timed(work):
    """The seconds that some work takes."""
    start = time.monotonic()
    work()
    return time.monotonic() - start


def allocations(row, around):
    """Blocks and bytes allocated per request, by dhat. It reports at the end of a process, so this takes two."""
    report, out = os.path.join(around.directory, "dhat.log"), os.path.join(around.directory, "dhat.out")
    tool = ["valgrind", "--tool=dhat", f"--log-file={report}", f"--dhat-out-file={out}"]

    def count(requests, longest_s):
        with Subject(row, around, tool) as subject:
            seconds = timed(lambda: subject.load(requests))
            # Both run for as long: what runs without requests then cancels out.
            time.sleep(max(0, longest_s - seconds))
            subject.process.end(signal.SIGINT)
        with open(report, encoding="utf-8") as file:
            found = re.search(r"Total: +([\d,]+) bytes in ([\d,]+) blocks", file.read())
        if not found:
            raise RuntimeError(f"{row.key}: dhat did not report a total")
        size, blocks = (int(number.replace(",", "")) for number in found.groups())
        return blocks, size, seconds

    more_blocks, more_bytes, seconds = count(LONG, 0)
    blocks, size, _ = count(SHORT, seconds)
    if blocks == more_blocks:
        raise RuntimeError("dhat counted no allocation: it only sees those of libc's malloc")
    return (more_blocks - blocks) / (LONG - SHORT), (more_bytes - size) / (LONG - SHORT)
