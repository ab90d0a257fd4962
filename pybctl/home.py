"""Where local clusters are kept: `$PYBERNETES_HOME`, or `~/.pybernetes`.

| under `clusters/<name>/` | what |
|---|---|
| cluster.json | what the cluster was created with |
| data/ | the API server's: store, certificates, kubeconfigs |
| nodes/<node>/ | a node agent's kubeconfig and root |
| run/<component>.json | how a component is started, read by the supervisor |
| run/<component>.pid | the running process |
| logs/<component>.log | what it prints |
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path


def home() -> Path:
    return Path(os.environ.get("PYBERNETES_HOME") or Path.home() / ".pybernetes")


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node of a local cluster. `capacity` is what it says it has; empty means the machine's own."""

    name: str
    capacity: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """What a cluster was created with; kept in cluster.json."""

    name: str
    port: int
    storage: str
    runtime: str
    cluster_cidr: str
    service_cidr: str
    nodes: tuple[NodeSpec, ...]
    etcd_servers: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, text: str) -> ClusterSpec:
        values = json.loads(text)
        values["nodes"] = tuple(NodeSpec(**node) for node in values["nodes"])
        values["etcd_servers"] = tuple(values["etcd_servers"])
        return cls(**values)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


@dataclass(frozen=True, slots=True)
class ClusterHome:
    """The directory of one cluster."""

    directory: Path

    @classmethod
    def of(cls, name: str) -> ClusterHome:
        return cls(home() / "clusters" / name)

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def run(self) -> Path:
        return self.directory / "run"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.data / "admin.conf"

    def node(self, name: str) -> Path:
        return self.directory / "nodes" / name

    def exists(self) -> bool:
        return (self.directory / "cluster.json").exists()

    def spec(self) -> ClusterSpec:
        return ClusterSpec.from_json((self.directory / "cluster.json").read_text())

    def make(self, spec: ClusterSpec) -> None:
        for directory in (self.directory, self.data, self.run, self.logs):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.directory / "cluster.json").write_text(spec.to_json())


def clusters() -> list[ClusterHome]:
    """Every cluster of this user, by name."""
    root = home() / "clusters"
    if not root.is_dir():
        return []
    return sorted(
        (ClusterHome(p) for p in root.iterdir() if (p / "cluster.json").exists()), key=lambda c: c.name
    )
