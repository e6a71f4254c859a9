"""Checks the dashboards under k8s/monitoring against Grafana's JSON model, and their queries against the metrics that exist.

  dashboards.py               checks all dashboards
  dashboards.py --self-test   checks that each rule of this script finds its fault
"""

import copy
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "k8s/monitoring/dashboards"
RULES = ROOT / "k8s/monitoring/rules.yaml"
PAGE = ROOT / "docs/metrics.md"

# Grafana's JSON model (schema version 39): each key that may be there, with its type. Grafana ignores unknown keys silently.
NUMBER = (int, float)
DASHBOARD = {
    "uid": str, "title": str, "description": str, "tags": list, "editable": bool, "graphTooltip": int, "timezone": str,
    "schemaVersion": int, "version": int, "refresh": str, "fiscalYearStartMonth": int, "liveNow": bool, "time": dict,
    "timepicker": dict, "annotations": dict, "links": list, "templating": dict, "panels": list,
}
PANEL = {
    "id": int, "type": str, "title": str, "description": str, "datasource": dict, "gridPos": dict, "targets": list,
    "fieldConfig": dict, "options": dict,
}
ROW = {"id": int, "type": str, "title": str, "collapsed": bool, "gridPos": dict, "panels": list}
TARGET = {
    "refId": str, "datasource": dict, "editorMode": str, "expr": str, "legendFormat": str, "range": bool, "instant": bool,
    "format": str,
}
DEFAULTS = {
    "unit": str, "mappings": list, "thresholds": dict, "decimals": int, "min": NUMBER, "max": NUMBER, "custom": dict,
}
VARIABLE = {
    "name": str, "label": str, "type": str, "datasource": dict, "definition": str, "query": (dict, str), "refresh": int,
    "regex": str, "sort": int, "multi": bool, "includeAll": bool, "allValue": str, "current": dict, "options": list,
    "hide": int, "skipUrlSync": bool,
}
OPTIONS = {
    "timeseries": {"legend", "tooltip"},
    "stat": {"colorMode", "graphMode", "justifyMode", "orientation", "textMode", "reduceOptions"},
    "state-timeline": {"alignValue", "mergeValues", "rowHeight", "showValue", "legend", "tooltip"},
    "table": {"showHeader", "cellHeight", "footer"},
}
UNITS = {"short", "none", "reqps", "ops", "percentunit", "s", "bytes", "Bps"}
OPTIONAL = {"format", "decimals", "min", "max", "custom", "datasource", "definition", "sort", "allValue"}
VARIABLES = ["datasource", "namespace", "job", "rule"]
WIDTH = 24
# Those of the Prometheus server itself.
FOREIGN = {"up"}


def keys(what, found, model):
    """The faults of an object's keys."""
    faults = [f"{what}: unknown key {key}" for key in found if key not in model]
    faults += [f"{what}: {key} is missing" for key in model if key not in found and key not in OPTIONAL]
    for key, kind in model.items():
        value = found.get(key)
        # In Python a boolean is an int.
        wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        if key in found and wrong:
            faults.append(f"{what}: {key} has the wrong type")
    return faults


