"""A proxy under measurement, with the load that it gets."""

import contextlib
import dataclasses
import os
import re
import tempfile

from processes import Process, address, decisions, redis_server, run, serving, upstream
from rows import URL

# One worker: how requests fall into batches must not depend on the number of cores.
ENVIRONMENT = {"TOKIO_WORKER_THREADS": "1"}
CONNECTIONS = 8


@dataclasses.dataclass
class Surroundings:
    """What a proxy needs around it."""

    # Paths by the proxy's name.
    binaries: dict
    # For the configuration and reports; has the certificate.
    directory: str
    upstream: str
    # The URL; empty where the row needs none.
    redis: str


@contextlib.contextmanager
def surroundings(row, binaries):
    """An upstream, and a Redis if the row needs one, for as long as the block runs."""
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        if row.tls:
            make_certificate(directory)
        redis = stack.enter_context(redis_server()).ready if row.redis else ""
        yield Surroundings(binaries, directory, stack.enter_context(upstream()).ready, redis)


class Subject:
    """The proxy of a row, started under a tool."""

    def __init__(self, row, around, tool=()):
        self.row = row
        certificate = [os.path.join(around.directory, name) for name in ("certificate.pem", "key.pem")]
        command = [*tool, around.binaries[row.proxy]]
        if row.proxy == "tidegate":
            config = os.path.join(around.directory, "tidegate.yaml")
            tls = "tls: {{ cert_file: {}, key_file: {} }}\n".format(*certificate) if row.tls else ""
            with open(config, "w", encoding="utf-8") as file:
                file.write(f"upstream: http://{around.upstream}\n{tls}{row.config.replace(URL, around.redis)}")
            command += ["run", "--config", config, "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0"]
            self.process = Process(command, serving, ENVIRONMENT)
        else:
            command += [around.upstream, *(text.replace(URL, around.redis) for text in row.arguments)]
            command += ["--tls", *certificate] if row.tls else []
            self.process = Process(command, lambda line: address(line) and (address(line), None), ENVIRONMENT)
        self.listen, self.ops = self.process.ready
        self.pid = self.process.pid

    def load(self, requests):
        """Sends requests over a few connections that are kept, and checks the responses."""
        protocol = [] if self.row.http2 else ["--h1"]
        url = f"{'https' if self.row.tls else 'http'}://{self.listen}/api/tasks"
        report = run("h2load", *protocol, "-n", str(requests), "-c", str(CONNECTIONS), "-H", "x-api-key: client-1", url)
        done = {kind: int(count) for count, kind in re.findall(r"(\d+) (succeeded|failed|2xx|4xx)", report)}
        # h2load counts a response with 4xx as failed.
        wanted = done["4xx" if self.row.refused else "2xx"]
        # A limit of one request admits one per window.
        if wanted < 0.99 * requests:
            raise RuntimeError(f"{self.row.key}: unexpected responses:\n{report}")

    def decisions(self):
        return decisions(self.ops) if self.ops else {}

    def check_decisions(self, before, requests):
        """Fails where the decisions did not come from where they come from in this row."""
        if not self.row.origins:
            return
        came = {origin: count - before.get(origin, 0) for origin, count in self.decisions().items()}
        if sum(came.get(origin, 0) for origin in self.row.origins) < 0.95 * requests:
            raise RuntimeError(f"{self.row.key}: {requests} requests, but decisions came from {came}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.end()


def make_certificate(directory):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", os.path.join(directory, "key.pem"), "-out", os.path.join(directory, "certificate.pem"))
