"""Admission: what nodes, pods of a security level and granters of rights may not."""

from __future__ import annotations

import pytest
from admitting import NODE, make, meta, refused, request, run
from objectreader import namespace, pod

from apimachinery import resources
from apimachinery.errors import StatusError
from apiserver.request import AdmissionRequest, Object, User

# Nodes


async def test_a_new_node_is_tainted_until_it_is_ready() -> None:
    chain, _ = make()
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {}}
    made = (await run(chain, request(node, resource=resources.get("nodes"), user=NODE))).object
    assert made is not None
    assert made["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


def _node(name: str = "n1", **labels: str) -> Object:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}}


@pytest.mark.parametrize(
    ("new", "old", "message"),
    [
        (_node("n2"), _node("n2"), 'node "n1" is not allowed to modify node "n2"'),
        (_node(**{"node-restriction.kubernetes.io/x": "1"}), _node(),
         "is not allowed to modify labels: node-restriction.kubernetes.io/x"),
        (_node(**{"kubernetes.io/role": "1"}), _node(), "is not allowed to modify labels: kubernetes.io/role"),
        ({**_node(), "spec": {"taints": [{"key": "x"}]}}, _node(), 'node "n1" is not allowed to modify taints'),
        (_node(**{"acme.com/x": "1", "kubernetes.io/arch": "amd64"}), _node(), ""),
    ],
)  # fmt: skip
async def test_what_a_node_may_change_of_itself(new: Object, old: Object, message: str) -> None:
    chain, _ = make()
    asked = request(new, "UPDATE", resource=resources.get("nodes"), old=old, user=NODE)
    if message:
        assert (await refused(chain, asked)).message.endswith(f"is forbidden: {message}")
    else:
        await run(chain, asked)


async def test_a_node_writes_only_its_own_pods() -> None:
    chain, _ = make()
    theirs, mine = pod("a", nodeName="n2"), pod("b", nodeName="n1")
    error = await refused(chain, request(None, "DELETE", old=theirs, user=NODE))
    assert error.message.endswith('node "n1" can only delete pods with spec.nodeName set to itself')
    asked = request(theirs, "UPDATE", old=theirs, subresource="status", user=NODE)
    assert "can only update pod status" in (await refused(chain, asked)).message
    await run(chain, request(mine, "UPDATE", old=mine, subresource="status", user=NODE))
    await run(chain, request(None, "DELETE", old=mine, user=NODE))
    error = await refused(chain, request(pod("c", nodeName="n1"), user=NODE))
    assert "can only create mirror pods" in error.message


