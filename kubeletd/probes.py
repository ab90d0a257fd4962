"""Startup, liveness and readiness probes: one task each, results told after thresholds.

| action | passes when |
|---|---|
| exec | the command exits 0 |
| httpGet | the status is at least 200 and below 400 |
| tcpSocket | the port accepts a connection |
| grpc | grpc.health.v1.Health/Check says SERVING |
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubeletd import httpget
from kubeletd.interfaces import Container, Pod, ProbeKey, ProbeKind, ProbeResult, Record, Report
from kubeletd.runtime.interface import EngineUnavailable, Runtime, RuntimeFailure

_FIELDS: tuple[tuple[ProbeKind, str], ...] = (
    ("startup", "startupProbe"),
    ("liveness", "livenessProbe"),
    ("readiness", "readinessProbe"),
)
_SERVING = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt. `errored`: it could not be made at all, which counts as a failure with other words."""

    ok: bool
    message: str = ""
    errored: bool = False
    warning: str = ""


@dataclass(slots=True)
class Thresholds:
    """Counts outcomes; `observe` gives the state that is now settled, None while it is not."""

    success: int
    failure: int
    settled: bool | None = None
    last: bool | None = None
    run: int = 0

    def observe(self, ok: bool) -> bool | None:
        """The probe's state if this outcome reaches a threshold."""
        self.run = self.run + 1 if ok == self.last else 1
        self.last = ok
        if self.run < (self.success if ok else self.failure):
            return None
        self.settled = ok
        return ok


def health_request(service: str) -> bytes:
    """grpc.health.v1.HealthCheckRequest: `service` is field 1. Its length fits one byte, as API names do."""
    name = service.encode()
    return b"\x0a" + bytes([len(name)]) + name if name else b""


def health_status(response: bytes) -> int:
    """The status of a grpc.health.v1.HealthCheckResponse: field 1, a varint below 128; 0 where it is unset."""
    return response[1] if len(response) >= 2 and response[0] == 0x08 else 0


