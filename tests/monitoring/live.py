"""Two instances, scripted traffic, a real Prometheus and a real Alertmanager: each query of the dashboards and of the alerts
returns data, and three alerts reach a receiver.

  live.py BINARY
"""

import http.client
import http.server
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "k8s/monitoring"
# Longer than what must happen ever takes.
DEADLINE = 120
# Scrapes are a second apart.
RATE_INTERVAL = "15s"

RULES = """
access_log: { allowed: 1, per_second: 5 }
bypass:
  - { name: probes, paths: [/healthz] }
  - { name: internal, header: X-Internal-Token, secret_env: LIVE_TOKEN }
rules:
  - { name: tasks, match: { path: /tasks }, key: ['header:X-Client'], rate: 20/min, burst: 5, trial: { rate: 10/min } }
  - { name: trial, match: { path: /trial }, rate: 5/min, mode: shadow }
  - { name: open, match: { path: /open }, rate: 100000/min, on_outage: open }
  - { name: closed, match: { path: /closed }, rate: 100000/min, on_outage: closed }
"""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def eventually(what, look):
    """The first true result of `look`."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited in vain for {what}")


def get(url, **fields):
    context = ssl._create_unverified_context()  # pylint: disable=protected-access
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in fields.items()})
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as response:
            response.read()
            return response.status
    except urllib.error.HTTPError as error:
        error.read()
        return error.code
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return 0


class Upstream(http.server.BaseHTTPRequestHandler):
    """200 for all but /broken, whose connection ends without a response."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/broken":
            self.close_connection = True
            return
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Receiver(http.server.BaseHTTPRequestHandler):
    """Where Alertmanager sends alerts: notes the status of each."""

    alerts = {}

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in message["alerts"]:
            self.alerts.setdefault(alert["labels"]["alertname"], []).append(alert["status"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Live:
    """All processes, ended by their pids."""

    def __init__(self, binary):
        self.binary, self.folder, self.processes = binary, tempfile.TemporaryDirectory(), []
        self.upstream, self.receiver = serve(Upstream), serve(Receiver)
        self.redis_port = free_port()
        self.redis = self.start_redis()
        self.instances = [self.start_instance(name) for name in ("redis", "memory")]
        self.prometheus_port, self.alertmanager_port = free_port(), free_port()
        self.start_alertmanager()
        self.start_prometheus()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def start(self, command, **more):
        process = subprocess.Popen(command, **more)  # pylint: disable=consider-using-with
        self.processes.append(process)
        return process

    def start_redis(self):
        quiet = {"stdout": subprocess.DEVNULL, "cwd": self.folder.name}
        return self.start(["redis-server", "--port", str(self.redis_port), "--save", "", "--bind", "127.0.0.1"], **quiet)

    def write_config(self, name, more=""):
        store = f"redis: {{ url: 'redis://127.0.0.1:{self.redis_port}' }}" if name == "redis" else "memory: {}"
        tls = f"tls: {{ cert_file: {self.path('cert.pem')}, key_file: {self.path('key.pem')} }}\n" if name == "redis" else ""
        upstream = f"upstream: 'http://127.0.0.1:{self.upstream.server_port}'\n"
        Path(self.path(f"{name}.yaml")).write_text(f"{tls}{upstream}store: {{ {store} }}{RULES}{more}")

    def start_instance(self, name):
        if name == "redis":
            subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
            keys = ["-keyout", self.path("key.pem"), "-out", self.path("cert.pem"), "-days", "30", "-nodes"]
            command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *keys, *subject]
            subprocess.run(command, check=True, capture_output=True)
        self.write_config(name)
        flags = ["--config", self.path(f"{name}.yaml"), "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0"]
        environment = {**os.environ, "LIVE_TOKEN": "a-token-of-some-length"}
        process = self.start([self.binary, "run", *flags], stderr=subprocess.PIPE, text=True, env=environment)
        for line in process.stderr:
            fields = json.loads(line) if line.startswith("{") else {"message": line}
            if fields["message"] == "serving":
                threading.Thread(target=process.stderr.read, daemon=True).start()
                scheme = "https" if name == "redis" else "http"
                return {"name": name, "url": f"{scheme}://{fields['listen']}", "ops": fields["ops_listen"]}
        raise AssertionError(f"{name} did not start")

    def start_alertmanager(self):
        hook = {"url": f"http://127.0.0.1:{self.receiver.server_port}", "send_resolved": True}
        route = {"receiver": "hook", "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1s"}
        config = {"route": route, "receivers": [{"name": "hook", "webhook_configs": [hook]}]}
        Path(self.path("alertmanager.yaml")).write_text(json.dumps(config))
        flags = ["--config.file", self.path("alertmanager.yaml"), "--storage.path", self.path("alerts")]
        flags += ["--web.listen-address", f"127.0.0.1:{self.alertmanager_port}", "--cluster.listen-address="]
        self.start(["prometheus-alertmanager", *flags, "--log.level=warn"])
        eventually("Alertmanager", lambda: get(f"http://127.0.0.1:{self.alertmanager_port}/-/ready") == 200)

    def start_prometheus(self):
        # An alert waits for a second, not for minutes.
        rules = re.sub(r"\bfor: \w+", "for: 1s", (MONITORING / "rules.yaml").read_text())
        Path(self.path("rules.yaml")).write_text(rules)
        alertmanagers = [{"static_configs": [{"targets": [f"127.0.0.1:{self.alertmanager_port}"]}]}]
        targets = [
            {"targets": [instance["ops"]], "labels": {"namespace": "prod"}} for instance in self.instances
        ]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"},
            "rule_files": [self.path("rules.yaml")],
            "alerting": {"alertmanagers": alertmanagers},
            "scrape_configs": [{"job_name": "tidegate", "static_configs": targets}],
        }
        # JSON is YAML.
        Path(self.path("prometheus.yaml")).write_text(json.dumps(config))
        flags = ["--config.file", self.path("prometheus.yaml"), "--storage.tsdb.path", self.path("data")]
        flags += ["--web.listen-address", f"127.0.0.1:{self.prometheus_port}", "--log.level=warn"]
        self.start(["prometheus", *flags])
        eventually("Prometheus", lambda: get(f"http://127.0.0.1:{self.prometheus_port}/-/ready") == 200)

    def api(self, path, **arguments):
        url = f"http://127.0.0.1:{self.prometheus_port}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{arguments}: {error.read().decode()}") from error

    def traffic(self, rounds):
        """What all panels are about, in small numbers."""
        for number in range(rounds):
            for instance in self.instances:
                url = instance["url"]
                for path in ("/tasks", "/tasks", "/trial", "/open", "/closed", "/healthz", "/elsewhere"):
                    get(url + path, X_Client=f"c{number % 2}")
                get(url + "/elsewhere", X_Internal_Token="wrong")
                get(url + "/elsewhere", X_Internal_Token="a-token-of-some-length")
                get(url + "/a%00b")
                get(url + "/broken")
            time.sleep(0.25)

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.upstream.shutdown()
        self.receiver.shutdown()
        self.folder.cleanup()

    def kill_redis(self):
        self.redis.send_signal(signal.SIGKILL)
        self.redis.wait()

    def check_alerts(self):
        """Three alerts reach the receiver, and two of them end there."""

        def received(alert, status):
            eventually(f"{alert} to be {status}", lambda: status in Receiver.alerts.get(alert, []))

        # The two files differ in their stores.
        received("TidegateConfigDiffers", "firing")
        Receiver.alerts.pop("TidegateStoreUnreachable", None)
        self.kill_redis()
        received("TidegateStoreUnreachable", "firing")
        self.redis = self.start_redis()
        received("TidegateStoreUnreachable", "resolved")
        self.write_config("memory", "rules: again\n")
        received("TidegateReloadFailed", "firing")
        self.write_config("memory")
        received("TidegateReloadFailed", "resolved")

    def run(self):
        self.traffic(20)
        self.kill_redis()
        self.traffic(10)
        self.redis = self.start_redis()
        for name in ("redis", "memory"):
            self.write_config(name, "\n# another text\n")
        self.traffic(20)

    def has_data(self, expression, instant):
        """Whether there is a number that is not NaN."""
        if instant:
            found = self.api("query", query=expression)["result"]
            values = [series["value"] for series in found]
        else:
            now = time.time()
            found = self.api("query_range", query=expression, start=now - 120, end=now, step="1")["result"]
            values = [value for series in found for value in series["values"]]
        return any(value != "NaN" for _, value in values)


