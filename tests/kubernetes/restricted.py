"""The rules of the Pod Security Standard `restricted` for a pod, as of Kubernetes 1.34."""

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SYSCTLS = {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
           "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
           "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
           "net.ipv4.tcp_keepalive_probes"}
SECCOMP = ("RuntimeDefault", "Localhost")
HANDLERS = ("postStart", "preStop")
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def containers(spec):
    """All containers of a pod."""
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(kind, [])


def faults(spec):
    """What the standard forbids in the specification of a pod."""
    pod = spec.get("securityContext", {})
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield key
    for volume in spec.get("volumes", []):
        yield from (f"volume {volume['name']}: {kind}" for kind in set(volume) - VOLUMES - {"name"})
    for sysctl in pod.get("sysctls", []):
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    if pod.get("runAsUser") == 0:
        yield "pod: runAsUser"
    if pod.get("windowsOptions", {}).get("hostProcess"):
        yield "pod: hostProcess"
    for container in containers(spec):
        yield from (f"{container['name']}: {fault}" for fault in container_faults(container, pod))


def container_faults(container, pod):
    """What the standard forbids in one container, with what it inherits from the pod."""
    own = container.get("securityContext", {})
    inherited = pod | own
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if "ALL" not in own.get("capabilities", {}).get("drop", []):
        yield "capabilities.drop"
    if set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "capabilities.add"
    if inherited.get("runAsNonRoot") is not True:
        yield "runAsNonRoot"
    if inherited.get("runAsUser") == 0:
        yield "runAsUser"
    if inherited.get("seccompProfile", {}).get("type") not in SECCOMP:
        yield "seccompProfile"
    if inherited.get("procMount", "Default") != "Default":
        yield "procMount"
    if inherited.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in SECCOMP:
        yield "appArmorProfile"
    if inherited.get("seLinuxOptions", {}).get("type", "") not in ("", "container_t", "container_init_t", "container_kvm_t"):
        yield "seLinuxOptions"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "hostPort"
    handlers = [container.get(probe, {}) for probe in PROBES]
    handlers += [container.get("lifecycle", {}).get(handler, {}) for handler in HANDLERS]
    if any(handler.get(kind, {}).get("host") for handler in handlers for kind in ("httpGet", "tcpSocket")):
        yield "host of a probe or hook"


# One change of a good pod for each rule, and the fault that it must give. `container` and `pod` are security contexts.
FORBIDDEN = {
    "hostNetwork": lambda spec, pod, container: spec.update(hostNetwork=True),
    "hostPID": lambda spec, pod, container: spec.update(hostPID=True),
    "hostIPC": lambda spec, pod, container: spec.update(hostIPC=True),
    "hostPath": lambda spec, pod, container: spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
    "sysctl": lambda spec, pod, container: pod.update(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    "pod: runAsUser": lambda spec, pod, container: pod.update(runAsUser=0),
    "pod: hostProcess": lambda spec, pod, container: pod.update(windowsOptions={"hostProcess": True}),
    "privileged": lambda spec, pod, container: container.update(privileged=True),
    "allowPrivilegeEscalation": lambda spec, pod, container: container.pop("allowPrivilegeEscalation"),
    "capabilities.drop": lambda spec, pod, container: container.update(capabilities={"drop": ["CHOWN"]}),
    "capabilities.add": lambda spec, pod, container: container["capabilities"].update(add=["NET_ADMIN"]),
    "runAsNonRoot": lambda spec, pod, container: (pod.pop("runAsNonRoot", 0), container.pop("runAsNonRoot", 0)),
    ": runAsUser": lambda spec, pod, container: container.update(runAsUser=0),
    "seccompProfile": lambda spec, pod, container: container.update(seccompProfile={"type": "Unconfined"}),
    "procMount": lambda spec, pod, container: container.update(procMount="Unmasked"),
    "appArmorProfile": lambda spec, pod, container: container.update(appArmorProfile={"type": "Unconfined"}),
    "seLinuxOptions": lambda spec, pod, container: container.update(seLinuxOptions={"type": "spc_t"}),
    "hostPort": lambda spec, pod, container: spec["containers"][0]["ports"][0].update(hostPort=80),
    "host of a probe or hook": lambda spec, pod, container: spec["containers"][0].update(
        livenessProbe={"httpGet": {"host": "203.0.113.1", "port": 80}}),
}
