"""gRPC's own client and server, the server over h2c behind tidegate."""

import threading
import time
from concurrent import futures

import grpc

from parts import Tidegate

# google.rpc.Status {code: 3, message: "too bad"}, as protobuf has it.
DETAILS = b"\x08\x03\x12\x07too bad"


class Server(grpc.GenericRpcHandler):
    """Messages are bytes: no generated code is needed."""

    def __init__(self):
        self.cancelled = threading.Semaphore(0)
        self.remaining = None

    def service(self, details):
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Gather": grpc.stream_unary_rpc_method_handler(self.gather),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
            "Wait": grpc.unary_stream_rpc_method_handler(self.wait),
        }
        return handlers.get(details.method.rsplit("/", 1)[1])

    def unary(self, request, context):
        metadata = dict(context.invocation_metadata())
        context.send_initial_metadata((("x-first", metadata.get("x-token", "")),))
        context.set_trailing_metadata((("x-last", "yes"), ("x-sum-bin", bytes(range(256)))))
        return request

    def fail(self, _, context):
        context.set_trailing_metadata((("grpc-status-details-bin", DETAILS),))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "too bad: \u00fc %")

    def gather(self, requests, _):
        return b",".join(requests)

    def count(self, request, _):
        for number in range(int(request)):
            yield str(number).encode()

    def talk(self, requests, _):
        yield from requests

    def wait(self, _, context):
        self.remaining = context.time_remaining()
        over = threading.Event()
        context.add_callback(over.set)
        yield b"begun"
        if over.wait(20):
            self.cancelled.release()


def checks(binary):
    handler = Server()
    server = grpc.server(futures.ThreadPoolExecutor(32))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Tidegate(binary, f"h2c://127.0.0.1:{port}") as tidegate, grpc.insecure_channel(tidegate.address) as channel:
        for name, check in [
            ("unary", unary), ("large messages", large), ("error status with details", error),
            ("client streaming", gather), ("server streaming", count), ("bidirectional", talk),
            ("deadline exceeded", deadline), ("cancel seen by the server", cancel),
            ("1000 calls, 16 at once", many),
        ]:
            yield f"grpc {name}", lambda check=check: check(channel, handler)
    server.stop(0)


def unary(channel, _):
    answer, call = channel.unary_unary("/t.T/Unary").with_call(b"hello", timeout=10, metadata=(("x-token", "abc"),))
    trailers = dict(call.trailing_metadata())
    assert answer == b"hello"
    assert dict(call.initial_metadata())["x-first"] == "abc"
    assert (trailers["x-last"], trailers["x-sum-bin"]) == ("yes", bytes(range(256))), trailers
    return "with metadata and trailers"


def large(channel, _):
    message = bytes(3_000_000)
    assert channel.unary_unary("/t.T/Unary")(message, timeout=30) == message
    return "3 MB each way"


def error(channel, _):
    try:
        channel.unary_unary("/t.T/Fail")(b"", timeout=10)
    except grpc.RpcError as told:
        assert told.code() == grpc.StatusCode.INVALID_ARGUMENT, told.code()
        assert told.details() == "too bad: \u00fc %", told.details()
        assert dict(told.trailing_metadata())["grpc-status-details-bin"] == DETAILS
        return told.code().name
    raise AssertionError("no error")


def gather(channel, _):
    answer = channel.stream_unary("/t.T/Gather")((str(n).encode() for n in range(1000)), timeout=30)
    assert answer.count(b",") == 999
    return "1000 messages"


def count(channel, _):
    answers = list(channel.unary_stream("/t.T/Count")(b"1000", timeout=30))
    assert answers == [str(n).encode() for n in range(1000)]
    return "1000 messages"


def talk(channel, _):
    """Each message waits for the answer to the one before."""
    answered, delays = threading.Semaphore(1), []

    def messages():
        for number in range(200):
            assert answered.acquire(timeout=10)
            delays.append(time.monotonic())
            yield str(number).encode()

    for number, answer in enumerate(channel.stream_stream("/t.T/Talk")(messages(), timeout=30)):
        assert answer == str(number).encode()
        delays[-1] = time.monotonic() - delays[-1]
        answered.release()
    assert len(delays) == 200
    return f"200 turns, {sum(delays) / len(delays) * 1e3:.2f} ms each"


def deadline(channel, handler):
    try:
        for _ in channel.unary_stream("/t.T/Wait")(b"", timeout=0.5):
            pass
    except grpc.RpcError as told:
        assert told.code() == grpc.StatusCode.DEADLINE_EXCEEDED, told.code()
        assert handler.remaining is not None and handler.remaining < 0.6, handler.remaining
        assert handler.cancelled.acquire(timeout=5), "the server goes on"
        return "the server had %.0f ms" % (handler.remaining * 1e3)
    raise AssertionError("no deadline")


def cancel(channel, handler):
    call = channel.unary_stream("/t.T/Wait")(b"", timeout=30)
    assert next(call) == b"begun"
    started = time.monotonic()
    call.cancel()
    assert handler.cancelled.acquire(timeout=5), "the server goes on"
    return f"after {(time.monotonic() - started) * 1e3:.1f} ms"


def many(channel, _):
    unary_call = channel.unary_unary("/t.T/Unary")
    started = time.monotonic()
    with futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: unary_call(str(n).encode(), timeout=30), range(1000)))
    assert answers == [str(n).encode() for n in range(1000)]
    return f"{1000 / (time.monotonic() - started):.0f} calls/s"
