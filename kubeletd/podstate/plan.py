"""What of a pod's spec decides its life on a node."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kubeletd.podstate.sizes import UNSIZED, Sizes, restart_for, sizes_of

ContainerKind = Literal["init", "sidecar", "container", "ephemeral"]
DEFAULT_GRACE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class ExitRule:
    """A container's restartPolicyRule: does an exit code in (or not in) `codes` restart it, or all of its pod?"""

    codes: frozenset[int]
    inside: bool
    whole_pod: bool = False

    def matches(self, code: int) -> bool:
        return (code in self.codes) is self.inside


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """`restart` is the effective policy: Always, OnFailure or Never."""

    name: str
    kind: ContainerKind
    spec_hash: str
    restart: str = "Always"
    rules: tuple[ExitRule, ...] = ()
    startup_probe: bool = False
    readiness_probe: bool = False
    post_start: bool = False
    startup_grace: int | None = None  # terminationGracePeriodSeconds of the startup probe
    liveness_grace: int | None = None
    sizes: Sizes = UNSIZED
    restart_for: frozenset[str] = frozenset()  # resources whose resize takes a restart


@dataclass(frozen=True, slots=True)
class PodPlan:
    """`delete_grace` is None until the pod is deleted; `containers` are in spec order, init ones first.

    `gone`: the API has no such object any more, so nobody waits for our final delete. `resize_pending`: why (reason,
    message) the node has not yet given its containers the sizes their spec asks for; those here are what it has.
    """

    uid: str
    namespace: str
    name: str
    containers: tuple[ContainerPlan, ...]
    grace: int = DEFAULT_GRACE_SECONDS
    active_deadline: int | None = None
    delete_grace: int | None = None
    gone: bool = False
    generation: int = 0
    resize_pending: tuple[str, str] | None = None
    names: frozenset[str] = field(default_factory=frozenset)

    @property
    def display(self) -> str:
        """`name_namespace(uid)`, as Kubernetes names a pod in messages."""
        return f"{self.name}_{self.namespace}({self.uid})"


def container_hash(container: Mapping[str, Any]) -> str:
    """What must not change under a running container: its name and image, the only mutable part of its spec."""
    identity = json.dumps([container.get("name", ""), container.get("image", "")], separators=(",", ":"))
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def _rules(container: Mapping[str, Any]) -> tuple[ExitRule, ...]:
    rules = []
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        action = rule.get("action")
        if action in ("Restart", "RestartAllContainers") and codes:
            inside = codes.get("operator") == "In"
            whole_pod = action == "RestartAllContainers"
            rules.append(ExitRule(frozenset(codes.get("values") or ()), inside, whole_pod))
    return tuple(rules)


def _container(container: Mapping[str, Any], kind: ContainerKind, pod_policy: str) -> ContainerPlan:
    own = container.get("restartPolicy") or ""
    if kind == "init":
        if own == "Always":
            kind = "sidecar"
        # An init container is run until it succeeds: Always means OnFailure to it.
        restart = own or ("OnFailure" if pod_policy == "Always" else pod_policy)
    elif kind == "ephemeral":
        restart = "Never"
    else:
        restart = own or pod_policy
    startup = container.get("startupProbe")
    liveness = container.get("livenessProbe")
    return ContainerPlan(
        name=container["name"],
        kind=kind,
        spec_hash=container_hash(container),
        restart=restart,
        rules=_rules(container),
        startup_probe=bool(startup) and kind in ("sidecar", "container"),
        readiness_probe=bool(container.get("readinessProbe")) and kind in ("sidecar", "container"),
        post_start=bool((container.get("lifecycle") or {}).get("postStart"))
        and kind in ("sidecar", "container"),
        startup_grace=(startup or {}).get("terminationGracePeriodSeconds"),
        liveness_grace=(liveness or {}).get("terminationGracePeriodSeconds"),
        sizes=sizes_of(container.get("resources")),
        restart_for=restart_for(container),
    )


def plan_of(
    pod: Mapping[str, Any], gone: bool = False, resize_pending: tuple[str, str] | None = None
) -> PodPlan:
    """The plan of a v1 Pod object."""
    meta, spec = pod["metadata"], pod["spec"]
    policy = spec.get("restartPolicy") or "Always"
    containers = [_container(c, "init", policy) for c in spec.get("initContainers") or ()]
    containers += [_container(c, "container", policy) for c in spec.get("containers") or ()]
    containers += [_container(c, "ephemeral", policy) for c in spec.get("ephemeralContainers") or ()]
    grace = spec.get("terminationGracePeriodSeconds")
    delete_grace = None
    if meta.get("deletionTimestamp"):
        delete_grace = meta.get("deletionGracePeriodSeconds")
        if delete_grace is None:
            delete_grace = grace if grace is not None else DEFAULT_GRACE_SECONDS
    elif gone:
        delete_grace = grace if grace is not None else DEFAULT_GRACE_SECONDS
    return PodPlan(
        uid=meta["uid"],
        namespace=meta["namespace"],
        name=meta["name"],
        containers=tuple(containers),
        grace=DEFAULT_GRACE_SECONDS if grace is None else grace,
        active_deadline=spec.get("activeDeadlineSeconds"),
        delete_grace=delete_grace,
        gone=gone,
        generation=meta.get("generation") or 0,
        resize_pending=resize_pending,
        names=frozenset(c.name for c in containers),
    )
