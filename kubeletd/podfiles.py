"""Small files the agent keeps for a pod: /etc/hosts, /etc/resolv.conf, termination messages.

They live under `<root>/pods/<uid>/`, beside the volumes, and go with them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubeletd import dnsconfig, translate
from kubeletd.dnsconfig import NodeDns
from kubeletd.interfaces import Container, Pod, PodConfigError
from kubeletd.runtime.interface import ContainerSpec, LogOptions, Mount, Runtime, RuntimeFailure

MESSAGE_MAX = 4096  # bytes of a termination message
_FALLBACK_MAX, _FALLBACK_LINES = 2048, 80
_PROFILES = "seccomp"


def _folder(root: Path, pod: Pod) -> Path:
    uid: str = pod["metadata"]["uid"]
    return root / "pods" / uid


def write(root: Path, pod: Pod, ip: str, dns: NodeDns) -> list[tuple[str, str]]:
    """Writes the pod's hosts and resolv.conf files. In place: containers have the files themselves mounted.

    Gives the (reason, message) of events about what the pod cannot have.
    """
    folder = _folder(root, pod)
    folder.mkdir(parents=True, exist_ok=True)
    host_file = ""
    if translate.host_network(pod):
        with open("/etc/hosts") as hosts:
            host_file = hosts.read()
    (folder / "etc-hosts").write_text(translate.hosts_file(pod, ip, dns.domain, host_file))
    resolver, said = dnsconfig.of_pod(pod, dns)
    (folder / "resolv.conf").write_text(resolver.text())
    return said


def _message_file(root: Path, pod: Pod, container: Container, attempt: int) -> Path:
    name: str = container["name"]
    return _folder(root, pod) / "containers" / name / str(attempt)


def mounts(root: Path, pod: Pod, container: Container, attempt: int) -> list[Mount]:
    """The mounts of these files, but for those whose place the container's own volumes take."""
    taken = {m["mountPath"].rstrip("/") for m in container.get("volumeMounts") or ()}
    folder = _folder(root, pod)
    result = []
    if "/etc/hosts" not in taken:
        result.append(Mount(str(folder / "etc-hosts"), "/etc/hosts"))
    if "/etc/resolv.conf" not in taken:
        result.append(Mount(str(folder / "resolv.conf"), "/etc/resolv.conf"))
    path = container.get("terminationMessagePath") or translate.TERMINATION_LOG
    if path not in taken:
        file = _message_file(root, pod, container, attempt)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.chmod(file, 0o666)  # whoever the container runs as may write it
        result.append(Mount(str(file), path))
    return result


def _left_behind(file: Path) -> str:
    try:
        with open(file, "rb") as message:
            return message.read(MESSAGE_MAX).decode(errors="replace")
    except OSError:
        return ""


async def termination_message(
    root: Path,
    pod: Pod,
    container: Container,
    attempt: int,
    exit_code: int,
    runtime: Runtime,
    container_id: str,
) -> str:
    """What the container left as its last words; with FallbackToLogsOnError the end of its log if it left none."""
    text = _left_behind(_message_file(root, pod, container, attempt))
    if text or exit_code == 0 or container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        return text
    log = bytearray()
    try:
        async with aclosing(runtime.logs(container_id, LogOptions(tail=_FALLBACK_LINES))) as pieces:
            async for data in pieces:
                log += data
    except RuntimeFailure:
        return ""
    return bytes(log[-_FALLBACK_MAX:]).decode(errors="replace")


def with_seccomp(root: Path, spec: ContainerSpec) -> ContainerSpec:
    """The spec with a Localhost seccomp profile's text in place of its file name. Raises PodConfigError."""
    name = spec.security.seccomp
    if name in ("", "unconfined"):
        return spec
    base = (root / _PROFILES).resolve()
    path = (base / name).resolve()
    if base not in path.parents:
        raise PodConfigError(f"cannot load seccomp profile {name!r}: it is outside of {base}")
    try:
        profile: Mapping[str, Any] = json.loads(path.read_bytes())
    except OSError as error:
        why = f"open {path}: {(error.strerror or str(error)).lower()}"
        raise PodConfigError(f'cannot load seccomp profile "{path}": {why}') from error
    except ValueError as error:
        raise PodConfigError(f'cannot load seccomp profile "{path}": {error}') from error
    return replace(spec, security=replace(spec.security, seccomp=json.dumps(profile, separators=(",", ":"))))
