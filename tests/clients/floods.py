"""Clients that cost a server more than themselves, and what another client notices of them."""

import asyncio
import contextlib
import http.client
import itertools
import os
import resource
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time

from parts import Background, Peak, Tidegate, megabytes
from web import serve

IDLE = 10_000
SLOW = 500
FLOODERS = 8
LOOK = 5.0

HEADERS, RST_STREAM, SETTINGS, CONTINUATION = 1, 3, 4, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def checks(binary):
    background = Background()
    server = background.run(start())
    upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    bounds = f"bounds: {{ connections: {2 * IDLE}, connections_per_client: {2 * IDLE}, first_byte_timeout: 5m, header_timeout: 5m }}"
    with Tidegate(binary, upstream, bounds) as tidegate:
        yield "another client, nobody else there", lambda: told(*watched(tidegate))
        yield f"{IDLE} idle connections", lambda: crowd(tidegate, "idle")
        yield f"{IDLE} idle, {SLOW} slow headers, {SLOW} slow reads", lambda: crowd(tidegate, "all")
        yield "connections afterwards", lambda: none_are_left(tidegate)
    # With the bounds as they are by default.
    with Tidegate(binary, upstream) as tidegate:
        for kind in FLOODS:
            yield f"{FLOODERS} clients: {kind}", lambda kind=kind: flooded(tidegate, kind)


async def start():
    return await asyncio.start_server(serve, "127.0.0.1", 0, backlog=2 * SLOW)


class Other:
    """A client that asks again and again, on one connection, and notes how long each answer takes."""

    def __init__(self, tidegate):
        host, port = tidegate.address.rsplit(":", 1)
        self.client = http.client.HTTPConnection(host, int(port), timeout=30)
        self.times, self.fault, self.over = [], None, threading.Event()
        self.thread = threading.Thread(target=self.ask)

    def ask(self):
        try:
            while not self.over.wait(0.002):
                started = time.perf_counter()
                self.client.request("GET", "/ok")
                answer = self.client.getresponse()
                assert (answer.status, answer.read()) == (200, b"ok"), answer.status
                self.times.append(time.perf_counter() - started)
        except Exception as fault:  # pylint: disable=broad-exception-caught
            self.fault = fault

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.client.close()

    def figures(self):
        assert self.fault is None, f"another client was not served: {self.fault}"
        times = sorted(self.times)
        p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
        return f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms of {len(times)}"


def watched(tidegate):
    with Peak(tidegate) as memory, Other(tidegate) as other:
        time.sleep(LOOK)
    return memory, other


def told(memory, other):
    return f"{other.figures()}; memory {megabytes(memory.before)} + {megabytes(memory.growth())}"


def crowd(tidegate, kind):
    """The crowd is a process of its own: it shares neither our files nor our time."""
    before = tidegate.rss()
    command = [sys.executable, "-B", os.path.abspath(__file__), tidegate.address, kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "there\n"
        want = IDLE + (2 * SLOW if kind == "all" else 0)
        wait(lambda: tidegate.metric("tidegate_connections") >= want, f"{want} connections")
        steady(tidegate)
        memory, other = watched(tidegate)
        assert tidegate.metric("tidegate_connections") >= want, "connections were lost meanwhile"
        growth = tidegate.rss() - before
        assert growth < want * 40_000, f"{growth / want:.0f} bytes each"
        return f"{other.figures()}; memory {megabytes(before)} + {megabytes(growth)}, {growth / want / 1e3:.1f} kB each"
    finally:
        process.stdin.close()
        process.wait(30)


def none_are_left(tidegate):
    # The one that asks is not counted among those of the proxy.
    wait(lambda: tidegate.metric("tidegate_connections") <= 1, "the connections to be gone")
    return f"gone; memory {megabytes(tidegate.rss())}"


def steady(tidegate):
    """Waits until what is on its way to the slow readers fills every buffer."""
    last = 0

    def same():
        nonlocal last
        before, last = last, tidegate.rss()
        return abs(last - before) < 1e6

    wait(lambda: same() and (time.sleep(0.5) or same()), "the memory to be steady")


def wait(true, what):
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < 30, f"waited in vain for {what}"
        time.sleep(0.05)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def block(*fields):
    """HPACK that neither compresses nor remembers; texts are shorter than 127 bytes."""
    texts = [text.encode() for field in fields for text in field]
    coded = [bytes([len(text)]) + text for text in texts]
    return b"".join(b"\0" + name + value for name, value in zip(coded[::2], coded[1::2]))


GET = block((":method", "GET"), (":scheme", "http"), (":path", "/ok"), (":authority", "app.test"))


def rapid_reset(turn):
    stream = 2 * turn + 1
    reset = frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, GET) + reset


