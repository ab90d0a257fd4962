"""The attach/detach controller: has CSI volumes attached to the nodes of their pods, and detached afterwards."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from datetime import datetime
from typing import Any, ClassVar

from controllermanager.controller import PODS, Controller, Key
from controllermanager.plans import attachdetach as plans
from controllermanager.plans.attachdetach import ATTACHMENTS, DRIVERS, NODES, Wanted
from controllermanager.plans.views import PodView, by_node
from controllermanager.plans.volumematch import CLAIMS, VOLUMES
from controllermanager.volumes import by_claim

Object = dict[str, Any]


def _node_of(attachment: Object) -> Iterable[Hashable]:
    return (attachment["spec"]["nodeName"],)


def _volume_name(attachment: Object) -> str:
    name: str = attachment["spec"]["source"].get("persistentVolumeName", "")
    return name


def _volume_of(attachment: Object) -> Iterable[Hashable]:
    return (_volume_name(attachment),)


class AttachDetachController(Controller):
    """Keys are ("", node): a node's status is written by one hand."""

    name: ClassVar[str] = "persistentvolume-attach-detach-controller"
    source: ClassVar[str] = "attachdetach-controller"

    def setup(self) -> None:
        self._unneeded: dict[str, dict[str, datetime]] = {}  # node → attachment → since when
        self._told: dict[str, frozenset[tuple[str, str]]] = {}
        self._drivers = self.watch(DRIVERS, self._driver_changed)
        self._claims = self.watch(CLAIMS, self._claim_changed)
        self._volumes = self.watch(VOLUMES, self._volume_changed)
        self._attachments = self.watch(ATTACHMENTS, self._attachment_changed)
        self._attachments.add_index("node", _node_of)
        self._attachments.add_index("volume", _volume_of)
        self._nodes = self.watch(NODES, self._node_changed)
        self._pods = self.watch(PODS, self._pod_changed)
        self._pods.add_index("node", by_node)
        self._pods.add_index("claim", by_claim)

    # What changes, and whose turn it is then.

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        for pod in (old, new):
            if pod is not None and pod.claims and pod.node:
                if old is not None and new is not None and _same_need(old, new):
                    return
                self.queue.add(("", pod.node))

    def _claim_changed(self, old: Any, new: Any) -> None:
        if _binding(old) != _binding(new):
            metadata = (new or old)["metadata"]
            self._pods_of((metadata["namespace"], metadata["name"]))

    def _volume_changed(self, old: Any, new: Any) -> None:
        volume = new if new is not None else old
        if volume["spec"].get("csi") and (old is None or new is None):
            self._users_of(volume)

    def _driver_changed(self, old: Any, new: Any) -> None:
        name = (new or old)["metadata"]["name"]
        for volume in self._volumes.store.values():
            if (volume["spec"].get("csi") or {}).get("driver") == name:
                self._users_of(volume)

    def _attachment_changed(self, old: Any, new: Any) -> None:
        attachment = new if new is not None else old
        self.queue.add(("", attachment["spec"]["nodeName"]))
        if new is None:
            volume = self._volumes.get("", _volume_name(attachment))
            if volume is not None:
                self._users_of(volume)  # another node may have it now

    def _node_changed(self, old: Any, new: Any) -> None:
        name = (new or old)["metadata"]["name"]
        known = bool(self._attachments.by_index("node", name)) or name in self._unneeded
        if known or (old is None and any(pod.claims for pod in self._pods.by_index("node", name))):
            self.queue.add(("", name))

    def _users_of(self, volume: Object) -> None:
        ref = volume["spec"].get("claimRef")
        if ref is not None:
            self._pods_of((ref.get("namespace", ""), ref.get("name", "")))

    def _pods_of(self, claim: Key) -> None:
        for pod in self._pods.by_index("claim", claim):
            if pod.node:
                self.queue.add(("", pod.node))

    # A node's turn.

    async def sync(self, key: Key) -> float | None:
        name = key[1]
        attachments = self._attachments.by_index("node", name)
        named = (self._volumes.get("", _volume_name(one)) for one in attachments)
        snapshot = plans.Snapshot(
            name=name,
            node=self._nodes.get("", name),
            wanted=self._wanted(name),
            attachments=attachments,
            volumes={volume["metadata"]["name"]: volume for volume in named if volume is not None},
            unneeded=self._unneeded.get(name, {}),
            told=self._told.get(name, frozenset()),
        )
        plan = plans.plan(snapshot, self.context.now())
        _remember(self._unneeded, name, plan.unneeded)
        delay = await self.executor.run(plan.actions)
        _remember(self._told, name, plan.told)
        return delay

    def _wanted(self, node: str) -> dict[str, Wanted]:
        """The attachable volumes of the node's pods, by name."""
        found: dict[str, Wanted] = {}
        drivers = {driver["metadata"]["name"]: driver for driver in self._drivers.store.values()}
        for pod in self._pods.by_index("node", node):
            for claim in pod.claims if not pod.finished else ():
                volume = self._bound(pod.namespace, claim)
                if volume is None or not plans.attachable(volume, drivers):
                    continue
                name = volume["metadata"]["name"]
                known = found.get(name)
                if known is None:
                    known = found[name] = self._elsewhere(volume, node, (pod.namespace, claim))
                found[name] = Wanted(known.volume, (*known.pods, pod), known.elsewhere, known.others)
        return found

    def _bound(self, namespace: str, name: str) -> Object | None:
        claim = self._claims.get(namespace, name)
        volume: Object | None = (
            self._volumes.get("", claim["spec"].get("volumeName") or "") if claim else None
        )
        ref = volume["spec"].get("claimRef") if volume is not None else None
        if claim is None or ref is None or ref.get("uid") != claim["metadata"]["uid"]:
            return None
        return volume

    def _elsewhere(self, volume: Object, node: str, claim: Key) -> Wanted:
        held = self._attachments.by_index("volume", volume["metadata"]["name"])
        nodes = sorted({one["spec"]["nodeName"] for one in held} - {node})
        others = [
            pod for pod in self._pods.by_index("claim", claim) if pod.node in nodes and not pod.finished
        ]
        return Wanted(volume, (), tuple(nodes), tuple(others))


def _binding(claim: Object | None) -> tuple[str, str]:
    """A claim may name its volume long before it has it."""
    if claim is None:
        return "", ""
    return claim["spec"].get("volumeName") or "", (claim.get("status") or {}).get("phase") or ""


def _same_need(old: PodView, new: PodView) -> bool:
    return (old.uid, old.node, old.finished, old.claims) == (new.uid, new.node, new.finished, new.claims)


def _remember(memory: dict[str, Any], name: str, value: Any) -> None:
    """Only what says something is kept."""
    if value:
        memory[name] = value
    else:
        memory.pop(name, None)
