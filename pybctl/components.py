"""How each component of a local cluster is started: command lines as the supervisor reads them."""

from __future__ import annotations

import ipaddress
import json
import sys
from typing import Any

from apiserver import kubeconfigs, pki

from .home import ClusterHome, ClusterSpec, NodeSpec
from .userconfig import context_name

# Six processes share a laptop: no thread a core for linear algebra that nobody does, one malloc arena, and no
# docstrings in memory (docs/adr/0002-small-processes.md has the figures).
_FRUGAL = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "PYTHONOPTIMIZE": "2"}
# Memory that starting took is given back at once. Not for the API server: its large lists come and go all the time.
_TRIMMED = {**_FRUGAL, "MALLOC_TRIM_THRESHOLD_": "131072"}


def gateway(spec: ClusterSpec) -> str:
    """The cluster's address on the machine: the first of the pod network, on its bridge."""
    return str(ipaddress.IPv4Network(spec.cluster_cidr)[1])


def dns_address(spec: ClusterSpec) -> str:
    return str(ipaddress.IPv4Network(spec.service_cidr)[10])


def agent_name(node: str) -> str:
    return f"kubeletd-{node}"


def server_url(spec: ClusterSpec) -> str:
    return f"https://127.0.0.1:{spec.port}"


def make_credentials(home: ClusterHome, spec: ClusterSpec) -> None:
    """The cluster's certificate authority and a kubeconfig for each component, before any of them starts."""
    found = pki.ensure_cluster_pki(
        home.data / "pki", service_cidr=spec.service_cidr, extra_names=_server_names(spec)
    )
    kubeconfigs.ensure_kubeconfigs(found, home.data, server_url(spec))
    proxy = pki.issue_client(found.ca, "system:kube-proxy", ("system:node-proxiers",))
    kubeconfigs.write_kubeconfig(
        home.data / "kube-proxy.conf", server_url(spec), found.ca.pem, proxy, user="system:kube-proxy"
    )
    for node in spec.nodes:
        directory = home.node(node.name)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        credential = pki.issue_node(found.ca, node.name)
        kubeconfigs.write_kubeconfig(
            directory / "kubeconfig",
            server_url(spec),
            found.ca.pem,
            credential,
            user=f"system:node:{node.name}",
        )


def _server_names(spec: ClusterSpec) -> tuple[str, ...]:
    return (gateway(spec), context_name(spec.name))


def _python(module: str, *arguments: str) -> list[str]:
    # -P: a folder named `scheduler` where the user stands must not be taken for ours.
    return [sys.executable, "-P", "-m", module, *arguments]


def _apiserver(home: ClusterHome, spec: ClusterSpec) -> list[str]:
    arguments = [
        f"--data-dir={home.data}",
        f"--secure-port={spec.port}",
        "--bind-address=127.0.0.1",
        f"--storage={spec.storage}",
        f"--service-cidr={spec.service_cidr}",
        # The controllers that take its finalizers off run in every such cluster.
        "--enable-admission-plugins=StorageObjectInUseProtection",
        *(f"--etcd-servers={url}" for url in spec.etcd_servers),
        *(f"--tls-san={name}" for name in _server_names(spec)),
    ]
    if spec.runtime == "docker":
        # Pods reach the API server by the bridge; nothing outside the machine does.
        arguments += [f"--bind-address={gateway(spec)}", f"--advertise-address={gateway(spec)}"]
    return _python("apiserver", *arguments)


def _agent(home: ClusterHome, spec: ClusterSpec, node: NodeSpec) -> list[str]:
    return _python(
        "kubeletd",
        f"--node-name={node.name}",
        f"--kubeconfig={home.node(node.name) / 'kubeconfig'}",
        f"--root-dir={home.node(node.name) / 'root'}",
        f"--cluster-name={spec.name}",
        f"--cluster-cidr={spec.cluster_cidr}",
        f"--cluster-dns={dns_address(spec)}",
        f"--runtime={spec.runtime}",
        # The disk is the user's, who may have filled it with anything: only memory is the nodes' own.
        "--eviction-hard=memory.available<100Mi",
        "--image-gc-high-threshold=100",
        # The engine is every node's, and so are its images.
        f"--image-pull-records={home.directory / 'images'}",
        *(["--shares-machine"] if len(spec.nodes) > 1 else []),
        *(f"--capacity={key}={value}" for key, value in node.capacity.items()),
        *(f"--node-labels={key}={value}" for key, value in node.labels.items()),
    )


def command_lines(home: ClusterHome, spec: ClusterSpec) -> dict[str, list[str]]:
    """Component name → command line."""
    lines = {
        "apiserver": _apiserver(home, spec),
        "controllermanager": _python(
            "controllermanager",
            f"--kubeconfig={home.data / 'controller-manager.conf'}",
            f"--cluster-cidr={spec.cluster_cidr}",
            "--node-monitor-grace-period=10",
            f"--root-ca-file={home.data / 'pki' / 'ca.crt'}",
            f"--cluster-signing-cert-file={home.data / 'pki' / 'ca.crt'}",
            f"--cluster-signing-key-file={home.data / 'pki' / 'ca.key'}",
        ),
        "scheduler": _python("scheduler", f"--kubeconfig={home.data / 'scheduler.conf'}"),
    }
    for node in spec.nodes:
        lines[agent_name(node.name)] = _agent(home, spec, node)
    if spec.runtime == "docker":
        lines["kubeproxyd"] = _python(
            "kubeproxyd",
            f"--kubeconfig={home.data / 'kube-proxy.conf'}",
            f"--cluster-name={spec.name}",
            f"--cluster-cidr={spec.cluster_cidr}",
            f"--service-cidr={spec.service_cidr}",
        )
    return lines


# They only follow the API: started when it answers, they leave the processor to what a node's readiness waits for.
_FOLLOWERS = frozenset(("scheduler", "kubeproxyd"))


def write_specifications(home: ClusterHome, spec: ClusterSpec, *, followers: bool) -> None:
    """What the supervisor starts: the components that only follow the API, or the others."""
    for name, argv in command_lines(home, spec).items():
        if (name in _FOLLOWERS) == followers:
            write_specification(home, name, argv, enabled=True)


def write_specification(home: ClusterHome, name: str, argv: list[str], *, enabled: bool) -> None:
    text: dict[str, Any] = {
        "argv": argv,
        "env": _FRUGAL if name == "apiserver" else _TRIMMED,
        "log": str(home.logs / f"{name}.log"),
        "enabled": enabled,
    }
    temporary = home.run / f".{name}.json.new"
    temporary.write_text(json.dumps(text, indent=2) + "\n")
    temporary.replace(home.run / f"{name}.json")


def set_enabled(home: ClusterHome, name: str, enabled: bool) -> None:
    """Whether the supervisor keeps the component running, from its next look on."""
    text = json.loads((home.run / f"{name}.json").read_text())
    write_specification(home, name, text["argv"], enabled=enabled)
