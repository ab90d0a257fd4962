"""A pod's status from what is known of it on its node. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubeletd import qos
from kubeletd.interfaces import Pod
from kubeletd.podstate.model import ContainerRecord, Ended, PodState, SandboxStep, Setup, Step
from kubeletd.podstate.plan import ContainerPlan
from kubeletd.podstate.resize import differs, in_progress
from kubeletd.podstate.restart import restarting_all, restarts
from kubeletd.translate import host_network

Object = dict[str, Any]
_RESIZE = ("PodResizePending", "PodResizeInProgress")  # conditions that are taken away when they are over


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """`host_ips` the node's addresses, the main one first; `runtime` as in `docker://<id>`.

    `recursive_read_only`: the engine can make mounts below a read-only one read-only.
    """

    host_ips: tuple[str, ...] = ()
    runtime: str = "docker"
    recursive_read_only: bool = False


def rfc3339(epoch: float) -> str:
    """Seconds precision, as Kubernetes writes times; an unset time is the epoch's beginning."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod_status(pod: Pod, state: PodState, node: NodeFacts, now: float) -> Object:
    """The whole status this node reports. `pod` is the API's, whose condition times are kept where nothing changed."""
    old = pod.get("status") or {}
    phase = _phase(pod, state)
    status: Object = {"phase": phase, "qosClass": old.get("qosClass") or qos.qos_class(pod)}
    generation = pod["metadata"].get("generation")
    if generation is not None:
        status["observedGeneration"] = generation
    if state.failed is not None:
        status["reason"], status["message"] = state.failed
    if state.started_at:
        status["startTime"] = rfc3339(state.started_at)
    if node.host_ips:
        status["hostIP"] = node.host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in node.host_ips]
    if host_network(pod):
        pod_ip = node.host_ips[0] if node.host_ips else ""
    else:
        # A finished pod's address stays known though its sandbox is gone.
        pod_ip = state.sandbox.ip or (old.get("podIP") or "" if state.stopping else "")
    if pod_ip:
        status["podIP"] = pod_ip
        status["podIPs"] = [{"ip": pod_ip}]
    spec = pod["spec"]
    for field, key in (
        ("initContainers", "initContainerStatuses"),
        ("containers", "containerStatuses"),
        ("ephemeralContainers", "ephemeralContainerStatuses"),
    ):
        if spec.get(field):
            status[key] = [_container_status(pod, c, key, state, node) for c in spec[field]]
    status["conditions"] = _conditions(pod, state, status, old, now)
    return status


def alive(state: PodState) -> bool:
    """Whether any container has, or may have, a process."""
    return any(record.alive for record in state.containers.values())


def _phase(pod: Pod, state: PodState) -> str:
    main = [state.record(c["name"]) for c in pod["spec"]["containers"]]
    ended = [record.ended for record in main if record.ended is not None]
    if state.stopping and not alive(state):
        if state.failed is not None:
            return "Failed"
        if state.finished:
            good = len(ended) == len(main) and all(end.exit_code == 0 for end in ended)
            return "Succeeded" if good else "Failed"
        if ended and len(ended) == len(main):
            return "Succeeded" if all(end.exit_code == 0 for end in ended) else "Failed"
        if "deletionTimestamp" in pod["metadata"]:
            return "Failed"  # What never ran has come to an end too, and who counts its end waits for one.
    begun = [
        record for record in main if record.step in (Step.RUNNING, Step.EXITED) or record.previous is not None
    ]
    return "Running" if len(begun) == len(main) else "Pending"


def _terminated(end: Ended, node: NodeFacts) -> Object:
    result: Object = {
        "exitCode": end.exit_code,
        "reason": end.reason,
        "startedAt": rfc3339(end.started_at),
        "finishedAt": rfc3339(end.finished_at),
    }
    if end.message:
        result["message"] = end.message
    if end.id:
        result["containerID"] = f"{node.runtime}://{end.id}"
    return {"terminated": result}


def _waiting(reason: str, message: str) -> Object:
    return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}


def _done_before(pod: Pod, key: str, state: PodState, plan: ContainerPlan) -> bool:
    """Whether the API knows that an init container ended for good, which runs again in a new sandbox all the same. It
    takes no status that says so: the container stays ended until it ends again."""
    if plan.kind != "init" or pod["spec"].get("restartPolicy", "Always") == "Always":
        return False
    if any(rule.whole_pod for each in state.plan.containers for rule in each.rules):
        return False
    known = (pod.get("status") or {}).get(key) or ()
    told = next((s.get("state") or {} for s in known if s["name"] == plan.name), {})
    return "terminated" in told and not restarts(plan, told["terminated"].get("exitCode") or 0)


