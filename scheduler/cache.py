"""The scheduler's picture of the cluster: what informers report, plus what it has decided and not yet seen confirmed.

Handlers only; no I/O. Everything here can be rebuilt from the API: after a restart the informers do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from scheduler.columns import Columns
from scheduler.plan import Placement
from scheduler.queue import Event, Queue
from scheduler.views import Budget, Claim, Node, Pod, StorageClass, Volume, VolumeLimits


class Cache:
    """Columns and queue, kept current by `on_*` (each called as `(old, new)`, None where there is none).

    `assumed`: pods (by uid) placed by us whose binding the API has not shown yet. `nominated`: pods (by uid) that
    wait for their victims to leave `pod.nominated`. `changed` is called after every change.
    """

    def __init__(
        self,
        columns: Columns,
        queue: Queue,
        scheduler_name: str,
        now: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self.columns = columns
        self.queue = queue
        self.assumed: dict[str, Placement] = {}
        self.nominated: dict[str, Pod] = {}
        self.budgets: dict[tuple[str, str], Budget] = {}
        self._scheduler_name = scheduler_name
        self._now = now
        self._changed = changed

    def on_pod(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            self._pod_gone(old)
        if new is None:
            return
        if new.finished:
            self._pod_gone(new)
        elif new.node:
            self._pod_bound(new)
        elif new.uid not in self.assumed:
            self._pod_pending(new)

    def _pod_gone(self, pod: Pod) -> None:
        self.assumed.pop(pod.uid, None)
        self.nominated.pop(pod.uid, None)
        waiting = self.queue.get(pod.key)
        if waiting is not None and waiting.uid == pod.uid:
            self.queue.remove(pod.key)
        known = self.columns.remove_pod(pod.uid)
        if known is not None:
            awaiting = [p.key for p in self.nominated.values() if p.nominated == known[1]]
            self.queue.wake(Event.POD_REMOVED, self._now(), also=awaiting)
        self._changed()

    def _pod_bound(self, pod: Pod) -> None:
        self.assumed.pop(pod.uid, None)
        self.nominated.pop(pod.uid, None)
        self.queue.remove(pod.key)
        known = self.columns.where.get(pod.uid)
        self.columns.add_pod(pod, pod.node)
        if known is None or known[1] != pod.node:
            event = Event.POD_PLACED
        elif known[0].wants is not pod.wants:
            event = Event.POD_PLACED | Event.POD_REMOVED  # Resized or relabelled: either may help.
        else:
            return
        self.queue.wake(event, self._now())
        self._changed()

    def _pod_pending(self, pod: Pod) -> None:
        if pod.scheduler != self._scheduler_name:
            return
        if pod.terminating:
            self._pod_gone(pod)
            return
        if pod.nominated and pod.uid not in self.nominated:
            self.nominated[pod.uid] = pod
        elif pod.uid in self.nominated:
            self.nominated[pod.uid] = replace(
                pod, nominated=pod.nominated or self.nominated[pod.uid].nominated
            )
        self.queue.put(self.nominated.get(pod.uid, pod), self._now())
        self._changed()

    def on_node(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            if old is not None:
                self.columns.remove_node(old.name)
                self.queue.wake(Event.NODE_REMOVED, self._now())
                self._changed()
            return
        if not self.columns.set_node(new):
            return
        event = Event.NODE_ADDED if old is None else Event(0)
        if old is not None:
            if old.allocatable != new.allocatable:
                event |= Event.NODE_RESOURCES
            if old.labels != new.labels:
                event |= Event.NODE_LABELS
            if old.taints != new.taints or old.unschedulable != new.unschedulable:
                event |= Event.NODE_TAINTS
        if event:
            self.queue.wake(event, self._now())
            self._changed()

    def on_namespace(self, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> None:
        current = new if new is not None else old
        assert current is not None
        name, labels = current["name"], current["labels"] if new is not None else None
        if self.columns.namespaces.get(name) == labels:
            return
        if labels is None:
            self.columns.namespaces.pop(name, None)
        else:
            self.columns.namespaces[name] = labels
        self.columns.matching.namespaces_changed()
        self.queue.wake(Event.NAMESPACE, self._now())
        self._changed()

    def on_budget(self, old: Budget | None, new: Budget | None) -> None:
        if new is not None:
            self.budgets[new.namespace, new.name] = new
        elif old is not None:
            self.budgets.pop((old.namespace, old.name), None)

    def on_claim(self, old: Claim | None, new: Claim | None) -> None:
        current = new or old
        if current is not None and old != new:
            self.columns.storage.set_claim((current.namespace, current.name), new)
            self._storage_changed()

    def on_volume(self, old: Volume | None, new: Volume | None) -> None:
        current = new or old
        if current is not None and old != new:
            self.columns.storage.set_volume(current.name, new)
            self._storage_changed()

    def on_class(self, old: StorageClass | None, new: StorageClass | None) -> None:
        current = new or old
        if current is not None and old != new:
            self.columns.storage.set_class(current.name, new)
            self._storage_changed()

    def on_limits(self, old: VolumeLimits | None, new: VolumeLimits | None) -> None:
        current = new or old
        if current is not None and (old.counts if old else {}) != (new.counts if new else {}):
            self.columns.storage.set_limits(current.name, new.counts if new else {})
            self._storage_changed()

    def _storage_changed(self) -> None:
        self.queue.wake(Event.STORAGE, self._now())
        self._changed()

    def assume(self, placement: Placement) -> None:
        """A plan put the pod there (the columns count it already); its binding is on the way."""
        self.assumed[placement.pod.uid] = placement
        self.nominated.pop(placement.pod.uid, None)

    def forget(self, placement: Placement, retry: bool) -> None:
        """The binding came to nothing. Without effect where the pod is gone or turned out to be bound."""
        if self.assumed.pop(placement.pod.uid, None) is None:
            return
        self.columns.remove_pod(placement.pod.uid)
        for choice in placement.volumes:
            if choice.volume:
                self.columns.storage.withdraw(choice.volume)
        if retry:
            self.queue.retry(placement.pod.key, self._now())
        else:
            self.queue.remove(placement.pod.key)
        # Others may have been refused for want of the room it held.
        self.queue.wake(Event.POD_REMOVED, self._now())
        self._changed()

    def nominate(self, pod: Pod, node: str, victims: Iterable[Pod]) -> None:
        """The pod preempts `victims` on `node` and waits for them to leave; they count as leaving from now on."""
        self.nominated[pod.uid] = replace(pod, nominated=node)
        self.queue.put(self.nominated[pod.uid], self._now())
        for victim in victims:
            self.columns.add_pod(replace(victim, terminating=True, victim=True), node)

    def spare(self, victim: Pod) -> None:
        """The victim could not be deleted: it is as it was."""
        known = self.columns.where.get(victim.uid)
        if known is not None:
            self.columns.add_pod(victim, known[1])

    def drop_nomination(self, pod: Pod) -> None:
        """The pod no longer has a claim on the node it was nominated to."""
        if self.nominated.pop(pod.uid, None) is not None:
            self.queue.put(replace(pod, nominated=""), self._now())
