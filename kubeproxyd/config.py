"""Settings of the service proxy."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator

from apimachinery.componentconfig import ComponentConfig


class ProxyConfig(ComponentConfig):
    kubeconfig: str = Field(description="kubeconfig file of the API server")
    cluster_name: str = Field("pybernetes", description="names this cluster's nftables table")
    node_name: tuple[str, ...] = Field((), description="a node this machine carries; none means every node")
    cluster_cidr: str = Field("10.244.0.0/16", description="addresses of pods; the first is the bridge's")
    service_cidr: str = Field(
        "10.96.0.0/16", description="addresses of Services; the tenth is the cluster DNS's"
    )
    cluster_domain: str = Field("cluster.local", description="the cluster's DNS domain")
    resolv_conf: str = Field("/etc/resolv.conf", description="names the DNS servers asked for other names")
    log_level: str = Field("info", description="debug, info, warning or error")

    @field_validator("cluster_cidr", "service_cidr")
    @classmethod
    def _is_ipv4_network(cls, value: str) -> str:
        return str(ipaddress.IPv4Network(value))

    @property
    def gateway(self) -> str:
        return str(ipaddress.IPv4Network(self.cluster_cidr)[1])

    @property
    def dns_address(self) -> str:
        return str(ipaddress.IPv4Network(self.service_cidr)[10])
