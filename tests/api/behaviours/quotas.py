"""A namespace with resource quotas, and what its tests ask of it."""

from __future__ import annotations

from typing import Any

from apiclient import Api
from lifecycle import fine
from registrations import eventually

Object = dict[str, Any]
NAMESPACES = "/api/v1/namespaces"
HARD = {
    "pods": "5",
    "services": "10",
    "services.nodeports": "1",
    "services.loadbalancers": "1",
    "replicationcontrollers": "10",
    "resourcequotas": "1",
    "secrets": "10",
    "configmaps": "10",
    "persistentvolumeclaims": "10",
    "requests.storage": "10Gi",
    "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "10",
    "gold.storageclass.storage.k8s.io/requests.storage": "10Gi",
    "cpu": "1",
    "memory": "500Mi",
    "requests.ephemeral-storage": "50Gi",
    "limits.cpu": "11",
    "limits.memory": "1Gi",
    "requests.example.com/dongle": "3",
    "count/replicasets.apps": "5",
}


class Quotas:
    """A namespace with quotas."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.root = f"{NAMESPACES}/{namespace}"
        self.path = f"{self.root}/resourcequotas"
        eventually(lambda: api.get(f"{self.root}/serviceaccounts/default").code == 200)
        eventually(lambda: api.get(f"{self.root}/configmaps/kube-root-ca.crt").code == 200)

    def make(self, name: str = "test-quota", hard: Object | None = None, **spec: Any) -> Object:
        """A quota, once its status says what is used."""
        body = {"metadata": {"name": name}, "spec": {"hard": hard or HARD, **spec}}
        made = fine(self.api.post(self.path, body), 201)
        eventually(lambda: self.status(name).get("hard") == made["spec"]["hard"])
        return made

    def status(self, name: str = "test-quota") -> Object:
        return dict(fine(self.api.get(f"{self.path}/{name}")).get("status") or {})

    def used(self, name: str = "test-quota", **wanted: str) -> None:
        """The status comes to say that so much is used; `_` in names stands for what Python has no names for."""
        self.has(name, {key.replace("__", ".").replace("_", "-"): value for key, value in wanted.items()})

    def has(self, name: str, wanted: dict[str, str]) -> None:
        def same() -> bool:
            used = self.status(name).get("used") or {}
            return all(used.get(key) == value for key, value in wanted.items())

        try:
            eventually(same, 8)
        except AssertionError:
            raise AssertionError(f"used is {self.status(name).get('used')}, not {wanted}") from None

    def pod(self, name: str, requests: Object, **fields: Any) -> Object:
        limits = {k: v for k, v in requests.items() if "/" in k}
        resources = {
            "requests": requests,
            "limits": {**{k: requests[k] for k in ("cpu", "memory")}, **limits},
        }
        spec = {"containers": [{"name": "c", "image": "pause", "resources": resources}], **fields}
        return {"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 0, **spec}}

    def delete(self, path: str) -> None:
        answer = self.api.delete(f"{self.root}/{path}?gracePeriodSeconds=0")
        assert answer.code == 200, answer.body
