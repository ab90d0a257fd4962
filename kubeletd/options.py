"""The agent's settings: flags and --config."""

from __future__ import annotations

import ipaddress
import socket
from typing import Literal

from pydantic import Field, field_validator, model_validator

from apimachinery import quantity
from apimachinery.componentconfig import ComponentConfig
from kubeletd.eviction_plan import thresholds
from kubeletd.nodestatus import pairs, parse_taint


class Options(ComponentConfig):
    """Settings of kubeletd."""

    kubeconfig: str = Field(description="how to reach the API server, and who this node is")
    node_name: str = Field(
        default_factory=socket.gethostname, description="the node's name (default: the host's)"
    )
    root_dir: str = Field("/var/lib/pybernetes/kubeletd", description="where volumes and pod files are kept")
    cluster_name: str = Field("default", description="which cluster this node's containers are labelled with")
    cluster_cidr: str = Field(
        "10.244.0.0/16", description="the addresses of all pods; its bridge is made if missing"
    )
    cluster_dns: tuple[str, ...] = Field((), description="address of the cluster DNS that pods are told")
    cluster_domain: str = Field("cluster.local", description="the domain of the cluster")
    resolv_conf: str = Field(
        "/etc/resolv.conf", description="the host's resolver file that pods' are made from"
    )
    runtime: Literal["docker", "simulated"] = Field("docker", description="docker or simulated")
    docker_endpoint: str = Field(
        "", description="URL of the Docker Engine (default: DOCKER_HOST, else its socket)"
    )
    nodes: int = Field(1, ge=1, le=5000, description="simulated: how many nodes, named <node-name>-<number>")
    capacity: tuple[str, ...] = Field(
        (), description="resource=quantity this node has instead of the machine's"
    )
    node_labels: tuple[str, ...] = Field((), description="key=value labels the node registers with")
    register_with_taints: tuple[str, ...] = Field((), description="key=value:Effect taints it registers with")
    node_ip: str = Field("", description="the node's address (default: the first of its podCIDR)")
    node_status_update_frequency: float = Field(
        10.0, gt=0, description="seconds between looks at the node's status"
    )
    bind_address: str = Field("127.0.0.1", description="where the API server reaches this agent")
    port: int = Field(0, ge=0, le=65535, description="its port; 0 chooses one")
    tls: bool = Field(True, description="serve with the kubeconfig's certificate to the API server alone")
    pod_manifest_path: str = Field(
        "", description="a folder with manifests of static pods, or one such file (default: none)"
    )
    eviction_hard: tuple[str, ...] = Field(
        (
            "memory.available<100Mi",
            "nodefs.available<10%",
            "nodefs.inodesFree<5%",
            "imagefs.available<15%",
            "imagefs.inodesFree<5%",
        ),
        description="signal<quantity: what may not be less before pods are evicted",
    )
    eviction_soft: tuple[str, ...] = Field(
        (), description="signal<quantity: what may not be less for longer than a grace period"
    )
    eviction_soft_grace_period: tuple[str, ...] = Field(
        (), description="signal=duration, such as memory.available=1m30s, for each soft threshold"
    )
    eviction_minimum_reclaim: tuple[str, ...] = Field(
        (), description="signal=quantity: how much more is to be free before a shortage is over"
    )
    eviction_max_pod_grace_period: int = Field(
        0, ge=0, description="seconds a pod gets at most that is evicted for a soft threshold"
    )
    eviction_pressure_transition_period: float = Field(
        300.0, ge=0, description="seconds that a condition of the node stays after the shortage"
    )
    shutdown_grace_period: float = Field(
        0.0,
        ge=0,
        description="seconds that pods get when the agent is told by SIGTERM that the node shuts down; 0: the pods "
        "run on, and the next agent takes them up",
    )
    shutdown_grace_period_critical_pods: float = Field(
        0.0, ge=0, description="the part of it that is kept for critical pods, which end last"
    )
    allowed_unsafe_sysctls: tuple[str, ...] = Field(
        (), description="sysctls that pods of this node may set beside the safe ones; kernel.msg* for many"
    )
    shares_machine: bool = Field(
        False,
        description="other nodes are on this machine: a hostPort without hostIP is opened on this node's address, "
        "and on 127.0.0.1 by the first of them that wants it",
    )
    pod_max_pids: int = Field(0, ge=0, description="how many processes a pod may have; 0: no limit")
    max_parallel_image_pulls: int = Field(
        3, ge=1, description="how many images are pulled at once; 1: one after the other"
    )
    image_pull_credentials_verification_policy: Literal[
        "NeverVerify", "NeverVerifyPreloadedImages", "NeverVerifyAllowlistedImages", "AlwaysVerify"
    ] = Field(
        "NeverVerifyPreloadedImages",
        description="for which images that are here already a pod has to have pull secrets that they were pulled "
        "with, or others that the registry takes",
    )
    preloaded_images_verification_allowlist: tuple[str, ...] = Field(
        (), description="names without tags, or beginnings that end in /*, for NeverVerifyAllowlistedImages"
    )
    image_pull_records: str = Field(
        "",
        description="folder where it is kept what images were pulled with; nodes on one engine share it "
        "(default: image_manager in --root-dir)",
    )
    image_gc_high_threshold: int = Field(
        85,
        ge=0,
        le=100,
        description="percentage of the disk from which on unused images are removed; 100: never",
    )
    image_gc_low_threshold: int = Field(
        80, ge=0, le=100, description="percentage of the disk down to which they are removed"
    )
    minimum_image_ttl_duration: float = Field(
        120.0, ge=0, description="seconds that an image is kept after its pull"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="what is logged")

    @field_validator("capacity")
    @classmethod
    def _capacity(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for text in pairs(values).values():
            quantity.Quantity.parse(text)
        return values

    @field_validator("node_labels")
    @classmethod
    def _labels(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        pairs(values)
        return values

    @field_validator("register_with_taints")
    @classmethod
    def _taints(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            parse_taint(value)
        return values

    @model_validator(mode="after")
    def _thresholds(self) -> Options:
        thresholds(
            self.eviction_hard,
            self.eviction_soft,
            self.eviction_soft_grace_period,
            self.eviction_minimum_reclaim,
        )
        if self.shutdown_grace_period_critical_pods > self.shutdown_grace_period:
            raise ValueError(
                "shutdown_grace_period_critical_pods must not be longer than shutdown_grace_period"
            )
        if self.image_gc_low_threshold > self.image_gc_high_threshold:
            raise ValueError("image_gc_low_threshold must not be above image_gc_high_threshold")
        return self

    @field_validator("cluster_cidr")
    @classmethod
    def _cidr(cls, value: str) -> str:
        ipaddress.IPv4Network(value)
        return value
