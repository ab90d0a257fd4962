"""A pod's spec as the runtime's specs. Pure: files and addresses are made by others and passed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery import quantity
from kubeletd import admission, qos
from kubeletd.accounts import Accounts, process_user
from kubeletd.environment import expand
from kubeletd.interfaces import Container, Pod, PodConfigError
from kubeletd.podstate.plan import container_hash
from kubeletd.runtime.interface import (
    ContainerSpec,
    Identity,
    Kind,
    Mount,
    PortMapping,
    Resources,
    SandboxSpec,
    Security,
)

HOSTNAME_MAX, FQDN_MAX = 63, 64
TERMINATION_LOG = "/dev/termination-log"
_MANAGED = "# Kubernetes-managed hosts file."
_MANAGED_HOST = "# Kubernetes-managed hosts file (host network)."
_LOCAL = (
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
)


def display(pod: Pod) -> str:
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta['uid']})"


def host_network(pod: Pod) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def names(pod: Pod, domain: str) -> tuple[str, str]:
    """The pod's host name, and its fully qualified name ("" without a subdomain)."""
    spec, meta = pod["spec"], pod["metadata"]
    if override := spec.get("hostnameOverride"):
        return override, ""
    short = (spec.get("hostname") or meta["name"])[:HOSTNAME_MAX].rstrip("-.")
    subdomain = spec.get("subdomain")
    return short, f"{short}.{subdomain}.{meta['namespace']}.svc.{domain}" if subdomain else ""


def hostname(pod: Pod, domain: str) -> str:
    """What the kernel tells the pod's containers as theirs. Raises PodConfigError."""
    short, full = names(pod, domain)
    if not full or not pod["spec"].get("setHostnameAsFQDN"):
        return short
    if len(full) > FQDN_MAX:
        raise PodConfigError(
            f"Failed to construct FQDN from Pod hostname and cluster domain, FQDN {full} is too long "
            f"({FQDN_MAX} characters is the max, {len(full)} characters requested)"
        )
    return full


def hosts_file(pod: Pod, pod_ip: str, domain: str, host_file: str) -> str:
    """The content of the pod's /etc/hosts."""
    if host_network(pod):
        lines = [_MANAGED_HOST, host_file.rstrip("\n")]
    else:
        short, full = names(pod, domain)
        own = f"{pod_ip}\t{full}\t{short}" if full else f"{pod_ip}\t{short}"
        lines = [_MANAGED, *_LOCAL, own]
    aliases = pod["spec"].get("hostAliases") or ()
    if aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += ["\t".join((alias["ip"], *(alias.get("hostnames") or ()))) for alias in aliases]
    return "\n".join(lines) + "\n"


def sandbox_spec(
    pod: Pod, attempt: int, ip: str, domain: str, handler: str = "", pids_limit: int = 0
) -> SandboxSpec:
    """`pids_limit` is of the pod's processes together, 0 for none. Raises PodConfigError."""
    spec, meta = pod["spec"], pod["metadata"]
    security = spec.get("securityContext") or {}
    ports = [
        PortMapping(
            port["hostPort"], port["containerPort"], port.get("protocol") or "TCP", port.get("hostIP") or ""
        )
        for container in [*(spec.get("initContainers") or ()), *spec["containers"]]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]
    return SandboxSpec(
        identity=Identity(meta["namespace"], meta["name"], meta["uid"], "", "sandbox", attempt),
        hostname=hostname(pod, domain),
        ip=ip,
        host_network=host_network(pod),
        host_ipc=bool(spec.get("hostIPC")),
        host_pid=bool(spec.get("hostPID")),
        share_pid=bool(spec.get("shareProcessNamespace")),
        sysctls={entry["name"]: str(entry["value"]) for entry in security.get("sysctls") or ()},
        ports=tuple(ports),
        pod_resources=pod_resources(pod, pids_limit),
        host_users=spec.get("hostUsers") is not False,
        handler=handler,
    )


def find_container(pod: Pod, name: str) -> tuple[Container, Kind]:
    """The container of that name and its kind. KeyError if there is none."""
    kinds: tuple[tuple[str, Kind], ...] = (
        ("containers", "container"),
        ("initContainers", "init"),
        ("ephemeralContainers", "ephemeral"),
    )
    for field, kind in kinds:
        for container in pod["spec"].get(field) or ():
            if container["name"] == name:
                return container, kind
    raise KeyError(name)


def container_spec(
    pod: Pod,
    container: Container,
    kind: Kind,
    attempt: int,
    *,
    sandbox_id: str,
    env: Sequence[tuple[str, str]],
    mounts: Sequence[Mount],
    image: str,
    image_user: str,
    memory_capacity: int,
    handler: str = "",
    accounts: Accounts | None = None,
    pids_limit: int = 0,
    target_container_id: str = "",
) -> ContainerSpec:
    """Raises PodConfigError. `image_user` is the image's own user, which runAsNonRoot looks at.

    Without its `accounts` names are left for the engine to look up.
    """
    spec, meta = pod["spec"], pod["metadata"]
    variables = dict(env)
    return ContainerSpec(
        identity=Identity(
            meta["namespace"], meta["name"], meta["uid"], container["name"], kind, attempt,
            container_hash(container),
        ),
        image=image,
        sandbox_id=sandbox_id,
        command=tuple(expand(text, variables) for text in container.get("command") or ()),
        args=tuple(expand(text, variables) for text in container.get("args") or ()),
        env=tuple(env),
        working_dir=container.get("workingDir") or "",
        mounts=tuple(mounts),
        resources=resources(pod, container, memory_capacity),
        pod_limited=pod_resources(pod, pids_limit) is not None,
        security=_security(pod, container, image_user, accounts),
        handler=handler,
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        host_network=host_network(pod),
        host_pid=bool(spec.get("hostPID")),
        host_ipc=bool(spec.get("hostIPC")),
        share_pid=bool(spec.get("shareProcessNamespace")),
        target_container_id=target_container_id,
        stop_signal=(container.get("lifecycle") or {}).get("stopSignal") or "",
        annotations=meta.get("annotations") or {},
    )  # fmt: skip


