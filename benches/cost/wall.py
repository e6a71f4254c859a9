"""CPU time, throughput, added latency and memory of tidegate and its peers, in one run: wall.py --help"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import resource
import signal
import statistics
import sys
import tempfile

import peers
from processes import decisions, redis_server, run
from record import commit
from usage import cpu_ms, crowd, rss

LOAD = "target/release/examples/load"
DIRECT = "direct"
# Requests per second of the open loop.
RATE = 2000
# Different keys that the load sends.
KEYS = 1000
COLUMNS = (
    ("cpu_ms", "CPU ms/1,000", ".1f"),
    ("redis_cpu_ms", "of Redis", ".1f"),
    ("per_second", "requests/s", ",.0f"),
    ("added_p50_ms", "added ms: p50", ".3f"),
    ("added_p99_ms", "     p99", ".3f"),
    ("rss_start", "RSS MiB: start", ".1f"),
    ("rss_after", "  after", ".1f"),
    ("bytes_per_idle_connection", "bytes/idle conn.", ",.0f"),
)


def options():
    parser = argparse.ArgumentParser(description="Compares tidegate with its peers; only rows of one run compare.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=40_000, help="of one closed loop of 64 connections")
    parser.add_argument("--seconds", type=float, default=5, help=f"of one open loop of {RATE} requests/s")
    parser.add_argument("--crowd", type=int, default=2000, help="idle connections")
    parser.add_argument("--quick", action="store_true", help="small counts, to see that it works; the figures mean nothing")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.requests, chosen.seconds, chosen.crowd = 1, 3000, 0.5, 50
    return chosen


class Subject:
    """One proxy in one mode, or the upstream itself, with what was measured of it."""

    def __init__(self, name, mode, process, address, redis=None):
        self.name, self.mode, self.process, self.address, self.redis = name, mode, process, address, redis
        self.memory, self.rounds = {}, []

    def load(self, requests, *more):
        report = json.loads(run(LOAD, self.address, f"--requests={requests}", *more))
        wanted = "refused" if self.mode in peers.REFUSED else "ok"
        if report[wanted] < 0.95 * requests or report["others"]:
            print(f"{self.name}, {self.mode}: unexpected responses: {report}", file=sys.stderr)
        return report

    def measure_memory(self, size):
        before = rss(self.process.pid)
        with crowd(self.address, size):
            among = rss(self.process.pid)
        self.memory = {"rss_start": before / 2**20, "rss_after": rss(self.process.pid) / 2**20,
                       "bytes_per_idle_connection": (among - before) / size}

    def measure(self, chosen):
        """One round: a closed loop for CPU time and throughput, an open one for latency."""
        # Each key is admitted once per minute where the rest is refused.
        run(LOAD, self.address, f"--requests={KEYS}")
        before, redis_before = cpu_ms(self.process.pid), cpu_ms(self.redis.pid) if self.redis else 0
        closed = self.load(chosen.requests)
        thousands = chosen.requests / 1000
        figures = {"cpu_ms": (cpu_ms(self.process.pid) - before) / thousands,
                   "per_second": chosen.requests / closed["seconds"]}
        if self.redis:
            figures["redis_cpu_ms"] = (cpu_ms(self.redis.pid) - redis_before) / thousands
        opened = self.load(round(RATE * chosen.seconds), f"--rate={RATE}")
        if self.name == "tidegate" and self.redis:
            self.check_decisions()
        self.rounds.append(figures | {"p50_ms": opened["p50_us"] / 1000, "p99_ms": opened["p99_us"] / 1000})


    def check_decisions(self):
        """Reports decisions that Redis did not take part in: their cost is not that of the row."""
        came = decisions(self.process.ready[1])
        alone = came.get("local", 0) / max(1, sum(came.values()))
        if alone > 0.01:
            print(f"{self.name}, {self.mode}: {alone:.1%} decided without Redis, which was too slow", file=sys.stderr)


def subjects(stack, directory):
    """Starts everything; the first subject is the upstream without a proxy."""
    def folder():
        return tempfile.mkdtemp(dir=directory)

    upstream, address = peers.start_upstream(folder())
    stack.enter_context(upstream)
    started = [Subject(DIRECT, peers.NO_LIMIT, upstream, address)]
    for name, (start, modes) in peers.PROXIES.items():
        for mode in modes:
            redis = stack.enter_context(redis_server()) if mode in peers.WITH_REDIS else None
            process, where = start(mode, folder(), address, redis and redis.ready)
            stack.enter_context(process)
            started.append(Subject(name, mode, process, where, redis))
    return started


def medians(subject, direct):
    """The figures of a row: medians over the rounds; latencies beyond those of the same round without a proxy."""
    row = {"proxy": subject.name, "mode": subject.mode, **subject.memory}
    for kind in subject.rounds[0]:
        row[kind] = statistics.median(figures[kind] for figures in subject.rounds)
        if kind in ("p50_ms", "p99_ms") and subject is not direct:
            row[f"added_{kind}"] = statistics.median(
                with_proxy[kind] - without[kind] for with_proxy, without in zip(subject.rounds, direct.rounds))
    return row


def show(table):
    print(f"\n{'':30}" + "".join(f"{title:>{len(title) + 3}}" for _, title, _ in COLUMNS))
    for row in table:
        cells = (f"{format(row[kind], form) if kind in row else '':>{len(title) + 3}}" for kind, title, form in COLUMNS)
        print(f"{row['proxy']:13}{row['mode']:17}" + "".join(cells))


def main():
    chosen = options()
    # Ends the processes that were started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        everything = direct, *proxies = subjects(stack, directory)
        for proxy in proxies:
            if proxy.mode == peers.NO_LIMIT:
                proxy.measure_memory(chosen.crowd)
        for number in range(chosen.rounds):
            for subject in everything:
                print(f"\rround {number + 1} of {chosen.rounds}: {subject.name}, {subject.mode:20}", end="",
                      file=sys.stderr, flush=True)
                subject.measure(chosen)
    print(file=sys.stderr)
    table = [medians(subject, direct) for subject in everything]
    show(table)
    report = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "commit": commit(),
              "machine": platform.platform(), "cores": os.cpu_count(), "options": vars(chosen), "rows": table,
              "rounds": {f"{subject.name}, {subject.mode}": subject.rounds for subject in everything}}
    with open("target/bench.json", "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
    print("\nmedians; all rounds are in target/bench.json")


if __name__ == "__main__":
    main()
