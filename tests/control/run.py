"""Live control of a fleet under traffic, with figures: run.py BINARY [NAME...]

Three instances share a Redis. Every request of the traffic has to get 200, whatever operators and Redis do. Exits 1 if a check
failed. Names choose among one, sentinel, cluster, lost, empty, older, joiner, reloads, overrides and flood."""

import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
import traceback

import servers
import traffic
from servers import Cluster, Sentinel, Standalone, Tidegate, until

# How often each convergence is measured.
RUNS = int(os.environ.get("RUNS", "20"))
# How many reloads and overrides are made.
CHANGES = int(os.environ.get("CHANGES", "10000"))
# What the design promises, in seconds; and when all must agree after a fault.
ACTS_WITHIN, AGREES_WITHIN = 1.0, 2.0
PROBE = "/v1/rules/probe/override"
NONE_LEFT = {"rate": "1/h", "reason": "make control"}


def config(store, spare=""):
    return f"""
store: {{ redis: {{ {store}, timeout: 1s }} }}
rules:
  - {{ name: probe, match: {{ path: /probe }}, key: ['header:X-Client'], rate: 1000000/h }}
  - {{ name: load, match: {{ path: /load }}, key: ['header:X-Client'], rate: 1000000/h }}
{spare}"""


class Fleet:
    """Three instances on a Redis."""

    def __init__(self, binary, kind):
        self.folder = tempfile.mkdtemp(prefix="tidegate-control-")
        self.binary = binary
        self.redis = kind(self.folder)
        self.upstream, self.upstream_pid = servers.upstream()
        self.instances = []
        try:
            for _ in range(3):
                self.join()
        except Exception:
            self.__exit__(Exception)
            raise

    def join(self):
        folder = os.path.join(self.folder, f"tidegate-{len(self.instances)}")
        self.instances.append(Tidegate(self.binary, folder, config(self.redis.store), self.upstream))
        return self.instances[-1]

    @property
    def ports(self):
        return [instance.port for instance in self.instances]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for instance in self.instances:
            instance.stop()
        if hasattr(self.redis, "stop"):
            self.redis.stop()
        for server in self.redis.servers:
            server.kill()
        os.kill(self.upstream_pid, signal.SIGKILL)
        os.waitpid(self.upstream_pid, 0)
        # Logs stay where something failed.
        if kind is None:
            shutil.rmtree(self.folder)
        else:
            print(f"logs: {self.folder}")

    def acts(self, change, status, name="probe-client"):
        """Makes a change, and returns how long it takes to act on all instances."""
        begin = time.monotonic()
        change()
        return traffic.seconds_until(self.ports, name, status, begin)


def figures(what, seconds, bound):
    """Prints the figures of one measure. Those beyond the bound are a failure."""
    ordered = sorted(seconds)
    print(f"  {what:44} median {statistics.median(ordered):.3f} s, worst {ordered[-1]:.3f} s of {len(ordered)}", flush=True)
    assert ordered[-1] <= bound, f"{what}: beyond {bound} s"


def changes_act(fleet, runs):
    """Sets, unsets and expiries, made at one instance after the other."""
    sets, unsets, ends = [], [], []
    for run in range(runs):
        at = fleet.instances[run % len(fleet.instances)]
        name = f"client-{run}"
        # What it has used is kept, so a limit of 1 refuses it at once.
        for port in fleet.ports:
            client = traffic.Client(port, "/probe", name)
            assert client.status() == 200
            client.close()
        sets.append(fleet.acts(lambda at=at: at.changed("PUT", PROBE, NONE_LEFT), 429, name))
        unsets.append(fleet.acts(lambda at=at: at.changed("DELETE", PROBE), 200, name))
        if run % 4 == 0:
            at.changed("PUT", PROBE, NONE_LEFT | {"expires_in": "2s"})
            end = time.monotonic() + 2
            traffic.seconds_until(fleet.ports, name, 429, time.monotonic())
            ends.append(traffic.seconds_until(fleet.ports, name, 200, end))
        shown = at.api("GET", f"/v1/rules/probe/clients/{client_id(at, name)}")[1]["limits"][0]["used"]
        assert shown >= 3, f"the counts of {name} are lost: {shown}"
    figures("a rate that is set acts everywhere after", sets, ACTS_WITHIN)
    figures("an unset one is gone everywhere after", unsets, ACTS_WITHIN)
    figures("an expired one is gone everywhere after", ends, ACTS_WITHIN)


def client_id(instance, name):
    return instance.api("POST", "/v1/rules/probe/client-id", {"key": [name]})[1]["id"]


def one(binary):
    with Fleet(binary, Standalone) as fleet:
        load = traffic.Load(fleet.ports)
        changes_act(fleet, RUNS)
        print(f"  {load.stop()}")