def panel_queries():
    for path in sorted((MONITORING / "dashboards").glob("*.json")):
        dashboard = json.loads(path.read_text())
        rule = ".*" if path.name == "fleet.json" else "tasks"
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield f"{path.name}: {panel['title']} ({target['refId']})", target["expr"], target["instant"], rule
        for annotation in dashboard["annotations"]["list"]:
            if "expr" in annotation:
                yield f"{path.name}: annotation {annotation['name']}", annotation["expr"], False, rule


def concrete(expression, rule):
    """The query as Grafana sends it."""
    for name, value in {"__rate_interval": RATE_INTERVAL, "namespace": "prod", "job": "tidegate", "rule": rule}.items():
        expression = expression.replace(f"${name}", value)
    return expression


def selectors(expression):
    """The selectors of an alert's expression: what it compares must be there when it does not fire."""
    for name, labels in re.findall(r"((?:tidegate|up)[\w:]*)\s*(\{[^}]*\})?", expression):
        # This server is one of a cluster only.
        if 'server="cluster"' not in labels:
            yield name + labels


def main():
    live, lacking, checked = Live(sys.argv[1]), [], 0
    try:
        live.run()
        for title, expression, instant, rule in panel_queries():
            checked += 1
            if not live.has_data(concrete(expression, rule), instant):
                lacking.append(f"{title}: no data for {expression}")
        for group in live.api("rules")["groups"]:
            for rule in group["rules"]:
                checked += 1
                if rule["health"] != "ok":
                    lacking.append(f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}")
                for selector in selectors(rule["query"]):
                    # Recorded only while it holds.
                    if selector != "tidegate:store_unreachable" and not live.has_data(selector, False):
                        lacking.append(f"{rule['name']}: no data for {selector}")
        if not live.has_data("tidegate:store_unreachable", False):
            lacking.append("the outage was not recorded")
        for instance in live.instances:
            with urllib.request.urlopen(f"http://{instance['ops']}/metrics", timeout=10) as response:
                lint = subprocess.run(["promtool", "check", "metrics"], input=response.read(), capture_output=True, check=False)
            checked += 1
            if lint.returncode or lint.stderr:
                lacking.append(f"promtool check metrics, {instance['name']}: {(lint.stdout + lint.stderr).decode()}")
        live.check_alerts()
    finally:
        live.close()
    print("\n".join(lacking) or f"{checked} queries, rules and scrapes are right, and three alerts reached their receiver")
    return bool(lacking)


sys.exit(main())
