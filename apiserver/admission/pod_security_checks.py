"""The checks of the Pod Security Standards, one function a control. Pure.

Each yields nothing for a pod that conforms, else (what is wrong, where) in the words of Kubernetes's admission.
(KEP-2579; kubernetes.io/docs/concepts/security/pod-security-standards)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Object = dict[str, Any]
Violation = tuple[str, str]
Check = Callable[[Object, Object], Iterator[Violation]]
"""A check of (pod metadata, pod spec)."""

_BASELINE_CAPABILITIES = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
})  # fmt: skip
_SAFE_SYSCTLS = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
})  # fmt: skip
_SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
_RESTRICTED_VOLUMES = frozenset({
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
})  # fmt: skip
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_TYPES = ("RuntimeDefault", "Localhost")


def _containers(spec: Object) -> list[Object]:
    """In the order the messages name them: init, regular, ephemeral."""
    every: list[Object] = []
    for field in ("initContainers", "containers", "ephemeralContainers"):
        every += spec.get(field) or ()
    return every


def _context(owner: Object) -> Object:
    return owner.get("securityContext") or {}


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _named(names: list[str], singular: str = "container", plural: str = "containers") -> str:
    return f"{singular if len(names) == 1 else plural} {_quoted(names)}"


def _windows(spec: Object) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def host_process(meta: Object, spec: Object) -> Iterator[Violation]:
    bad = [
        c["name"] for c in _containers(spec) if (_context(c).get("windowsOptions") or {}).get("hostProcess")
    ]
    pod = bool((_context(spec).get("windowsOptions") or {}).get("hostProcess"))
    where = (["pod"] if pod else []) + ([_named(bad)] if bad else [])
    if where:
        yield (
            "hostProcess",
            f"{' and '.join(where)} must not set securityContext.windowsOptions.hostProcess=true",
        )


def host_namespaces(meta: Object, spec: Object) -> Iterator[Violation]:
    used = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    if used:
        yield "host namespaces", ", ".join(used)


def privileged(meta: Object, spec: Object) -> Iterator[Violation]:
    bad = [c["name"] for c in _containers(spec) if _context(c).get("privileged")]
    if bad:
        yield "privileged", f"{_named(bad)} must not set securityContext.privileged=true"


def capabilities_baseline(meta: Object, spec: Object) -> Iterator[Violation]:
    bad, added = [], set()
    for container in _containers(spec):
        extra = set((_context(container).get("capabilities") or {}).get("add") or ()) - _BASELINE_CAPABILITIES
        if extra:
            bad.append(container["name"])
            added |= extra
    if bad:
        yield (
            "non-default capabilities",
            f"{_named(bad)} must not include {_quoted(sorted(added))} in securityContext.capabilities.add",
        )


def host_path_volumes(meta: Object, spec: Object) -> Iterator[Violation]:
    bad = [v["name"] for v in spec.get("volumes") or () if "hostPath" in v]
    if bad:
        yield "hostPath volumes", _named(bad, "volume", "volumes")


def host_ports(meta: Object, spec: Object) -> Iterator[Violation]:
    bad, ports = [], []
    for container in _containers(spec):
        used = [str(p["hostPort"]) for p in container.get("ports") or () if p.get("hostPort")]
        if used:
            bad.append(container["name"])
            ports += used
    if bad:
        unique = sorted(dict.fromkeys(ports))
        uses = "uses" if len(bad) == 1 else "use"
        word = "hostPort" if len(unique) == 1 else "hostPorts"
        yield "hostPort", f"{_named(bad)} {uses} {word} {', '.join(unique)}"


def app_armor(meta: Object, spec: Object) -> Iterator[Violation]:
    bad = [
        f'{key}="{value}"'
        for key, value in sorted((meta.get("annotations") or {}).items())
        if key.startswith(_APPARMOR)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    ]
    owners = [("pod", spec), *((f'container "{c["name"]}"', c) for c in _containers(spec))]
    unconfined = [
        name
        for name, owner in owners
        if (_context(owner).get("appArmorProfile") or {}).get("type") == "Unconfined"
    ]
    if unconfined:
        bad = [f'{" and ".join(unconfined)} must not set AppArmor profile type to "Unconfined"', *bad]
    if bad:
        yield "forbidden AppArmor profile" + ("s" if len(bad) > 1 else ""), ", ".join(bad)


def se_linux(meta: Object, spec: Object) -> Iterator[Violation]:
    options = [_context(o).get("seLinuxOptions") or {} for o in (spec, *_containers(spec))]
    types = sorted({o["type"] for o in options if o.get("type", "") not in _SELINUX_TYPES})
    details = [f"type{'s' if len(types) > 1 else ''} {_quoted(types)}"] if types else []
    details += [f"{key} may not be set" for key in ("user", "role") if any(o.get(key) for o in options)]
    if details:
        yield "seLinuxOptions", "; ".join(details)


def proc_mount(meta: Object, spec: Object) -> Iterator[Violation]:
    bad = [c["name"] for c in _containers(spec) if _context(c).get("procMount") not in (None, "Default")]
    if bad and spec.get("hostUsers") is not False:
        types = sorted({str(_context(c).get("procMount")) for c in _containers(spec) if c["name"] in bad})
        yield "procMount", f"{_named(bad)} must not set securityContext.procMount to {_quoted(types)}"


def seccomp_baseline(meta: Object, spec: Object) -> Iterator[Violation]:
    def kind(owner: Object) -> str:
        return str((_context(owner).get("seccompProfile") or {}).get("type") or "")

    bad = [c["name"] for c in _containers(spec) if kind(c) not in ("", *_SECCOMP_TYPES)]
    where = ["pod"] if kind(spec) not in ("", *_SECCOMP_TYPES) else []
    where += [_named(bad)] if bad else []
    if where:
        yield (
            "seccompProfile",
            f'{" and ".join(where)} must not set securityContext.seccompProfile.type to "Unconfined"',
        )


def sysctls(meta: Object, spec: Object) -> Iterator[Violation]:
    bad = [s["name"] for s in _context(spec).get("sysctls") or () if s["name"] not in _SAFE_SYSCTLS]
    if bad:
        yield "forbidden sysctls", ", ".join(bad)


def host_probes(meta: Object, spec: Object) -> Iterator[Violation]:
    """Probes and hooks that name a host could make the node's agent call anywhere."""
    bad = []
    for container in _containers(spec):
        hooks = container.get("lifecycle") or {}
        handlers = [container.get(f"{p}Probe") or {} for p in ("liveness", "readiness", "startup")]
        handlers += [hooks.get(h) or {} for h in ("postStart", "preStop")]
        if any((h.get(k) or {}).get("host") for h in handlers for k in ("httpGet", "tcpSocket")):
            bad.append(container["name"])
    if bad:
        uses = "uses" if len(bad) == 1 else "use"
        yield "probe or lifecycle host", f"{_named(bad)} {uses} probe or lifecycle hosts"


