"""What a Job's author says of its pods' ends: podFailurePolicy (KEP-3329) and successPolicy (KEP-3998)."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from controllermanager.plans import indexes
from controllermanager.plans.views import PodView

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Match:
    """The rule that a failed pod matched: its action, and what is said of it where it fails the job."""

    action: str
    message: str


def failure(policy: Object | None, pod: PodView, per_index: bool) -> Match | None:
    """The first rule that matches a failed pod. FailIndex has no meaning without a limit per index."""
    for number, rule in enumerate((policy or {}).get("rules") or ()):
        action = rule["action"]
        if action == "FailIndex" and not per_index:
            continue
        found = _what_matches(rule, pod)
        if found:
            return Match(action, f"{found} matching {action} rule at index {number}")
    return None


def _what_matches(rule: Object, pod: PodView) -> str:
    place = f"{pod.namespace}/{pod.name}"
    if rule.get("onExitCodes") is not None:
        wanted = rule["onExitCodes"]
        values, contained = wanted.get("values") or (), wanted["operator"] == "In"
        for container, code in pod.exit_codes:
            named = wanted.get("containerName")
            if code != 0 and named in (None, container) and (code in values) == contained:
                return f"Container {container} for pod {place} failed with exit code {code}"
        return ""
    for pattern in rule.get("onPodConditions") or ():
        if (pattern["type"], pattern.get("status") or "True") in pod.conditions:
            return f"Pod {place} has condition {pattern['type']}"
    return ""


def success(policy: Object | None, completions: int, done: AbstractSet[int]) -> str:
    """What is said of the first rule that the succeeded indexes fulfil; empty if none."""
    for number, rule in enumerate((policy or {}).get("rules") or ()):
        count, named = rule.get("succeededCount"), rule.get("succeededIndexes")
        wanted = range(completions) if named is None else indexes.parse(named) & set(range(completions))
        reached = len(done & set(wanted))
        if not done or not wanted:
            continue
        if (named is not None and reached == len(wanted)) or (count is not None and reached >= int(count)):
            return f"Matched rules at index {number}"
    return ""
