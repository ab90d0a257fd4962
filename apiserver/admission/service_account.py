"""ServiceAccount: every pod runs as a service account, with a token unless asked otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from apimachinery import resources
from apimachinery.resources import Resource
from apiserver.admission.plugin import Fresh, Object, Plugin, Step, forbid, is_mirror
from apiserver.request import AdmissionRequest, Reader

SERVICE_ACCOUNTS = resources.get("serviceaccounts")
DEFAULT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
TOKEN_SECONDS = 3607
_ATTEMPTS = 20
_INTERVAL_SECONDS = 0.05


class ServiceAccount(Plugin):
    """`suffix` gives five random characters for the token volume's name."""

    name = "ServiceAccount"

    def __init__(self, reader: Reader, suffix: Callable[[], str], fresh: Fresh | None = None) -> None:
        self._reader = reader
        self._suffix = suffix
        self._fresh = fresh

    def mutator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        return self._admit if (resource.kind, operation, subresource) == ("Pod", "CREATE", "") else None

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        return (
            self._check_mirror if (resource.kind, operation, subresource) == ("Pod", "CREATE", "") else None
        )

    def _admit(self, request: AdmissionRequest) -> Awaitable[None] | None:
        pod = request.object
        assert pod is not None
        if is_mirror(pod):
            return None
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or DEFAULT
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = self._reader.get(SERVICE_ACCOUNTS, request.namespace, name)
        if account is None:
            return self._wait(request, spec, name)
        self._apply(spec, account)
        return None

    async def _wait(self, request: AdmissionRequest, spec: Object, name: str) -> None:
        """A namespace's default account is made a moment after the namespace: wait up to a second for it."""
        for attempt in range(_ATTEMPTS if name == DEFAULT else 1):
            if attempt:
                await asyncio.sleep(_INTERVAL_SECONDS)
            elif self._fresh is not None:
                await self._fresh(SERVICE_ACCOUNTS)
            account = self._reader.get(SERVICE_ACCOUNTS, request.namespace, name)
            if account is not None:
                self._apply(spec, account)
                return
        where = f"{request.namespace}/{name}"
        raise forbid(request, f'error looking up service account {where}: serviceaccount "{name}" not found')

    def _apply(self, spec: Object, account: Object) -> None:
        automount = spec.get("automountServiceAccountToken")
        if automount is None:
            automount = account.get("automountServiceAccountToken", True)
        if automount:
            self._mount(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]

    def _mount(self, spec: Object) -> None:
        volumes = spec.get("volumes") or []
        existing = next((v["name"] for v in volumes if v["name"].startswith(VOLUME_PREFIX)), "")
        name = existing or VOLUME_PREFIX + self._suffix()
        mounted = False
        for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
            mounts = container.get("volumeMounts") or []
            if any(m.get("mountPath") == MOUNT_PATH for m in mounts):
                continue
            container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}]
            mounted = True
        if mounted and not existing:
            spec["volumes"] = [*volumes, token_volume(name)]

    @staticmethod
    def _check_mirror(request: AdmissionRequest) -> None:
        pod = request.object
        assert pod is not None
        if not is_mirror(pod):
            return
        spec = pod["spec"]
        if spec.get("serviceAccountName"):
            raise forbid(request, "a mirror pod may not reference service accounts")
        for volume in spec.get("volumes") or ():
            if "secret" in volume:
                raise forbid(request, "a mirror pod may not reference secrets")
            if any("serviceAccountToken" in s for s in (volume.get("projected") or {}).get("sources") or ()):
                raise forbid(request, "a mirror pod may not use ServiceAccountToken volume projections")


def token_volume(name: str) -> Object:
    """The projected volume with a token, the cluster's CA and the namespace."""
    field = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [field]}},
            ],
            "defaultMode": 420,
        },
    }
