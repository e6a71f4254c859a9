"""curl, h2load and server-sent events, in front of a small HTTP/1.1 application."""

import asyncio
import os
import re
import subprocess
import tempfile
import time

from parts import Background, Peak, Tidegate, megabytes, run

LARGE = 200_000_000
BLOCK = bytes(65536)


async def serve(reader, writer):
    """/ok; /large: zeros; /upload: the length of the body; /events: the time, now and then."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split("\r\n", 1)[0].split(" ")
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            length = await body_length(reader, fields)
            if target.startswith("/large"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
                for _ in range(LARGE // len(BLOCK)):
                    writer.write(BLOCK)
                    await writer.drain()
                writer.write(BLOCK[: LARGE % len(BLOCK)])
            elif target.startswith("/events"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                await writer.drain()
                for _ in range(5):
                    await asyncio.sleep(0.2)
                    event = b"data: %d\n\n" % time.monotonic_ns()
                    writer.write(b"%x\r\n%s\r\n" % (len(event), event))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
            else:
                body = (str(length) if target == "/upload" else "ok").encode()
                told = b"" if method == "HEAD" else body
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), told))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def body_length(reader, fields):
    if "chunked" in fields.get("transfer-encoding", ""):
        total = 0
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
            total += size
        await reader.readline()
        return total
    left = total = int(fields.get("content-length", 0))
    while left:
        left -= len(await reader.readexactly(min(left, 1 << 20)))
    return total


def checks(binary):
    background = Background()
    server = background.run(asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 21))
    upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with tempfile.TemporaryDirectory() as directory:
        certificate, key = (os.path.join(directory, name) for name in ("cert.pem", "key.pem"))
        names = "subjectAltName=IP:127.0.0.1"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
            "2", "-subj", "/CN=tests", "-addext", names, "-keyout", key, "-out", certificate)
        with Tidegate(binary, upstream) as plain:
            yield from curl(plain)
            yield from load(plain)
            yield from events(plain)
            yield from large(plain)
            yield from slow(plain)
        with Tidegate(binary, upstream, f"tls: {{ cert_file: {certificate}, key_file: {key} }}") as secure:
            yield from curl_tls(secure, certificate)


def fetched(*arguments):
    """The protocol's version and the status, as curl has them."""
    return run("curl", "-sS", "-m", "60", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", *arguments)


def expect(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r}, not {wanted!r}")
    return found


def one_of(found, versions):
    """The status is 200, and the version is one of these."""
    version, status = found.split()
    if status != "200" or version not in versions:
        raise AssertionError(f"{found!r}, not {versions}")
    return found


def curl(tidegate):
    url, upload = tidegate.url("/ok"), tidegate.url("/upload")
    versions = {"--http1.0": ("1", "1.1"), "--http1.1": ("1.1",), "--http2-prior-knowledge": ("2",), "--http2": ("1.1",)}
    for option, known in versions.items():
        yield f"curl {option}", lambda option=option, known=known: one_of(fetched(option, url), known)
        yield f"curl {option} --head", lambda option=option: expect(fetched(option, "--head", url)[-3:], "200")
        yield f"curl {option} upload", lambda option=option: expect(
            run("curl", "-sS", "-m", "60", option, "-F", "file=@/bin/bash", upload).isdigit(), True) and "whole"
    yield "curl --expect100", lambda: expect(
        run("curl", "-sS", "-m", "60", "--http1.1", "-H", "Expect: 100-continue", "--data-binary", "@/bin/bash", upload),
        str(os.path.getsize("/bin/bash")))


def curl_tls(tidegate, certificate):
    url = tidegate.url("/ok", "https")
    for option, known in {"--http1.0": ("1", "1.1"), "--http1.1": ("1.1",), "--http2": ("2",), "--tlsv1.3": ("2",)}.items():
        yield f"curl https {option}", lambda option=option, known=known: one_of(
            fetched("--cacert", certificate, option, url), known)
    yield "curl https --tls-max 1.1", lambda: expect(
        subprocess.run(["curl", "-sS", "--cacert", certificate, "--tls-max", "1.1", url], capture_output=True,
                       check=False).returncode != 0, True) and "refused"


def load(tidegate):
    def drive(*options):
        told = run("h2load", "-n", "10000", "-c", "20", *options, tidegate.url("/ok"))
        expect(re.search(r"(\d+) succeeded, (\d+) failed", told).groups(), ("10000", "0"))
        return re.search(r"([\d.]+) req/s", told).group(0)

    yield "h2load --h1", lambda: drive("--h1")
    yield "h2load -m 10", lambda: drive("-m", "10")
    yield "h2load -m 100", lambda: drive("-m", "100")


def events(tidegate):
    def listen(option):
        command = ["curl", "-sS", "-N", "-m", "30", option, tidegate.url("/events")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            delays = []
            for line in client.stdout:
                if line.startswith(b"data: "):
                    delays.append((time.monotonic_ns() - int(line[6:])) / 1e6)
        expect(len(delays), 5)
        if delays[0] > 50:
            raise AssertionError(f"the first event took {delays[0]:.1f} ms")
        return f"first after {delays[0]:.1f} ms, slowest {max(delays):.1f} ms"

    for option in ["--http1.1", "--http2-prior-knowledge"]:
        yield f"events {option}", lambda option=option: listen(option)


def large(tidegate):
    def constant(peak, rate):
        if peak.growth() > 20_000_000:
            raise AssertionError(f"memory grew by {megabytes(peak.growth())}")
        return f"{rate}, memory +{megabytes(peak.growth())}"

    def download(option):
        with Peak(tidegate) as peak:
            told = run("curl", "-sS", "-m", "120", option, "-o", "/dev/null", "-w", "%{size_download} %{speed_download}",
                       tidegate.url("/large"))
        size, speed = told.split()
        expect(int(size), LARGE)
        return constant(peak, f"{float(speed) / 1e6:.0f} MB/s")

    def upload(option):
        with Peak(tidegate) as peak, subprocess.Popen(
            ["head", "-c", str(LARGE), "/dev/zero"], stdout=subprocess.PIPE
        ) as zeros:
            started = time.monotonic()
            told = run("curl", "-sS", "-m", "120", option, "-T", "-", tidegate.url("/upload"), stdin=zeros.stdout)
            taken = time.monotonic() - started
        expect(int(told), LARGE)
        return constant(peak, f"{LARGE / 1e6 / taken:.0f} MB/s")

    for option in ["--http1.1", "--http2-prior-knowledge"]:
        yield f"200 MB down {option}", lambda option=option: download(option)
        yield f"200 MB up {option}", lambda option=option: upload(option)


def slow(tidegate):
    def reader(option):
        # It takes a little of a large answer, slowly, and leaves.
        with Peak(tidegate) as peak:
            done = subprocess.run(["curl", "-sS", "-m", "3", option, "--limit-rate", "500K", "-o", "/dev/null",
                                   tidegate.url("/large")], capture_output=True, check=False)
        expect(done.returncode, 28)
        if peak.growth() > 20_000_000:
            raise AssertionError(f"memory grew by {megabytes(peak.growth())}")
        return f"memory +{megabytes(peak.growth())}"

    def writer(option):
        told = run("curl", "-sS", "-m", "60", option, "--limit-rate", "500K", "-T", "/bin/bash", tidegate.url("/upload"))
        return expect(told, str(os.path.getsize("/bin/bash")))

    for option in ["--http1.1", "--http2-prior-knowledge"]:
        yield f"slow reader {option}", lambda option=option: reader(option)
        yield f"slow writer {option}", lambda option=option: writer(option)
