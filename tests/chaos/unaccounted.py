"""What is on the machine that no pod of the API accounts for; and what is there twice."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from docker.api.client import APIClient
from localcluster import LocalCluster
from privateengine import PrivateEngine

from kubeletd.runtime import podcgroups
from kubeletd.runtime.docker import bridge_name
from pybctl import engine

PREFIX = "io.pybernetes."


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _uid(container: dict[str, Any]) -> str:
    return str(container["Labels"][f"{PREFIX}uid"])


class Audit:
    """Of a cluster on an engine of its own. To be asked inside the engine's network namespace."""

    def __init__(self, cluster: LocalCluster, own: PrivateEngine, namespace: str) -> None:
        self._cluster = cluster
        self._engine = own
        self._namespace = namespace

    def findings(self, uids: set[str]) -> list[str]:
        """`uids` are those of pods that there have been."""
        pods = {p["metadata"]["uid"]: p for p in self._cluster.pods(self._namespace)}
        client = self._engine.client()
        try:
            containers = engine.containers(client, self._cluster.name)
            running = [c for c in containers if c["State"] == "running"]
            sandboxes = [c for c in running if c["Labels"][f"{PREFIX}kind"] == "sandbox"]
            return [
                *_containers(pods, containers, running),
                *self._files(pods),
                *_groups(set(pods), uids),
                *self._network(client, sandboxes),
                *_addresses(client, pods, sandboxes),
                *self._processes(running),
            ]
        finally:
            client.close()

    def _files(self, pods: dict[str, Any]) -> list[str]:
        found = [
            f"files of no pod: {folder}"
            for folder in self._cluster.home.glob("nodes/*/root/pods/*")
            if folder.name not in pods
        ]
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            point = line.split()[4]
            if str(self._cluster.home) in point and not any(uid in point for uid in pods):
                found.append(f"mount of no pod: {point}")
        return found

    def _network(self, client: APIClient, sandboxes: list[dict[str, Any]]) -> list[str]:
        """Interfaces, the engine's endpoints and namespaces, forwarded ports: each belongs to one sandbox."""
        found = []
        bridge = bridge_name(self._cluster.name)
        links = [link for link in json.loads(_output("ip", "-d", "-j", "link", "show")) if link]
        pairs = [link for link in links if (link.get("linkinfo") or {}).get("info_kind") == "veth"]
        found += [
            f"interface {link['ifname']} on no bridge" for link in pairs if link.get("master") != bridge
        ]
        if len(pairs) != len(sandboxes):
            names = [link["ifname"] for link in pairs]
            found.append(f"{len(pairs)} interfaces for {len(sandboxes)} sandboxes: {names}")
        ids = {sandbox["Id"] for sandbox in sandboxes}
        network = client.inspect_network(f"pybernetes-{self._cluster.name}")
        strange = set(network.get("Containers") or {}) - ids
        found += [f"endpoint of {name} without a sandbox" for name in sorted(strange)]
        handles = [
            line.split()[4]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if line.split()[4].startswith(f"{self._engine.root}/exec/netns/")
        ]
        kept = [handle for handle in handles if not handle.endswith("/default")]
        if len(kept) > len(sandboxes):
            found.append(f"{len(kept)} network namespaces for {len(sandboxes)} sandboxes")
        forwarding = sum(1 for sandbox in sandboxes if any(p.get("PublicPort") for p in sandbox["Ports"]))
        rules = [line for line in _output("iptables", "-t", "nat", "-S").splitlines() if "--to-dest" in line]
        # A port may be forwarded from several addresses, each by a rule.
        ports = {line.rpartition("--to-destination ")[2] for line in rules if bridge in line}
        if len(ports) != forwarding:
            found.append(f"{len(ports)} forwarded ports for {forwarding} sandboxes that have one: {ports}")
        return found

    def _processes(self, running: list[dict[str, Any]]) -> list[str]:
        """Every shim of the engine keeps one running container."""
        ids = {container["Id"] for container in running}
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue  # it has ended
            if "containerd-shim" in words[0] and any(str(self._engine.root) in word for word in words):
                container = words[words.index("-id") + 1]
                if container not in ids:
                    found.append(
                        f"process {path.parent.name} keeps container {container}, which does not run"
                    )
        return found


def _containers(
    pods: dict[str, Any], containers: list[dict[str, Any]], running: list[dict[str, Any]]
) -> list[str]:
    found = [f"container {c['Names'][0]} of no pod" for c in containers if _uid(c) not in pods]
    count = Counter((_uid(c), c["Labels"][f"{PREFIX}container"]) for c in running)
    found += [f"{key} runs {number} times" for key, number in count.items() if number > 1]
    alone = {uid for uid, name in count if not name} - {uid for uid, name in count if name}
    found += [f"pod {uid} has a sandbox alone" for uid in sorted(alone)]
    for uid, one in pods.items():
        over = one["status"].get("phase") in ("Succeeded", "Failed")
        if over and any(key[0] == uid for key in count):
            found.append(f"something runs of pod {one['metadata']['name']}, which is over")
    return found


def _groups(living: set[str], seen: set[str]) -> list[str]:
    """Control groups that the agent made for pods."""
    made = (
        podcgroups.ROOT.glob(f"{podcgroups.PARENT}/pod*"),
        podcgroups.ROOT.glob(f"*/{podcgroups.PARENT}/pod*"),
    )
    gone = seen - living
    return [f"control group {path} of no pod" for each in made for path in each if path.name[3:] in gone]


def _addresses(client: APIClient, pods: dict[str, Any], sandboxes: list[dict[str, Any]]) -> list[str]:
    """Each pod has the address its status tells, and no two the same one."""
    found = []
    given: dict[str, str] = {}
    for sandbox in sandboxes:
        pod = pods.get(_uid(sandbox))
        if pod is None:
            continue
        pid = client.inspect_container(sandbox["Id"])["State"]["Pid"]
        links = json.loads(
            _output("nsenter", "-t", str(pid), "-n", "ip", "-4", "-j", "addr", "show", "dev", "eth0")
        )
        held = [a["local"] for link in links for a in link.get("addr_info") or ()]
        name = pod["metadata"]["name"]
        if held != [pod["status"].get("podIP")]:
            found.append(f"pod {name} has {held}, its status says {pod['status'].get('podIP')}")
        for address in held:
            if address in given:
                found.append(f"pods {given[address]} and {name} both have {address}")
            given[address] = name
    return found