async def _grpc(action: Mapping[str, Any], pod_ip: str, timeout: float) -> Outcome:
    import grpc  # heavy: only nodes with such probes pay for it

    service = action.get("service") or ""
    async with grpc.aio.insecure_channel(f"{pod_ip}:{action['port']}") as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            response = await check(health_request(service), timeout=timeout, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return Outcome(False, "error: this server does not implement the grpc health protocol")
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return Outcome(
                    False,
                    f'timeout: failed to connect service "{pod_ip}:{action["port"]}" within {timeout:g}s',
                )
            return Outcome(False, f"error: health rpc probe failed: {error.details()}")
    status = health_status(response)
    if status == _SERVING:
        return Outcome(True)
    names = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
    return Outcome(False, f'service unhealthy (responded with "{names.get(status, status)}")')


async def attempt(
    runtime: Runtime, probe: Mapping[str, Any], container: Container, container_id: str, pod_ip: str
) -> Outcome:
    """Makes one attempt within the probe's timeout."""
    timeout = float(probe.get("timeoutSeconds") or 1)
    try:
        if "exec" in probe:
            return await _exec(runtime, probe, container_id, timeout)
        if "grpc" in probe:
            return await _grpc(probe["grpc"], pod_ip, timeout)
        async with asyncio.timeout(timeout):
            if "httpGet" in probe:
                return await _http(probe["httpGet"], container, pod_ip)
            action = probe["tcpSocket"]
            port = httpget.port_number(action["port"], container)
            _, writer = await asyncio.open_connection(action.get("host") or pod_ip, port)
            writer.close()
            return Outcome(True)
    except TimeoutError:
        return Outcome(False, "context deadline exceeded (timed out while waiting for an answer)")
    except ValueError as error:
        return Outcome(False, str(error), errored=True)
    except OSError as error:
        return Outcome(False, str(error))


async def _exec(runtime: Runtime, probe: Mapping[str, Any], container_id: str, timeout: float) -> Outcome:
    command = tuple(probe["exec"].get("command") or ())
    try:
        result = await runtime.exec_sync(container_id, command, timeout)
    except TimeoutError:
        return Outcome(False, f"command timed out: {' '.join(command)!r} timed out after {timeout:g}s")
    except RuntimeFailure as error:
        return Outcome(False, error.message, errored=True)
    return Outcome(result.exit_code == 0, result.output.decode(errors="replace"))


async def _http(action: Mapping[str, Any], container: Container, pod_ip: str) -> Outcome:
    answer = await httpget.get(action, container, pod_ip)
    if answer.redirected_to:
        return Outcome(True, warning="Probe terminated redirects")
    if 200 <= answer.status < 400:
        return Outcome(True, answer.body)
    return Outcome(False, f"HTTP probe failed with statuscode: {answer.status}")


class ContainerProber:
    """The probes of every running container of this node."""

    def __init__(self, runtime: Runtime, report: Report, record: Record) -> None:
        self._runtime = runtime
        self._report = report
        self._record = record
        self._tasks: dict[tuple[str, str, ProbeKind], asyncio.Task[None]] = {}
        self.counts: dict[ProbeKey, int] = {}

    def start(
        self, pod: Pod, container: Container, container_id: str, pod_ip: str, started_at: float
    ) -> None:
        """Begins all probes of a running container; those of an earlier run of it are ended."""
        uid, name = pod["metadata"]["uid"], container["name"]
        self.stop(uid, name)
        started = asyncio.Event()
        if not container.get("startupProbe"):
            started.set()
        for kind, field in _FIELDS:
            probe = container.get(field)
            if probe:
                run = self._run(pod, container, container_id, pod_ip, kind, probe, started)
                self._tasks[(uid, name, kind)] = asyncio.create_task(run, name=f"{kind}:{name}:{uid}")

    def stop(self, uid: str, container: str, *, kinds: Sequence[ProbeKind] = ()) -> None:
        """Ends them (all kinds if none are named). Again is free."""
        for kind in kinds or tuple(k for k, _ in _FIELDS):
            task = self._tasks.pop((uid, container, kind), None)
            if task is not None:
                task.cancel()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(
        self,
        pod: Pod,
        container: Container,
        container_id: str,
        pod_ip: str,
        kind: ProbeKind,
        probe: Mapping[str, Any],
        started: asyncio.Event,
    ) -> None:
        uid, name = pod["metadata"]["uid"], container["name"]
        counts = Thresholds(probe.get("successThreshold") or 1, probe.get("failureThreshold") or 3)
        told: bool | None = None
        if kind != "startup":
            await started.wait()
        await asyncio.sleep(probe.get("initialDelaySeconds") or 0)
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            outcome = await self._attempt_once(probe, container, container_id, pod_ip)
            if outcome is not None:
                self._count(pod, name, kind, outcome)
                self._event(pod, name, kind, outcome)
                settled = counts.observe(outcome.ok)
                if settled is None and told is None and not outcome.ok and kind == "readiness":
                    # Not ready until it has been: the first failure is already the state.
                    settled = False
                if settled is not None and (settled != told or (not settled and kind != "readiness")):
                    told = settled
                    self._report(ProbeResult(uid, name, container_id, kind, settled, outcome.message))
                if settled and kind == "startup":
                    started.set()
                    return
            period = float(probe.get("periodSeconds") or 10)
            await asyncio.sleep(max(0.0, begun + period - loop.time()))

    async def _attempt_once(
        self, probe: Mapping[str, Any], container: Container, container_id: str, pod_ip: str
    ) -> Outcome | None:
        """None where the engine did not answer: nothing was learnt about the container."""
        try:
            return await attempt(self._runtime, probe, container, container_id, pod_ip)
        except EngineUnavailable:
            return None

    def _count(self, pod: Pod, container: str, kind: ProbeKind, outcome: Outcome) -> None:
        meta = pod["metadata"]
        result = "successful" if outcome.ok else "unknown" if outcome.errored else "failed"
        key = ProbeKey(meta["namespace"], meta["name"], meta["uid"], container, kind, result)
        self.counts[key] = self.counts.get(key, 0) + 1

    def forget(self, uid: str) -> None:
        """The pod is gone: its attempts are no longer told."""
        self.counts = {key: number for key, number in self.counts.items() if key.uid != uid}

    def _event(self, pod: Pod, container: str, kind: ProbeKind, outcome: Outcome) -> None:
        if outcome.warning:
            self._record(
                pod,
                container,
                "Warning",
                "ProbeWarning",
                f"{kind.capitalize()} probe warning: {outcome.warning}",
            )
        if not outcome.ok:
            verb = "errored" if outcome.errored else "failed"
            text = f"{kind.capitalize()} probe {verb}: {outcome.message}"
            self._record(pod, container, "Warning", "Unhealthy", text)
