"""A CSI driver: volumes are directories of the machine, mounted where they are wanted by binding. A process of its own.

    python csidriver.py --name NAME --data DIR --socket PATH [--node ID --registration PATH] [--controller] ...

Processes with the same --data are one driver: one may be its controller, and one a node its node service. A call is a
line in `<data>/calls.log`; `<data>/faults.json` ({"NodeStageVolume": ["INTERNAL", "no disk"]}) has calls fail.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict

from kubeletd import csi_pb2 as csi
from kubeletd import csi_pb2_grpc as csi_grpc
from kubeletd import pluginregistration_pb2 as registration
from kubeletd import pluginregistration_pb2_grpc as registration_grpc

Volumes = dict[str, dict[str, Any]]


class Store:
    """What the driver knows, shared by its processes: files under a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def volumes(self) -> Iterator[Volumes]:
        """Read, changed and written as one."""
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self.directory / "volumes.json"
            found: Volumes = json.loads(path.read_text()) if path.exists() else {}
            yield found
            new = path.with_suffix(".new")
            new.write_text(json.dumps(found))
            new.rename(path)

    def data(self, volume: str) -> Path:
        return self.directory / "volumes" / volume

    def called(self, method: str, request: Any, node: str) -> None:
        line = json.dumps({"method": method, "node": node, **MessageToDict(request)}) + "\n"
        with (self.directory / "calls.log").open("a") as log:
            log.write(line)

    def fault(self, method: str) -> tuple[str, str] | None:
        try:
            found = json.loads((self.directory / "faults.json").read_text()).get(method)
        except FileNotFoundError:
            return None
        return (found[0], found[1]) if found else None


class Service:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.store = Store(Path(options.data))
        self.lock = threading.Lock()

    def enter(self, method: str, request: Any, context: Any) -> None:
        self.store.called(method, request, self.options.node)
        fault = self.store.fault(method)
        if fault is not None:
            context.abort(grpc.StatusCode[fault[0]], fault[1])

    def topology(self, values: list[str]) -> Any:
        return csi.Topology(segments=dict(value.split("=", 1) for value in values))


class Identity(Service, csi_grpc.IdentityServicer):  # type: ignore[misc]
    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return csi.GetPluginInfoResponse(name=self.options.name, vendor_version="1.0.0")

    def GetPluginCapabilities(self, request: Any, context: Any) -> Any:
        kinds = csi.PluginCapability.Service
        found = [csi.PluginCapability(service=kinds(type=kinds.CONTROLLER_SERVICE))]
        if self.options.topology_aware:
            found.append(csi.PluginCapability(service=kinds(type=kinds.VOLUME_ACCESSIBILITY_CONSTRAINTS)))
        return csi.GetPluginCapabilitiesResponse(capabilities=found)

    def Probe(self, request: Any, context: Any) -> Any:
        return csi.ProbeResponse()


