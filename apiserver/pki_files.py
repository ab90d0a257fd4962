"""Where a cluster's certificates and keys are, and how a server has them made without holding what makes them.

The library that makes certificates takes some ten megabytes; a child process loads it, does the work and is gone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class PKIError(Exception):
    """The PKI directory holds something that cannot be used and must not be overwritten."""


@dataclass(frozen=True, slots=True)
class ClusterFiles:
    """The files of `<data dir>/pki`, named as kubeadm names them. All PEM."""

    directory: Path

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def serving_cert(self) -> Path:
        return self.directory / "apiserver.crt"

    @property
    def serving_key(self) -> Path:
        return self.directory / "apiserver.key"

    @property
    def node_client_cert(self) -> Path:
        """What the apiserver shows to node agents: CN system:kube-apiserver."""
        return self.directory / "apiserver-kubelet-client.crt"

    @property
    def node_client_key(self) -> Path:
        return self.directory / "apiserver-kubelet-client.key"

    @property
    def service_account_key(self) -> Path:
        return self.directory / "sa.key"

    @property
    def service_account_pub(self) -> Path:
        return self.directory / "sa.pub"


def prepare(
    data_dir: Path, server: str, *, service_cidr: str = "10.96.0.0/16", extra_names: Sequence[str] = ()
) -> ClusterFiles:
    """Everything in `<data dir>/pki`, and the components' kubeconfigs for `server`, made where missing or expiring.

    Blocks for the tenth of a second that it takes. Raises PKIError.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(writer, data_dir, server, service_cidr, extra_names)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        problem = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if problem or status:
        raise PKIError(problem or f"making certificates failed (status {os.waitstatus_to_exitcode(status)})")
    return ClusterFiles(data_dir / "pki")


def _in_child(
    writer: int, data_dir: Path, server: str, service_cidr: str, extra_names: Sequence[str]
) -> None:
    """Never returns: what the parent set up to run at its exit is none of the child's business."""
    code = 1
    try:
        from apiserver import kubeconfigs, pki

        made = pki.ensure_cluster_pki(data_dir / "pki", service_cidr=service_cidr, extra_names=extra_names)
        kubeconfigs.ensure_kubeconfigs(made, data_dir, server)
        code = 0
    except BaseException as err:  # noqa: BLE001 - whatever it is, the parent reports it
        os.write(writer, (str(err) or type(err).__name__).encode())
    finally:
        os._exit(code)
