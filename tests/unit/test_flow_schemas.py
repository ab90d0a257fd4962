"""Which flow schema a request belongs to, how the default objects are kept, and how requests wait."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from apiserver import requestinfo
from apiserver.flowcontrol import defaults, maintenance, schema
from apiserver.flowcontrol.filter import Class, FlowControl, Rejected
from apiserver.flowcontrol.schema import Digest, FlowSchema
from apiserver.flowcontrol.sizes import LevelSpec
from apiserver.request import User

Object = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"
ALICE = User("alice", groups=("dev", "system:authenticated"))


def account(namespace: str, name: str) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups=groups)


def flow_schema(*rules: Object, name: str = "s", level: str = "l", precedence: int = 1) -> Object:
    return {
        "apiVersion": defaults.API_VERSION,
        "kind": "FlowSchema",
        "metadata": {"name": name, "generation": 1},
        "spec": {
            "priorityLevelConfiguration": {"name": level},
            "matchingPrecedence": precedence,
            "rules": list(rules),
        },
    }


def matches(subject: Object, rule: Object, digest: Digest) -> bool:
    kind = "nonResourceRules" if "nonResourceURLs" in rule else "resourceRules"
    return FlowSchema.of(flow_schema({"subjects": [subject], kind: [rule]})).matches(digest)


ANYBODY: Object = {"kind": "User", "user": {"name": "*"}}
ANYTHING: Object = {
    "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True,
}  # fmt: skip
PODS = Digest(ALICE, "list", "", "pods", "a")


@pytest.mark.parametrize(
    ("subject", "user", "matched"),
    [
        ({"kind": "User", "user": {"name": "alice"}}, ALICE, True),
        ({"kind": "User", "user": {"name": "bob"}}, ALICE, False),
        (ANYBODY, ALICE, True),
        ({"kind": "Group", "group": {"name": "dev"}}, ALICE, True),
        ({"kind": "Group", "group": {"name": "*"}}, ALICE, True),
        ({"kind": "Group", "group": {"name": "ops"}}, ALICE, False),
        (
            {"kind": "ServiceAccount", "serviceAccount": {"namespace": "a", "name": "x"}},
            account("a", "x"),
            True,
        ),
        (
            {"kind": "ServiceAccount", "serviceAccount": {"namespace": "a", "name": "x"}},
            account("b", "x"),
            False,
        ),
        (
            {"kind": "ServiceAccount", "serviceAccount": {"namespace": "a", "name": "*"}},
            account("a", "y"),
            True,
        ),
        (
            {"kind": "ServiceAccount", "serviceAccount": {"namespace": "a", "name": "*"}},
            account("ab", "y"),
            False,
        ),
    ],
)
def test_whom_a_rule_is_about(subject: Object, user: User, matched: bool) -> None:
    assert matches(subject, ANYTHING, Digest(user, "get", "", "pods", "a")) is matched


@pytest.mark.parametrize(
    ("rule", "digest", "matched"),
    [
        (ANYTHING, PODS, True),
        (ANYTHING | {"verbs": ["get", "list"]}, PODS, True),
        (ANYTHING | {"verbs": ["get"]}, PODS, False),
        (ANYTHING | {"apiGroups": ["apps"]}, PODS, False),
        (ANYTHING | {"resources": ["pods"]}, PODS, True),
        (ANYTHING | {"resources": ["pods"]}, Digest(ALICE, "get", "", "pods/status", "a"), False),
        (ANYTHING | {"resources": ["pods/status"]}, Digest(ALICE, "get", "", "pods/status", "a"), True),
        (ANYTHING | {"namespaces": ["b"]}, PODS, False),
        (ANYTHING | {"namespaces": ["a", "b"], "clusterScope": False}, PODS, True),
        (ANYTHING | {"clusterScope": False}, Digest(ALICE, "list", "", "pods"), False),
        (ANYTHING | {"namespaces": []}, Digest(ALICE, "list", "", "nodes"), True),
        (ANYTHING, Digest(ALICE, "get", path="/version"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}, Digest(ALICE, "get", path="/healthz"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}, Digest(ALICE, "get", path="/healthz/x"), False),
        ({"verbs": ["*"], "nonResourceURLs": ["/healthz/*"]}, Digest(ALICE, "get", path="/healthz/x"), True),
        ({"verbs": ["post"], "nonResourceURLs": ["*"]}, Digest(ALICE, "get", path="/healthz"), False),
        ({"verbs": ["*"], "nonResourceURLs": ["*"]}, PODS, False),
    ],
)
def test_what_a_rule_is_about(rule: Object, digest: Digest, matched: bool) -> None:
    assert matches(ANYBODY, rule, digest) is matched


def test_precedence_and_then_the_name_decide() -> None:
    rule = {"subjects": [ANYBODY], "resourceRules": [ANYTHING]}
    made = [
        FlowSchema.of(flow_schema(rule, name=name, precedence=precedence))
        for name, precedence in (("late", 20), ("b", 10), ("a", 10))
    ]
    chosen = schema.choose(schema.in_order(made), PODS)
    assert chosen is not None and chosen.name == "a"


@pytest.mark.parametrize(
    ("user", "method", "target", "expected"),
    [
        (User("admin", groups=("system:masters",)), "GET", "/api/v1/nodes", "exempt"),
        (User("system:anonymous", groups=("system:unauthenticated",)), "GET", "/livez", "probes"),
        (User("system:anonymous", groups=("system:unauthenticated",)), "GET", "/version", "global-default"),
        (
            User("system:kube-scheduler", groups=("system:authenticated",)),
            "PUT",
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/s",
            "system-leader-election",
        ),
        (User("system:kube-scheduler"), "GET", "/api/v1/pods", "kube-scheduler"),
        (
            account("kube-system", "endpoint-controller"),
            "PUT",
            "/api/v1/namespaces/a/endpoints/e",
            "endpoint-controller",
        ),
        (account("kube-system", "x"), "GET", "/api/v1/pods", "kube-system-service-accounts"),
        (account("a", "x"), "GET", "/api/v1/pods", "service-accounts"),
        (
            User("system:node:n", groups=("system:nodes",)),
            "PATCH",
            "/api/v1/nodes/n/status",
            "system-node-high",
        ),
        (User("system:node:n", groups=("system:nodes",)), "GET", "/api/v1/pods", "system-nodes"),
        (User("system:kube-controller-manager"), "GET", "/api/v1/pods", "kube-controller-manager"),
        (ALICE, "GET", "/api/v1/pods", "global-default"),
        (User("nobody"), "GET", "/api/v1/pods", "catch-all"),
    ],
)
def test_the_default_schemas(user: User, method: str, target: str, expected: str) -> None:
    found = controlling().classify(user, requestinfo.parse(method, target))
    assert found.counts.schema == expected


def test_flows_are_told_apart_by_user_or_namespace() -> None:
    flow = controlling()

    def of(user: User, target: str) -> str:
        return flow.classify(user, requestinfo.parse("GET", target)).flow

    assert of(account("a", "x"), "/api/v1/namespaces/a/pods") == of(account("a", "x"), "/api/v1/nodes")
    assert of(account("a", "x"), "/api/v1/nodes") != of(account("a", "y"), "/api/v1/nodes")
    system = account("kube-system", "x"), account("kube-system", "y")
    assert of(system[0], "/api/v1/namespaces/a/pods") == of(system[1], "/api/v1/namespaces/a/pods")
    assert of(system[0], "/api/v1/namespaces/a/pods") != of(system[0], "/api/v1/namespaces/b/pods")


def controlling(total: int = 600, *more: LevelSpec, wait: float = 15.0) -> FlowControl:
    flow = FlowControl(total, wait)
    levels = [*map(LevelSpec.of, defaults.levels()), *more]
    flow.configure(levels, map(FlowSchema.of, defaults.schemas()))
    return flow


def test_everything_is_made_where_nothing_is() -> None:
    writes = maintenance.plan([], [], NOW)
    assert all(write.create for write in writes)
    assert len(writes) == len(defaults.levels()) + len(defaults.schemas())
    levels, schemas = maintenance.effective([], [])
    assert [obj["metadata"]["name"] for obj in levels] == ["exempt", "catch-all"]
    assert [obj["metadata"]["name"] for obj in schemas] == ["exempt", "catch-all"]


def stored(objects: list[Object], **changes: Object) -> list[Object]:
    """Default objects as they are stored, some of them changed."""
    made = []
    for obj in objects:
        name = obj["metadata"]["name"]
        change = changes.get(name.replace("-", "_"), {})
        metadata = obj["metadata"] | {"generation": 1} | change.get("metadata", {})
        made.append(obj | {"metadata": metadata, "spec": obj["spec"] | change.get("spec", {})})
    return made


def changed(*levels: Object, **changes: Object) -> list[str]:
    """The names of the levels that are to be written."""
    writes = maintenance.plan(stored(defaults.levels(), **changes), defaults.schemas(), NOW)
    return [w.object["metadata"]["name"] for w in writes if not w.status]


def test_what_is_as_it_must_be_is_left_alone() -> None:
    assert changed() == []


def test_a_suggested_object_is_restored_unless_it_says_otherwise() -> None:
    other: Object = {"spec": {"limited": {}}}
    assert changed(system=other) == ["system"]
    assert changed(system=other | {"metadata": {"annotations": {defaults.AUTOUPDATE: "false"}}}) == []
    assert changed(catch_all=other | {"metadata": {"annotations": {defaults.AUTOUPDATE: "false"}}}) == [
        "catch-all"
    ]


def test_an_object_that_says_nothing_is_kept_if_nobody_has_changed_it() -> None:
    levels = stored(
        defaults.levels(), system={"metadata": {"annotations": {}, "generation": 2}, "spec": {"x": 1}}
    )
    (write,) = [w for w in maintenance.plan(levels, defaults.schemas(), NOW) if not w.status]
    assert write.object["metadata"]["annotations"] == {defaults.AUTOUPDATE: "false"}
    assert write.object["spec"]["x"] == 1
    levels = stored(defaults.levels(), system={"metadata": {"annotations": {}}, "spec": {"x": 1}})
    (write,) = [w for w in maintenance.plan(levels, defaults.schemas(), NOW) if not w.status]
    assert write.object["metadata"]["annotations"] == {defaults.AUTOUPDATE: "true"}
    assert "x" not in write.object["spec"]


def test_what_exempt_requests_reserve_is_the_administrators_to_say() -> None:
    assert changed(exempt={"spec": {"exempt": {"nominalConcurrencyShares": 9}}}) == []


def test_other_conditions_of_a_schema_stay() -> None:
    mine = flow_schema(name="mine", level="gone")
    mine["status"] = {"conditions": [{"type": "Mine", "status": "True"}]}
    writes = [w for w in maintenance.plan([], [mine], NOW) if w.status]
    (write,) = writes
    first, second = write.object["status"]["conditions"]
    assert first == {"type": "Mine", "status": "True"}
    assert (second["type"], second["status"], second["lastTransitionTime"]) == ("Dangling", "True", NOW)
    assert [w for w in maintenance.plan([], [write.object], NOW) if w.status] == []


def waiting_level(wait: float) -> tuple[FlowControl, Class]:
    spec = LevelSpec("one", shares=1, queues=1, hand_size=1, queue_length=5)
    flow = FlowControl(1, wait)
    everybody = {"subjects": [ANYBODY], "resourceRules": [ANYTHING]}
    flow.configure([spec], [FlowSchema.of(flow_schema(everybody, level="one"))])
    found = flow.classify(ALICE, requestinfo.parse("GET", "/api/v1/nodes"))
    assert flow.take(found)
    return flow, found


def connection() -> Any:
    return SimpleNamespace(transport=object(), on_change=None)


def test_a_request_waits_no_longer_than_it_may() -> None:
    async def run() -> None:
        flow, found = waiting_level(0.001)
        with pytest.raises(Rejected, match="time-out"):
            await flow.wait(found, connection())
        assert (flow.seats.waiting, found.counts.waiting) == (0, 0)
        assert found.counts.rejected == {"time-out": 1}

    asyncio.run(run())


def test_a_request_that_is_cancelled_gives_its_place_or_its_seat_back() -> None:
    async def run() -> None:
        flow, found = waiting_level(60)
        first, second = (asyncio.ensure_future(flow.wait(found, connection())) for _ in range(2))
        await asyncio.sleep(0)
        assert flow.seats.waiting == 2
        first.cancel()
        await asyncio.wait([first])
        assert flow.seats.waiting == 1
        # The seat comes and the request goes in the same turn of the loop.
        flow.release(found)
        second.cancel()
        await asyncio.wait([second])
        assert flow.seats.waiting == 0
        assert second.cancelled()
        assert flow.take(found)

    asyncio.run(run())
