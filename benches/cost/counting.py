"""Counts user-space instructions and allocations per request, under valgrind."""

import os
import re
import time

from processes import run
from subject import Subject

# A short and a long load: their difference holds neither the start nor the connections' set-up.
SHORT, LONG = 1000, 3000
WARM_UP = 400
# Whole rounds of what runs without requests: tidegate reads its configuration every 0.4 s.
IDLE_S = 2.0
# The functions that allocate, of libc and of jemalloc. What these call in turn is the same allocation.
ALLOCATORS = re.compile(r"(_rjem_)?(malloc|mallocx|calloc|realloc|rallocx|memalign|posix_memalign|aligned_alloc)")
# Where the profiles stay, for callgrind_annotate.
PROFILES = "target/instructions"


def measure(row, around):
    """Instructions and allocations per request, by callgrind."""
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
            return totals(f"{profile}.{number}"), seconds

        idle, idle_s = count(1, lambda: time.sleep(IDLE_S))
        short, short_s = count(2, lambda: subject.load(SHORT))
        long, long_s = count(3, lambda: subject.load(LONG))
        subject.check_decisions(before, SHORT + LONG)
    os.replace(f"{profile}.3", profile)
    for number in (1, 2):
        os.remove(f"{profile}.{number}")

    def per_request(idle, short, long):
        background = idle / idle_s * (long_s - short_s)
        return (long - short - background) / (LONG - SHORT)

    return tuple(map(per_request, idle, short, long))


def monitor(subject, command):
    """Sends a command to the valgrind that runs the proxy."""
    run("vgdb", f"--pid={subject.pid}", *command.split())


def totals(dump):
    """All instructions and all allocations of a dump."""
    names, function, callee, allocations = {}, "", "", 0

    def name(text):
        """A name stands where its number comes first."""
        number, _, known = text.strip().partition(" ")
        return names.setdefault(number, known)

    with open(dump, encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("fn="):
                function = name(line[3:])
            elif line.startswith("cfn="):
                callee = name(line[4:])
            elif line.startswith("calls=") and ALLOCATORS.fullmatch(callee):
                inside = ALLOCATORS.fullmatch(function) or function.startswith(("_rjem_", "_int_"))
                allocations += 0 if inside else int(line[6:].split()[0])
            elif line.startswith(("summary: ", "totals: ")):
                instructions = int(line.split()[1])
    return instructions, allocations


def timed(work):
    """The seconds that some work takes."""
    start = time.monotonic()
    work()
    return time.monotonic() - start
