"""The scheduler's settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from apimachinery.componentconfig import ComponentConfig


class SchedulerConfig(ComponentConfig):
    kubeconfig: str = Field(
        "", description="kubeconfig of the API server (default: $KUBECONFIG, ~/.kube/config)"
    )
    context: str = Field("", description="context of the kubeconfig to use")
    scheduler_name: str = Field(
        "default-scheduler", description="place pods whose spec.schedulerName is this"
    )
    profile: Literal["binpack", "spread"] = Field(
        "binpack", description="binpack fills nodes one after the other, spread keeps them equally loaded"
    )
    seed: int = Field(0, description="decides between nodes that are equally good")
    simulate: list[str] = Field(
        [],
        description="no cluster: place the pods of this manifest, or of a trace's two CSV files (nodes, then pods), "
        "on the nodes in it, say what would happen, and end",
    )
    leader_elect: bool = Field(
        False, description="act only while holding the lease kube-system/kube-scheduler"
    )
    concurrency: int = Field(32, ge=1, le=1000, description="bindings and other writes in flight at most")
    verbosity: int = Field(0, ge=0, description="1: say what is done, 2: debug")
