"""The proxies that `make bench` compares, each with its limit set in one of five ways."""

import hashlib
import os
import signal
import struct
import subprocess

import rows
from processes import Process, address, free_port, listens, serving, until

NO_LIMIT, MEMORY, REDIS, REFUSED_MEMORY, REFUSED_REDIS = MODES = (
    "no limit", "memory", "Redis", "refused, memory", "refused, Redis")
WITH_REDIS = (REDIS, REFUSED_REDIS)
REFUSED = (REFUSED_MEMORY, REFUSED_REDIS)
SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                      "src/store/redis/wire/scripts/take.lua")
# A time that a server's clock does not reach: the script counts whenever it runs.
NO_DEADLINE = 1 << 52
# Connections of the load and of the crowd fit.
CONNECTIONS = 8192

NGINX = """
daemon off; pid {directory}/nginx.pid; error_log stderr notice; worker_processes auto; worker_rlimit_nofile 65536;
{modules}
events {{ worker_connections {connections}; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  {http}
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ {location} }} }}
}}
"""
FORWARD = 'proxy_pass http://upstream; proxy_http_version 1.1; proxy_set_header Connection "";'
LUA_MODULES = "".join(f"load_module /usr/lib/nginx/modules/{name}.so;" for name in (
    "ndk_http_module", "ngx_http_lua_module"))
LUA = """
access_by_lua_block {{
  local redis = require "nginx.redis":new()
  redis:set_timeout(1000)
  if not redis:connect("127.0.0.1", {port}) then return ngx.exit(500) end
  local reply = redis:evalsha("{sha}", 1, "nginx:" .. ngx.var.http_x_api_key, "{charge}", "{no_deadline}")
  redis:set_keepalive(60000, 128)
  if not reply then return ngx.exit(500) end
  if reply[2] == 0 then return ngx.exit(429) end
}}
"""
HAPROXY = """
global
  nbthread {threads}
  maxconn {connections}
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend bench
  bind 127.0.0.1:{port} backlog 4096
  {limit}
  default_backend upstream
backend upstream
  http-reuse always
  server upstream {upstream}
"""


def start_upstream(directory):
    """nginx with a response of 1 KiB, which costs less than what is measured."""
    location = f'default_type text/plain; return 200 "{"x" * 1024}";'
    return start_nginx(directory, http="", location=location)


def start_nginx(directory, http, location, modules=""):
    """Returns the process and its address."""
    port = free_port()
    config = os.path.join(directory, "nginx.conf")
    write(config, NGINX.format(directory=directory, modules=modules, connections=CONNECTIONS, http=http, port=port,
                               location=location))
    # The listening socket is older than the workers. Only the master can end them.
    process = Process(["nginx", "-p", directory, "-c", config, "-e", "stderr"],
                      lambda line: "start worker process " in line, stop=signal.SIGTERM)
    return process, f"127.0.0.1:{port}"


def start_nginx_proxy(mode, directory, upstream, redis):
    http = f"upstream upstream {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}\n"
    if mode in WITH_REDIS:
        with open(SCRIPT, "rb") as file:
            script = file.read()
        port = redis.rsplit(":", 1)[1].split("/")[0]
        subprocess.run(["redis-cli", "-p", port, "-x", "SCRIPT", "LOAD"], input=script, check=True, capture_output=True)
        http += 'lua_package_path "/usr/share/lua/5.1/?.lua;;";'
        sha = hashlib.sha1(script).hexdigest()
        try_once(port, sha, charge(mode))
        escaped = "".join(f"\\{byte:03}" for byte in charge(mode))
        lua = LUA.format(port=port, sha=sha, charge=escaped, no_deadline=NO_DEADLINE)
        return start_nginx(directory, http, lua + FORWARD, LUA_MODULES)
    if mode == NO_LIMIT:
        return start_nginx(directory, http, FORWARD)
    rate = "1r/m" if mode in REFUSED else "10000r/s"
    http += f"limit_req_zone $http_x_api_key zone=keys:10m rate={rate}; limit_req_status 429;"
    burst = "" if mode in REFUSED else " burst=1000 nodelay"
    return start_nginx(directory, http, f"limit_req zone=keys{burst}; {FORWARD}")


def charge(mode):
    """The limit as take.lua reads it: rate, burst, window, slices, cost and group, then the time to live in digits."""
    window_ms = 60_000
    packed = struct.pack("<II", 1 if mode in REFUSED else 1_000_000, 0) + window_ms.to_bytes(5, "little")
    return packed + bytes([7]) + (1).to_bytes(5, "little") + bytes(4) + str(window_ms).encode()


def try_once(port, sha, packed):
    """Fails if the script does not take this charge, so that no row is measured that does not count."""
    escaped = "".join(f"\\x{byte:02x}" for byte in packed)
    command = f'EVALSHA {sha} 1 nginx:trial "{escaped}" {NO_DEADLINE}\n'
    reply = subprocess.run(["redis-cli", "-p", port], input=command, check=True, capture_output=True, text=True)
    reply = reply.stdout.split()
    if reply[1:2] != ["1"]:
        raise RuntimeError(f"take.lua does not admit a first request: {reply}")


def start_haproxy(mode, directory, upstream, _redis):
    port, config = free_port(), os.path.join(directory, "haproxy.cfg")
    most = 1 if mode in REFUSED else 1_000_000
    limit = "" if mode == NO_LIMIT else (
        "stick-table type string len 64 size 100k expire 2m store http_req_rate(1m)\n"
        "  http-request track-sc0 req.hdr(x-api-key)\n"
        f"  http-request return status 429 if {{ sc_http_req_rate(0) gt {most} }}")
    write(config, HAPROXY.format(threads=os.cpu_count(), connections=CONNECTIONS, port=port, limit=limit,
                                 upstream=upstream))
    process = Process(["haproxy", "-db", "-V", "-f", config], lambda line: "polling mechanism" in line)
    # It binds after that line.
    until(lambda: listens(port), "HAProxy")
    return process, f"127.0.0.1:{port}"


def start_hyper_proxy(mode, _directory, upstream, redis):
    limit = [] if mode == NO_LIMIT else [f"--rate={1 if mode in REFUSED else 1_000_000}"]
    limit += [f"--redis={redis}"] if mode in WITH_REDIS else []
    process = Process(["target/release/examples/hyper_proxy", upstream, *limit], address)
    return process, process.ready


def start_tidegate(mode, directory, upstream, redis):
    config = os.path.join(directory, "tidegate.yaml")
    store = f"store: {{ redis: {{ url: {redis} }} }}\n" if mode in WITH_REDIS else ""
    rules = "" if mode == NO_LIMIT else rows.rules(rows.ONE if mode in REFUSED else rows.AMPLE)
    write(config, f"upstream: http://{upstream}\n{store}{rules}")
    process = Process(["target/release/tidegate", "run", "--config", config, "--listen=127.0.0.1:0",
                       "--ops-listen=127.0.0.1:0"], serving)
    return process, process.ready[0]


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


# By name: how one is started, and the modes that it has.
PROXIES = {
    "hyper_proxy": (start_hyper_proxy, MODES),
    "nginx": (start_nginx_proxy, MODES),
    "HAProxy": (start_haproxy, (NO_LIMIT, MEMORY, REFUSED_MEMORY)),
    "tidegate": (start_tidegate, MODES),
}
