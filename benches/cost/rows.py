"""What is measured: each row is a proxy, its settings, and the responses that the load must get."""

import dataclasses

AMPLE, ONE = "1000000/min", "1/h"
# Replaced by the URL of the Redis that the row got.
URL = "$REDIS"
# Under callgrind a check can take longer than the default of 20 ms.
REDIS = f"store: {{ redis: {{ url: {URL}, timeout: 10s }} }}\n"
STORE, REMEMBERED = "store", "denied_cache"


def rules(rate, others=0):
    """One rule that the load matches, after as many others that it does not match."""
    other = "  - {{ name: r{0}, match: {{ methods: [GET], path: \"/other/r{0}/{{id}}\" }}, rate: 10/s }}\n"
    tasks = f"  - {{ name: tasks, match: {{ path: \"/api/*\" }}, key: [\"header:x-api-key\"], rate: {rate} }}\n"
    return "rules:\n" + "".join(other.format(number) for number in range(others)) + tasks


@dataclasses.dataclass
class Row:
    """One configuration of one proxy."""

    name: str
    # The proxy: tidegate, with this configuration, or hyper_proxy, with these arguments.
    config: str = None
    arguments: tuple = ()
    # Where tidegate's decisions may come from, as in tidegate_decisions_total; empty where there are none.
    origins: tuple = ()
    refused: bool = False
    http2: bool = False
    tls: bool = False

    @property
    def proxy(self):
        return "hyper_proxy" if self.config is None else "tidegate"

    @property
    def key(self):
        return f"{self.proxy}: {self.name}"

    @property
    def redis(self):
        return URL in (self.config or "") or URL in " ".join(self.arguments)


ROWS = [
    Row("no rules", arguments=()),
    Row("memory, admitted", arguments=("--rate=1000000",)),
    Row("memory, refused", arguments=("--rate=1",), refused=True),
    Row("Redis, admitted", arguments=("--rate=1000000", f"--redis={URL}")),
    Row("Redis, refused", arguments=("--rate=1", f"--redis={URL}"), refused=True),
    Row("no rules, HTTP/2", arguments=("--http2",), http2=True),
    Row("no rules, TLS", tls=True),
    Row("no rules", ""),
    Row("memory, admitted", rules(AMPLE), origins=(STORE,)),
    Row("memory, refused", rules(ONE), origins=(STORE, REMEMBERED), refused=True),
    Row("memory, 1,000 rules", rules(AMPLE, 999), origins=(STORE,)),
    Row("Redis, admitted", REDIS + rules(AMPLE), origins=(STORE,)),
    Row("Redis, refused from memory", REDIS + rules(ONE), origins=(REMEMBERED,), refused=True),
    Row("no rules, HTTP/2", "", http2=True),
    Row("no rules, TLS", "", tls=True),
]
