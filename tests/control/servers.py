"""Redis in its three forms, tidegate, and an upstream, as processes of this test."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOCAL = "127.0.0.1"


def free_port(below=65536):
    while True:
        with socket.socket() as probe:
            probe.bind((LOCAL, 0))
            port = probe.getsockname()[1]
            if port < below:
                return port


def until(what, seconds, condition, every=0.01):
    """Returns what the condition returns, once that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(every)
    raise AssertionError(f"not within {seconds} s: {what}")


class RedisError(Exception):
    """An error that a Redis server replied with."""


def redis_command(port, *words):
    """The reply of a Redis server. An error of the server is a RedisError."""
    with socket.create_connection((LOCAL, port), timeout=5) as link:
        encoded = [str(word).encode() for word in words]
        link.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded))
        return read_reply(link.makefile("rb"))


def read_reply(stream):
    line = stream.readline().rstrip(b"\r\n")
    if not line:
        raise ConnectionError("redis hung up")
    kind, rest = line[:1], line[1:]
    if kind == b"-":
        raise RedisError(rest.decode())
    if kind == b"$":
        return None if rest == b"-1" else stream.read(int(rest) + 2)[:-2].decode("utf-8", "replace")
    if kind == b"*":
        return [read_reply(stream) for _ in range(int(rest))]
    return int(rest) if kind == b":" else rest.decode()


class Redis:
    """One redis-server. Its port and its folder stay the same over restarts."""

    def __init__(self, folder, *options, port=None):
        # A cluster's bus has the port 10,000 above.
        self.port = port or free_port(below=50000)
        self.folder = pathlib.Path(folder, f"redis-{self.port}")
        self.folder.mkdir()
        self.options = options
        self.start()

    def start(self):
        command = ["redis-server", "--port", str(self.port), "--bind", LOCAL, "--dir", str(self.folder), "--save", ""]
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([*command, *self.options], stdout=log, stderr=log)
        until("a reply of redis-server", 30, self.is_ready)
        return time.monotonic()

    def is_ready(self):
        try:
            return self.command("PING") == "PONG"
        except (OSError, RedisError):
            return False

    def command(self, *words):
        return redis_command(self.port, *words)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Standalone:
    """One server."""

    name = "one Redis"

    def __init__(self, folder):
        self.redis = Redis(folder)
        self.servers = [self.redis]
        self.store = f"url: 'redis://{LOCAL}:{self.redis.port}'"