def continuation(turn):
    more = block(("x-more", "y" * 100)) * 10
    return frame(CONTINUATION, 0, 1, more) if turn else frame(HEADERS, END_STREAM, 1, GET)


def empty_continuation(turn):
    return frame(CONTINUATION, 0, 1) if turn else frame(HEADERS, END_STREAM, 1, GET)


def settings(_):
    return frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 100))


FLOODS = {
    "rapid reset": rapid_reset,
    "CONTINUATION": continuation,
    "empty CONTINUATION": empty_continuation,
    "SETTINGS": settings,
}


def flooded(tidegate, kind):
    """Each flooder sends as much as it can, and comes again when it is thrown out."""
    before = tidegate.rss()
    command = [sys.executable, "-B", os.path.abspath(__file__), tidegate.address, kind]
    flooders = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(FLOODERS)]
    try:
        for flooder in flooders:
            assert flooder.stdout.readline() == "there\n"
        memory, other = watched(tidegate)
    finally:
        for flooder in flooders:
            flooder.stdin.close()
    ends = [tuple(map(int, flooder.stdout.read().split())) for flooder in flooders]
    for flooder in flooders:
        flooder.wait(30)
    assert memory.growth() < 100e6, megabytes(memory.growth())
    sent, connections = (sum(column) for column in zip(*ends))
    peak = max(memory.most - before, 0)
    figure = f"{other.figures()}; memory {megabytes(before)} + {megabytes(peak)}"
    return f"{figure}; {megabytes(sent)} sent, {connections} connections ended"


def flood(address, kind, over):
    """Until told; how many bytes were sent, and how many connections were ended by the server."""
    make, sent, ended = FLOODS[kind], 0, 0
    # Made before: what is measured is the server's work.
    chunks = [b"".join(make(turn) for turn in range(start, start + 100)) for start in range(0, 20_000, 100)]
    while not over.is_set():
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=10) as peer:
            peer.sendall(PREFACE + frame(SETTINGS, 0, 0))
            drain = threading.Thread(target=swallow, args=(peer,))
            drain.start()
            try:
                # Streams have numbers, which end; the rest goes on for ever.
                rest = chunks[1:] if kind == "rapid reset" else itertools.cycle(chunks[1:])
                for chunk in itertools.chain(chunks[:1], rest):
                    peer.sendall(chunk)
                    sent += len(chunk)
                    if over.is_set():
                        break
                drain.join(1)
                ended += not drain.is_alive()
            except OSError:
                ended += 1
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            drain.join()
    return sent, ended


def swallow(peer):
    with contextlib.suppress(OSError):
        while peer.recv(65536):
            pass


def come(address, kind):
    """A crowd of connections that do nothing, or as little as they can."""
    peers = []

    def connect(count, start=b"", buffer=None):
        for _ in range(count):
            peer = socket.socket()
            if buffer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            peer.connect(address)
            if start:
                peer.sendall(start)
            peers.append(peer)
        return peers[-count:]

    # Half of the idle ones have asked once, half have never said anything.
    connect(IDLE // 2)
    for peer in connect(IDLE // 2, b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"):
        assert peer.recv(1000).startswith(b"HTTP/1.1 200")
    slow = readers = ()
    if kind == "all":
        slow = connect(SLOW, b"GET /ok HTTP/1.1\r\nHost: a\r\n")
        readers = connect(SLOW, b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n", 4096)
        for peer in readers:
            assert peer.recv(12).startswith(b"HTTP/1.1 200")
    return slow, readers, peers


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    address, kind = (host, int(port)), sys.argv[2]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    over = threading.Event()
    if kind in FLOODS:
        threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
        print("there", flush=True)
        print(*flood(address, kind, over), flush=True)
        return
    slow, readers, _peers = come(address, kind)
    print("there", flush=True)
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        # Until told: a byte each, now and then.
        while not selector.select(0.5):
            for peer in slow:
                peer.sendall(b"X")
            for peer in readers:
                peer.recv(1)


if __name__ == "__main__":
    main()
