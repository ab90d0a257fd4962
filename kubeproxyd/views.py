"""What the service proxy reads of Services, EndpointSlices and Nodes: frozen views, made once per informer event."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class View(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")


class Metadata(View):
    name: str
    namespace: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class ServicePort(View):
    name: str = ""
    protocol: str = "TCP"
    port: int
    node_port: int = 0


class ClientIPConfig(View):
    timeout_seconds: int = 10800


class SessionAffinityConfig(View):
    client_ip: ClientIPConfig | None = Field(None, alias="clientIP")


class ServiceSpec(View):
    type: str = "ClusterIP"
    cluster_ip: str = Field("", alias="clusterIP")
    cluster_ips: tuple[str, ...] = Field((), alias="clusterIPs")
    external_ips: tuple[str, ...] = Field((), alias="externalIPs")
    external_name: str = ""
    ports: tuple[ServicePort, ...] = ()
    session_affinity: str = "None"
    session_affinity_config: SessionAffinityConfig | None = None
    external_traffic_policy: str = "Cluster"
    internal_traffic_policy: str = "Cluster"
    publish_not_ready_addresses: bool = False


class Ingress(View):
    ip: str = ""


class LoadBalancerStatus(View):
    ingress: tuple[Ingress, ...] = ()


class ServiceStatus(View):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(View):
    metadata: Metadata
    spec: ServiceSpec
    status: ServiceStatus = ServiceStatus()

    @property
    def key(self) -> tuple[str, str]:
        return (self.metadata.namespace, self.metadata.name)


class Conditions(View):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Hint(View):
    name: str


class Hints(View):
    for_zones: tuple[Hint, ...] | None = None
    for_nodes: tuple[Hint, ...] | None = None


class Endpoint(View):
    addresses: tuple[str, ...] = ()
    conditions: Conditions = Conditions()
    hostname: str | None = None
    node_name: str | None = None
    hints: Hints | None = None

    @property
    def ready(self) -> bool:
        """Unset means ready (EndpointConditions)."""
        return self.conditions.ready is not False

    @property
    def serving_while_terminating(self) -> bool:
        return bool(self.conditions.terminating) and self.conditions.serving is not False


class EndpointPort(View):
    name: str | None = None
    protocol: str = "TCP"
    port: int | None = None


class EndpointSlice(View):
    metadata: Metadata
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] | None = None

    @property
    def service(self) -> tuple[str, str]:
        """(namespace, name) of the Service it belongs to; the name is empty where the label is absent."""
        return (self.metadata.namespace, self.metadata.labels.get("kubernetes.io/service-name", ""))


class NodeAddress(View):
    type: str
    address: str


class NodeSpec(View):
    pod_cidr: str = Field("", alias="podCIDR")


class NodeStatus(View):
    addresses: tuple[NodeAddress, ...] = ()


class Node(View):
    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def internal_ip(self) -> str:
        return next((a.address for a in self.status.addresses if a.type == "InternalIP"), "")


def service(obj: dict[str, Any]) -> Service:
    return Service.model_validate(obj)


def endpoint_slice(obj: dict[str, Any]) -> EndpointSlice:
    # A list that the wire carries as null is an empty one.
    return EndpointSlice.model_validate({**obj, "endpoints": obj.get("endpoints") or ()})


def node(obj: dict[str, Any]) -> Node:
    return Node.model_validate(obj)
