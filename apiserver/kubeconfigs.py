"""Kubeconfigs of the cluster's own components and of its administrator, with credentials its authority signs.

They are readable by their owner alone, are written atomically, and are kept when they are there and still good.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import datetime
from pathlib import Path

from apiserver.pki import (
    MASTERS_GROUP,
    ClusterPKI,
    Credential,
    is_good,
    issue_client,
    locked,
    write_atomically,
)

COMPONENTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("admin", "kubernetes-admin", (MASTERS_GROUP,)),
    ("scheduler", "system:kube-scheduler", ()),
    ("controller-manager", "system:kube-controller-manager", ()),
)
"""Kubeconfigs made beside the PKI: file stem, user name, groups."""


def kubeconfig(
    server: str, ca_pem: bytes, credential: Credential, *, user: str, cluster: str = "pybernetes"
) -> str:
    """A kubeconfig with one context, everything embedded. YAML."""
    context = f"{user}@{cluster}"

    def data(pem: bytes) -> str:
        return b64encode(pem).decode()

    return f"""apiVersion: v1
kind: Config
clusters:
- name: {json.dumps(cluster)}
  cluster:
    server: {json.dumps(server)}
    certificate-authority-data: {data(ca_pem)}
contexts:
- name: {json.dumps(context)}
  context:
    cluster: {json.dumps(cluster)}
    user: {json.dumps(user)}
current-context: {json.dumps(context)}
users:
- name: {json.dumps(user)}
  user:
    client-certificate-data: {data(credential.certificate)}
    client-key-data: {data(credential.key)}
"""


def write_kubeconfig(
    path: Path, server: str, ca_pem: bytes, credential: Credential, *, user: str, cluster: str = "pybernetes"
) -> None:
    """Write a kubeconfig, readable by its owner alone."""
    write_atomically(path, kubeconfig(server, ca_pem, credential, user=user, cluster=cluster).encode())


def ensure_kubeconfigs(pki: ClusterPKI, data_dir: Path, server: str, now: datetime | None = None) -> None:
    """`<data dir>/{admin,scheduler,controller-manager}.conf`, pointing at `server`; good ones stay as they are."""
    with locked(pki.directory):
        for stem, user, groups in COMPONENTS:
            path = data_dir / f"{stem}.conf"
            stored = _kubeconfig_credential(path, server, pki.ca.pem)
            if stored is None or not is_good(stored, pki.ca, now=now):
                write_kubeconfig(
                    path, server, pki.ca.pem, issue_client(pki.ca, user, groups, now=now), user=user
                )


def _kubeconfig_credential(path: Path, server: str, ca_pem: bytes) -> Credential | None:
    """The credential in a kubeconfig we wrote for this server and CA, else None."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return None
    fields = dict(line.strip().split(": ", 1) for line in lines if ": " in line)
    if fields.get("server") != json.dumps(server):
        return None
    if fields.get("certificate-authority-data") != b64encode(ca_pem).decode():
        return None
    try:
        return Credential(b64decode(fields["client-certificate-data"]), b64decode(fields["client-key-data"]))
    except (KeyError, ValueError):
        return None
