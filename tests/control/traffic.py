"""Steady traffic in a process of its own, and clients that look when a change acts."""

import multiprocessing
import socket
import threading
import time

LOCAL = "127.0.0.1"


class Client:
    """A connection over which one request after the other is sent."""

    def __init__(self, port, path, name):
        self.address = (LOCAL, port)
        self.request = f"GET {path} HTTP/1.1\r\nHost: {LOCAL}\r\nX-Client: {name}\r\n\r\n".encode()
        self.link = None

    def status(self):
        """The status of the next response. A broken connection is an error."""
        if self.link is None:
            link = socket.create_connection(self.address, timeout=10)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.link, self.stream = link, link.makefile("rb")
        try:
            self.link.sendall(self.request)
            return self.read()
        except (OSError, ValueError):
            self.close()
            raise

    def read(self):
        status, length = int(self.stream.readline().split()[1]), 0
        closes = False
        while line := self.stream.readline().strip().lower():
            name, _, value = line.partition(b":")
            length = int(value) if name == b"content-length" else length
            closes = closes or (name == b"connection" and value.strip() == b"close")
        self.stream.read(length)
        if closes:
            self.close()
        return status

    def close(self):
        if self.link is not None:
            self.stream.close()
            self.link.close()
            self.link = None


def send(ports, per_second, stop, results):
    """Sends requests to all instances in turn until `stop`, and reports statuses, errors and times."""
    clients = [Client(port, "/load", f"load-{number % 50}") for number, port in enumerate(ports * 4)]
    statuses, errors, times = {}, [], []
    begin, number = time.monotonic(), 0
    while not stop.is_set():
        number += 1
        time.sleep(max(0.0, begin + number / per_second - time.monotonic()))
        client, sent = clients[number % len(clients)], time.monotonic()
        try:
            status = client.status()
            statuses[status] = statuses.get(status, 0) + 1
        except (OSError, ValueError, IndexError) as error:
            errors.append(repr(error))
        times.append(time.monotonic() - sent)
    results.put((statuses, errors, sorted(times)))


class Load:
    """Steady traffic. Each of its clients keeps to its limits, so every response has to be 200."""

    def __init__(self, ports, per_second=150):
        self.stop_event, self.results = multiprocessing.Event(), multiprocessing.Queue()
        arguments = (ports, per_second, self.stop_event, self.results)
        self.process = multiprocessing.Process(target=send, args=arguments, daemon=True)
        self.process.start()

    def stop(self):
        """Ends it. Returns what it got, as text; a failed request is an error."""
        self.stop_event.set()
        statuses, errors, times = self.results.get(timeout=60)
        self.process.join()
        assert not errors and set(statuses) == {200}, (statuses, errors[:3])
        at = lambda share: times[min(len(times) - 1, int(len(times) * share))] * 1000  # noqa: E731
        return f"{len(times)} requests, none failed; p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms"


def seconds_until(ports, name, status, since, patience=30.0):
    """How long after `since` each instance responds with a status to a client, and stays with it."""
    found = {}

    def look(port):
        client = Client(port, "/probe", name)
        first = None
        while time.monotonic() - since < patience:
            sent = time.monotonic()
            if client.status() != status:
                first = None
            else:
                first = first or sent
                # A few more, as a change must not come and go.
                if time.monotonic() - first > 0.1:
                    found[port] = max(0.0, first - since)
                    break
            time.sleep(0.01)
        client.close()

    threads = [threading.Thread(target=look, args=(port,)) for port in ports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(ports), f"not within {patience} s: {status} of all instances"
    return max(found.values())


def flood(port, seconds, per_second):
    """Requests without a token at the admin port. Returns the statuses."""
    statuses, lock = {}, threading.Lock()

    def run(share):
        client, begin, number = Client(port, "/v1/status", "none"), time.monotonic(), 0
        while time.monotonic() - begin < seconds:
            number += 1
            time.sleep(max(0.0, begin + number / share - time.monotonic()))
            try:
                status = client.status()
            except (OSError, ValueError, IndexError):
                status = "closed"
            with lock:
                statuses[status] = statuses.get(status, 0) + 1

    threads = [threading.Thread(target=run, args=(per_second / 4,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses
