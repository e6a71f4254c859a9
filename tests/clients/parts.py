"""tidegate and its figures: what every check needs."""

import asyncio
import json
import os
import subprocess
import tempfile
import threading
import urllib.request

RULES = "store: { memory: {} }\nrules: [{ name: all, rate: 10000000/s }]\n"


class Tidegate:
    """A running tidegate in front of an upstream."""

    def __init__(self, binary, upstream, more="", rules=RULES):
        self.directory = tempfile.TemporaryDirectory()
        config = os.path.join(self.directory.name, "tidegate.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"upstream: {upstream}\n{more}\n{rules}")
        flags = ["--config", config, "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0"]
        self.process = subprocess.Popen([binary, "run", *flags], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            told = json.loads(line) if line.startswith("{") else {}
            if "serving" in told.get("message", ""):
                self.address, self.ops = told["listen"], told["ops_listen"]
                break
            if told.get("level") == "ERROR" or not told:
                print(line, end="")
        else:
            raise RuntimeError("tidegate did not start")
        # Its log must not fill the pipe.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def url(self, path, scheme="http"):
        return f"{scheme}://{self.address}{path}"

    def metric(self, series):
        with urllib.request.urlopen(f"http://{self.ops}/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(series + " "):
                    return float(line.rsplit(" ", 1)[1])
        return 0.0

    def rss(self):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as status:
            line = next(line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.directory.cleanup()


class Peak:
    """The most memory that a process has while a block runs."""

    def __init__(self, tidegate):
        self.tidegate, self.before, self.most = tidegate, tidegate.rss(), 0
        self.over = threading.Event()
        self.watch = threading.Thread(target=self.look)

    def look(self):
        while not self.over.wait(0.02):
            self.most = max(self.most, self.tidegate.rss())

    def __enter__(self):
        self.watch.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.watch.join()

    def growth(self):
        return max(0, self.most - self.before)


class Background:
    """An asyncio loop in a thread, for servers."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, what):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(30)


def run(*command, stdin=None):
    """What a command prints, if it ends well."""
    done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def megabytes(count):
    return f"{count / 1e6:.1f} MB"