async def test_a_node_gets_tokens_for_its_pods_only() -> None:
    chain, reader = make()
    volumes = [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]
    reader.put(pod("mine", nodeName="n1", volumes=volumes))
    reader.put(pod("theirs", nodeName="n2", volumes=volumes))
    reader.put(pod("bare", nodeName="n1"))
    accounts = resources.get("serviceaccounts")

    def asks(name: str, **more: str) -> AdmissionRequest:
        reference = {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": f"uid-default-{name}", **more}
        body = {"metadata": meta("default"), "spec": {"boundObjectRef": reference}}
        return request(body, resource=accounts, subresource="token", user=NODE)

    await chain.validate(asks("mine"))
    for asked, message in (
        (asks("theirs"), "node requested token bound to a pod scheduled on a different node"),
        (asks("bare"), 'audience "" not found in pod spec volume'),
        (asks("mine", uid="x"), "does not match the UID in record"),
        (asks("mine", kind="Secret"), "node requested token not bound to a pod"),
    ):
        with pytest.raises(StatusError, match=message):
            await chain.validate(asked)


# PodSecurity


def levels(**modes: str) -> Object:
    return namespace(labels={f"pod-security.kubernetes.io/{mode}": name for mode, name in modes.items()})


async def test_restricted_says_all_that_is_wrong() -> None:
    chain, _ = make(levels(enforce="restricted"))
    error = await refused(chain, request(pod()))
    assert error.message == (
        'pods "p" is forbidden: violates PodSecurity "restricted:latest": '
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )


async def test_a_restricted_pod_passes() -> None:
    chain, _ = make(levels(enforce="restricted"))
    one = pod(securityContext={"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}})
    one["spec"]["containers"][0]["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    await run(chain, request(one))


@pytest.mark.parametrize(
    ("spec", "container", "message"),
    [
        ({"hostNetwork": True, "hostPID": True}, {}, "host namespaces (hostNetwork=true, hostPID=true)"),
        ({}, {"securityContext": {"privileged": True}},
         'privileged (container "c" must not set securityContext.privileged=true)'),
        ({}, {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}},
         'non-default capabilities (container "c" must not include "NET_ADMIN" in securityContext.capabilities.add)'),
        ({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}, {}, 'hostPath volumes (volume "h")'),
        ({}, {"ports": [{"containerPort": 80, "hostPort": 80}]}, 'hostPort (container "c" uses hostPort 80)'),
    ],
)  # fmt: skip
async def test_baseline(spec: Object, container: Object, message: str) -> None:
    chain, _ = make(levels(enforce="baseline"))
    one = pod(**spec)
    one["spec"]["containers"][0].update(container)
    error = await refused(chain, request(one))
    assert error.message == f'pods "p" is forbidden: violates PodSecurity "baseline:latest": {message}'


async def test_a_template_is_warned_of_and_not_refused() -> None:
    chain, _ = make(levels(enforce="baseline", warn="baseline"))
    deployments = resources.get("deployments", "apps")
    spec = {"template": {"metadata": {}, "spec": {"hostNetwork": True, "containers": [{"name": "c"}]}}}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("d"), "spec": spec}
    asked = await run(chain, request(deployment, resource=deployments))
    assert asked.warnings == [
        'would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    ]


async def test_labels_that_cannot_be_read_are_refused() -> None:
    chain, _ = make()
    space = namespace("x", labels={"pod-security.kubernetes.io/enforce": "strict"})
    error = await refused(chain, request(space, resource=resources.get("namespaces")))
    assert error.code == 422
    assert 'Invalid value: "strict": must be one of privileged, baseline, restricted' in error.message


async def test_raising_the_level_names_the_pods_that_violate_it() -> None:
    chain, _ = make(pod(hostNetwork=True), pod("q", hostNetwork=True))
    asked = request(
        levels(enforce="baseline"), "UPDATE", resource=resources.get("namespaces"), old=namespace()
    )
    assert (await run(chain, asked)).warnings == [
        'existing pods in namespace "default" violate the new PodSecurity enforce level "baseline:latest"',
        "p (and 1 other pod): host namespaces",
    ]


# Privilege escalation


async def test_nobody_grants_more_than_he_has() -> None:
    group = "rbac.authorization.k8s.io"
    role = {
        "apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta("own"),
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }  # fmt: skip
    binding = {
        "apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": meta("own"),
        "subjects": [{"kind": "User", "name": "jane"}], "roleRef": {"kind": "Role", "name": "own"},
    }  # fmt: skip
    chain, _ = make(role, binding)
    jane = User("jane", groups=("system:authenticated",))
    roles, bindings = resources.get("roles", group), resources.get("rolebindings", group)
    same = {**role, "metadata": meta("same")}
    await run(chain, request(same, resource=roles, user=jane))
    more = {**same, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "delete"]}]}
    error = await refused(chain, request(more, resource=roles, user=jane))
    assert error.message == (
        'roles.rbac.authorization.k8s.io "same" is forbidden: user "jane" (groups=["system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}'
    )
    missing = {**binding, "metadata": meta("b"), "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}}
    error = await refused(chain, request(missing, resource=bindings, user=jane))
    assert (error.code, error.message) == (
        404,
        'clusterrole.rbac.authorization.k8s.io "cluster-admin" not found',
    )
    await run(chain, request({**binding, "metadata": meta("b")}, resource=bindings, user=jane))


async def test_a_request_that_concerns_nobody_costs_no_look_up() -> None:
    chain, reader = make()
    reader.objects.clear()
    config = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    await run(chain, request(config, "UPDATE", resource=resources.get("nodes"), old=config))
