"""A CSI driver in a local cluster: its processes, what was asked of it, and what is left of its volumes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from localcluster import LocalCluster, until

DRIVER = "test.csi.example.com"
CLASS = "csi-test"
ZONE = "topology.test.csi.example.com/zone"
_HERE = Path(__file__).parent
_REPOSITORY = _HERE.parent.parent


class Driver:
    """The processes of a driver in a cluster: a controller, a node service on each node, and our controller for it."""

    def __init__(self, cluster: LocalCluster, data: Path, *flags: str, name: str = DRIVER) -> None:
        self.cluster = cluster
        self.data = data
        self.name = name
        self._flags = flags
        self.socket = data / "csi.sock"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.nodes = sorted(node.metadata.name for node in cluster.core.list_node().items)

    def root(self, node: str) -> Path:
        return self.cluster.home / "nodes" / node / "root"

    def _spawn(self, key: str, *command: str) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(_REPOSITORY)}
        with (self.data / f"{key}.log").open("ab") as log:
            self.processes[key] = subprocess.Popen(
                [sys.executable, *command], stdout=log, stderr=log, env=environment
            )

    def start_controller(self) -> None:
        common = (str(_HERE / "csidriver.py"), "--name", self.name, "--data", str(self.data))
        self._spawn(
            "driver", *common, "--socket", str(self.socket), "--controller", "--topology-aware", *self._flags
        )
        self._spawn(
            "csicontroller", "-P", "-m", "csicontroller", f"--csi-address=unix://{self.socket}",
            f"--kubeconfig={self.cluster.kubeconfig}", "--retry-interval-max=2", "--verbosity=1",
        )  # fmt: skip

    def start_node(self, node: str) -> None:
        root = self.root(node)
        self._spawn(
            node, str(_HERE / "csidriver.py"), "--name", self.name, "--data", str(self.data), "--node", f"id-{node}",
            "--socket", str(root / "plugins" / self.name / "csi.sock"),
            "--registration", str(root / "plugins_registry" / f"{self.name}-reg.sock"),
            "--topology", f"{ZONE}=zone-{node}", "--max-volumes", "20", *self._flags,
        )  # fmt: skip

    def start(self) -> None:
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)
        for node in self.nodes:
            until(lambda node=node: self.registered(node), 30, f"{self.name} to be registered on {node}")

    def stop(self, key: str) -> None:
        process = self.processes.pop(key)
        process.terminate()
        process.wait(15)

    def stop_all(self) -> None:
        for key in list(self.processes):
            self.stop(key)

    def registered(self, node: str) -> dict[str, Any]:
        """The driver's entry in the node's CSINode, {} while it has none."""
        found = self.cluster.api.resources.get(api_version="storage.k8s.io/v1", kind="CSINode").get(name=node)
        entries = found.to_dict()["spec"].get("drivers") or []
        return next((entry for entry in entries if entry["name"] == self.name), {})

    def calls(self, method: str, **fields: Any) -> list[dict[str, Any]]:
        """The calls so far of that method whose fields have these values."""
        log = self.data / "calls.log"
        lines = log.read_text().splitlines() if log.exists() else []
        found = [json.loads(line) for line in lines]
        return [
            call
            for call in found
            if call["method"] == method and all(call.get(key) == value for key, value in fields.items())
        ]

    def fail(self, **faults: tuple[str, str]) -> None:
        """From now on these methods fail so (gRPC's code, details), and no others."""
        new = self.data / "faults.new"
        new.write_text(json.dumps(faults))
        new.rename(self.data / "faults.json")

    def volumes(self) -> dict[str, Any]:
        path = self.data / "volumes.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found


def traces(driver: Driver) -> list[str]:
    """What is still there of volumes: mounts, directories, objects, what nodes say, the driver's own."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    found = [point for point in mounted if point.startswith(str(driver.cluster.home)) and "csi" in point]
    for node in driver.nodes:
        staged = driver.root(node) / "plugins" / "kubernetes.io" / "csi" / driver.name
        found += [str(path) for path in staged.glob("*")]
        found += [str(path) for path in (driver.root(node) / "pods").glob("*/volumes/kubernetes.io~csi/*")]
        status = driver.cluster.core.read_node(node).status
        found += [each.name for each in status.volumes_attached or ()] + list(status.volumes_in_use or ())
    kind = driver.cluster.api.resources.get(api_version="storage.k8s.io/v1", kind="VolumeAttachment")
    found += [item.metadata.name for item in kind.get().items if item.spec.attacher == driver.name]
    for volume in driver.cluster.core.list_persistent_volume().items:
        if volume.spec.csi is not None and volume.spec.csi.driver == driver.name:
            found.append(volume.metadata.name)
    return found + list(driver.volumes()) + [path.name for path in (driver.data / "volumes").glob("*")]
