"""Hands that play the nodes of a namespace: pods run, become Ready, end and go when a test says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from apiclient import STRATEGIC, Api, selector
from lifecycle import fine

Object = dict[str, Any]
#: Pods with it are on a node, which is not there: they do not go before their node says so.
NODE = "played-by-hand"


class Hands:
    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.path = f"/api/v1/namespaces/{namespace}/pods"

    def pods(self, labels: str = "") -> list[Object]:
        """Those that are not on their way out, by name."""
        found = fine(self.api.get(self.path + (f"?labelSelector={selector(labels)}" if labels else "")))
        living = [pod for pod in found["items"] if not pod["metadata"].get("deletionTimestamp")]
        return sorted(living, key=lambda pod: str(pod["metadata"]["name"]))

    def names(self, labels: str = "") -> list[str]:
        return [pod["metadata"]["name"] for pod in self.pods(labels)]

    def get(self, name: str) -> Object:
        return fine(self.api.get(f"{self.path}/{name}"))

    def _say(self, name: str, phase: str, ready: bool, state: Object) -> None:
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": _now()}
        container = {
            "name": "main", "image": "app", "imageID": "", "ready": ready, "restartCount": 0, "state": state
        }  # fmt: skip
        status = {"phase": phase, "conditions": [condition], "containerStatuses": [container]}
        fine(self.api.patch(f"{self.path}/{name}/status", {"status": status}, STRATEGIC))

    def run(self, *names: str, ready: bool = True) -> None:
        for name in names:
            self._say(name, "Running", ready, {"running": {"startedAt": _now()}})

    def end(self, name: str, phase: str = "Succeeded", code: int = 0) -> None:
        ended = {"exitCode": code, "finishedAt": _now(), "startedAt": _now()}
        self._say(name, phase, False, {"terminated": ended})

    def let_go(self) -> None:
        """What is to go and is over, or never ran, is gone."""
        for pod in fine(self.api.get(self.path))["items"]:
            if pod["metadata"].get("deletionTimestamp"):
                name = pod["metadata"]["name"]
                if pod["status"].get("phase") == "Running":
                    self.end(name, "Failed", 143)
                assert self.api.delete(f"{self.path}/{name}?gracePeriodSeconds=0").code in (200, 404)

    def until(
        self, check: Callable[[], Any], play: Callable[[Object], Any] = lambda pod: None, seconds: float = 30
    ) -> Any:
        """What `check` gives once that is true; until then every pod that has not ended is played."""
        give_up = time.monotonic() + seconds
        while not (found := check()):
            assert time.monotonic() < give_up, f"it did not come to be: {self._seen()}"
            for pod in self.pods():
                if pod["status"].get("phase") not in ("Succeeded", "Failed"):
                    play(pod)
            self.let_go()
            time.sleep(0.01)
        return found

    def _seen(self) -> dict[str, str]:
        return {p["metadata"]["name"]: str(p["status"].get("phase")) for p in self.pods()}


def is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def conditions(obj: Object) -> dict[str, str]:
    """The reasons of the conditions that are true."""
    found = (obj.get("status") or {}).get("conditions") or ()
    return {c["type"]: str(c.get("reason", "")) for c in found if c["status"] == "True"}


def owner(obj: Object) -> str:
    """The uid of its controller."""
    references = obj["metadata"].get("ownerReferences") or ()
    return next((str(r["uid"]) for r in references if r.get("controller")), "")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
