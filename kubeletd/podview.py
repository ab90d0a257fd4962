"""A pod's worker as others see it: the gRPC server, events. Pure."""

from __future__ import annotations

from kubeletd import translate
from kubeletd.interfaces import Pod, PodOnNode
from kubeletd.podstate.model import SandboxStep, Step
from kubeletd.podworker import PodWorker
from kubeletd.runtime.interface import ContainerState, Identity, Kind

_FIELDS = {"container": "containers", "init": "initContainers", "ephemeral": "ephemeralContainers"}


def field_path(pod: Pod, container: str) -> str:
    """involvedObject.fieldPath of an event about a container: `spec.containers{web}`."""
    if not container:
        return ""
    try:
        kind = translate.find_container(pod, container)[1]
    except KeyError:
        return ""
    return f"spec.{_FIELDS[kind]}{{{container}}}"


def pod_on_node(worker: PodWorker) -> PodOnNode:
    """For logs, exec and figures. A waiting container's last run is what its log is about."""
    meta = worker.pod["metadata"]

    def state(
        container_id: str, name: str, kind: Kind, running: bool, started_at: float = 0.0
    ) -> ContainerState:
        identity = Identity(meta["namespace"], meta["name"], worker.uid, name, kind)
        return ContainerState(
            container_id, identity, "running" if running else "exited", started_at=started_at
        )

    containers: dict[str, ContainerState] = {}
    previous: dict[str, ContainerState] = {}
    for plan in worker.state.plan.containers:
        record = worker.state.record(plan.name)
        kind: Kind = "init" if plan.kind == "sidecar" else plan.kind
        runs = [*record.dead, *([record.id] if record.id else [])]
        if runs:
            containers[plan.name] = state(
                runs[-1], plan.name, kind, record.step is Step.RUNNING, record.started_at
            )
        if len(runs) > 1:
            previous[plan.name] = state(runs[-2], plan.name, kind, False)
    box = worker.state.sandbox
    sandbox = state(box.id, "", "sandbox", box.step is SandboxStep.READY) if box.id else None
    return PodOnNode(worker.pod, worker.uid, sandbox, worker.facts().pod_ip, containers, previous)