def restricted_volumes(meta: Object, spec: Object) -> Iterator[Violation]:
    bad, kinds = [], set()
    for volume in spec.get("volumes") or ():
        used = [key for key in volume if key != "name"]
        if used and not _RESTRICTED_VOLUMES.intersection(used):
            bad.append(volume["name"])
            kinds.add(used[0])
    if bad:
        uses = "uses restricted volume type" if len(bad) == 1 else "use restricted volume types"
        yield "restricted volume types", f"{_named(bad, 'volume', 'volumes')} {uses} {_quoted(sorted(kinds))}"


def privilege_escalation(meta: Object, spec: Object) -> Iterator[Violation]:
    if _windows(spec):
        return
    bad = [c["name"] for c in _containers(spec) if _context(c).get("allowPrivilegeEscalation") is not False]
    if bad:
        yield (
            "allowPrivilegeEscalation != false",
            f"{_named(bad)} must set securityContext.allowPrivilegeEscalation=false",
        )


def run_as_non_root(meta: Object, spec: Object) -> Iterator[Violation]:
    if spec.get("hostUsers") is False:
        return
    pod = _context(spec).get("runAsNonRoot")
    bad, unset = [], []
    for container in _containers(spec):
        own = _context(container).get("runAsNonRoot")
        if own is False:
            bad.append(container["name"])
        elif own is None:
            unset.append(container["name"])
    wrong = (["pod"] if pod is False else []) + ([_named(bad)] if bad else [])
    if wrong:
        yield "runAsNonRoot != true", f"{' and '.join(wrong)} must not set securityContext.runAsNonRoot=false"
    elif pod is None and unset:
        yield (
            "runAsNonRoot != true",
            f"pod or {_named(unset)} must set securityContext.runAsNonRoot=true",
        )


