"""What the controllers of sets have in common that keep their templates as ControllerRevisions."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery import meta, selectors
from apimachinery.resources import Resource
from controllermanager.controller import PODS, Controller
from controllermanager.plans.revisions import REVISIONS
from controllermanager.plans.views import PodView, by_controller, object_by_controller, object_by_namespace


class RevisionedController(Controller):
    """Looks at a set when it changes, or its pods or revisions do, or a pod appears that it may adopt."""

    sets: ClassVar[Resource]

    def setup(self) -> None:
        self._sets = self.watch(self.sets, self.enqueue)
        self._sets.add_index("namespace", object_by_namespace)
        self._pods = self.watch(PODS, self._pod_changed)
        self._pods.add_index("controller", by_controller)
        self._revisions = self.watch(REVISIONS, self._revision_changed)
        self._revisions.add_index("controller", object_by_controller)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        for pod in (old, new):
            owner = pod.controller if pod is not None else None
            if pod is not None and owner is not None and owner.kind == self.sets.kind:
                self.queue.add((pod.namespace, owner.name))
        if new is not None and new.controller is None and not new.deleting:
            for found in self._sets.by_index("namespace", new.namespace):
                selector = selectors.from_label_selector(found["spec"].get("selector"))
                if not selector.empty and selector.matches(new.labels):
                    self.enqueue(None, found)

    def _revision_changed(self, old: Any, new: Any) -> None:
        obj = new if new is not None else old
        owner = meta.controller_of(obj)
        if owner is not None and owner["kind"] == self.sets.kind:
            self.queue.add((obj["metadata"]["namespace"], owner["name"]))

    def pods_of(self, uid: str, namespace: str) -> list[PodView]:
        """A set's pods, and those that nobody controls, which it may adopt."""
        mine = self._pods.by_index("controller", uid)
        return [*mine, *self._pods.by_index("controller", ("", namespace))]
