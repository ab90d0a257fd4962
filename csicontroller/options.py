"""The CSI controller's settings."""

from __future__ import annotations

from pydantic import Field

from apimachinery.componentconfig import ComponentConfig


class CsiControllerConfig(ComponentConfig):
    csi_address: str = Field(description="the driver's socket: unix:///path or a path")
    kubeconfig: str = Field(
        "", description="kubeconfig of the API server (default: $KUBECONFIG, ~/.kube/config)"
    )
    context: str = Field("", description="context of the kubeconfig to use")
    timeout: float = Field(120.0, gt=0, description="seconds that the driver gets for a call")
    retry_interval_start: float = Field(
        1.0, gt=0, description="seconds before what failed is tried again; doubles each time"
    )
    retry_interval_max: float = Field(300.0, gt=0, description="the longest such pause, in seconds")
    default_fstype: str = Field("", description="file system of volumes whose class does not say one")
    concurrency: int = Field(10, ge=1, le=100, description="volumes worked on at the same time")
    verbosity: int = Field(0, ge=0, description="1: say what is done, 2: debug")
