"""What a node of the simulated runtime has in place of volumes, environment, probes and hooks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kubeletd.interfaces import Container, Pod, PodFacts, ProbeKey, ProbeKind, ProbeResult, Report, Sources
from kubeletd.runtime.interface import Mount
from kubeletd.runtime.simulated import setting

_PROBES: tuple[tuple[ProbeKind, str], ...] = (("startup", "startupProbe"), ("readiness", "readinessProbe"))


class NoSources:
    """Simulated containers read nothing."""

    async def get(
        self, kind: Literal["ConfigMap", "Secret", "RuntimeClass"], namespace: str, name: str
    ) -> Pod | None:
        return {"handler": ""} if kind == "RuntimeClass" else None

    async def services(self, namespace: str) -> Sequence[Pod]:
        return ()

    async def token(
        self, namespace: str, service_account: str, audience: str, expiration_seconds: int, pod: Pod
    ) -> tuple[str, float]:
        return "", 0.0

    def release(self, uid: str) -> None:
        return


class NoVolumes:
    async def mount_all(self, pod: Pod, facts: PodFacts) -> dict[str, str]:
        return {}

    async def container_mounts(
        self, pod: Pod, container: Container, paths: Mapping[str, str], env: Mapping[str, str]
    ) -> list[Mount]:
        return []

    async def refresh(self, pod: Pod, facts: PodFacts) -> None:
        return

    def renewed(self, uid: str) -> bool:
        return False

    async def unmount_all(self, uid: str) -> None:
        return

    async def uids(self) -> Sequence[str]:
        return ()


async def no_environment(
    pod: Pod, container: Container, sources: Sources, facts: PodFacts
) -> list[tuple[str, str]]:
    return []


class NoHooks:
    async def run(
        self, pod: Pod, container: Container, handler: Mapping[str, Any], container_id: str, pod_ip: str
    ) -> None:
        return


class SimulatedProber:
    """Probes succeed `ready-seconds` after the start; liveness never fails."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self.counts: dict[ProbeKey, int] = {}

    def start(
        self, pod: Pod, container: Container, container_id: str, pod_ip: str, started_at: float
    ) -> None:
        kinds = [kind for kind, field in _PROBES if container.get(field)]
        if not kinds:
            return
        uid, name = pod["metadata"]["uid"], container["name"]
        seconds = setting(pod["metadata"].get("annotations") or {}, name, "ready-seconds", 0.0)
        loop = asyncio.get_running_loop()
        self._timers[uid, name] = loop.call_later(seconds, self._succeed, uid, name, container_id, kinds)

    def _succeed(self, uid: str, name: str, container_id: str, kinds: Sequence[ProbeKind]) -> None:
        self._timers.pop((uid, name), None)
        for kind in kinds:
            self._report(ProbeResult(uid, name, container_id, kind, True))

    def stop(self, uid: str, container: str, *, kinds: Sequence[ProbeKind] = ()) -> None:
        if kinds and "readiness" not in kinds:
            return
        timer = self._timers.pop((uid, container), None)
        if timer is not None:
            timer.cancel()

    def forget(self, uid: str) -> None:
        return

    async def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