def documented():
    """The metrics of docs/metrics.md, with the series of histograms."""
    names = set()
    for name, kind in re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram)", PAGE.read_text(), re.M):
        names |= {f"{name}_{end}" for end in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return names


def recorded():
    """The names of the recording rules."""
    return set(re.findall(r"- record: (\S+)", RULES.read_text()))


def metrics(expression):
    """The names of metrics in an expression."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on|without|ignoring)\s*\([^)]*\)", "", bare)
    words = re.findall(r"[A-Za-z_:][\w:]*(?!\s*\()\b", bare)
    return {word for word in words if re.match(r"(tidegate|process)[_:]", word) or word in FOREIGN}


def query_faults(what, expression, known):
    faults = [f"{what}: {name} is not in docs/metrics.md" for name in metrics(expression) - known - FOREIGN]
    if not metrics(expression):
        faults.append(f"{what}: the query names no metric")
    for name in re.findall(r"\$(\w+)", expression):
        if name not in VARIABLES + ["__rate_interval", "__range"]:
            faults.append(f"{what}: ${name} is not a variable")
    if expression.count("(") != expression.count(")"):
        faults.append(f"{what}: unbalanced parentheses")
    for selector in re.findall(r"\{([^}]*)\}", expression):
        if 'namespace=~"$namespace"' not in selector or 'job=~"$job"' not in selector:
            faults.append(f"{what}: {{{selector}}} does not select by namespace and job")
    return faults


def grid_faults(panels):
    faults, taken = [], {}
    for panel in panels:
        place = panel.get("gridPos", {})
        if set(place) != {"h", "w", "x", "y"} or any(not isinstance(value, int) for value in place.values()):
            faults.append(f"{panel.get('title')}: gridPos is not h, w, x and y")
            continue
        if place["x"] + place["w"] > WIDTH:
            faults.append(f"{panel['title']}: wider than the dashboard")
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if taken.setdefault((x, y), panel["title"]) != panel["title"]:
                    faults.append(f"{panel['title']}: over {taken[x, y]}")
                    return faults
    return faults


def panel_faults(panel, known):
    what = panel.get("title", "?")
    if panel.get("type") == "row":
        return keys(what, panel, ROW)
    faults = keys(what, panel, PANEL)
    if faults:
        return faults
    if panel["type"] not in OPTIONS:
        faults.append(f"{what}: unknown type {panel['type']}")
    elif set(panel["options"]) != OPTIONS[panel["type"]]:
        faults.append(f"{what}: the options are not those of a {panel['type']}")
    defaults = panel["fieldConfig"].get("defaults", {})
    faults += keys(f"{what}: fieldConfig.defaults", defaults, DEFAULTS)
    if set(panel["fieldConfig"]) != {"defaults", "overrides"}:
        faults.append(f"{what}: fieldConfig is not defaults and overrides")
    if defaults.get("unit") not in UNITS:
        faults.append(f"{what}: unknown unit {defaults.get('unit')}")
    if not panel["targets"]:
        faults.append(f"{what}: no query")
    if len({target.get("refId") for target in panel["targets"]}) != len(panel["targets"]):
        faults.append(f"{what}: a refId is used twice")
    for target in panel["targets"]:
        faults += keys(what, target, TARGET)
        if target.get("range") == target.get("instant"):
            faults.append(f"{what}: a query is either of a range or of an instant")
        faults += query_faults(what, target.get("expr", ""), known)
    return faults


def faults(dashboard, known):
    found = keys("dashboard", dashboard, DASHBOARD)
    if found:
        return found
    panels = dashboard["panels"]
    for panel in panels:
        found += panel_faults(panel, known)
    if len({panel.get("id") for panel in panels}) != len(panels):
        found.append("an id is used twice")
    found += grid_faults(panels)
    variables = dashboard["templating"].get("list", [])
    for variable in variables:
        found += keys(variable.get("name"), variable, VARIABLE)
    if [variable.get("name") for variable in variables] != VARIABLES:
        found.append(f"the variables are not {', '.join(VARIABLES)}")
    for annotation in dashboard["annotations"].get("list", []):
        if "expr" in annotation:
            found += query_faults(f"annotation {annotation['name']}", annotation["expr"], known)
    return found


def load():
    return {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def check():
    known, dashboards = documented() | recorded(), load()
    found = [f"{name}: {fault}" for name, dashboard in dashboards.items() for fault in faults(dashboard, known)]
    uids = [dashboard.get("uid") for dashboard in dashboards.values()]
    if len(set(uids)) != len(uids) or len(uids) < 2:
        found.append("each dashboard needs a uid of its own")
    for name in sorted(set().union(*(metrics(line) for line in RULES.read_text().splitlines())) - known - FOREIGN):
        found.append(f"rules.yaml: {name} is not in docs/metrics.md")
    return found


def self_test():
    """Each change is a fault that is found."""
    known, good = documented() | recorded(), load()["fleet.json"]
    assert faults(good, known) == [], faults(good, known)
    panel = next(index for index, panel in enumerate(good["panels"]) if panel["type"] == "timeseries")

    def set_expr(text):
        return lambda d: d["panels"][panel]["targets"][0].update(expr=text)

    selected = '{namespace=~"$namespace",job=~"$job"}'
    changes = {
        "unknown key": lambda d: d.update(colour="red"),
        "is missing": lambda d: d.pop("schemaVersion"),
        "has the wrong type": lambda d: d.update(schemaVersion="39"),
        "id is used twice": lambda d: d["panels"][panel].update(id=good["panels"][0]["id"]),
        "unknown type": lambda d: d["panels"][panel].update(type="graph"),
        "the options are not": lambda d: d["panels"][panel].update(options={}),
        "unknown unit": lambda d: d["panels"][panel]["fieldConfig"]["defaults"].update(unit="furlongs"),
        "no query": lambda d: d["panels"][panel].update(targets=[]),
        "refId is used twice": lambda d: d["panels"][panel]["targets"].append(d["panels"][panel]["targets"][0]),
        "either of a range": lambda d: d["panels"][panel]["targets"][0].update(instant=True),
        "is not in docs/metrics.md": set_expr(f"sum(tidegate_gone_total{selected})"),
        "names no metric": set_expr("vector(1)"),
        "is not a variable": set_expr(f"rate(tidegate_requests_total{selected}[$step])"),
        "unbalanced": set_expr(f"sum(tidegate_tunnels{selected}"),
        "does not select": set_expr("sum(tidegate_tunnels{job=\"x\"})"),
        "wider than": lambda d: d["panels"][panel]["gridPos"].update(x=20),
        ": over ": lambda d: d["panels"][panel]["gridPos"].update(y=0),
        "the variables are not": lambda d: d["templating"]["list"].pop(),
    }
    for fault, change in changes.items():
        bad = copy.deepcopy(good)
        change(bad)
        assert any(fault in each for each in faults(bad, known)), f"not found: {fault}"
    assert metrics('sum by (tidegate_x) (rate(tidegate_a_total{l="tidegate_b"}[5m])) > up') == {"tidegate_a_total", "up"}
    print(f"{len(changes)} kinds of faults are found")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    else:
        found = check()
        print("\n".join(found) or f"{len(load())} dashboards are right")
        sys.exit(bool(found))