class Controller(Service, csi_grpc.ControllerServicer):  # type: ignore[misc]
    def ControllerGetCapabilities(self, request: Any, context: Any) -> Any:
        rpc = csi.ControllerServiceCapability.RPC
        names = ["CREATE_DELETE_VOLUME", "EXPAND_VOLUME", "CLONE_VOLUME"]
        if not self.options.no_attach:
            names.append("PUBLISH_UNPUBLISH_VOLUME")
        found = [csi.ControllerServiceCapability(rpc=rpc(type=name)) for name in names]
        return csi.ControllerGetCapabilitiesResponse(capabilities=found)

    def CreateVolume(self, request: Any, context: Any) -> Any:
        self.enter("CreateVolume", request, context)
        with self.store.volumes() as volumes:
            found = next((v for v in volumes.values() if v["name"] == request.name), None)
            if found is None:
                volume = f"vol-{request.name}"
                place = list(request.accessibility_requirements.preferred)[:1]
                size = request.capacity_range.required_bytes or 1 << 20
                found = volumes[volume] = {
                    "id": volume,
                    "name": request.name,
                    "size": size,
                    "node_size": size,
                    "topology": [dict(one.segments) for one in place],
                    "attached": [],
                }
                data = self.store.data(volume)
                data.mkdir(parents=True)
                source = request.volume_content_source.volume.volume_id
                if source:
                    shutil.copytree(self.store.data(source), data, dirs_exist_ok=True)
        return csi.CreateVolumeResponse(
            volume=csi.Volume(
                volume_id=found["id"],
                capacity_bytes=found["size"],
                volume_context={"made-by": self.options.name},
                content_source=request.volume_content_source
                if request.HasField("volume_content_source")
                else None,
                accessible_topology=[csi.Topology(segments=one) for one in found["topology"]],
            )
        )

    def DeleteVolume(self, request: Any, context: Any) -> Any:
        self.enter("DeleteVolume", request, context)
        with self.store.volumes() as volumes:
            found = volumes.get(request.volume_id)
            if found is not None and found["attached"]:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"attached to {found['attached']}")
            volumes.pop(request.volume_id, None)
            shutil.rmtree(self.store.data(request.volume_id), ignore_errors=True)
        return csi.DeleteVolumeResponse()

    def ControllerPublishVolume(self, request: Any, context: Any) -> Any:
        self.enter("ControllerPublishVolume", request, context)
        with self.store.volumes() as volumes:
            if request.volume_id not in volumes:
                context.abort(grpc.StatusCode.NOT_FOUND, "no such volume")
            attached = volumes[request.volume_id]["attached"]
            if request.node_id not in attached:
                attached.append(request.node_id)
        return csi.ControllerPublishVolumeResponse(publish_context={"device": f"/dev/{request.node_id}"})

    def ControllerUnpublishVolume(self, request: Any, context: Any) -> Any:
        self.enter("ControllerUnpublishVolume", request, context)
        with self.store.volumes() as volumes:
            attached = volumes.get(request.volume_id, {}).get("attached", [])
            if request.node_id in attached:
                attached.remove(request.node_id)
        return csi.ControllerUnpublishVolumeResponse()

    def ControllerExpandVolume(self, request: Any, context: Any) -> Any:
        self.enter("ControllerExpandVolume", request, context)
        with self.store.volumes() as volumes:
            volumes[request.volume_id]["size"] = request.capacity_range.required_bytes
        return csi.ControllerExpandVolumeResponse(
            capacity_bytes=request.capacity_range.required_bytes, node_expansion_required=True
        )


class Node(Service, csi_grpc.NodeServicer):  # type: ignore[misc]
    def NodeGetInfo(self, request: Any, context: Any) -> Any:
        found = csi.NodeGetInfoResponse(
            node_id=self.options.node, max_volumes_per_node=self.options.max_volumes
        )
        if self.options.topology:
            found.accessible_topology.CopyFrom(self.topology(self.options.topology))
        return found

    def NodeGetCapabilities(self, request: Any, context: Any) -> Any:
        rpc = csi.NodeServiceCapability.RPC
        names = ["EXPAND_VOLUME", "GET_VOLUME_STATS"]
        if not self.options.no_stage:
            names.append("STAGE_UNSTAGE_VOLUME")
        return csi.NodeGetCapabilitiesResponse(
            capabilities=[csi.NodeServiceCapability(rpc=rpc(type=name)) for name in names]
        )

    def NodeStageVolume(self, request: Any, context: Any) -> Any:
        self.enter("NodeStageVolume", request, context)
        data = self.store.data(request.volume_id)
        if not data.exists():
            context.abort(grpc.StatusCode.NOT_FOUND, "no such volume")
        if (
            not self.options.no_attach
            and request.publish_context.get("device") != f"/dev/{self.options.node}"
        ):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "it is not attached here")
        if request.volume_capability.HasField("mount"):
            with self.lock:
                _bind(data, Path(request.staging_target_path))
        return csi.NodeStageVolumeResponse()

    def NodeUnstageVolume(self, request: Any, context: Any) -> Any:
        self.enter("NodeUnstageVolume", request, context)
        with self.lock:
            _unmount(Path(request.staging_target_path))
        return csi.NodeUnstageVolumeResponse()

    def NodePublishVolume(self, request: Any, context: Any) -> Any:
        self.enter("NodePublishVolume", request, context)
        source = Path(request.staging_target_path)
        if not request.staging_target_path:
            source = self.store.data(request.volume_id)
        if request.volume_context.get("csi.storage.k8s.io/ephemeral") == "true":
            source.mkdir(parents=True, exist_ok=True)
            (source / "greeting").write_text(request.volume_context.get("greeting", ""))
        with self.lock:
            if request.volume_capability.HasField("block"):
                _bind_device(self.store.data(request.volume_id), Path(request.target_path))
            else:
                _bind(source, Path(request.target_path), read_only=request.readonly)
        return csi.NodePublishVolumeResponse()

    def NodeUnpublishVolume(self, request: Any, context: Any) -> Any:
        self.enter("NodeUnpublishVolume", request, context)
        target = Path(request.target_path)
        with self.lock:
            _unmount(target)
            if target.is_file():
                target.unlink()
                _free_device(self.store.data(request.volume_id))
            elif target.exists():
                target.rmdir()
        if request.volume_id.startswith("csi-"):
            shutil.rmtree(self.store.data(request.volume_id), ignore_errors=True)
        return csi.NodeUnpublishVolumeResponse()

    def NodeExpandVolume(self, request: Any, context: Any) -> Any:
        self.enter("NodeExpandVolume", request, context)
        with self.store.volumes() as volumes:
            volumes[request.volume_id]["node_size"] = request.capacity_range.required_bytes
        return csi.NodeExpandVolumeResponse(capacity_bytes=request.capacity_range.required_bytes)

    def NodeGetVolumeStats(self, request: Any, context: Any) -> Any:
        unit = csi.VolumeUsage.BYTES
        usage = csi.VolumeUsage(available=750, total=1000, used=250, unit=unit)
        return csi.NodeGetVolumeStatsResponse(usage=[usage])


