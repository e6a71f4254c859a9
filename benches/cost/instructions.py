"""Instructions and allocations per request, beside the best on record: instructions.py --help

README.md beside this file says what is counted, and how well it repeats."""

import argparse
import concurrent.futures
import os
import re
import signal
import sys

import counting
from processes import HERE
from record import Record
from rows import ROWS
from subject import surroundings

# How far a row may exceed its best. Repeated counts differ by less than 1 %.
TOLERANCE = 1.05


def options():
    parser = argparse.ArgumentParser(description="Counts what one request costs, in instructions and allocations.")
    parser.add_argument("--tidegate", default="target/release/tidegate", help="its binary")
    parser.add_argument("--hyper-proxy", default="target/release/examples/hyper_proxy", help="the yardstick's binary")
    parser.add_argument("--profile", default="release", help="the profile that they were built with")
    parser.add_argument("--rows", default="", metavar="REGEX", help="only the rows whose name matches")
    parser.add_argument("--check", action="store_true",
                        help="only tidegate without Redis; fails where a figure exceeds the best by 5 %%")
    parser.add_argument("--record", choices=("better", "all"), help="writes better figures, or all, into the record")
    return parser.parse_args()


def measure(row, chosen):
    """The figures of one row, by kind."""
    binaries = {"tidegate": chosen.tidegate, "hyper_proxy": chosen.hyper_proxy}
    with surroundings(row, binaries) as around:
        instructions, allocations = counting.measure(row, around)
    return {"instructions": round(instructions), "allocations": round(allocations, 1)}


def main():
    chosen = options()
    # Ends the processes that were started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    record = Record(os.path.join(HERE, "instructions.json"))
    rows = [row for row in ROWS if re.search(chosen.rows, row.key)]
    if chosen.check:
        rows = [row for row in rows if row.proxy == "tidegate" and not row.redis]
    kinds = ["instructions", "allocations"]
    print(f"{'per request':40}" + "".join(f"{kind:>14}{'best':>9}{'ratio':>7}" for kind in kinds))
    faults, yardstick = [], {}
    # Counts do not depend on what else runs.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for row, figures in zip(rows, pool.map(lambda row: measure(row, chosen), rows)):
            line = f"{row.key:40}"
            for kind, figure in figures.items():
                best = record.best(chosen.profile, row.key, kind)
                line += f"{figure:14,}" + (f"{best:9,}{figure / best:7.3f}" if best else f"{'-':>9}{'-':>7}")
                if not best:
                    faults.append(f"{row.key}: not on record")
                elif figure > TOLERANCE * best:
                    faults.append(f"{row.key}: {figure / best - 1:.1%} above the best on record")
                if chosen.record:
                    record.note(chosen.profile, row.key, kind, figure, chosen.record == "all")
            if row.proxy == "hyper_proxy":
                yardstick[row.name] = figures["instructions"]
            elif row.name in yardstick:
                line += f"   {figures['instructions'] / yardstick[row.name]:.2f} times hyper_proxy's instructions"
            print(line, flush=True)
    if chosen.record:
        record.write()
    elif chosen.check and faults:
        print(*faults, "help: find the cost, or, if the change is worth it, record it: make check-instructions RECORD=all",
              sep="\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
