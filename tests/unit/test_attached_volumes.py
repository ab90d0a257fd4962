"""When CSI volumes are attached to a node and when they are detached from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from apimachinery.attachments import unique_name
from controllermanager.plans import attachdetach as plans
from controllermanager.plans.actions import Create, Delete, Event, Patch, RequeueAfter
from controllermanager.plans.attachdetach import ATTACHMENTS, NODES, Snapshot, Wanted
from controllermanager.plans.views import PodView, pod_view

Object = dict[str, Any]
NOW = datetime(2030, 1, 1, tzinfo=UTC)
NAME = unique_name("d.example.com", "h")
OUT_OF_SERVICE = [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]


def volume(*modes: str) -> Object:
    csi = {"driver": "d.example.com", "volumeHandle": "h"}
    return {"metadata": {"name": "pv"}, "spec": {"csi": csi, "accessModes": list(modes) or ["ReadWriteOnce"]}}


def pod(name: str = "p", node: str = "n1") -> PodView:
    metadata = {"name": name, "namespace": "ns", "uid": f"u-{name}", "resourceVersion": "1"}
    return pod_view({"metadata": metadata, "spec": {"nodeName": node, "containers": []}})


def node(in_use: bool = False, attached: bool = False, ready: bool = True, **spec: Any) -> Object:
    status: Object = {"conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}]}
    if in_use:
        status["volumesInUse"] = [NAME]
    if attached:
        status["volumesAttached"] = [{"name": NAME, "devicePath": ""}]
    return {"metadata": {"name": "n1", "uid": "u-n1"}, "spec": spec, "status": status}


def attachment(attached: bool = True, **status: Any) -> Object:
    name = plans.name_for(volume(), "n1")
    return {
        "metadata": {"name": name, "uid": "u-va"},
        "spec": {"attacher": "d.example.com", "nodeName": "n1", "source": {"persistentVolumeName": "pv"}},
        "status": {"attached": attached, **status},
    }


WANTED = {"pv": Wanted(volume(), (pod(),))}
REPORTED = Patch(
    NODES,
    "",
    "n1",
    {"metadata": {"uid": "u-n1"}, "status": {"volumesAttached": [{"name": NAME, "devicePath": ""}]}},
    subresource="status",
)
WITHDRAWN = Patch(
    NODES, "", "n1", {"metadata": {"uid": "u-n1"}, "status": {"volumesAttached": None}}, subresource="status"
)
DETACHED = Delete(ATTACHMENTS, "", attachment()["metadata"]["name"], "u-va")


def test_a_volume_of_a_pod_is_attached() -> None:
    (made,) = plans.plan(Snapshot("n1", node(), WANTED), NOW).actions
    assert isinstance(made, Create)
    assert made.obj["spec"] == attachment()["spec"]


def test_its_node_may_use_it_once_it_is_attached() -> None:
    held = {"pv": volume()}
    waiting = plans.plan(Snapshot("n1", node(), WANTED, [attachment(False)], held), NOW)
    assert waiting.actions == []
    done = plans.plan(Snapshot("n1", node(), WANTED, [attachment()], held), NOW)
    event, report = done.actions
    assert isinstance(event, Event) and event.reason == "SuccessfulAttachVolume"
    assert report == REPORTED
    again = plans.plan(Snapshot("n1", node(attached=True), WANTED, [attachment()], held), NOW)
    assert again.actions == []


def test_a_volume_is_detached_when_the_node_has_let_go() -> None:
    held = {"pv": volume()}
    busy = plans.plan(Snapshot("n1", node(True, True), {}, [attachment()], held), NOW)
    assert busy.actions == [] and list(busy.unneeded.values()) == [NOW]
    free = plans.plan(Snapshot("n1", node(False, True), {}, [attachment()], held), NOW)
    assert free.actions == [WITHDRAWN, DETACHED]


def test_a_volume_is_known_by_the_nodes_word_when_its_object_is_gone() -> None:
    found = plans.plan(Snapshot("n1", node(False, True), {}, [attachment()]), NOW)
    assert found.actions == [WITHDRAWN, DETACHED]


def test_others_attachments_are_left_alone() -> None:
    theirs = attachment()
    theirs["metadata"]["name"] = "somebody-elses"
    found = plans.plan(Snapshot("n1", node(), {}, [theirs], {"pv": volume()}), NOW)
    assert found.actions == []


def test_a_node_that_does_not_answer_loses_its_volumes_after_six_minutes() -> None:
    held = {"pv": volume()}
    name = attachment()["metadata"]["name"]
    lost = node(True, True, ready=False)
    first = plans.plan(Snapshot("n1", lost, {}, [attachment()], held), NOW)
    assert first.actions == [RequeueAfter(360.1)]
    later = Snapshot("n1", lost, {}, [attachment()], held, {name: NOW - timedelta(seconds=361)})
    assert plans.plan(later, NOW).actions == [WITHDRAWN, DETACHED]
    ready = Snapshot("n1", node(True, True), {}, [attachment()], held, {name: NOW - timedelta(hours=1)})
    assert plans.plan(ready, NOW).actions == []


def test_a_node_out_of_service_loses_its_volumes_at_once() -> None:
    out = node(True, True, ready=False, taints=OUT_OF_SERVICE)
    found = plans.plan(Snapshot("n1", out, {}, [attachment()], {"pv": volume()}), NOW)
    assert found.actions == [WITHDRAWN, DETACHED]


def test_a_node_that_is_no_more_has_no_volumes() -> None:
    assert plans.plan(Snapshot("n1", None, {}, [attachment()], {"pv": volume()}), NOW).actions == [DETACHED]
    assert plans.plan(Snapshot("n1", None, WANTED), NOW).actions == []


def test_a_volume_for_one_node_is_not_attached_to_two() -> None:
    there = Wanted(volume(), (pod(),), ("n2",), (pod("other", "n2"),))
    first = plans.plan(Snapshot("n1", node(), {"pv": there}), NOW)
    (event,) = first.actions
    assert isinstance(event, Event) and event.reason == "FailedAttachVolume"
    assert event.message == 'Multi-Attach error for volume "pv" Volume is already used by pod(s) other'
    told = plans.plan(Snapshot("n1", node(), {"pv": there}, told=first.told), NOW)
    assert told.actions == []
    shared = Wanted(volume("ReadWriteMany"), (pod(),), ("n2",))
    (made,) = plans.plan(Snapshot("n1", node(), {"pv": shared}), NOW).actions
    assert isinstance(made, Create)


def test_a_pod_is_told_once_why_its_volume_is_not_attached() -> None:
    failed = attachment(False, attachError={"message": "no disk", "time": "2030-01-01T00:00:00Z"})
    snapshot = Snapshot("n1", node(), WANTED, [failed], {"pv": volume()})
    first = plans.plan(snapshot, NOW)
    (event,) = first.actions
    assert isinstance(event, Event) and event.type == "Warning"
    assert event.message == 'AttachVolume.Attach failed for volume "pv" : no disk'
    told = Snapshot("n1", node(), WANTED, [failed], {"pv": volume()}, told=first.told)
    assert plans.plan(told, NOW).actions == []


def test_volumes_of_drivers_that_attach_nothing_are_left_alone() -> None:
    drivers = {"d.example.com": {"spec": {"attachRequired": False}}}
    assert plans.attachable(volume(), {}) and not plans.attachable(volume(), drivers)
    assert not plans.attachable({"spec": {"hostPath": {"path": "/x"}}}, {})
