"""RBAC: who may do what, checked against a second, naive reading of the rules."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from objectreader import ObjectReader, pod

from apimachinery import resources
from apiserver import rbac, rbac_defaults
from apiserver.authz import Authorizer, denial
from apiserver.rbac import RoleIndex, Rule
from apiserver.request import Attributes, Object, User

API = "rbac.authorization.k8s.io/v1"
JANE = User("jane", groups=("dev", "system:authenticated"))


def role(name: str, *rules: Object, namespace: str = "", labels: dict[str, str] | None = None) -> Object:
    meta: Object = {"name": name, "labels": labels or {}}
    if namespace:
        meta["namespace"] = namespace
    return {
        "apiVersion": API,
        "kind": "Role" if namespace else "ClusterRole",
        "metadata": meta,
        "rules": list(rules),
    }


def rule(verbs: str, group: str, names_of_resources: str, names: str = "") -> Object:
    made: Object = {"verbs": verbs.split(), "apiGroups": [group], "resources": names_of_resources.split()}
    if names:
        made["resourceNames"] = names.split()
    return made


def binding(name: str, ref: str, *subjects: Object, namespace: str = "", cluster: bool = True) -> Object:
    meta: Object = {"name": name}
    if namespace:
        meta["namespace"] = namespace
    return {
        "apiVersion": API,
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": meta,
        "subjects": list(subjects),
        "roleRef": {"kind": "ClusterRole" if cluster else "Role", "name": ref},
    }


def user(name: str) -> Object:
    return {"kind": "User", "name": name}


def test_a_cluster_role_bound_in_a_namespace_gives_nothing_elsewhere() -> None:
    index = RoleIndex(
        [role("r", rule("get", "", "pods"))], [], [], [binding("b", "r", user("jane"), namespace="a")]
    )
    assert index.allows(Attributes(JANE, "get", resource="pods", namespace="a", name="x"))
    assert not index.allows(Attributes(JANE, "get", resource="pods", namespace="b", name="x"))
    assert not index.allows(Attributes(JANE, "get", resource="pods"))


@pytest.mark.parametrize(
    ("resource", "subresource", "allowed"),
    [("pods", "", False), ("pods", "log", True), ("deployments", "scale", True), ("pods", "exec", False)],
)
def test_subresources_are_resources_of_their_own(resource: str, subresource: str, allowed: bool) -> None:
    index = RoleIndex(
        [role("r", rule("get", "*", "pods/log */scale"))], [], [binding("b", "r", user("jane"))], []
    )
    group = "" if resource == "pods" else "apps"
    assert index.allows(Attributes(JANE, "get", group, "v1", resource, subresource, "a", "x")) is allowed


def test_resource_names_limit_what_is_allowed_and_never_allow_a_list() -> None:
    index = RoleIndex(
        [role("r", rule("get list", "", "secrets", "one two"))], [], [binding("b", "r", user("jane"))], []
    )
    assert index.allows(Attributes(JANE, "get", resource="secrets", namespace="a", name="one"))
    assert not index.allows(Attributes(JANE, "get", resource="secrets", namespace="a", name="three"))
    assert not index.allows(Attributes(JANE, "list", resource="secrets", namespace="a"))
    assert index.allows(Attributes(JANE, "list", resource="secrets", namespace="a", name="two"))


def test_service_accounts_and_groups_are_subjects() -> None:
    index = RoleIndex(
        [role("r", rule("get", "", "pods"))],
        [],
        [
            binding("g", "r", {"kind": "Group", "name": "dev"}),
            binding("s", "r", {"kind": "ServiceAccount", "name": "robot", "namespace": "a"}),
        ],
        [],
    )
    assert index.allows(Attributes(JANE, "get", resource="pods", namespace="z"))
    assert index.allows(
        Attributes(User("system:serviceaccount:a:robot"), "get", resource="pods", namespace="z")
    )
    assert not index.allows(
        Attributes(User("system:serviceaccount:b:robot"), "get", resource="pods", namespace="z")
    )


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/metrics", True), ("/metrics/x", False), ("/logs/", True), ("/logs/a/b", True), ("/healthz", False)],
)
def test_non_resource_paths(path: str, allowed: bool) -> None:
    rules = {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*"]}
    index = RoleIndex([role("r", rules)], [], [binding("b", "r", user("jane"))], [])
    assert index.allows(Attributes(JANE, "get", path=path)) is allowed
    assert not index.allows(Attributes(JANE, "post", path=path))


def test_aggregation_follows_labels_and_survives_a_cycle() -> None:
    top = role("top", labels={"in": "middle"})
    top["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {"in": "top"}}]}
    middle = role("middle", rule("get", "", "pods"), labels={"in": "top"})
    middle["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {"in": "middle"}}]}
    leaf = role("leaf", rule("get", "", "secrets"), labels={"in": "middle"})
    index = RoleIndex([top, middle, leaf], [], [binding("b", "top", user("jane"))], [])
    assert index.allows(Attributes(JANE, "get", resource="pods", namespace="a"))
    assert index.allows(Attributes(JANE, "get", resource="secrets", namespace="a"))


def test_a_denial_reads_as_kubernetes_words_it() -> None:
    authorizer = Authorizer(ObjectReader())
    anonymous = User("system:anonymous", groups=("system:unauthenticated",))
    say = authorizer.authorize
    assert (
        say(Attributes(JANE, "list", "", "v1", "pods", namespace="y"))
        == 'User "jane" cannot list resource "pods" in API group "" in the namespace "y"'
    )
    assert (
        say(Attributes(JANE, "get", "apps", "v1", "deployments", "scale", name="x"))
        == 'User "jane" cannot get resource "deployments/scale" in API group "apps" at the cluster scope'
    )
    assert (
        say(Attributes(anonymous, "get", path="/metrics"))
        == 'User "system:anonymous" cannot get path "/metrics"'
    )


def test_a_binding_to_a_role_that_is_not_there_is_named() -> None:
    authorizer = Authorizer(ObjectReader([binding("b", "gone", user("jane"))]))
    attributes = Attributes(JANE, "get", resource="pods", namespace="a")
    missing = 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'
    assert authorizer.authorize(attributes) == denial(attributes, missing)


def test_the_index_is_built_anew_after_a_change() -> None:
    reader = ObjectReader([role("r", rule("get", "", "pods"))])
    authorizer = Authorizer(reader)
    attributes = Attributes(JANE, "get", resource="pods", namespace="a")
    assert authorizer.authorize(attributes)
    reader.put(binding("b", "r", user("jane")))
    authorizer.invalidate()
    assert authorizer.authorize(attributes) is None


@pytest.mark.parametrize(
    ("who", "attributes", "allowed"),
    [
        (("system:unauthenticated",), {"verb": "get", "path": "/version"}, True),
        (("system:unauthenticated",), {"verb": "get", "path": "/api"}, False),
        (("system:authenticated",), {"verb": "get", "path": "/apis/apps/v1"}, True),
        (("system:authenticated",), {"verb": "get", "path": "/metrics"}, False),
        (("system:masters",), {"verb": "delete", "path": "/metrics"}, True),
        (("system:serviceaccounts",), {"verb": "get", "path": "/openid/v1/jwks"}, True),
    ],
)
def test_default_roles_for_groups(who: tuple[str, ...], attributes: Object, allowed: bool) -> None:
    authorizer = Authorizer(ObjectReader(obj for _, obj in rbac_defaults.defaults()))
    assert (authorizer.authorize(Attributes(User("x", groups=who), **attributes)) is None) is allowed


@pytest.mark.parametrize(
    ("name", "verb", "group", "resource", "allowed"),
    [
        ("view", "get", "", "pods", True),
        ("view", "get", "", "secrets", False),
        ("view", "create", "apps", "deployments", False),
        ("edit", "create", "apps", "deployments", True),
        ("edit", "get", "", "secrets", True),
        ("edit", "create", "rbac.authorization.k8s.io", "roles", False),
        ("admin", "create", "rbac.authorization.k8s.io", "roles", True),
        ("admin", "update", "", "resourcequotas", False),
        ("cluster-admin", "update", "", "resourcequotas", True),
    ],
)
def test_default_roles_for_people(name: str, verb: str, group: str, resource: str, allowed: bool) -> None:
    reader = ObjectReader(obj for _, obj in rbac_defaults.defaults())
    reader.put(binding("b", name, user("jane"), namespace="a"))
    index = Authorizer(reader).index
    assert index.allows(Attributes(JANE, verb, group, "v1", resource, namespace="a")) is allowed


async def test_default_roles_get_back_what_they_lack_and_keep_what_was_added() -> None:
    reader = ObjectReader()
    assert await rbac_defaults.reconcile(reader, reader) > 100
    assert await rbac_defaults.reconcile(reader, reader) == 0
    cluster_roles = resources.get("clusterroles", rbac.GROUP)
    changed = reader.get(cluster_roles, "", "system:kube-dns")
    frozen = reader.get(cluster_roles, "", "system:kube-aggregator")
    assert changed is not None and frozen is not None
    changed["rules"] = [rule("get", "", "nodes")]
    frozen["rules"] = []
    frozen["metadata"]["annotations"][rbac_defaults.AUTOUPDATE] = "false"
    reader.put(changed)
    reader.put(frozen)
    assert await rbac_defaults.reconcile(reader, reader) == 1
    after = reader.get(cluster_roles, "", "system:kube-dns")
    assert after is not None
    assert after["rules"][0] == rule("get", "", "nodes")
    assert not rbac.covers(rbac.rules_of(after), [Rule.of(rule("list watch", "", "endpoints services"))])
    assert await rbac_defaults.reconcile(reader, reader) == 0


# A second implementation, straight from the documentation, and random policies.

_SMALL = {
    "verbs": ["get", "list", "*"],
    "apiGroups": ["", "apps", "*"],
    "resources": ["pods", "pods/log", "*/log", "*"],
    "resourceNames": ["a", "b"],
}
_rules = st.lists(
    st.fixed_dictionaries({
        "verbs": st.lists(st.sampled_from(_SMALL["verbs"]), min_size=1, max_size=2),
        "apiGroups": st.lists(st.sampled_from(_SMALL["apiGroups"]), min_size=1, max_size=2),
        "resources": st.lists(st.sampled_from(_SMALL["resources"]), min_size=1, max_size=2),
        "resourceNames": st.lists(st.sampled_from(_SMALL["resourceNames"]), max_size=1),
    }),
    max_size=3,
)  # fmt: skip
_requests = st.builds(
    Attributes,
    user=st.sampled_from([JANE, User("joe")]),
    verb=st.sampled_from(["get", "list"]),
    group=st.sampled_from(["", "apps"]),
    resource=st.sampled_from(["pods", "nodes"]),
    subresource=st.sampled_from(["", "log", "exec"]),
    namespace=st.sampled_from(["", "a", "b"]),
    name=st.sampled_from(["", "a", "b"]),
)


def _naive(rules: list[Object], a: Attributes) -> bool:
    full = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
    for r in rules:
        resource = "*" in r["resources"] or full in r["resources"]
        resource = resource or bool(a.subresource and f"*/{a.subresource}" in r["resources"])
        if (
            ("*" in r["verbs"] or a.verb in r["verbs"])
            and ("*" in r["apiGroups"] or a.group in r["apiGroups"])
            and resource
            and (not r["resourceNames"] or a.name in r["resourceNames"])
        ):
            return True
    return False


@settings(max_examples=300, deadline=None)
@given(wide=_rules, narrow=_rules, asked=st.lists(_requests, min_size=1, max_size=8))
def test_decisions_match_a_naive_reading(
    wide: list[Object], narrow: list[Object], asked: list[Attributes]
) -> None:
    index = RoleIndex(
        [role("wide", *wide), role("narrow", *narrow)],
        [],
        [binding("c", "wide", user("jane"))],
        [binding("n", "narrow", user("jane"), {"kind": "Group", "name": "dev"}, namespace="a")],
    )
    for a in asked:
        rules = [] if a.user.name != "jane" else wide + (narrow if a.namespace == "a" else [])
        assert index.allows(a) == _naive(rules, a)
        assert index.allows(a) == _naive(rules, a)  # from memory


@settings(max_examples=300, deadline=None)
@given(owned=_rules, wanted=_rules, asked=st.lists(_requests, min_size=1, max_size=8))
def test_what_is_covered_gives_nothing_new(
    owned: list[Object], wanted: list[Object], asked: list[Attributes]
) -> None:
    if rbac.covers([Rule.of(r) for r in owned], [Rule.of(r) for r in wanted]):
        return
    for a in asked:
        assert not _naive(wanted, a) or _naive(owned, a)


def test_missing_rights_are_listed_compactly() -> None:
    missing = rbac.covers([Rule.of(rule("get", "", "pods"))], [Rule.of(rule("get list watch", "", "pods"))])
    assert rbac.compact(missing) == '{APIGroups:[""] Resources:["pods"] Verbs:["list" "watch"]}'.replace(
        "] ", "], "
    )


# Nodes


def _node_reader() -> ObjectReader:
    volumes = [
        {"name": "s", "secret": {"secretName": "mine"}},
        {"name": "p", "projected": {"sources": [{"configMap": {"name": "settings"}}]}},
        {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
    ]
    claim: Object = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {"volumeName": "vol"}}
    claim["metadata"] = {"name": "data", "namespace": "default"}
    mine = pod("p1", nodeName="n1", volumes=volumes, serviceAccountName="robot")
    other = pod("p2", nodeName="n2", volumes=[{"name": "s", "secret": {"secretName": "theirs"}}])
    return ObjectReader([claim, mine, other])


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"verb": "get", "resource": "secrets", "namespace": "default", "name": "mine"}, None),
        ({"verb": "watch", "resource": "secrets", "namespace": "default", "name": "mine"}, None),
        (
            {"verb": "get", "resource": "secrets", "namespace": "default", "name": "theirs"},
            "no relationship found between node 'n1' and this object",
        ),
        ({"verb": "list", "resource": "secrets", "namespace": "default"}, "No Object name found"),
        ({"verb": "update", "resource": "secrets", "namespace": "default", "name": "mine"},
         "can only read resources of this type"),
        ({"verb": "get", "resource": "configmaps", "namespace": "default", "name": "settings"}, None),
        ({"verb": "get", "resource": "persistentvolumeclaims", "namespace": "default", "name": "data"}, None),
        ({"verb": "get", "resource": "persistentvolumes", "name": "vol"}, None),
        ({"verb": "create", "resource": "serviceaccounts", "subresource": "token", "namespace": "default",
          "name": "robot"}, None),
        ({"verb": "create", "resource": "serviceaccounts", "subresource": "token", "namespace": "default",
          "name": "default"}, "no relationship found between node 'n1' and this object"),
        ({"verb": "get", "resource": "pods", "namespace": "default", "name": "p1"}, None),
        ({"verb": "get", "resource": "pods", "namespace": "default", "name": "p2"},
         "no relationship found between node 'n1' and this object"),
        ({"verb": "watch", "resource": "pods", "field_selector": "spec.nodeName=n1"}, None),
        ({"verb": "watch", "resource": "pods", "field_selector": "spec.nodeName=n2"},
         "can only list/watch pods with spec.nodeName field selector"),
        ({"verb": "get", "resource": "nodes", "name": "n1"}, None),
        ({"verb": "get", "resource": "nodes", "name": "n2"}, "node 'n1' cannot read 'n2', only its own Node object"),
        ({"verb": "update", "group": "coordination.k8s.io", "resource": "leases", "namespace": "kube-node-lease",
          "name": "n1"}, None),
        ({"verb": "update", "group": "coordination.k8s.io", "resource": "leases", "namespace": "kube-node-lease",
          "name": "n2"}, "can only access lease with the same name as the requesting node"),
        ({"verb": "create", "resource": "events", "namespace": "default"}, None),
        ({"verb": "delete", "resource": "services", "namespace": "default", "name": "x"}, ""),
    ],
)  # fmt: skip
def test_a_node_touches_only_what_is_its_own(attributes: Object, reason: str | None) -> None:
    node = User("system:node:n1", groups=("system:nodes", "system:authenticated"))
    asked = Attributes(node, **attributes)
    answer = Authorizer(_node_reader()).authorize(asked)
    assert answer == (None if reason is None else denial(asked, reason))
