"""The controllers of certificate requests: approval of nodes' own, signing of approved ones, cleaning up."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery import resources
from controllermanager.controller import Controller, Key
from controllermanager.plans import certificates as plans
from controllermanager.plans.certificates import REQUESTS

REVIEWS = resources.get("subjectaccessreviews", "authorization.k8s.io")


class CertificateApprover(Controller):
    name: ClassVar[str] = "certificatesigningrequest-approving-controller"
    source: ClassVar[str] = "csrapproving"

    def setup(self) -> None:
        self._requests = self.watch(REQUESTS, self.enqueue)

    async def sync(self, key: Key) -> float | None:
        request = self._requests.store.get(key)
        if request is None or plans.state(request) or request["spec"].get("signerName") != plans.NODE_CLIENT:
            return None
        from controllermanager import signing

        try:
            wanted = signing.requested(signing.parse(request["spec"]["request"]))
        except signing.SigningError:
            return None  # A person may look at it, and deny it.
        for subresource, message in plans.approvals(request, wanted):
            if await self._allowed(plans.review(request, subresource)):
                return await self.executor.run([plans.approve(request, message)])
        return None

    async def _allowed(self, review: dict[str, Any]) -> bool:
        answer = await self.context.client.create(REVIEWS, review)
        return bool(answer["status"].get("allowed"))


class CertificateSigner(Controller):
    name: ClassVar[str] = "certificatesigningrequest-signing-controller"
    source: ClassVar[str] = "csrsigning"

    def setup(self) -> None:
        self._requests = self.watch(REQUESTS, self.enqueue)

    async def sync(self, key: Key) -> float | None:
        request = self._requests.store.get(key)
        config = self.context.config
        if request is None or not config.cluster_signing_cert_file or plans.is_issued(request):
            return None
        spec = request["spec"]
        if plans.state(request) != "Approved" or spec.get("signerName") not in plans.SIGNERS:
            return None
        from controllermanager import signing

        try:
            parsed = signing.parse(spec["request"])
            why = plans.refusal(request, signing.requested(parsed))
        except signing.SigningError as error:
            why = str(error)
        if why:
            return await self.executor.run([plans.failed(request, why)])
        authority = signing.Authority(config.cluster_signing_cert_file, config.cluster_signing_key_file)
        seconds = plans.lifetime(request, config.cluster_signing_duration)
        certificate = authority.sign(parsed, spec.get("usages") or (), seconds, self.context.now())
        return await self.executor.run([plans.signed(request, certificate)])


class CertificateCleaner(Controller):
    name: ClassVar[str] = "certificatesigningrequest-cleaner-controller"
    source: ClassVar[str] = "csrcleaner"
    workers: ClassVar[int] = 1

    def setup(self) -> None:
        self._requests = self.watch(REQUESTS, self.enqueue)

    async def sync(self, key: Key) -> float | None:
        request = self._requests.store.get(key)
        if request is None:
            return None
        return await self.executor.run(plans.plan_cleaning(request, self.context.now()))