def through_a_failover(binary, kind):
    with Fleet(binary, kind) as fleet:
        load = traffic.Load(fleet.ports)
        changes_act(fleet, max(4, RUNS // 2))
        name = "failover-client"
        traffic.seconds_until(fleet.ports, name, 200, time.monotonic())
        fleet.acts(lambda: fleet.instances[0].changed("PUT", PROBE, NONE_LEFT), 429, name)
        fleet.redis.fail_over()
        begin = time.monotonic()
        assert all(instance.api("GET", PROBE)[0] == 200 for instance in fleet.instances), "an override is lost"
        fleet.instances[1].changed("DELETE", PROBE, seconds=30)
        accepted = time.monotonic()
        acts = traffic.seconds_until(fleet.ports, name, 200, accepted)
        print(f"  after the failover a change is accepted after {accepted - begin:.3f} s, and acts everywhere {acts:.3f} s later")
        assert acts <= AGREES_WITHIN
        changes_act(fleet, 4)
        print(f"  {load.stop()}")


def sentinel(binary):
    through_a_failover(binary, Sentinel)


def cluster(binary):
    through_a_failover(binary, Cluster)


def lost(binary):
    with Fleet(binary, Standalone) as fleet:
        load, seconds, killed = traffic.Load(fleet.ports), [], 0
        traffic.seconds_until(fleet.ports, "probe-client", 200, time.monotonic())
        for run in range(RUNS):
            at = fleet.instances[run % 3]

            def change(at=at, run=run):
                nonlocal killed
                killed += fleet.redis.redis.command("CLIENT", "KILL", "TYPE", "pubsub")
                at.changed(*(("DELETE", PROBE) if run % 2 else ("PUT", PROBE, NONE_LEFT)))

            seconds.append(fleet.acts(change, 200 if run % 2 else 429))
        assert killed >= RUNS, f"only {killed} connections were there to be killed"
        figures(f"all agree, {killed} subscriptions killed, after", seconds, AGREES_WITHIN)
        print(f"  {load.stop()}")


def agreed(fleet, version):
    """Whether all instances and Redis have the override of this version."""
    shown = [instance.api("GET", PROBE)[1] for instance in fleet.instances]
    document = fleet.redis.redis.command("GET", "tidegate:overrides")
    return all(each.get("version") == version for each in shown) and document is not None and str(version) in document


def restarted(binary, saved):
    """Redis comes back empty, or with what it had before the last change.

    Each run has a fleet of its own: after a further outage within 30 s, an instance waits for up to 5 s before it uses Redis."""
    seconds, traffics = [], []
    for run in range(RUNS):
        with Fleet(binary, Standalone) as fleet:
            redis, load = fleet.redis.redis, traffic.Load(fleet.ports)
            redis.options = ["--dbfilename", "dump.rdb"] if saved else ()
            fleet.instances[0].changed("PUT", PROBE, {"rate": "1000/h"})
            if saved:
                redis.command("SAVE")
            fleet.instances[run % 3].changed("PUT", PROBE, {"rate": "2000/h"})
            version = fleet.instances[run % 3].api("GET", PROBE)[1]["version"]
            redis.kill()
            begin = redis.start()
            until("all to agree", 30, lambda: agreed(fleet, version), every=0.04)
            seconds.append(time.monotonic() - begin)
            assert all(instance.api("GET", PROBE)[1]["rate"] == "2000/h" for instance in fleet.instances)
            traffics.append(load.stop())
    figures("all agree, Redis included, after", seconds, AGREES_WITHIN)
    print(f"  of the last run: {traffics[-1]}")


def empty(binary):
    restarted(binary, saved=False)


def older(binary):
    restarted(binary, saved=True)


def joiner(binary):
    with Fleet(binary, Standalone) as fleet:
        load, seconds = traffic.Load(fleet.ports), []
        traffic.seconds_until(fleet.ports, "probe-client", 200, time.monotonic())
        fleet.acts(lambda: fleet.instances[0].changed("PUT", PROBE, NONE_LEFT), 429)
        for _ in range(RUNS):
            joined = fleet.join()
            seconds.append(traffic.seconds_until([joined.port], "probe-client", 429, joined.since))
            fleet.instances.pop().stop()
            shutil.rmtree(joined.folder)
        figures("one that joins agrees after", seconds, AGREES_WITHIN)
        print(f"  {load.stop()}")


def grown(fleet, begin):
    """What has grown since `begin`; all of these must not."""
    now = sizes(fleet)
    print(f"  series {begin[0]} -> {now[0]}, keys in Redis {begin[1]} -> {now[1]}, MiB of an instance {begin[2]} -> {now[2]}", flush=True)
    assert now[0] == begin[0] and now[1] <= begin[1], "something grows"
    # A leak of 100 bytes for each change would be more than this.
    assert all(after - before <= 1 + CHANGES / 10_000 for before, after in zip(begin[2], now[2])), "memory grows"


def sizes(fleet):
    series = [len(instance.metrics()) for instance in fleet.instances]
    # Without those that probes leave for a second.
    keys = [key for key in fleet.redis.redis.command("KEYS", "*") if not key.endswith(":probe")]
    memory = [round(instance.rss_kib() / 1024, 1) for instance in fleet.instances]
    return series, len(keys), memory


def paced(fleet, number, change):
    """Makes changes at all instances in turn, below the bound of requests to the API."""
    begin = time.monotonic()
    for run in range(number):
        time.sleep(max(0.0, begin + run / 120 - time.monotonic()))
        change(run, fleet.instances[run % 3])


def reloads(binary):
    with Fleet(binary, Standalone) as fleet:
        good = [config(fleet.redis.store, f"  - {{ name: spare, match: {{ path: /spare }}, rate: {rate}/h }}\n") for rate in (1, 2)]
        bad = config(fleet.redis.store, "  - { name: spare, rate: often }\n")
        texts, expected = [good[0], bad, good[1], bad], [200, 422, 200, 422]

        def change(run, instance):
            index = run // 3 % 4
            instance.config.write_text(texts[index], encoding="ascii")
            status, body = instance.api("POST", "/v1/reload")
            assert status == expected[index], (status, body)

        load = traffic.Load(fleet.ports)
        # Until all that stays has its size.
        paced(fleet, max(12, CHANGES // 5), change)
        begin, started = sizes(fleet), time.monotonic()
        paced(fleet, CHANGES, change)
        print(f"  {CHANGES} reloads, every other one of a file with a fault, in {time.monotonic() - started:.0f} s")
        grown(fleet, begin)
        print(f"  {load.stop()}")


def overrides(binary):
    with Fleet(binary, Standalone) as fleet:

        def change(run, instance):
            # A client that no other change is about; each is set and removed. And a rule, of which there is one.
            number = run // 2
            path = f"/v1/rules/load/clients/~{number:024x}/override" if number % 2 else PROBE
            body = {"blocked": True, "expires_in": "1h"} if number % 2 else {"rate": f"{1_000_000 + number}/h"}
            if run % 2:
                instance.changed("DELETE", path)
            else:
                instance.changed("PUT", path, body)

        load = traffic.Load(fleet.ports)
        # More than the removals that are remembered.
        paced(fleet, max(12, min(CHANGES // 2, 5000)), change)
        begin, started = sizes(fleet), time.monotonic()
        paced(fleet, CHANGES, change)
        print(f"  {CHANGES} overrides set or removed in {time.monotonic() - started:.0f} s")
        grown(fleet, begin)
        until("no override", 10, lambda: all(not each.api("GET", "/v1/overrides")[1]["overrides"] for each in fleet.instances))
        print(f"  {load.stop()}")


def flood(binary):
    with Fleet(binary, Standalone) as fleet:
        load = traffic.Load(fleet.ports)
        time.sleep(10)
        print(f"  without: {load.stop()}")
        load = traffic.Load(fleet.ports)
        statuses = traffic.flood(fleet.instances[0].admin, 10, 1000)
        print(f"  with a flood of {sum(statuses.values()) / 10:.0f}/s at the admin port of one, {statuses}: {load.stop()}")
        assert set(statuses) <= {200, 429}, statuses
        assert fleet.instances[0].api("GET", "/v1/status")[0] in (200, 429)


CHECKS = {
    check.__name__: (title, check)
    for title, check in [
        ("changes act, one Redis", one),
        ("changes act, through a failover of Sentinel", sentinel),
        ("changes act, through a failover of a cluster", cluster),
        ("messages are lost", lost),
        ("Redis restarts empty", empty),
        ("Redis restarts with older data", older),
        ("an instance joins late", joiner),
        ("reloads", reloads),
        ("overrides", overrides),
        ("a flood of the admin port", flood),
    ]
}


def main():
    binary, names = os.path.abspath(sys.argv[1]), sys.argv[2:] or list(CHECKS)
    failed = []
    for name in names:
        title, check = CHECKS[name]
        print(f"{title}:", flush=True)
        try:
            check(binary)
        except Exception as fault:  # pylint: disable=broad-exception-caught
            failed.append(name)
            print(f"  FAILED: {fault}", flush=True)
            if not isinstance(fault, AssertionError):
                traceback.print_exc()
    print("failed: " + ", ".join(failed) if failed else "no failure")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