class Sentinel:
    """A primary, two replicas, and three sentinels."""

    name = "Sentinel"

    def __init__(self, folder):
        primary = Redis(folder)
        replicas = [Redis(folder, "--replicaof", LOCAL, str(primary.port), "--repl-diskless-sync-delay", "0") for _ in "ab"]
        self.servers = [primary, *replicas]
        self.sentinels = []
        for _ in range(3):
            port = free_port()
            config = pathlib.Path(folder, f"sentinel-{port}.conf")
            config.write_text(
                f"port {port}\nbind {LOCAL}\nsentinel monitor main {LOCAL} {primary.port} 2\n"
                "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n",
                encoding="ascii",
            )
            log = open(config.with_suffix(".log"), "ab")
            process = subprocess.Popen(["redis-server", str(config), "--sentinel"], stdout=log, stderr=log)
            self.sentinels.append((port, process))
        for replica in replicas:
            until("a replica in sync", 30, lambda: "master_link_status:up" in replica.command("INFO", "replication"))
        until("sentinels that know each other", 30, self.is_ready)
        urls = ", ".join(f"redis://{LOCAL}:{port}" for port, _ in self.sentinels)
        self.store = f"sentinel: {{ master: main, urls: [{urls}] }}"

    def is_ready(self):
        try:
            known = [redis_command(port, "SENTINEL", "CKQUORUM", "main") for port, _ in self.sentinels]
            rows = redis_command(self.sentinels[0][0], "SENTINEL", "REPLICAS", "main")
            return all(reply.startswith("OK 3 usable") for reply in known) and len(rows) == 2
        except (OSError, RedisError):
            return False

    def primary(self):
        address = redis_command(self.sentinels[0][0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        return next(server for server in self.servers if server.port == int(address[1]))

    def fail_over(self):
        """Kills the primary. Returns when another one is."""
        before = self.primary()
        before.kill()
        until("another primary", 30, lambda: self.primary() is not before and "role:master" in self.primary().command("INFO", "replication"))

    def stop(self):
        for _, process in self.sentinels:
            process.kill()
            process.wait()


class Cluster:
    """Three primaries, each with a replica."""

    name = "cluster"

    def __init__(self, folder):
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0"]
        self.servers = [Redis(folder, *options) for _ in range(6)]
        addresses = [f"{LOCAL}:{server.port}" for server in self.servers]
        create = ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes"]
        subprocess.run(create, check=True, stdout=subprocess.DEVNULL)
        until("a cluster", 30, lambda: all("cluster_state:ok" in server.command("CLUSTER", "INFO") for server in self.servers))
        self.store = f"cluster: [{', '.join('redis://' + address for address in addresses)}]"

    def owner(self):
        """The server that has the overrides."""
        slot = self.servers[-1].command("CLUSTER", "KEYSLOT", "tidegate:overrides")
        for server in (each for each in self.servers if each.process.poll() is None):
            for first, last, primary, *_ in server.command("CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return next(each for each in self.servers if each.port == primary[1])
        raise AssertionError("no server has the overrides")

    def fail_over(self):
        """Kills the server that has the overrides. Returns when another one has them."""
        before = self.owner()
        before.kill()

        def is_replaced():
            after = self.owner()
            return after is not before and "cluster_state:ok" in after.command("CLUSTER", "INFO")

        until("another owner", 60, is_replaced)


class Tidegate:
    """One instance."""

    def __init__(self, binary, folder, config, upstream):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.config = self.folder / "tidegate.yaml"
        self.config.write_text(config, encoding="ascii")
        command = [binary, "run", "--config", str(self.config), f"--upstream=http://{LOCAL}:{upstream}", "--log-format=json"]
        command += [f"--{name}={LOCAL}:0" for name in ("listen", "ops-listen", "admin-listen")]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
        environment["TIDEGATE_LOG"] = "info,access=off"
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self.serving = None
        self.served = threading.Event()
        threading.Thread(target=self.read_log, daemon=True).start()
        assert self.served.wait(30), "tidegate did not start"
        self.port, self.ops, self.admin = (int(self.serving[key].rpartition(":")[2]) for key in ("listen", "ops_listen", "admin_listen"))

    def read_log(self):
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            for line in self.process.stderr:
                if self.serving is None and '"message":"serving"' in line:
                    self.serving, self.since = json.loads(line), time.monotonic()
                    self.served.set()
                log.write(line)

    def api(self, method, path, body=None):
        """The status and the body of a response of the admin API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{LOCAL}:{self.admin}{path}", data=data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                text = response.read()
                return response.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def changed(self, method, path, body=None, seconds=10):
        """Makes a change, again and again while Redis is not available or other changes come first."""

        def change():
            status, _ = self.api(method, path, body)
            assert status in (200, 204, 409, 429, 503), (status, method, path)
            return status in (200, 204)

        until(f"{method} {path}", seconds, change)

    def metrics(self):
        with urllib.request.urlopen(f"http://{LOCAL}:{self.ops}/metrics", timeout=20) as response:
            return [line for line in response.read().decode().splitlines() if not line.startswith("#")]

    def rss_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))

    def stop(self):
        # At once: SIGTERM would wait for clients that learn late that it leaves.
        self.process.send_signal(signal.SIGINT)
        self.process.wait()


class Reply(BaseHTTPRequestHandler):
    """Responds 200 to everything."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):  # pylint: disable=invalid-name,missing-function-docstring
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


def upstream():
    """Serves an upstream in a process of its own. Returns its port."""
    server = ThreadingHTTPServer((LOCAL, 0), Reply)
    server.daemon_threads = True
    pid = os.fork()
    if pid == 0:
        server.serve_forever()
        os._exit(0)
    server.socket.close()
    return server.server_address[1], pid


def stop_servers(servers):
    for server in servers:
        server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)
