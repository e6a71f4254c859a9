"""The committed figures: the best of each row, with its date and the commit that it was measured at."""

import datetime
import json

from processes import run

# What the figures depend on beside the code.
SOURCES = ["src", "examples/hyper_proxy.rs", "benches/cost/take.rs", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"]


class Record:
    """Figures by profile, row and kind."""

    def __init__(self, path):
        self.path = path
        with open(path, encoding="utf-8") as file:
            self.profiles = json.load(file)

    def best(self, profile, row, kind):
        entry = self.profiles.get(profile, {}).get(row, {}).get(kind)
        return entry and entry["best"]

    def note(self, profile, row, kind, figure, even_if_worse):
        best = self.best(profile, row, kind)
        if best is None or figure < best or even_if_worse:
            entry = {"best": figure, "date": datetime.date.today().isoformat(), "commit": commit()}
            self.profiles.setdefault(profile, {}).setdefault(row, {})[kind] = entry

    def write(self):
        """One figure per line, so that a change shows as one."""
        profiles = []
        for profile, rows in self.profiles.items():
            lines = [f'    {json.dumps(row)}: {{\n' + ",\n".join(
                f"      {json.dumps(kind)}: {json.dumps(entry)}" for kind, entry in kinds.items()) + "\n    }"
                for row, kinds in rows.items()]
            profiles.append(f"  {json.dumps(profile)}: {{\n" + ",\n".join(lines) + "\n  }")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("{\n" + ",\n".join(profiles) + "\n}\n")


def commit():
    """The last commit that changed what is measured; + where the tree has changes that are not committed."""
    last = run("git", "log", "-1", "--format=%h", "--", *SOURCES).strip()
    return last + ("+" if run("git", "status", "--porcelain", "--", *SOURCES).strip() else "")
