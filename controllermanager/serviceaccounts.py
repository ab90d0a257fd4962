"""The ServiceAccount controllers: default accounts, the root CA ConfigMap, token Secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from apimachinery import meta
from apimachinery.errors import StatusError
from controllermanager.controller import Controller, Key
from controllermanager.plans import serviceaccounts as plans
from controllermanager.plans.serviceaccounts import CONFIG_MAPS, NAMESPACES, SECRETS, SERVICE_ACCOUNTS


class ServiceAccountController(Controller):
    """Keys are ("", namespace)."""

    name: ClassVar[str] = "serviceaccount-controller"
    workers: ClassVar[int] = 8

    def setup(self) -> None:
        self._accounts = self.watch(SERVICE_ACCOUNTS, self._account_changed)
        self._namespaces = self.watch(NAMESPACES, self.enqueue)

    def _account_changed(self, old: Any, new: Any) -> None:
        if new is None and old["metadata"]["name"] == plans.DEFAULT_ACCOUNT:
            self.queue.add(("", old["metadata"]["namespace"]))

    async def sync(self, key: Key) -> float | None:
        namespace = self._namespaces.store.get(key)
        if namespace is None:
            return None
        account = self._accounts.get(key[1], plans.DEFAULT_ACCOUNT)
        try:
            return await self.executor.run(plans.plan_account(namespace, account))
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            return None


class RootCAPublisher(Controller):
    """Keys are ("", namespace)."""

    name: ClassVar[str] = "root-ca-certificate-publisher-controller"
    workers: ClassVar[int] = 8

    def setup(self) -> None:
        path = self.context.config.root_ca_file
        ca = Path(path).read_bytes() if path else self.context.client.config.ca
        self._ca = ca.decode("ascii")
        self._maps = self.watch(CONFIG_MAPS, self._map_changed)
        self._namespaces = self.watch(NAMESPACES, self.enqueue)

    def _map_changed(self, old: Any, new: Any) -> None:
        obj = new if new is not None else old
        if obj["metadata"]["name"] == plans.ROOT_CA:
            self.queue.add(("", obj["metadata"]["namespace"]))

    async def sync(self, key: Key) -> float | None:
        namespace = self._namespaces.store.get(key)
        if namespace is None:
            return None
        current = self._maps.get(key[1], plans.ROOT_CA)
        return await self.executor.run(plans.plan_root_ca(namespace, current, self._ca))


class TokenController(Controller):
    """Keys are a Secret's."""

    name: ClassVar[str] = "serviceaccount-token-controller"

    def setup(self) -> None:
        path = self.context.config.root_ca_file
        ca = Path(path).read_bytes() if path else self.context.client.config.ca
        self._ca = ca.decode("ascii")
        self._accounts = self.watch(SERVICE_ACCOUNTS, self._account_changed)
        self._secrets = self.watch(SECRETS, self._secret_changed)
        self._secrets.add_index("account", _account_of)

    def _secret_changed(self, old: Any, new: Any) -> None:
        if new is not None and new.get("type") == plans.TOKEN_TYPE:
            self.enqueue(None, new)

    def _account_changed(self, old: Any, new: Any) -> None:
        if (new is None or old is None) and self._informers_ready:
            metadata = (new or old)["metadata"]
            for secret in self._secrets.by_index("account", (metadata["namespace"], metadata["name"])):
                self.enqueue(None, secret)

    @property
    def _informers_ready(self) -> bool:
        return hasattr(self, "_secrets")

    async def sync(self, key: Key) -> float | None:
        secret = self._secrets.store.get(key)
        if secret is None or secret.get("type") != plans.TOKEN_TYPE:
            return None
        name = meta.annotations(secret).get(plans.ACCOUNT_NAME, "")
        account = self._accounts.get(key[0], name)
        if account is None:
            account = await self._live(name, key[0])
        plan = plans.plan_token(secret, account, self._ca)
        if plan.needs_token:
            answer = await self.context.client.create(
                SERVICE_ACCOUNTS, plans.token_request(secret), key[0], name=name, subresource="token"
            )
            plan = plans.plan_token(secret, account, self._ca, answer["status"]["token"])
        return await self.executor.run(plan.actions)

    async def _live(self, name: str, namespace: str) -> dict[str, Any] | None:
        """A Secret is deleted for want of its account only after a look at the server."""
        if not name:
            return None
        try:
            return await self.context.client.get(SERVICE_ACCOUNTS, name, namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            return None


def _account_of(secret: dict[str, Any]) -> list[tuple[str, str]]:
    if secret.get("type") != plans.TOKEN_TYPE:
        return []
    name = meta.annotations(secret).get(plans.ACCOUNT_NAME, "")
    return [(secret["metadata"]["namespace"], name)]