def run_as_user(meta: Object, spec: Object) -> Iterator[Violation]:
    if spec.get("hostUsers") is False:
        return
    bad = [c["name"] for c in _containers(spec) if _context(c).get("runAsUser") == 0]
    where = (["pod"] if _context(spec).get("runAsUser") == 0 else []) + ([_named(bad)] if bad else [])
    if where:
        yield "runAsUser=0", f"{' and '.join(where)} must not set runAsUser=0"


def seccomp_restricted(meta: Object, spec: Object) -> Iterator[Violation]:
    if _windows(spec):
        return

    def kind(owner: Object) -> str:
        return str((_context(owner).get("seccompProfile") or {}).get("type") or "")

    bad = [c["name"] for c in _containers(spec) if kind(c) not in ("", *_SECCOMP_TYPES)]
    where = (["pod"] if kind(spec) not in ("", *_SECCOMP_TYPES) else []) + ([_named(bad)] if bad else [])
    if where:
        yield (
            "seccompProfile",
            f'{" and ".join(where)} must not set securityContext.seccompProfile.type to "Unconfined"',
        )
        return
    unset = [c["name"] for c in _containers(spec) if not kind(c)]
    if unset and not kind(spec):
        yield (
            "seccompProfile",
            f"pod or {_named(unset)} must set securityContext.seccompProfile.type to "
            '"RuntimeDefault" or "Localhost"',
        )


def capabilities_restricted(meta: Object, spec: Object) -> Iterator[Violation]:
    if _windows(spec):
        return
    undropped, adding, added = [], [], set()
    for container in _containers(spec):
        capabilities = _context(container).get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or ()):
            undropped.append(container["name"])
        extra = set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}
        if extra:
            adding.append(container["name"])
            added |= extra
    details = []
    if undropped:
        details.append(f'{_named(undropped)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        details.append(
            f"{_named(adding)} must not include {_quoted(sorted(added))} in securityContext.capabilities.add"
        )
    if details:
        yield "unrestricted capabilities", "; ".join(details)


_BOTH: tuple[Check, ...] = (
    host_process, host_namespaces, privileged, host_ports, app_armor, se_linux, proc_mount, sysctls, host_probes,
)  # fmt: skip
BASELINE: tuple[Check, ...] = (*_BOTH, capabilities_baseline, host_path_volumes, seccomp_baseline)
RESTRICTED: tuple[Check, ...] = (
    *_BOTH, privilege_escalation, capabilities_restricted, restricted_volumes, run_as_non_root, run_as_user,
    seccomp_restricted,
)  # fmt: skip
CHECKS: dict[str, tuple[Check, ...]] = {"privileged": (), "baseline": BASELINE, "restricted": RESTRICTED}


def violations(level: str, meta: Object, spec: Object) -> list[Violation]:
    """What a pod does that a level forbids, in the order of the names of what is wrong."""
    return [violation for check in CHECKS[level] for violation in check(meta, spec)]


def describe(found: Iterable[Violation]) -> str:
    """`what (where), what (where)`."""
    return ", ".join(f"{what} ({where})" for what, where in found)