def _container_status(
    pod: Pod, container: Mapping[str, Any], key: str, state: PodState, node: NodeFacts
) -> Object:
    record = state.record(container["name"])
    plan = next((c for c in state.plan.containers if c.name == container["name"]), None)
    plan_kind = plan.kind if plan is not None else "container"
    last: Object = {}
    if plan is not None and record.previous is not None and _done_before(pod, key, state, plan):
        current: Object = _terminated(record.ended or record.previous, node)
    elif record.step is Step.RUNNING:
        current = {"running": {"startedAt": rfc3339(record.started_at)}}
        last = _terminated(record.previous, node) if record.previous else {}
    elif record.step is Step.EXITED and record.ended is not None:
        if record.reason and not state.stopping:
            current, last = _waiting(record.reason, record.message), _terminated(record.ended, node)
        else:
            current = _terminated(record.ended, node)
            last = _terminated(record.previous, node) if record.previous else {}
    elif record.previous is not None and not record.reason and not record.resize_restart:
        # Its next run is on its way; until then it is what it was. One restarted to be resized may have ended so well
        # that the API would take it for over.
        current = _terminated(record.previous, node)
    else:
        last = _terminated(record.previous, node) if record.previous else {}
        current = _waiting(record.reason or _default_reason(plan_kind, state), record.message)
    shown = record.ended or (record.previous if not record.id else None)
    container_id = record.id or (shown.id if shown else "")
    image_id = record.image_id or (shown.image_id if shown else "")
    result: Object = {
        "name": container["name"],
        "image": container["image"],
        "imageID": image_id,
        "ready": _ready(plan_kind, record),
        "restartCount": record.restart_count,
        "started": record.step is Step.RUNNING and record.started,
        "state": current,
        "lastState": last,
    }
    if container_id:
        result["containerID"] = f"{node.runtime}://{container_id}"
    if container_id and record.user is not None:
        uid, gid, groups = record.user
        result["user"] = {"linux": {"uid": uid, "gid": gid, "supplementalGroups": list(groups)}}
    if container.get("volumeMounts"):
        images = dict(record.volume_images)
        result["volumeMounts"] = [_volume_mount(m, images, node) for m in container["volumeMounts"]]
    if key != "ephemeralContainerStatuses":
        allocated = container.get("resources") or {}
        # What a process has been given; for one that is yet to be, what it will be.
        sized = record.sizes.resources() if record.step is Step.RUNNING else allocated
        result["resources"] = {name: sized[name] for name in ("limits", "requests") if sized.get(name)}
        if allocated.get("requests"):
            result["allocatedResources"] = allocated["requests"]
    return result


def _volume_mount(mount: Mapping[str, Any], images: Mapping[str, str], node: NodeFacts) -> Object:
    """A mount as a container's status tells it."""
    told: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        wanted = mount.get("recursiveReadOnly") or "Disabled"
        if wanted == "IfPossible":
            wanted = "Enabled" if node.recursive_read_only else "Disabled"
        told |= {"readOnly": True, "recursiveReadOnly": wanted}
    if mount["name"] in images:
        told["volumeStatus"] = {"image": {"imageRef": images[mount["name"]]}}
    return told


def _default_reason(kind: str, state: PodState) -> str:
    if (
        kind in ("container", "sidecar", "init")
        and not state.initialized
        and state.of_kind("init", "sidecar")
    ):
        return "PodInitializing"
    return "ContainerCreating"


def _ready(kind: str, record: ContainerRecord) -> bool:
    if kind == "init":
        return record.completed
    return kind != "ephemeral" and record.step is Step.RUNNING and record.started and record.ready


def _conditions(
    pod: Pod, state: PodState, status: Object, old: Mapping[str, Any], now: float
) -> list[Object]:
    before = {c["type"]: c for c in old.get("conditions") or ()}
    phase = status["phase"]
    made = [
        _sandbox_condition(pod, state),
        _initialized(state, phase),
        *_readiness(pod, state, phase, before),
        {"type": "PodScheduled", "status": "True"},
        *_resize_conditions(state),
        *_disruption(state),
        *_restart_conditions(state, before),
    ]
    result = []
    generation = status.get("observedGeneration")
    for condition in made:
        previous = before.get(condition["type"])
        if previous is not None and previous.get("status") == condition["status"]:
            condition["lastTransitionTime"] = previous.get("lastTransitionTime") or rfc3339(now)
        else:
            condition["lastTransitionTime"] = rfc3339(now)
        if generation is not None:
            condition["observedGeneration"] = generation
        result.append(condition)
    return result


def _disruption(state: PodState) -> list[Object]:
    """That it was the node which ended the pod, through no fault of its own (KEP-3329)."""
    if state.failed is None or state.failed[0] not in ("Evicted", "Terminated"):
        return []
    return [_condition("DisruptionTarget", True, "TerminationByKubelet", state.failed[1])]


