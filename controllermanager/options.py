"""The controller manager's settings."""

from __future__ import annotations

from pydantic import Field, field_validator

from apimachinery.componentconfig import ComponentConfig


class ControllerManagerConfig(ComponentConfig):
    kubeconfig: str = Field(
        "", description="kubeconfig of the API server (default: $KUBECONFIG, ~/.kube/config)"
    )
    context: str = Field("", description="context of the kubeconfig to use")
    controllers: str = Field(
        "*", description="comma-separated names of the controllers to run; * is all, -name takes one out"
    )
    cluster_cidr: str = Field("10.244.0.0/16", description="addresses of pods; nodes get their share of it")
    node_cidr_mask_size: int = Field(24, ge=8, le=30, description="prefix length of one node's share")
    allocate_node_cidrs: bool = Field(True, description="give each node a share of the cluster CIDR")
    node_monitor_period: float = Field(1.0, gt=0, description="seconds between two looks at node health")
    node_monitor_grace_period: float = Field(
        40.0, gt=0, description="seconds without a heartbeat after which a node is held to be unreachable"
    )
    node_eviction_rate: float = Field(
        0.1, gt=0, description="nodes per second that pods are evicted from when many fail at once"
    )
    root_ca_file: str = Field("", description="CA published as kube-root-ca.crt (default: the kubeconfig's)")
    cluster_signing_cert_file: str = Field(
        "", description="CA certificate that signs certificate requests (without it none are signed)"
    )
    cluster_signing_key_file: str = Field("", description="private key of the signing CA")
    cluster_signing_duration: int = Field(
        365 * 24 * 3600, ge=600, description="longest life of a signed certificate, in seconds"
    )
    horizontal_pod_autoscaler_sync_period: float = Field(
        15.0, gt=0, description="seconds between two looks at an autoscaler's metrics"
    )
    leader_elect: bool = Field(
        False, description="act only while holding the lease kube-system/kube-controller-manager"
    )
    concurrency: int = Field(32, ge=1, le=1000, description="requests in flight at most")
    verbosity: int = Field(0, ge=0, description="1: say what is done, 2: debug")

    @field_validator("controllers")
    @classmethod
    def _named(cls, value: str) -> str:
        return ",".join(part.strip() for part in value.split(",") if part.strip())
