"""Admission: what the built-in plugins change and refuse, in Kubernetes's words."""

from __future__ import annotations

from typing import Any

import pytest
from admitting import make, meta, refused, request, run
from objectreader import ObjectReader, namespace, pod, service_account

from apimachinery import resources
from apimachinery.resources import Resource
from apiserver import admission
from apiserver.authz import Authorizer
from apiserver.request import Object

# NamespaceLifecycle


async def test_nothing_is_created_in_a_namespace_that_is_not_there() -> None:
    chain, _ = make()
    error = await refused(chain, request(pod(space="nowhere")))
    assert (error.code, error.message) == (404, 'namespaces "nowhere" not found')


async def test_nothing_new_in_a_namespace_that_is_going() -> None:
    chain, _ = make(namespace("going", "Terminating"), service_account(space="going"))
    error = await refused(chain, request(pod(space="going")))
    assert error.message == (
        'pods "p" is forbidden: unable to create new content in namespace going because it is being terminated'
    )
    assert error.details is not None
    assert error.details["causes"][0]["reason"] == "NamespaceTerminating"


async def test_the_namespace_another_server_just_made_is_seen() -> None:
    reader = ObjectReader()

    async def fresh(resource: Resource) -> None:
        reader.put(namespace())
        reader.put(service_account())

    chain = admission.chain(reader, Authorizer(reader), reader, lambda: "abcde", fresh=fresh)
    await run(chain, request(pod()))


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_some_namespaces_stay(name: str) -> None:
    chain, _ = make()
    asked = request(None, "DELETE", resource=resources.get("namespaces"), old=namespace(name))
    error = await refused(chain, asked)
    assert error.message == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


# ServiceAccount


async def test_a_pod_gets_its_account_and_a_token() -> None:
    chain, _ = make()
    spec = (await run(chain, request(pod()))).object["spec"]  # type: ignore[index]
    assert spec["serviceAccountName"] == "default"
    (volume,) = spec["volumes"]
    assert volume["name"] == "kube-api-access-abcde"
    assert volume["projected"]["sources"][0] == {
        "serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}
    }
    assert spec["containers"][0]["volumeMounts"] == [
        {
            "name": "kube-api-access-abcde",
            "readOnly": True,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        }
    ]


@pytest.mark.parametrize(
    ("account", "of_pod", "mounted"),
    [(None, None, True), (False, None, False), (False, True, True), (True, False, False)],
)
async def test_the_pod_has_the_last_word_on_mounting(
    account: bool | None, of_pod: bool | None, mounted: bool
) -> None:
    fields = {} if account is None else {"automountServiceAccountToken": account}
    chain, _ = make(service_account(**fields), accounts=False)
    given = {} if of_pod is None else {"automountServiceAccountToken": of_pod}
    spec = (await run(chain, request(pod(**given)))).object["spec"]  # type: ignore[index]
    assert bool(spec.get("volumes")) is mounted


async def test_an_account_that_is_not_there() -> None:
    chain, _ = make()
    error = await refused(chain, request(pod(serviceAccountName="robot")))
    assert error.message == (
        'pods "p" is forbidden: error looking up service account default/robot: serviceaccount "robot" not found'
    )


async def test_pull_secrets_come_from_the_account() -> None:
    chain, _ = make(service_account(imagePullSecrets=[{"name": "r"}]), accounts=False)
    spec = (await run(chain, request(pod()))).object["spec"]  # type: ignore[index]
    assert spec["imagePullSecrets"] == [{"name": "r"}]


# Small ones


async def test_pods_stay_five_minutes_on_a_lost_node_unless_they_say() -> None:
    chain, _ = make()
    own = {
        "key": "node.kubernetes.io/not-ready",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 5,
    }
    spec = (await run(chain, request(pod(tolerations=[own])))).object["spec"]  # type: ignore[index]
    assert [(t["key"], t["tolerationSeconds"]) for t in spec["tolerations"]] == [
        ("node.kubernetes.io/not-ready", 5),
        ("node.kubernetes.io/unreachable", 300),
    ]
    everything = [{"operator": "Exists"}]
    spec = (await run(chain, request(pod(tolerations=everything)))).object["spec"]  # type: ignore[index]
    assert spec["tolerations"] == everything


def priority_class(name: str, value: int, **more: Any) -> Object:
    return {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, **more}  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, (5, "PreemptLowerPriority", "base")),
        ({"priorityClassName": "high"}, (100, "Never", "high")),
        (
            {"priorityClassName": "system-node-critical"},
            (2000001000, "PreemptLowerPriority", "system-node-critical"),
        ),
    ],
)
async def test_priority_comes_from_the_class(spec: Object, expected: tuple[int, str, str]) -> None:
    chain, _ = make(
        priority_class("base", 5, globalDefault=True), priority_class("high", 100, preemptionPolicy="Never")
    )
    made = (await run(chain, request(pod(**spec)))).object["spec"]  # type: ignore[index]
    assert (made["priority"], made["preemptionPolicy"], made["priorityClassName"]) == expected


