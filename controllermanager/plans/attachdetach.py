"""Which volumes are attached to a node: those of its pods, and those it has not let go of yet.

A VolumeAttachment asks the driver's attacher to attach; its deletion asks to detach. The Node's status says in
`volumesAttached` what its agent may mount, and the agent in `volumesInUse` what it may have mounted: a volume in use is
detached only when the node is out of service, or has not answered for six minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from apimachinery import resources
from apimachinery.attachments import attachment_name, parse_unique_name, unique_name
from controllermanager.plans.actions import Action, Create, Delete, Event, Patch, RequeueAfter
from controllermanager.plans.views import PodView

Object = dict[str, Any]

NODES = resources.get("nodes")
ATTACHMENTS = resources.get("volumeattachments", "storage.k8s.io")
DRIVERS = resources.get("csidrivers", "storage.k8s.io")

UNMOUNT_SECONDS = 360.0  # how long an unreachable node may keep a volume
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_SHARED = ("ReadWriteMany", "ReadOnlyMany")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A PersistentVolume of pods of the node. `elsewhere` are the other nodes it is attached to, `others` the pods
    that have it there."""

    volume: Object
    pods: tuple[PodView, ...]
    elsewhere: tuple[str, ...] = ()
    others: tuple[PodView, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`node` None: there is none of that name. `wanted` is by PersistentVolume; `attachments` are all of the node;
    `volumes` the PersistentVolumes they name, as far as there are any.

    `unneeded` is since when an attachment is not needed, by its name; `told` which troubles pods were told of.
    """

    name: str
    node: Object | None
    wanted: Mapping[str, Wanted] = field(default_factory=dict)
    attachments: Sequence[Object] = ()
    volumes: Mapping[str, Object] = field(default_factory=dict)
    unneeded: Mapping[str, datetime] = field(default_factory=dict)
    told: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """`unneeded` and `told` are those of the next snapshot."""

    actions: list[Action]
    unneeded: dict[str, datetime]
    told: frozenset[tuple[str, str]]


def attachable(volume: Object, drivers: Mapping[str, Object]) -> bool:
    """Whether a PersistentVolume has to be attached. `drivers` are CSIDriver objects by name."""
    csi = volume["spec"].get("csi")
    if csi is None:
        return False
    driver = drivers.get(csi["driver"])
    return driver is None or (driver.get("spec") or {}).get("attachRequired") is not False


def name_for(volume: Object, node: str) -> str:
    csi = volume["spec"]["csi"]
    return attachment_name(csi["driver"], csi["volumeHandle"], node)


def plan(snapshot: Snapshot, now: datetime) -> Plan:
    return _Turn(snapshot, now).plan()


class _Turn:
    def __init__(self, snapshot: Snapshot, now: datetime) -> None:
        self._snapshot = snapshot
        self._now = now
        self._actions: list[Action] = []
        self._deletions: list[Action] = []
        self._requeue: list[Action] = []
        self._told: set[tuple[str, str]] = set()
        self._unneeded: dict[str, datetime] = {}
        self._attached: list[tuple[str, Object]] = []  # unique name, attachment: what the agent may count on
        status = (snapshot.node or {}).get("status") or {}
        self._in_use = set(status.get("volumesInUse") or ())
        self._said = [entry["name"] for entry in status.get("volumesAttached") or ()]

    def plan(self) -> Plan:
        wanted = {name_for(one.volume, self._snapshot.name): one for one in self._snapshot.wanted.values()}
        names = self._names()
        there = {one["metadata"]["name"]: one for one in self._snapshot.attachments}
        for name, attachment in there.items():
            if name not in names:
                continue  # somebody else's
            if attachment["metadata"].get("deletionTimestamp"):
                continue  # it is being detached, by whoever's word
            if name in wanted:
                self._keep(wanted[name], names[name], attachment)
            else:
                self._let_go(names[name], attachment)
        for name, one in wanted.items():
            if name not in there:
                self._attach(name, one)
        report = self._report()
        actions = [*self._actions, *report, *self._deletions, *self._requeue]
        return Plan(actions, self._unneeded, frozenset(self._told))

    def _names(self) -> dict[str, str]:
        """The attachments that are ours to manage: their names, and the unique names of their volumes."""
        node = self._snapshot.name
        known = [*self._snapshot.volumes.values(), *(one.volume for one in self._snapshot.wanted.values())]
        found = {
            name_for(volume, node): unique_name(
                volume["spec"]["csi"]["driver"], volume["spec"]["csi"]["volumeHandle"]
            )
            for volume in known
            if volume["spec"].get("csi")
        }
        for name in (*self._in_use, *self._said):
            parts = parse_unique_name(name)
            if parts is not None:
                found[attachment_name(*parts, node)] = name
        return found

    def _attach(self, name: str, one: Wanted) -> None:
        if self._snapshot.node is None:
            return
        volume = one.volume["metadata"]["name"]
        modes = one.volume["spec"].get("accessModes") or ()
        if one.elsewhere and modes and not any(mode in _SHARED for mode in modes):
            self._tell(one, name, "multi-attach", _multi_attach(volume, one))
            return
        self._actions.append(
            Create(
                ATTACHMENTS,
                {
                    "apiVersion": "storage.k8s.io/v1",
                    "kind": "VolumeAttachment",
                    "metadata": {"name": name},
                    "spec": {
                        "attacher": one.volume["spec"]["csi"]["driver"],
                        "nodeName": self._snapshot.name,
                        "source": {"persistentVolumeName": volume},
                    },
                },
            )
        )

    def _keep(self, one: Wanted, unique: str, attachment: Object) -> None:
        status = attachment.get("status") or {}
        volume = one.volume["metadata"]["name"]
        if status.get("attached"):
            self._attached.append((unique, attachment))
            if unique not in self._said:
                text = f'AttachVolume.Attach succeeded for volume "{volume}" '
                self._actions += [_event(pod, "Normal", "SuccessfulAttachVolume", text) for pod in one.pods]
            return
        trouble = status.get("attachError")
        if trouble:
            text = f'AttachVolume.Attach failed for volume "{volume}" : {trouble.get("message", "")}'
            mark = f"{trouble.get('time', '')} {trouble.get('message', '')}"
            self._tell(one, attachment["metadata"]["name"], mark, text)

    def _tell(self, one: Wanted, name: str, mark: str, text: str) -> None:
        """A pod is told of the same trouble once."""
        for pod in one.pods:
            key = (f"{pod.uid} {name}", mark)
            self._told.add(key)
            if key not in self._snapshot.told:
                self._actions.append(_event(pod, "Warning", "FailedAttachVolume", text))

    def _let_go(self, unique: str, attachment: Object) -> None:
        """No pod needs it any more."""
        meta = attachment["metadata"]
        since = self._snapshot.unneeded.get(meta["name"], self._now)
        self._unneeded[meta["name"]] = since
        if unique in self._in_use and not self._may_force(since):
            if (attachment.get("status") or {}).get("attached"):
                self._attached.append((unique, attachment))
            return
        self._deletions.append(Delete(ATTACHMENTS, "", meta["name"], meta["uid"]))

    def _may_force(self, since: datetime) -> bool:
        node = self._snapshot.node
        if node is None or any(t.get("key") == OUT_OF_SERVICE for t in node["spec"].get("taints") or ()):
            return True
        conditions = (node.get("status") or {}).get("conditions") or ()
        if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
            return False
        left = UNMOUNT_SECONDS - (self._now - since).total_seconds()
        if left > 0:
            self._requeue.append(RequeueAfter(left + 0.1))
        return left <= 0

    def _report(self) -> list[Action]:
        """The Node's status, if it is to say something else. It comes before what is no longer in it is detached."""
        node = self._snapshot.node
        if node is None:
            return []
        # What is no driver's of ours stays as it is.
        kept = [name for name in self._said if parse_unique_name(name) is None]
        names = sorted({*kept, *(unique for unique, _ in self._attached)})
        if names == sorted(self._said):
            return []
        entries = [{"name": name, "devicePath": ""} for name in names]
        patch = {"metadata": {"uid": node["metadata"]["uid"]}, "status": {"volumesAttached": entries or None}}
        return [Patch(NODES, "", self._snapshot.name, patch, subresource="status")]


def _multi_attach(volume: str, one: Wanted) -> str:
    text = f'Multi-Attach error for volume "{volume}" '
    if not one.others:
        return text + "Volume is already exclusively attached to one node and can't be attached to another"
    here = sorted({pod.name for pod in one.others if pod.namespace == one.pods[0].namespace})
    away = len({pod.uid for pod in one.others if pod.namespace != one.pods[0].namespace})
    if not here:
        return text + f"Volume is already used by {away} pod(s) in different namespaces"
    more = f" and {away} pod(s) in different namespaces" if away else ""
    return text + f"Volume is already used by pod(s) {', '.join(here)}{more}"


def _event(pod: PodView, kind: str, reason: str, text: str) -> Event:
    involved = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": pod.namespace,
            "name": pod.name,
            "uid": pod.uid,
            "resourceVersion": pod.revision,
        },
    }
    return Event(involved, kind, reason, text)
