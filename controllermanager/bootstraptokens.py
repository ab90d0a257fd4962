"""The token cleaner: deletes bootstrap tokens that have expired."""

from __future__ import annotations

from typing import Any, ClassVar

from controllermanager.controller import Controller, Key
from controllermanager.plans import bootstraptokens as plans
from controllermanager.plans.bootstraptokens import SECRETS


class TokenCleaner(Controller):
    name: ClassVar[str] = "token-cleaner-controller"
    workers: ClassVar[int] = 1

    def setup(self) -> None:
        self._secrets = self.watch(SECRETS, self._changed)

    def _changed(self, old: Any, new: Any) -> None:
        if new is not None and new.get("type") == plans.TYPE:
            self.enqueue(None, new)

    async def sync(self, key: Key) -> float | None:
        secret = self._secrets.store.get(key)
        return await self.executor.run(plans.plan(secret, self.context.now())) if secret is not None else None
