"""The processes that a measurement needs, each on a free port of the loopback interface and ended by its pid."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
START_TIMEOUT_S = 300
# A tool writes its report first, which takes minutes where other processes are busy.
END_TIMEOUT_S = 600
ADDRESS = re.compile(r"^(127\.0\.0\.1:\d+)$")


class Process:
    """A process that is ready once `ready` returns something for a line of its output."""

    def __init__(self, command, ready, environment=(), stop=signal.SIGKILL):
        self.stop = stop
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                      stderr=subprocess.STDOUT, env={**os.environ, **dict(environment)})
        self.pid = self.child.pid
        # A process that never becomes ready must not hold the run.
        watchdog = threading.Timer(START_TIMEOUT_S, self.child.kill)
        watchdog.start()
        lines = []
        for line in self.child.stdout:
            lines.append(line)
            self.ready = ready(line.strip())
            if self.ready:
                break
        watchdog.cancel()
        if not lines or not self.ready:
            raise RuntimeError(f"{' '.join(command)} did not start:\n{''.join(lines)}")
        # Its output must not fill the pipe.
        threading.Thread(target=self.child.stdout.read, daemon=True).start()

    def end(self, stop=None):
        """Sends the process a signal and waits for its end."""
        if self.child.poll() is None:
            self.child.send_signal(stop or self.stop)
        try:
            self.child.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def address(line):
    match = ADDRESS.match(line)
    return match and match.group(1)


def serving(line):
    """The addresses in the log line that tidegate writes once it serves."""
    entry = json.loads(line) if line.startswith("{") else {}
    return (entry["listen"], entry["ops_listen"]) if "ops_listen" in entry else None


def upstream():
    return Process([sys.executable, "-B", os.path.join(HERE, "upstream.py")], address)


def redis_server():
    """A Redis without persistence. `ready` is its URL."""
    for attempt in range(3):
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        url = f"redis://127.0.0.1:{port}/0"
        try:
            return Process(command, lambda line, url=url: url if "Ready to accept connections" in line else None)
        except RuntimeError:
            # Another process may have taken the port meanwhile.
            if attempt == 2:
                raise
    return None


def free_port():
    """A port that was free a moment ago, for servers that cannot pick one themselves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def run(*command, timeout=1200):
    """What a command prints, if it succeeds."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def decisions(ops):
    """The decisions of a tidegate by their origin, as it counts them."""
    with urllib.request.urlopen(f"http://{ops}/metrics", timeout=60) as response:
        counts = re.findall(r'^tidegate_decisions_total\{origin="(\w+)"\} (\d+)$', response.read().decode(), re.MULTILINE)
    return {origin: int(count) for origin, count in counts}


def until(condition, what, timeout_s=START_TIMEOUT_S):
    """Polls until a condition holds, and returns what it returned."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {timeout_s} s for {what}")
        time.sleep(0.02)
    return value