class Registration(Service, registration_grpc.RegistrationServicer):  # type: ignore[misc]
    def GetInfo(self, request: Any, context: Any) -> Any:
        return registration.PluginInfo(
            type="CSIPlugin",
            name=self.options.name,
            endpoint=self.options.socket,
            supported_versions=["1.0.0"],
        )

    def NotifyRegistrationStatus(self, request: Any, context: Any) -> Any:
        self.store.called("NotifyRegistrationStatus", request, self.options.node)
        return registration.RegistrationStatusResponse()


def _mounted(path: Path) -> bool:
    """What `os.path.ismount` does not see: a directory bound within a file system."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return str(path) in points


def _bind(source: Path, target: Path, read_only: bool = False) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if not _mounted(target):
        subprocess.run(["mount", "--bind", source, target], check=True)
        if read_only:
            subprocess.run(["mount", "-o", "remount,bind,ro", target], check=True)


def _bind_device(data: Path, target: Path) -> None:
    """A file of the volume as a block device, seen at `target`."""
    if _mounted(target):
        return
    image = data / "image"
    with image.open("ab") as file:
        file.truncate(1 << 20)
    made = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True)
    target.touch()
    subprocess.run(["mount", "--bind", made.stdout.strip(), target], check=True)


def _free_device(data: Path) -> None:
    command = ["losetup", "--associated", data / "image", "--noheadings", "--output", "NAME"]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    for device in found.stdout.split():
        subprocess.run(["losetup", "--detach", device], check=True)


def _unmount(target: Path) -> None:
    while _mounted(target):
        subprocess.run(["umount", target], check=True)


def _serve(path: str, *services: Callable[[grpc.Server], None]) -> grpc.Server:
    """Listens on a socket, whose path may be longer than the kernel likes."""
    Path(path).unlink(missing_ok=True)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    os.chdir(Path(path).parent)
    server = grpc.server(ThreadPoolExecutor(8))
    for add in services:
        add(server)
    server.add_insecure_port(f"unix:{Path(path).name}")
    server.start()
    return server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--node", default="")
    parser.add_argument("--registration", default="")
    parser.add_argument("--controller", action="store_true")
    parser.add_argument("--topology", action="append", default=[])
    parser.add_argument("--topology-aware", action="store_true")
    parser.add_argument("--max-volumes", type=int, default=0)
    parser.add_argument("--no-stage", action="store_true")
    parser.add_argument("--no-attach", action="store_true")
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    services = [lambda server: csi_grpc.add_IdentityServicer_to_server(Identity(options), server)]
    if options.controller:
        services.append(lambda server: csi_grpc.add_ControllerServicer_to_server(Controller(options), server))
    if options.node:
        services.append(lambda server: csi_grpc.add_NodeServicer_to_server(Node(options), server))
    servers = [_serve(options.socket, *services)]
    if options.registration:
        servers.append(
            _serve(
                options.registration,
                lambda server: registration_grpc.add_RegistrationServicer_to_server(
                    Registration(options), server
                ),
            )
        )
    ended.wait()
    for server in servers:
        server.stop(1).wait()
    for path in (options.registration, options.socket):
        if path:
            Path(path).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
