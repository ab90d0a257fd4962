"""Containers by the Docker Engine API (interface.Runtime).

A pod is a sandbox container on the cluster's bridge network and containers that join its namespaces. Nothing is kept
here that the engine does not have: the labels say whose a container is.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from kubeletd.runtime import (
    clusternetwork,
    dockerinfo,
    dockerspec,
    lostprocesses,
    pause,
    podcgroups,
    privileges,
)
from kubeletd.runtime.cgroups import Cgroups
from kubeletd.runtime.dockerengine import Engine, failure
from kubeletd.runtime.dockerimages import DockerImages
from kubeletd.runtime.dockerlogs import DockerLogs
from kubeletd.runtime.dockerprocess import DockerProcesses
from kubeletd.runtime.dockerstream import EngineError, json_lines
from kubeletd.runtime.dockerviews import DockerViews
from kubeletd.runtime.interface import (
    ContainerNotFound,
    ContainerSpec,
    ContainerState,
    CreateFailure,
    EngineInfo,
    EngineUnavailable,
    ImageNotFound,
    Resources,
    RuntimeEvent,
    RuntimeFailure,
    SandboxFailure,
    SandboxSpec,
    StartError,
)
from kubeletd.runtime.sandboxnetwork import SandboxNetwork

log = logging.getLogger(__name__)

_RECONNECT_FIRST, _RECONNECT_MAX = 0.1, 5.0
_KILL_PATIENCE = 60.0  # seconds a killed process may take to be gone (uninterruptible I/O)
_ACTIONS = {"start": "started", "die": "died", "oom": "oom", "destroy": "removed"}


def bridge_name(cluster: str) -> str:
    """The cluster's bridge interface; at most 15 bytes, as Linux wants."""
    return f"pyb-{cluster}" if len(cluster) <= 11 else f"pyb-{_short_hash(cluster)}"


def gateway(subnet: str) -> str:
    """The bridge's own address: the first of the cluster's."""
    return str(ipaddress.IPv4Network(subnet)[1])


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:11]