def resources(pod: Pod, container: Container, memory_capacity: int) -> Resources:
    """What the runtime gives the container; `memory_capacity` is the node's, in bytes."""
    given = container.get("resources") or {}
    requests = given.get("requests") or {}
    # What a container sets no limit of is limited with the pod, and it should see by how much.
    limits = {**((pod["spec"].get("resources") or {}).get("limits") or {}), **(given.get("limits") or {})}
    return Resources(
        cpu_request_milli=quantity.to_milli(requests.get("cpu", "0")),
        cpu_limit_milli=quantity.to_milli(limits.get("cpu", "0")),
        memory_limit=quantity.to_int(limits.get("memory", "0")),
        memory_request=quantity.to_int(requests.get("memory", "0")),
        oom_score_adj=qos.oom_score_adj(pod, container, memory_capacity),
    )


def pod_resources(pod: Pod, pids_limit: int = 0) -> Resources | None:
    """What all containers of a pod have together, its overhead too. None where nothing limits them together."""
    given, pages = pod["spec"].get("resources"), _hugepages(pod)
    if not given and not pids_limit and not pages:
        return None
    limits, overhead = (given or {}).get("limits") or {}, pod["spec"].get("overhead") or {}

    def limit(name: str) -> int:
        return (
            quantity.to_milli(limits[name]) + quantity.to_milli(overhead.get(name, "0"))
            if name in limits
            else 0
        )

    return Resources(
        cpu_request_milli=admission.requests(pod).get("cpu", 0),
        cpu_limit_milli=limit("cpu"),
        memory_limit=-(-limit("memory") // 1000),
        pids_limit=pids_limit,
        hugepages=pages,
    )


def _hugepages(pod: Pod) -> tuple[tuple[int, int], ...]:
    prefix = "hugepages-"
    wanted = ((name, milli) for name, milli in admission.requests(pod).items() if name.startswith(prefix))
    return tuple(
        sorted((quantity.to_int(name.removeprefix(prefix)), milli // 1000) for name, milli in wanted)
    )


def _effective(pod: Pod, container: Container, key: str) -> Any:
    """A securityContext field: the container's own, else the pod's."""
    own = (container.get("securityContext") or {}).get(key)
    return own if own is not None else (pod["spec"].get("securityContext") or {}).get(key)


def _security(pod: Pod, container: Container, image_user: str, accounts: Accounts | None) -> Security:
    own = container.get("securityContext") or {}
    of_pod = pod["spec"].get("securityContext") or {}
    user, group = _effective(pod, container, "runAsUser"), _effective(pod, container, "runAsGroup")
    if _effective(pod, container, "runAsNonRoot"):
        _check_non_root(pod, container, user, image_user)
    groups = [*(of_pod.get("supplementalGroups") or ())]
    if of_pod.get("fsGroup") is not None:
        groups.append(of_pod["fsGroup"])
    who = accounts and process_user(
        accounts,
        image_user,
        user=user,
        group=group,
        more_groups=groups,
        strict=of_pod.get("supplementalGroupsPolicy") == "Strict",
    )
    identity = ""
    if who:
        # A group beside the user: the engine adds none that the image has for it.
        identity, groups = f"{who[0]}:{who[1]}", list(who[2])
    elif user is not None:
        identity = str(user) if group is None else f"{user}:{group}"
    elif group is not None:
        identity = f"{image_user.partition(':')[0] or 0}:{group}"
    capabilities = own.get("capabilities") or {}
    return Security(
        user=identity,
        groups=tuple(dict.fromkeys(groups)),
        privileged=bool(own.get("privileged")),
        add_capabilities=tuple(capabilities.get("add") or ()),
        drop_capabilities=tuple(capabilities.get("drop") or ()),
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        seccomp=_profile(_effective(pod, container, "seccompProfile"), "unconfined"),
        apparmor=_profile(_effective(pod, container, "appArmorProfile"), ""),
        unmasked_proc=own.get("procMount") == "Unmasked",
        who=who or None,
    )


def _profile(profile: Mapping[str, Any] | None, unset: str) -> str:
    """`Localhost` profiles are named by file (seccomp) or loaded name (AppArmor); the caller reads seccomp files."""
    kind = (profile or {}).get("type")
    if profile is None or kind is None:
        return unset
    if kind == "RuntimeDefault":
        return ""
    return "unconfined" if kind == "Unconfined" else str(profile.get("localhostProfile") or "")


def _check_non_root(pod: Pod, container: Container, user: int | None, image_user: str) -> None:
    which = f'(pod: "{display(pod)}", container: {container["name"]})'
    if user is not None:
        if user == 0:
            raise PodConfigError(f"container's runAsUser breaks non-root policy {which}")
        return
    name = image_user.partition(":")[0]
    if name in ("", "0", "root"):
        raise PodConfigError(f"container has runAsNonRoot and image will run as root {which}")
    if not name.isdigit():
        raise PodConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({name}), "
            f"cannot verify user is non-root {which}"
        )