async def test_a_pod_sent_back_as_it_was_first_written_keeps_what_was_added() -> None:
    chain, _ = make(priority_class("base", 5, globalDefault=True))
    stored = (await run(chain, request(pod()))).object
    sent = (await run(chain, request(pod(), "UPDATE", old=stored))).object
    assert stored is not None and sent is not None
    for key in ("priority", "preemptionPolicy", "tolerations"):
        assert sent["spec"][key] == stored["spec"][key]


async def test_priority_refusals() -> None:
    chain, _ = make(priority_class("base", 5, globalDefault=True))
    error = await refused(chain, request(pod(priorityClassName="nope")))
    assert error.message == 'pods "p" is forbidden: no PriorityClass with name nope was found'
    error = await refused(chain, request(pod(priority=7)))
    assert "the integer value of priority (7) must not be provided in pod spec" in error.message
    second = priority_class("other", 6, globalDefault=True)
    error = await refused(
        chain, request(second, resource=resources.get("priorityclasses", "scheduling.k8s.io"))
    )
    assert error.message.endswith(
        "PriorityClass base is already marked as default. Only one default can exist"
    )


async def test_a_runtime_class_brings_overhead_and_where_to_run() -> None:
    runtime = {
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "vm"}, "handler": "vm",
        "overhead": {"podFixed": {"cpu": "250m"}}, "scheduling": {"nodeSelector": {"vm": "yes"}},
    }  # fmt: skip
    chain, _ = make(runtime)
    spec = (await run(chain, request(pod(runtimeClassName="vm")))).object["spec"]  # type: ignore[index]
    assert spec["overhead"] == {"cpu": "250m"}
    assert spec["nodeSelector"] == {"vm": "yes"}
    error = await refused(chain, request(pod(runtimeClassName="no")))
    assert error.message == 'pods "p" is forbidden: pod rejected: RuntimeClass "no" not found'
    error = await refused(chain, request(pod(runtimeClassName="vm", nodeSelector={"vm": "no"})))
    assert (
        "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no"
        in error.message
    )


async def test_claims_get_the_default_class_and_a_finalizer() -> None:
    classes = [
        {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
         "metadata": {"name": name, "creationTimestamp": when,
                      "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
        for name, when in (("old", "2020-01-01T00:00:00Z"), ("new", "2021-01-01T00:00:00Z"))
    ]  # fmt: skip
    chain, _ = make(*classes)
    claims = resources.get("persistentvolumeclaims")
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta("c"), "spec": {}}
    made = (await run(chain, request(claim, resource=claims))).object
    assert made is not None
    assert made["spec"]["storageClassName"] == "new"
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    grown = {**made, "spec": {**made["spec"], "resources": {"requests": {"storage": "2Gi"}}}}
    error = await refused(chain, request(grown, "UPDATE", resource=claims, old=made))
    assert "only dynamically provisioned pvc can be resized" in error.message


# LimitRanger


def limit_range(**limit: Any) -> Object:
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": meta("l"), "spec": {"limits": [limit]}}


async def test_limits_fill_in_what_containers_do_not_say() -> None:
    chain, _ = make(
        limit_range(type="Container", default={"cpu": "1", "memory": "1Gi"}, defaultRequest={"cpu": "100m"})
    )
    one = pod()
    one["spec"]["containers"][0]["resources"] = {"limits": {"memory": "2Gi"}}
    made = (await run(chain, request(one))).object
    assert made is not None
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"memory": "2Gi", "cpu": "1"},
        "requests": {"cpu": "100m"},
    }
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    )


@pytest.mark.parametrize(
    ("limit", "of_container", "message"),
    [
        ({"type": "Container", "min": {"cpu": "100m"}}, {"requests": {"cpu": "50m"}},
         "minimum cpu usage per Container is 100m, but request is 50m"),
        ({"type": "Container", "min": {"cpu": "100m"}}, {},
         "minimum cpu usage per Container is 100m.  No request is specified"),
        ({"type": "Container", "max": {"memory": "1Gi"}}, {"limits": {"memory": "2Gi"}},
         "maximum memory usage per Container is 1Gi, but limit is 2Gi"),
        ({"type": "Pod", "max": {"cpu": "1"}}, {"limits": {"cpu": "1500m"}},
         "maximum cpu usage per Pod is 1, but limit is 1500m"),
        ({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}},
         {"limits": {"cpu": "400m"}, "requests": {"cpu": "100m"}},
         "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000"),
    ],
)  # fmt: skip
async def test_limits_are_enforced(limit: Object, of_container: Object, message: str) -> None:
    chain, _ = make(limit_range(**limit))
    one = pod()
    one["spec"]["containers"][0]["resources"] = of_container
    assert (await refused(chain, request(one))).message == f'pods "p" is forbidden: {message}'
