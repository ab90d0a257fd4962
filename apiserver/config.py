"""Settings of the API server."""

from __future__ import annotations

import ipaddress
import re

from pydantic import Field, field_validator

from apimachinery.componentconfig import ComponentConfig


class SettingError(Exception):
    """A setting cannot be used, as it turned out; the text says why."""


class ServerConfig(ComponentConfig):
    """Every setting is a flag; see `python -m apiserver --help`."""

    data_dir: str = Field(
        description="directory for the store, certificates and kubeconfigs; made if missing"
    )
    bind_address: tuple[str, ...] = Field(
        ("127.0.0.1",), description="address to listen on; the first one is in the kubeconfigs"
    )
    secure_port: int = Field(6443, ge=0, le=65535, description="HTTPS port; 0 chooses a free one")
    advertise_address: str = Field(
        "",
        description="address other machines and pods reach this server at (default: the first bind address)",
    )
    storage: str = Field("sqlite", pattern="^(sqlite|memory|etcd)$", description="sqlite, memory or etcd")
    etcd_servers: tuple[str, ...] = Field((), description="etcd endpoint URL")
    etcd_cafile: str = Field("", description="CA of etcd's TLS certificate")
    etcd_certfile: str = Field("", description="client certificate for etcd")
    etcd_keyfile: str = Field("", description="key of the client certificate for etcd")
    etcd_compaction_interval: float = Field(
        300.0,
        gt=0,
        description="seconds that the history of the store is kept: for lists in chunks and watches",
    )
    service_cidr: str = Field("10.96.0.0/16", description="address range of Services")
    service_node_port_range: str = Field("30000-32767", description="port range of NodePort Services")
    tls_san: tuple[str, ...] = Field((), description="further name or address in the serving certificate")
    tls_cert_file: str = Field("", description="serving certificate to use in place of the cluster's own")
    tls_private_key_file: str = Field("", description="key of tls-cert-file")
    service_account_issuer: str = Field(
        "https://kubernetes.default.svc.cluster.local", description="issuer of service account tokens"
    )
    enable_admission_plugins: tuple[str, ...] = Field(
        (), description="admission plugin to run that is off by default (StorageObjectInUseProtection)"
    )
    disable_admission_plugins: tuple[str, ...] = Field((), description="admission plugin to leave out")
    max_requests_inflight: int = Field(
        400, ge=0, description="with max-mutating-requests-inflight the seats that priority levels share"
    )
    max_mutating_requests_inflight: int = Field(200, ge=0, description="see max-requests-inflight")
    audit_policy_file: str = Field("", description="file of the audit policy: what is recorded of requests")
    audit_log_path: str = Field(
        "", description="file that audit events are written to; - for standard output"
    )
    audit_log_maxage: int = Field(0, ge=0, description="days to keep old audit log files; 0 keeps all")
    audit_log_maxbackup: int = Field(0, ge=0, description="old audit log files to keep; 0 keeps all")
    audit_log_maxsize: int = Field(100, ge=0, description="megabytes an audit log file may have")
    request_timeout: float = Field(60.0, gt=0, description="seconds a request other than a watch may take")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="log level")

    @field_validator("service_cidr")
    @classmethod
    def _cidr(cls, value: str) -> str:
        ipaddress.ip_network(value)
        return value

    @field_validator("service_node_port_range")
    @classmethod
    def _ports(cls, value: str) -> str:
        if not re.fullmatch(r"\d+-\d+", value):
            raise ValueError("must be FIRST-LAST")
        return value

    @property
    def node_ports(self) -> tuple[int, int]:
        first, _, last = self.service_node_port_range.partition("-")
        return int(first), int(last)
