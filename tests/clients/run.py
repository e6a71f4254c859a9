"""Real clients through tidegate against real servers: run.py BINARY [NAME...]

Prints a table of figures; exits 1 if a check failed. Names choose among web, calls, sockets, floods and fields."""

import resource
import sys
import traceback

import calls
import fields
import floods
import sockets
import web

PARTS = {"web": web, "calls": calls, "sockets": sockets, "floods": floods, "fields": fields}


def main():
    binary, names = sys.argv[1], sys.argv[2:] or list(PARTS)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    passed = failed = 0
    for name in names:
        try:
            for title, check in PARTS[name].checks(binary):
                try:
                    figure, passed = check(), passed + 1
                except Exception as fault:  # pylint: disable=broad-exception-caught
                    figure, failed = f"FAILED: {type(fault).__name__}: {fault}", failed + 1
                    if not isinstance(fault, AssertionError):
                        traceback.print_exc()
                print(f"{title:49} {figure}", flush=True)
        except Exception as fault:  # pylint: disable=broad-exception-caught
            failed += 1
            print(f"{name:49} FAILED to start: {fault}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
