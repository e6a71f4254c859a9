"""The structured fields of responses, read by a parser of RFC 9651 that is not tidegate's: http-sfv."""

import asyncio
import http.client

import http_sfv

from parts import Background, Tidegate

LONGEST = "n" * 64

# Odd names, several limits, several rules at once, trials, keys with several values, and refusals of each kind.
RULES = f"""
store: {{ memory: {{}} }}
x_ratelimit_headers: true
rules:
  - {{ name: "-", match: {{ path: /dash }}, key: [], rate: 2/s }}
  - {{ name: "0", match: {{ path: /digit }}, key: [], rate: 2/100ms }}
  - {{ name: "..", match: {{ path: /dots }}, key: [], rate: 2/90s, burst: 3 }}
  - {{ name: A_b.C-1, match: {{ path: /mixed }}, key: [], rate: 1/day }}
  - {{ name: {LONGEST}, match: {{ path: /long }}, key: [], rate: 1/h }}
  - {{ name: large, match: {{ path: /large }}, key: [], rate: 4000000/s, burst: 1000000 }}
  - {{ name: limits, match: {{ path: /limits }}, key: [], limits: [{{ rate: 1/s }}, {{ rate: 2/min }}, {{ rate: 3/day }}] }}
  - {{ name: trial, match: {{ path: /trial }}, key: [], rate: 1/h, mode: shadow }}
  - {{ name: idle, match: {{ path: /off }}, key: [], rate: 1/h, mode: "off" }}
  - {{ name: keyed, match: {{ path: /keyed }}, key: ["header:X-Api-Key"], on_missing: reject, rate: 1/h }}
  - name: custom
    match: {{ path: /custom }}
    key: []
    rate: 1/h
    refusal: {{ status: 403, body: "later", headers: {{ X-Reason: quota }} }}
  - {{ name: sent, match: {{ path: "/p/{{id}}" }}, key: [], rate: 3/h }}
  - {{ name: decoded, match: {{ path: /p/a/b }}, key: [], rate: 2/h }}
global:
  - {{ name: everyone, key: [], rate: 1000/h }}
  - {{ name: everyone-shadow, key: [], rate: 1/h, mode: shadow }}
"""

# A path, with header fields, as often as it is requested.
REQUESTS = [(path, {}, 5) for path in (
    "/dash", "/digit", "/dots", "/mixed", "/long", "/large", "/limits", "/trial", "/off", "/custom", "/none", "/p/a%2Fb")]
REQUESTS += [
    ("/keyed", {"X-Api-Key": "a"}, 3), ("/keyed", {}, 1), ("/keyed", {"Content-Type": "application/grpc", "X-Api-Key": "a"}, 1),
    ("/a%2F..", {}, 1), ("/a%zz", {}, 1),
]

LISTS = ("ratelimit", "ratelimit-policy", "proxy-status")
INTEGERS = ("retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
NAMES = {"-", "0", "..", "A_b.C-1", LONGEST, "large", "limits:1s", "limits:60s", "limits:86400s", "keyed", "custom", "sent",
         "decoded", "everyone"}


async def serve(reader, writer):
    """204 to every request."""
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def checks(binary):
    background = Background()
    server = background.run(asyncio.start_server(serve, "127.0.0.1", 0))
    with Tidegate(binary, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", rules=RULES) as tidegate:
        responses = [response for request in REQUESTS for response in responses_to(tidegate, *request)]
    yield "structured fields of all responses", lambda: parse(responses)
    yield "RateLimit of admissions and refusals", lambda: rate_limit(responses)
    yield "RateLimit-Policy of admissions and refusals", lambda: policy(responses)


def responses_to(tidegate, path, headers, times):
    """The status and the fields of the response to each of them."""
    connection = http.client.HTTPConnection(tidegate.address, timeout=30)
    for _ in range(times):
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
        yield response.status, [(name.lower(), value) for name, value in response.getheaders()]
    connection.close()


def lists(responses, name):
    """Each response's field of this name, all lines joined, parsed as a List."""
    for status, fields in responses:
        lines = [value for field, value in fields if field == name]
        if lines:
            parsed = http_sfv.List()
            parsed.parse(", ".join(lines).encode("ascii"))
            yield status, parsed


def parse(responses):
    fields = 0
    for name in LISTS:
        fields += sum(1 for _ in lists(responses, name))
    for _, values in responses:
        for name, value in values:
            if name in INTEGERS:
                item = http_sfv.Item()
                item.parse(value.encode("ascii"))
                require(isinstance(item.value, int) and item.value >= 0, name, value)
                fields += 1
    statuses = {status for status, _ in responses}
    require({204, 400, 403, 429} <= statuses, statuses)
    return f"{fields} fields of {len(responses)} responses"


def rate_limit(responses):
    return named(responses, "ratelimit", ("r", "t"))


def policy(responses):
    return named(responses, "ratelimit-policy", ("q", "w"))


def named(responses, name, parameters):
    """Every member is a String, the name of a limit, with parameters that are Integers of at least 0."""
    seen = {204: set(), 429: set(), 403: set()}
    for status, members in lists(responses, name):
        require(len(members) > 0, name, status)
        for member in members:
            require(type(member.value) is str and member.value in NAMES, name, member.value)
            require(set(member.params) <= {*parameters, "pk"} and parameters[0] in member.params, name, str(member))
            for parameter in parameters:
                value = member.params.get(parameter, 0)
                require(type(value) is int and value >= 0, name, str(member))
            seen.setdefault(status, set()).add(member.value)
    require(len(seen[204]) >= 10 and len(seen[429]) >= 5 and seen[403], name, seen)
    return f"{len(set().union(*seen.values()))} limits"


def require(holds, *what):
    if not holds:
        raise AssertionError(what)