def _restart_conditions(state: PodState, before: Mapping[str, Any]) -> list[Object]:
    """That all containers are being restarted, or were (KEP-5532)."""
    kind = "AllContainersRestarting"
    going = restarting_all(state)
    return [_condition(kind, going)] if going or kind in before else []


def _resize_conditions(state: PodState) -> list[Object]:
    if state.stopping:
        return []
    made = []
    if state.plan.resize_pending is not None:
        made.append(_condition("PodResizePending", True, *state.plan.resize_pending))
    if in_progress(state):
        records = [state.record(c.name) for c in state.plan.containers if differs(c, state.record(c.name))]
        error = next((r.resize_error for r in records if r.resize_error), "")
        made.append(_condition("PodResizeInProgress", True, "Error" if error else "", error))
    return made


def _condition(kind: str, ok: bool, reason: str = "", message: str = "") -> Object:
    condition: Object = {"type": kind, "status": "True" if ok else "False"}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _sandbox_condition(pod: Pod, state: PodState) -> Object:
    # After the agent's restart volumes are looked at again; containers that are there show that they were ready.
    set_up = state.setup is Setup.DONE or any(record.id for record in state.containers.values())
    ready = state.sandbox.step is SandboxStep.READY and set_up
    return _condition("PodReadyToStartContainers", ready)


def _initialized(state: PodState, phase: str) -> Object:
    if phase == "Succeeded":
        return _condition("Initialized", True, "PodCompleted")
    incomplete = []
    if not state.initialized:
        for plan in state.of_kind("init", "sidecar"):
            record = state.record(plan.name)
            done = record.completed if plan.kind == "init" else record.started
            if not done:
                incomplete.append(plan.name)
    if incomplete:
        text = f"containers with incomplete status: [{' '.join(incomplete)}]"
        return _condition("Initialized", False, "ContainersNotInitialized", text)
    return _condition("Initialized", True)


def _readiness(
    pod: Pod, state: PodState, phase: str, before: Mapping[str, Mapping[str, Any]]
) -> list[Object]:
    """Ready and ContainersReady."""
    if phase in ("Succeeded", "Failed"):
        reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
        return [_condition("Ready", False, reason), _condition("ContainersReady", False, reason)]
    unready = [
        plan.name
        for plan in state.of_kind("sidecar", "container")
        if not _ready(plan.kind, state.record(plan.name))
    ]
    if unready:
        text = f"containers with unready status: [{' '.join(unready)}]"
        return [
            _condition("Ready", False, "ContainersNotReady", text),
            _condition("ContainersReady", False, "ContainersNotReady", text),
        ]
    missing = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        if kind not in before:
            missing.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif before[kind].get("status") != "True":
            given = before[kind].get("status")
            missing.append(f'the status of pod readiness gate "{kind}" is not "True", but {given}')
    ready = _condition("Ready", not missing, "ReadinessGatesNotReady" if missing else "", ", ".join(missing))
    return [ready, _condition("ContainersReady", True)]


def change(old: Mapping[str, Any], new: Object) -> Object:
    """The strategic merge patch of `status` that turns the reported `old` into `new`; empty if nothing changed."""
    patch: Object = {}
    for key, value in new.items():
        if key == "conditions":
            before = {c["type"]: c for c in old.get("conditions") or ()}
            changed = [
                _replacing(before.get(c["type"]), c) for c in value if not _same(before.get(c["type"]), c)
            ]
            kept = {c["type"] for c in value}
            changed += [{"$patch": "delete", "type": t} for t in _RESIZE if t in before and t not in kept]
            if changed:
                patch[key] = changed
        elif key in ("podIPs", "hostIPs"):
            if old.get(key) != value:
                patch[key] = [{"$patch": "replace"}, *value]
        elif old.get(key) != value:
            patch[key] = value
    for key in ("reason", "message", "podIP", "podIPs"):
        if old.get(key) and key not in new:
            patch[key] = None
    return patch


def _same(old: Mapping[str, Any] | None, new: Object) -> bool:
    if old is None:
        return False
    return {k: v for k, v in old.items() if v is not None} == new


def _replacing(old: Mapping[str, Any] | None, new: Object) -> Object:
    """The condition as a patch: it is merged into the old one, so what that has too much is taken out."""
    return {**{key: None for key in old or () if key not in new}, **new}


def urgent(old: Mapping[str, Any], patch: Object) -> bool:
    """Whether somebody acts on this change; what only informs (why a container waits) may wait for more to come."""
    if "phase" in patch or "podIP" in patch or "reason" in patch:
        return True
    if any(c["type"] in ("Ready", "ContainersReady", *_RESIZE) for c in patch.get("conditions") or ()):
        return True
    for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        if key in patch:
            before = {s["name"]: s for s in old.get(key) or ()}
            for entry in patch[key]:
                kind = next(iter(entry["state"]))
                if kind != next(iter((before.get(entry["name"]) or {}).get("state") or ("waiting",))):
                    return True
    return False
