"""Renders each overlay of k8s/ and checks what comes out: schemas without unknown fields, the Pod Security Standard `restricted`,
and the names by which objects refer to each other. check.py [VERSION of Kubernetes]"""

import copy
import logging
import subprocess
import sys

import kubernetes_validate
import yaml

import references
import restricted

OVERLAYS = ("sidecar", "gateway", "trial")
VERSION = "1.34"
# By hand, after the API reference of the Prometheus operator 0.85: the fields that a PodMonitor here may have.
POD_MONITOR = {"selector": {"matchExpressions", "matchLabels"}, "podMetricsEndpoints": {"port", "path", "interval"}}


def render(overlay):
    """The objects of an overlay."""
    made = subprocess.run(["kubectl", "kustomize", f"k8s/overlays/{overlay}"], check=True, capture_output=True, text=True)
    return [found for found in yaml.safe_load_all(made.stdout) if found]


def schema_faults(found, version):
    """What the published schema of an object does not allow."""
    if found["apiVersion"].startswith("monitoring.coreos.com/"):
        return list(custom_faults(found))
    try:
        kubernetes_validate.validate(found, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    return []


def custom_faults(found):
    """A check by hand of the operator's objects, whose schemas Kubernetes does not publish."""
    spec = found["spec"]
    if found["kind"] == "PodMonitor":
        yield from (f"unknown field {key}" for key in set(spec) - set(POD_MONITOR))
        yield from (f"unknown field {key}" for key in set(spec["selector"]) - POD_MONITOR["selector"])
        for endpoint in spec["podMetricsEndpoints"]:
            yield from (f"unknown field {key}" for key in set(endpoint) - POD_MONITOR["podMetricsEndpoints"])
    elif found["kind"] == "PrometheusRule":
        yield from (f"unknown field {key}" for key in set(spec) - {"groups"})
    else:
        yield f"unknown kind {found['kind']}"


def pod_of(found):
    """The specification of an object's pods, if it has any."""
    return found["spec"]["template"]["spec"] if found["kind"] in ("Deployment", "StatefulSet") else None


def overlay_faults(objects, version):
    """Everything that is wrong with the objects of an overlay."""
    for found in objects:
        name = f"{found['kind']} {found['metadata']['name']}"
        faults = schema_faults(found, version)
        pod = pod_of(found)
        if pod:
            faults += [f"restricted: {fault}" for fault in restricted.faults(pod)]
        yield from (f"{name}: {fault}" for fault in faults)
    yield from references.faults(objects)


def self_test(objects, version):
    """Each rule finds what it forbids: a check that cannot fail proves nothing."""
    deployment = next(found for found in objects if found["kind"] == "Deployment")
    for fault, change in restricted.FORBIDDEN.items():
        pod = copy.deepcopy(pod_of(deployment))
        container = pod["containers"][0]["securityContext"]
        change(pod, pod.setdefault("securityContext", {}), container)
        found = list(restricted.faults(pod))
        assert any(fault in one for one in found), f"{fault}: found {found}"
    for kind, change, fault in [
        ("Deployment", lambda spec: spec.update(replica=1), "replica"),
        ("Deployment", lambda spec: spec["template"]["spec"]["containers"][0].update(image=1), "image"),
        ("Service", lambda spec: spec["ports"][0].update(targetPort="absent"), "no pod has port absent"),
        ("NetworkPolicy", lambda spec: spec.update(podSelector={"matchLabels": {"a": "b"}}), "selects no pod"),
        ("Deployment", lambda spec: spec["template"]["spec"]["volumes"].clear(), "no volume"),
        ("Deployment", lambda spec: spec["template"]["metadata"]["labels"].clear(), "does not select its own pods"),
    ]:
        changed = copy.deepcopy(objects)
        change(next(found for found in changed if found["kind"] == kind)["spec"])
        found = list(overlay_faults(changed, version))
        assert any(fault in one for one in found), f"{fault}: found {found}"


def main():
    version = sys.argv[1] if len(sys.argv) > 1 else VERSION
    logging.disable()
    wrong = 0
    for overlay in OVERLAYS:
        objects = render(overlay)
        faults = list(overlay_faults(objects, version))
        wrong += len(faults)
        print(f"k8s/overlays/{overlay}: {len(objects)} objects, {len(faults)} faults", *faults, sep="\n  ")
    self_test(render("sidecar"), version)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
