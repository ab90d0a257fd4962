"""Eviction: deleting a pod as far as disruption budgets allow. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apimachinery import errors, meta, selectors
from apimachinery.errors import StatusError

Object = dict[str, Any]

#: More disrupted pods than this are not kept in a budget's status.
MAX_DISRUPTED = 2000


def unprotected(pod: Object) -> bool:
    """Pods that no budget counts: over, not started, or on their way out already."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(meta.deletion_timestamp(pod))


def healthy(pod: Object) -> bool:
    condition = meta.condition(pod, "Ready")
    return condition is not None and condition.get("status") == "True"


def budgets_of(pod: Object, budgets: list[Object]) -> list[Object]:
    """The budgets that select the pod."""
    found = []
    for budget in budgets:
        selector = (budget.get("spec") or {}).get("selector")
        if selector is not None and selectors.from_label_selector(selector).matches(meta.labels(pod)):
            found.append(budget)
    return found


def several(pod: Object) -> StatusError:
    return StatusError(
        500, "InternalError",
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    )  # fmt: skip


def ignores_unhealthy(pod: Object, budget: Object) -> bool:
    """Whether a pod that is not ready may go whatever the budget says (unhealthyPodEvictionPolicy)."""
    if healthy(pod):
        return False
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    if spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    current, desired = int(status.get("currentHealthy") or 0), int(status.get("desiredHealthy") or 0)
    return desired > 0 and current >= desired


def charged(budget: Object, pod: str, now: datetime) -> Object:
    """`budget` (changed in place) with one disruption less left. Raises 429 where none is."""
    name, status = meta.name(budget), budget.setdefault("status", {})
    if int(status.get("observedGeneration") or 0) < meta.generation(budget):
        raise _refused(name, f"The disruption budget {name} is still being processed by the server.", 10)
    allowed = int(status.get("disruptionsAllowed") or 0)
    if allowed < 0:
        raise errors.forbidden("poddisruptionbudgets", name, "pdb disruptions allowed is negative", "policy")
    if len(status.get("disruptedPods") or {}) > MAX_DISRUPTED:
        raise errors.forbidden(
            "poddisruptionbudgets",
            name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
            "policy",
        )
    if allowed == 0:
        desired, current = int(status.get("desiredHealthy") or 0), int(status.get("currentHealthy") or 0)
        if current <= desired:
            detail = f"The disruption budget {name} needs {desired} healthy pods and has {current} currently"
        else:
            detail = (
                f"The disruption budget {name} does not allow evicting pods currently because it failed sync"
            )
        raise _refused(name, detail, 0)
    status["disruptionsAllowed"] = allowed - 1
    status["disruptedPods"] = {**(status.get("disruptedPods") or {}), pod: meta.rfc3339(now)}
    return budget


def announced(pod: Object, now: str) -> Object:
    """`pod` (changed in place) with the condition that says that it is to be evicted."""
    condition = {
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }  # fmt: skip
    status = pod.setdefault("status", {})
    status["conditions"] = meta.set_condition(status.get("conditions") or (), condition, now)
    return pod


def _refused(name: str, detail: str, retry_after: int) -> StatusError:
    return errors.too_many_requests(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        retry_after,
        [{"reason": "DisruptionBudget", "message": detail}],
    )
