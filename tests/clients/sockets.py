"""WebSocket clients: a thousand tunnels at once."""

import asyncio
import time

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from parts import Background, Tidegate, megabytes

TUNNELS = 1000
MESSAGES = 10


async def echo(socket):
    try:
        async for message in socket:
            await socket.send(message)
    except websockets.ConnectionClosed:
        pass  # an abrupt end is part of the checks


def checks(binary):
    background = Background()
    server = background.run(start())
    port = server.sockets[0].getsockname()[1]
    with Tidegate(binary, f"http://127.0.0.1:{port}") as tidegate:
        yield f"{TUNNELS} tunnels, {TUNNELS * MESSAGES} messages", lambda: asyncio.run(tunnels(tidegate))
        yield "tunnels afterwards", lambda: none_are_left(tidegate)
        yield "websocket of 8 MB", lambda: asyncio.run(large(tidegate))
        yield "requests counted", lambda: counted(tidegate)


async def start():
    return await serve(echo, "127.0.0.1", 0, max_size=1 << 24, compression=None)


def tunnel(tidegate):
    return connect(f"ws://{tidegate.address}/socket", max_size=1 << 24, open_timeout=60, proxy=None)


async def tunnels(tidegate):
    before, started = tidegate.rss(), time.monotonic()
    sockets = await asyncio.gather(*(tunnel(tidegate) for _ in range(TUNNELS)))
    opened = time.monotonic() - started
    assert tidegate.metric("tidegate_tunnels") == TUNNELS, tidegate.metric("tidegate_tunnels")
    memory = (tidegate.rss() - before) / TUNNELS

    async def talk(number, socket):
        for turn in range(MESSAGES):
            await socket.send(f"{turn} of {number}")
            assert await socket.recv() == f"{turn} of {number}"

    started = time.monotonic()
    await asyncio.gather(*(talk(number, socket) for number, socket in enumerate(sockets)))
    taken = time.monotonic() - started
    await asyncio.gather(*(socket.close() for socket in sockets[::2]))
    for socket in sockets[1::2]:
        socket.transport.abort()
    rate = TUNNELS * MESSAGES / taken
    return f"opened in {opened:.1f} s, {rate:.0f} messages/s, {memory / 1e3:.0f} kB each"


def none_are_left(tidegate):
    started = time.monotonic()
    while tidegate.metric("tidegate_tunnels") != 0:
        if time.monotonic() - started > 10:
            raise AssertionError(f"{tidegate.metric('tidegate_tunnels')} after 10 s")
    return f"none after {time.monotonic() - started:.1f} s"


async def large(tidegate):
    message = bytes(8_000_000)
    async with tunnel(tidegate) as socket:
        await socket.send(message)
        assert await socket.recv() == message
        try:
            await socket.close()
        except websockets.ConnectionClosed:
            pass
    return megabytes(len(message))


def counted(tidegate):
    count = tidegate.metric('tidegate_requests_total{rule="all",outcome="allowed"}')
    assert count == TUNNELS + 1, count
    return f"{count:.0f}, one a tunnel"
