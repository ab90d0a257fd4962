"""What would happen: plans made from manifests or from a trace, without a cluster.

Nodes and pods come from YAML documents (Node, Pod, the workloads that make pods, List); what the documents do not
say is as the API server would have it.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.columns import Columns, snapshot
from scheduler.plan import Placement, Plan, Unplaced, order, plan
from scheduler.profiles import Profile
from scheduler.views import Budget, Claim, Node, Pod, StorageClass, Volume

Object = dict[str, Any]

GPU, GPU_MODEL = "nvidia.com/gpu", "gpu-model"
_WORKLOADS = {"Deployment", "ReplicaSet", "StatefulSet", "ReplicationController"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The plan, and the columns as they would be with it carried out."""

    decided: Plan
    columns: Columns


def simulate(documents: Iterable[Object], profile: Profile, seed: int = 0) -> Outcome:
    """Places the pods of the documents on their nodes. Pods with a spec.nodeName run there already."""
    objects = list(_flat(documents))
    pods = [Pod.of(obj) for obj in _pods(objects)]
    columns = snapshot((Node.of(o) for o in objects if o["kind"] == "Node"), pods, seed)
    budgets = []
    for obj in objects:
        match obj["kind"]:
            case "PersistentVolumeClaim":
                claim = Claim.of({**obj, "metadata": {"namespace": "default", **obj["metadata"]}})
                columns.storage.set_claim((claim.namespace, claim.name), claim)
            case "PersistentVolume":
                columns.storage.set_volume(obj["metadata"]["name"], Volume.of(obj))
            case "StorageClass":
                columns.storage.set_class(obj["metadata"]["name"], StorageClass.of(obj))
            case "Namespace":
                columns.namespaces[obj["metadata"]["name"]] = obj["metadata"].get("labels") or {}
            case "PodDisruptionBudget":
                budgets.append(Budget.of({**obj, "metadata": {"namespace": "default", **obj["metadata"]}}))
    waiting = order([p for p in pods if not (p.node or p.finished or p.gated or p.terminating)])
    return Outcome(plan(waiting, columns, profile, budgets=budgets), columns)


def _flat(documents: Iterable[Object]) -> Iterator[Object]:
    for document in documents:
        if document.get("kind", "").endswith("List") and "items" in document:
            yield from _flat(document["items"])
        elif document:
            yield document


def _pods(objects: Iterable[Object]) -> Iterator[Object]:
    """The Pods among the objects and those that workloads would make."""
    for obj in objects:
        metadata, spec = obj.get("metadata") or {}, obj.get("spec") or {}
        name, namespace = metadata.get("name", ""), metadata.get("namespace") or "default"
        if obj["kind"] == "Pod":
            uid = metadata.get("uid") or f"{namespace}/{name}"
            yield {**obj, "metadata": {**metadata, "namespace": namespace, "uid": uid}}
            continue
        if obj["kind"] in _WORKLOADS:
            count = spec.get("replicas", 1)
        elif obj["kind"] == "Job":
            count = spec.get("parallelism", 1)
        else:
            continue
        template = spec["template"]
        owner = {"uid": f"{namespace}/{obj['kind']}/{name}", "controller": True}
        for index in range(count):
            made = {
                **(template.get("metadata") or {}),
                "name": f"{name}-{index}",
                "namespace": namespace,
                "uid": f"{namespace}/{name}-{index}",
                "ownerReferences": [owner],
            }
            yield {"kind": "Pod", "metadata": made, "spec": template["spec"]}


def trace_documents(
    nodes: Iterable[Mapping[str, str]], pods: Iterable[Mapping[str, str]]
) -> Iterator[Object]:
    """Nodes and pods of a trace in openb's columns, pods in the order they came. A share of a GPU counts as a whole.

    nodes: sn, cpu_milli, memory_mib, gpu, model. pods: name, cpu_milli, memory_mib, num_gpu, gpu_spec (models, `|`
    between them), creation_time.
    """
    for row in nodes:
        allocatable = {"cpu": f"{row['cpu_milli']}m", "memory": f"{row['memory_mib']}Mi", "pods": "110"}
        if row["gpu"] != "0":
            allocatable[GPU] = row["gpu"]
        labels = {"kubernetes.io/hostname": row["sn"], **({GPU_MODEL: row["model"]} if row["model"] else {})}
        yield {
            "kind": "Node",
            "metadata": {"name": row["sn"], "labels": labels},
            "status": {"allocatable": allocatable},
        }
    for row in sorted(pods, key=lambda p: float(p["creation_time"])):
        requests = {"cpu": f"{row['cpu_milli']}m", "memory": f"{row['memory_mib']}Mi"}
        spec: Object = {"containers": [{"name": "c", "resources": {"requests": requests}}]}
        if row["num_gpu"] != "0":
            requests[GPU] = row["num_gpu"]
        if row["gpu_spec"]:
            model = {"key": GPU_MODEL, "operator": "In", "values": row["gpu_spec"].split("|")}
            required = {"nodeSelectorTerms": [{"matchExpressions": [model]}]}
            spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
        created = f"{int(float(row['creation_time'])):012}"
        yield {"kind": "Pod", "metadata": {"name": row["name"], "creationTimestamp": created}, "spec": spec}


def trace(nodes: Iterable[str], pods: Iterable[str]) -> Iterator[Object]:
    """`trace_documents` of two CSV texts, given as lines with a header."""
    return trace_documents(csv.DictReader(nodes), csv.DictReader(pods))


def report(outcome: Outcome, show: int = 20) -> str:
    """What was decided, for a person: totals, use of each resource, and why pods stay pending."""
    decided, columns = outcome.decided, outcome.columns
    used = sum(1 for pods in columns.pods if pods)
    lines = [
        f"{len(decided.placements)} placed, {len(decided.unplaced)} pending; "
        f"{used} of {columns.node_count} nodes in use"
    ]
    for name, index in columns.resources.items():
        total = int(columns.allocatable[index].sum())
        if total:
            lines.append(f"  {name:24} {columns.requested[index].sum() / total:7.1%} requested")
    lines += _placed(decided.placements, show)
    lines += _pending(decided.unplaced, show)
    return "\n".join(lines)


def _placed(placements: list[Placement], show: int) -> list[str]:
    lines = [f"{p.pod.namespace}/{p.pod.name} -> {p.node}" for p in placements[:show]]
    if len(placements) > show:
        lines.append(f"... and {len(placements) - show} more placed")
    return lines


def _pending(unplaced: list[Unplaced], show: int) -> list[str]:
    messages = Counter(u.message for u in unplaced)
    first = {u.message: u.pod for u in reversed(unplaced)}
    lines = []
    for message, number in messages.most_common(show):
        pod = first[message]
        others = f" and {number - 1} more" if number > 1 else ""
        lines.append(f"{pod.namespace}/{pod.name}{others}: {message}")
    if len(messages) > show:
        lines.append(f"... and {len(messages) - show} more reasons")
    return lines