class DockerRuntime(DockerProcesses, DockerLogs, DockerImages, DockerViews):
    """The containers of node `node` of cluster `cluster` on one engine.

    `subnet` is the cluster's pod CIDR and `gateway` the bridge's address in it.
    """

    name = "docker"

    def __init__(self, cluster: str, node: str, subnet: str, gateway: str, base_url: str = "") -> None:
        self.cluster = cluster
        self.node = node
        self.network = f"pybernetes-{cluster}"
        self.bridge = bridge_name(cluster)
        self._subnet = subnet
        self._gateway = gateway
        self._engine = Engine(base_url)
        self._cgroups = Cgroups()
        self._accounts = {}
        self._handlers: tuple[str, ...] = ()
        self._places = {}
        self._pause = ""
        self._oom_floor = privileges.oom_floor()
        self._capabilities = privileges.of_engine()
        self._pod_groups = False  # whether the engine takes groups of ours for its containers'
        self._sandboxes = SandboxNetwork(self.bridge, subnet, gateway)
        self._starting: set[str] = set()
        #: Whether the engine may have been killed since its containers were last listed.
        self._unsure = True

    async def open(self) -> EngineInfo:
        await self._engine.open()
        info = await self.info()
        self._pod_groups = info.cgroup_driver == "cgroupfs"
        self._handlers = info.handlers
        await asyncio.gather(self._ensure_network(), self._ensure_pause(info.architecture))
        return info

    async def close(self) -> None:
        await self._engine.close()

    async def _ensure_network(self) -> None:
        body = dockerspec.network_config(self.network, self._subnet, self._gateway, self.bridge, self.cluster)
        await clusternetwork.ensure(self._engine, self.network, body)

    async def _ensure_pause(self, architecture: str) -> None:
        name, archive = pause.image(architecture)
        if await self.image(name) is None:
            try:
                await self._engine.call("POST", "/images/load", {"quiet": "1"}, data=archive)
            except EngineError as error:
                raise SandboxFailure(f"cannot load the sandbox image: {error.message}") from error
        self._pause = name

    async def info(self) -> EngineInfo:
        try:
            version, info = await asyncio.gather(
                self._engine.call("GET", "/version"), self._engine.call("GET", "/info")
            )
        except EngineError as error:
            raise EngineUnavailable(error.message) from error
        return dockerinfo.engine_info(version, info, self._engine.endpoint.version)

    async def ping(self, patience: float) -> None:
        await self._engine.ping(patience)

    def busy_for(self) -> float:
        return self._engine.busy_for()

    def _filters(self, **more: list[str]) -> dict[str, str]:
        labels = [f"{dockerspec.PREFIX}cluster={self.cluster}", f"{dockerspec.PREFIX}node={self.node}"]
        return {"filters": json.dumps({"label": labels, **more})}

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        """See interface: "resync" comes after each connect, so that a list made then misses nothing."""
        delay = _RECONNECT_FIRST
        query = self._filters(type=["container"], event=list(_ACTIONS))
        while True:
            try:
                if not self._engine.endpoint.url:
                    await self._engine.open()
                reader, writer = await self._engine.endpoint.open("GET", "/events", query)
            except (EngineUnavailable, EngineError) as error:
                log.warning("no events from the engine: %s", error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _RECONNECT_MAX)
                continue
            delay = _RECONNECT_FIRST
            try:
                yield RuntimeEvent("resync")
                async with aclosing(json_lines(reader)) as lines:
                    async for entry in lines:
                        event = _event(entry)
                        if event is not None:
                            yield event
            except (OSError, ValueError) as error:
                log.warning("the engine's events broke off: %s", error)
            finally:
                writer.close()
            self._unsure = True
            yield RuntimeEvent("lost")
            await asyncio.sleep(delay)

    async def list_containers(self) -> list[ContainerState]:
        try:
            found = await self._engine.call("GET", "/containers/json", {"all": "1", **self._filters()})
        except EngineError as error:
            raise EngineUnavailable(error.message) from error
        if self._unsure:
            self._unsure = False
            await self._end_lost(
                {e["Id"] for e in found if e["State"] in ("created", "exited", "dead")} - self._starting
            )
        for entry in found:
            await self._mend(entry)
        return [state for state in map(dockerspec.listed, found) if state is not None]

    async def _end_lost(self, containers: set[str]) -> None:
        """Ends what there may be of containers that do not run, as an engine that was killed leaves it."""
        for container_id in await asyncio.to_thread(lostprocesses.end, containers):
            log.warning("the engine had lost processes of container %s: ended", container_id[:12])

    async def _end_if_lost(self, container_id: str) -> None:
        if self._unsure and not (await self._inspect(container_id))["State"]["Running"]:
            await self._end_lost({container_id})

    async def _mend(self, entry: dict[str, Any]) -> None:
        """Connects a sandbox that an agent started and did not live to connect. One that cannot be is killed: a pod
        without a network is given another sandbox."""
        sandbox_id, address = entry["Id"], dockerspec.address_to_connect(entry)
        if not address or not self._sandboxes.missed(sandbox_id):
            return
        try:
            await self._connect(sandbox_id, address)
        except ContainerNotFound:
            return  # it ended meanwhile
        except StartError as error:
            log.warning("sandbox %s is given up: %s", sandbox_id[:12], error)
            await self._signal(sandbox_id, "SIGKILL")
            entry["State"] = "exited"

    async def inspect(self, container_id: str) -> ContainerState:
        state = dockerspec.inspected(await self._inspect(container_id))
        if state is None:
            raise ContainerNotFound(f"container {container_id} is not of this cluster")
        return state

    async def create_sandbox(self, spec: SandboxSpec) -> str:
        refusal = dockerinfo.sandbox_refusal(spec, self._handlers)
        if refusal:
            raise SandboxFailure(refusal)
        body = dockerspec.sandbox(spec, self._pause, self.network, self.cluster, self.node, self._oom_floor)
        if spec.pod_resources is not None and self._pod_groups:
            try:
                podcgroups.make(spec.identity.uid, spec.pod_resources)
            except OSError as error:
                raise SandboxFailure(f"failed to create the pod's cgroup: {error}") from error
            body["HostConfig"]["CgroupParent"] = podcgroups.name(spec.identity.uid)
        try:
            sandbox_id = await self._create(body, dockerspec.name(spec.identity, self.node))
        except EngineError as error:
            if error.status == 404:
                # Somebody removed the network or the image: make them again for the next attempt.
                await self.open()
            raise SandboxFailure(error.message) from error
        if spec.ip and not spec.ports and not spec.host_network:
            self._sandboxes.expect(sandbox_id, spec.ip)
        return sandbox_id

    async def create_container(self, spec: ContainerSpec) -> str:
        body = dockerspec.container(
            spec, self.cluster, self.node, self._oom_floor, self._engine.endpoint.version
        )
        if self._capabilities:
            body["HostConfig"] = privileges.within(body["HostConfig"], self._capabilities, privileges.devices)
        if spec.pod_limited and self._pod_groups:
            body["HostConfig"]["CgroupParent"] = podcgroups.name(spec.identity.uid)
        try:
            return await self._create(body, dockerspec.name(spec.identity, self.node))
        except EngineError as error:
            if error.status == 404 and "image" in error.message.lower():
                raise ImageNotFound(error.message) from error
            raise CreateFailure(error.message) from error

    async def _create(self, body: dict[str, Any], name: str) -> str:
        try:
            answer = await self._engine.call("POST", "/containers/create", {"name": name}, body)
        except EngineError as error:
            if error.status != 409 or "already in use" not in error.message:
                raise
            # A create whose answer was lost has left one of ours behind: same pod, same attempt.
            await self.remove(name)
            answer = await self._engine.call("POST", "/containers/create", {"name": name}, body)
        return str(answer["Id"])

    async def start(self, container_id: str) -> None:
        await self._end_if_lost(container_id)
        self._starting.add(container_id)
        try:
            await self._engine.call("POST", f"/containers/{container_id}/start")
        except EngineError as error:
            if error.status == 404 and "no such container" in error.message.lower():
                raise ContainerNotFound(error.message) from error
            raise StartError(error.message) from error
        finally:
            self._starting.discard(container_id)
        address = self._sandboxes.expected(container_id)
        if address:
            await self._connect(container_id, address)

    async def _connect(self, sandbox_id: str, address: str) -> None:
        pid = (await self._inspect(sandbox_id))["State"]["Pid"]
        await self._sandboxes.connect(sandbox_id, pid, address)

    async def stop(self, container_id: str, grace_seconds: float) -> None:
        try:
            entry = await self._inspect(container_id)
        except ContainerNotFound:
            return
        if not entry["State"]["Running"]:
            return
        # `wait` on a socket, not the engine's own `stop`: a grace period must not occupy a thread.
        try:
            reader, writer = await self._engine.endpoint.open("POST", f"/containers/{container_id}/wait")
        except EngineError as error:
            if error.status == 404:
                return
            raise failure(error, container_id) from error
        try:
            if grace_seconds > 0:
                await self._signal(container_id, entry["Config"].get("StopSignal") or "SIGTERM")
                try:
                    async with asyncio.timeout(grace_seconds):
                        await reader.read()
                        return
                except TimeoutError:
                    log.debug("container %s outlived its grace period", container_id)
            await self._signal(container_id, "SIGKILL")
            try:
                async with asyncio.timeout(_KILL_PATIENCE):
                    await reader.read()
            except TimeoutError as error:
                raise EngineUnavailable(f"container {container_id} does not end") from error
        except ConnectionError as error:
            raise EngineUnavailable(str(error)) from error
        finally:
            writer.close()

    async def update(self, container_id: str, resources: Resources) -> None:
        try:
            body = dockerspec.update(resources)
            await self._engine.call("POST", f"/containers/{container_id}/update", body=body)
        except EngineError as error:
            raise failure(error, container_id) from error

    async def kill(self, container_id: str, signal: str = "SIGKILL") -> None:
        await self._signal(container_id, signal)

    async def _signal(self, container_id: str, signal: str) -> None:
        try:
            await self._engine.call("POST", f"/containers/{container_id}/kill", {"signal": signal})
        except EngineError as error:
            if error.status not in (404, 409):  # gone, or not running: as good as killed
                raise failure(error, container_id) from error

    async def remove(self, container_id: str) -> None:
        self._sandboxes.forget(container_id)
        try:
            await self._end_if_lost(container_id)
        except ContainerNotFound:
            return
        try:
            await self._engine.call("DELETE", f"/containers/{container_id}", {"force": "1", "v": "1"})
        except EngineError as error:
            if error.status == 404:
                return
            if error.status == 409 and "already in progress" in error.message:
                return
            raise failure(error, container_id) from error

    async def forget_pod(self, uid: str) -> None:
        try:
            podcgroups.remove(uid)
        except OSError as error:
            raise RuntimeFailure(f"the pod's cgroup is not removed: {error}") from error

    async def network_namespace(self, sandbox: ContainerState) -> str:
        pid = sandbox.pid or (await self.inspect(sandbox.id)).pid
        return f"/proc/{pid}/ns/net" if pid else ""


def _event(entry: dict[str, Any]) -> RuntimeEvent | None:
    attributes = (entry.get("Actor") or {}).get("Attributes") or {}
    action = _ACTIONS.get(entry.get("Action", ""))
    identity = dockerspec.identity_of(attributes)
    if action is None or identity is None:
        return None
    return RuntimeEvent(
        action,  # type: ignore[arg-type]
        id=entry["Actor"]["ID"],
        identity=identity,
        time=entry.get("timeNano", 0) / 1e9,
        exit_code=int(attributes.get("exitCode") or 0),
    )
