"""schemathesis against the admin API: run.py BINARY SCHEMATHESIS

Generates requests from the served OpenAPI document, valid and invalid ones, with a token that may write, one that may read,
and none. Fails on a 5xx, and on a response that the document does not describe. Exits 1 if a check failed."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

WRITE, READ = "write-token-0123456789", "read-token-0123456789"
RULES = """
store: { memory: {} }
tiers: [{ name: internal, match: { hosts: [internal.example.com] } }]
rules:
  - { name: tasks, match: { path: /tasks }, rate: 3/h, burst: 2, trial: { rate: 2/h }, tiers: { internal: { rate: 9/h } } }
  - { name: keyed, key: [client_ip, 'header:X-Api-Key'], on_missing: shared, rate: 9/min }
global: [{ name: all, rate: 1000/s }]
"""
# Not those that compare what is accepted with the document: that a rule is there, or that an address is one, it does not say.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Below the bound of the API, as a 429 tests nothing.
RATE = "40/s"


def serving(process):
    for line in process.stderr:
        event = json.loads(line)
        if event.get("message") == "serving":
            return f"http://{event['admin_listen']}"
    raise SystemExit("tidegate did not start")


def with_rules(document):
    """The document with the names of the rules, which it cannot have, beside any others."""
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "rule":
                    parameter["schema"] = {"anyOf": [{"enum": ["tasks", "keyed", "all"]}, {"type": "string"}]}
    return document


def main():
    # schemathesis runs in another folder, as it leaves files behind.
    binary, schemathesis = (os.path.abspath(path) for path in sys.argv[1:3])
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "tidegate.yaml")
        for name, token in (("write", WRITE), ("read", READ)):
            pathlib.Path(folder, name).write_text(token, encoding="ascii")
        tokens = "[{ name: w, file: write, role: write }, { name: r, file: read }]"
        config.write_text(f"admin: {{ tokens: {tokens} }}\n{RULES}", encoding="ascii")
        command = [binary, "run", "--config", config, "--upstream=http://127.0.0.1:9"]
        command += [f"--{name}=127.0.0.1:0" for name in ("listen", "ops-listen", "admin-listen")]
        log = pathlib.Path(folder, "log")
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"TIDEGATE_LOG": "info,access=off"})
        try:
            server = serving(process)
            # What it logs from here on is not read by anything, and must not fill a pipe.
            with open(log, "w", encoding="utf-8") as sink:
                drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=sink)
                document = pathlib.Path(folder, "openapi.json")
                fetch = ["curl", "-sSf", "-H", f"Authorization: Bearer {READ}", f"{server}/v1/openapi.json"]
                served = json.loads(subprocess.run(fetch, check=True, stdout=subprocess.PIPE).stdout)
                document.write_text(json.dumps(with_rules(served)), encoding="utf-8")
                for title, token in (("write", WRITE), ("read", READ), ("none", None)):
                    run = [schemathesis, "run", document, "--url", server, "--checks", CHECKS, "--rate-limit", RATE]
                    run += ["--max-examples", "40", "--suppress-health-check", "all", "--no-color", "--seed", "1"]
                    if token:
                        run += ["-H", f"Authorization: Bearer {token}"]
                    print(f"== token: {title}", flush=True)
                    if subprocess.run(run, check=False, cwd=folder).returncode:
                        failed.append(title)
                if process.poll() is not None:
                    failed.append("tidegate ended")
        finally:
            process.kill()
            process.wait()
        drain.wait()
    print("failed: " + ", ".join(failed) if failed else "no failure")
    return 1 if failed else 0


sys.exit(main())
