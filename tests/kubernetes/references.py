"""What no schema sees: names in one object that another one must have."""


def labels_match(selector, labels):
    """Whether a label selector, or a plain map of labels, selects these labels."""
    plain = selector.get("matchLabels", {} if "matchExpressions" in selector else selector)
    listed = all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", []))
    return plain.items() <= labels.items() and listed


def faults(objects):
    """The references of a rendered overlay that lead nowhere."""
    workloads = [found for found in objects if found["kind"] in ("Deployment", "StatefulSet")]
    pods = [found["spec"]["template"] for found in workloads]
    names = {(found["kind"], found["metadata"]["name"]) for found in objects}

    def selected(selector):
        return [pod for pod in pods if labels_match(selector, pod["metadata"]["labels"])]

    for found in objects:
        name, spec = f"{found['kind']} {found['metadata']['name']}", found.get("spec", {})
        if found["kind"] in ("Deployment", "StatefulSet"):
            template = spec["template"]
            if not labels_match(spec["selector"], template["metadata"]["labels"]):
                yield f"{name}: the selector does not select its own pods"
            yield from (f"{name}: {fault}" for fault in pod_faults(template["spec"], names))
        elif found["kind"] == "Service":
            ports = [ports_of(pod["spec"]) for pod in selected(spec["selector"])]
            yield from (f"{name}: no pod has port {port['targetPort']}" for port in spec["ports"]
                        if not any(port["targetPort"] in known for known in ports))
        elif found["kind"] in ("NetworkPolicy", "PodDisruptionBudget", "PodMonitor"):
            if not selected(spec.get("podSelector") or spec["selector"]):
                yield f"{name}: selects no pod"
        elif found["kind"] == "HorizontalPodAutoscaler":
            target = spec["scaleTargetRef"]
            if (target["kind"], target["name"]) not in names:
                yield f"{name}: no {target['kind']} {target['name']}"


def ports_of(spec):
    """The names of all ports of a pod."""
    containers = spec.get("initContainers", []) + spec["containers"]
    return {port["name"] for container in containers for port in container.get("ports", [])}


def pod_faults(spec, names):
    """Volumes without a source, mounts without a volume, probes of ports that no container has, images without a tag."""
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    for volume in spec.get("volumes", []):
        if "configMap" in volume and ("ConfigMap", volume["configMap"]["name"]) not in names:
            yield f"no ConfigMap {volume['configMap']['name']}"
        secret = volume.get("secret", {"optional": True})
        if not secret.get("optional") and ("Secret", secret["secretName"]) not in names:
            yield f"no Secret {secret['secretName']}"
    for container in spec.get("initContainers", []) + spec["containers"]:
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"no volume {mount['name']}"
            if "subPath" in mount:
                yield f"{mount['name']}: a mount by subPath never changes"
        own = {port["name"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            handler = container.get(probe, {})
            port = (handler.get("httpGet") or handler.get("tcpSocket") or {}).get("port")
            if port is not None and port not in own:
                yield f"{container['name']}: {probe} names port {port}"
        if ":" not in str(container["image"]).rsplit("/")[-1]:
            yield f"{container['name']}: an image without a tag"
