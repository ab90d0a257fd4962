"""The horizontal pod autoscaler controller: every so often it looks at the metrics of each autoscaler's pods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from apimachinery import resources
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from controllermanager.controller import PODS, Controller, Key
from controllermanager.discovery import discover
from controllermanager.plans import autoscaling as plans
from controllermanager.plans.autoscalebehavior import History
from controllermanager.plans.autoscalemetrics import MetricsMissing, Proposal, propose
from controllermanager.plans.autoscaling import AUTOSCALERS, Failure

Object = dict[str, Any]
_METRICS = "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods"
_ELSEWHERE = {
    "Pods": ("FailedGetPodsMetric", "custom"),
    "Object": ("FailedGetObjectMetric", "custom"),
    "External": ("FailedGetExternalMetric", "external"),
}


class HorizontalPodAutoscalerController(Controller):
    name: ClassVar[str] = "horizontal-pod-autoscaler-controller"
    source: ClassVar[str] = "horizontal-pod-autoscaler"

    def setup(self) -> None:
        self._history: dict[str, History] = {}
        self._autoscalers = self.watch(AUTOSCALERS, self._changed)

    def _changed(self, old: Any, new: Any) -> None:
        if new is None:
            self._history.pop(old["metadata"]["uid"], None)
        elif old is None or old["spec"] != new["spec"]:
            self.enqueue(None, new)

    async def sync(self, key: Key) -> float | None:
        autoscaler = self._autoscalers.store.get(key)
        if autoscaler is None:
            return None
        period = self.context.config.horizontal_pod_autoscaler_sync_period
        uid, now = autoscaler["metadata"]["uid"], self.context.now()
        try:
            resource, scale = await self._scale(autoscaler)
        except StatusError as error:
            await self.executor.run(plans.unscalable(autoscaler, "FailedGetScale", error.message, now))
            return period
        current = int((scale.get("spec") or {}).get("replicas") or 0)
        selector = (scale.get("status") or {}).get("selector", "")
        proposals = await self._proposals(autoscaler, current, selector) if current else []
        decision = plans.decide(autoscaler, current, proposals, self._history.get(uid, History()), now)
        if decision.replicas is not None:
            changed = {**scale, "spec": {"replicas": decision.replicas}}
            path = resource.path(key[0], scale["metadata"]["name"], "scale")
            await self.context.client.request("PUT", path, body=changed)
        self._history[uid] = decision.history
        await self.executor.run(decision.actions)
        return period

    async def _scale(self, autoscaler: Object) -> tuple[Resource, Object]:
        """The target's resource and Scale. Raises StatusError."""
        target = autoscaler["spec"]["scaleTargetRef"]
        namespace = autoscaler["metadata"]["namespace"]
        resource = resources.by_kind(target.get("apiVersion") or "v1", target["kind"])
        if resource is None:
            resource = await self._custom(target)
        answer = await self.context.client.request("GET", resource.path(namespace, target["name"], "scale"))
        found: Object = answer.json()
        return resource, found

    async def _custom(self, target: Object) -> Resource:
        group = target.get("apiVersion", "").rpartition("/")[0]
        for found in (await discover(self.context.client)).resources:
            if (found.group, found.kind) == (group, target["kind"]):
                return found
        text = f'no matches for kind "{target["kind"]}" in group "{group}"'
        raise StatusError(404, "NotFound", text)

    async def _proposals(self, autoscaler: Object, current: int, selector: str) -> list[Proposal | Failure]:
        namespace = autoscaler["metadata"]["namespace"]
        if not selector:
            return [Failure("InvalidSelector", "the HPA target's scale is missing a selector")]
        found: list[Proposal | Failure] = []
        pods: Sequence[Object] | None = None
        samples: Sequence[Object] | Failure | None = None
        for metric in autoscaler["spec"].get("metrics") or ():
            kind = metric["type"]
            if kind in _ELSEWHERE:
                reason, api = _ELSEWHERE[kind]
                found.append(
                    Failure(reason, f"unable to fetch metrics from {api} metrics API: it is not served")
                )
                continue
            if samples is None:
                samples = await self._samples(namespace, selector)
            if isinstance(samples, Failure):
                found.append(samples)
                continue
            if pods is None:
                pods, _ = await self.context.client.list(PODS, namespace, label_selector=selector)
            try:
                found.append(propose(metric, current, pods, samples, self.context.now()))
            except MetricsMissing as error:
                source = metric["containerResource" if kind == "ContainerResource" else "resource"]
                text = f"failed to get {source['name']} utilization: {error}"
                found.append(Failure(f"FailedGet{kind}Metric", text))
        return found

    async def _samples(self, namespace: str, selector: str) -> Sequence[Object] | Failure:
        path = f"{_METRICS.format(namespace)}?{urlencode({'labelSelector': selector})}"
        try:
            answer = (await self.context.client.request("GET", path)).json()
        except StatusError as error:
            text = f"unable to fetch metrics from resource metrics API: {error.message}"
            return Failure("FailedGetResourceMetric", text)
        items: list[Object] = answer.get("items") or []
        if not items:
            text = "no metrics returned from resource metrics API"
            return Failure("FailedGetResourceMetric", f"unable to get metrics: {text}")
        return items
