"""What is accepted with a warning, in the words that kubectl prints."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery import warnings


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}], **spec}}


def container(**fields: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "c", "image": "x", **fields}])


NODE_TERM = {"matchExpressions": [{"key": "beta.kubernetes.io/arch", "operator": "Exists"}]}


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        (
            pod(nodeSelector={"beta.kubernetes.io/os": "linux"}),
            'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        ),
        (
            pod(
                affinity={
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [NODE_TERM]}
                    }
                }
            ),
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
            ".matchExpressions[0].key: beta.kubernetes.io/arch is "
            'deprecated since v1.14; use "kubernetes.io/arch" instead',
        ),
        (
            pod(topologySpreadConstraints=[{"topologyKey": "zone"}]),
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        ),
        (pod(volumes=[{"name": "g", "gitRepo": {}}]), "spec.volumes[0].gitRepo: deprecated in v1.11"),
        (
            pod(imagePullSecrets=[{"name": "a"}, {"name": "a"}]),
            'spec.imagePullSecrets[1].name: duplicate name "a"',
        ),
        (
            pod(terminationGracePeriodSeconds=-1),
            "spec.terminationGracePeriodSeconds: must be >= 0; "
            "negative values are invalid and will be treated as 1",
        ),
        (
            container(resources={"limits": {"memory": "100m"}}),
            'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, '
            "must be an integer",
        ),
        (
            container(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
            'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
        ),
        (
            container(ports=[{"containerPort": 80}, {"containerPort": 80}]),
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
        ),
        (
            container(ports=[{"containerPort": 80}, {"containerPort": 80, "hostPort": 8080}]),
            "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]",
        ),
        (
            {
                **pod(),
                "metadata": {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "x"}, "name": "p"},
            },
            "metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: "
            'non-functional in v1.27+; use the "seccompProfile" field instead',
        ),
    ],
)
def test_pods_and_templates_are_warned_of_alike(obj: dict[str, Any], text: str) -> None:
    assert warnings.of_new("", "pods", obj) == [text]
    deployment = {"metadata": {"name": "d"}, "spec": {"template": obj}}
    assert warnings.of_new("apps", "deployments", deployment) == [
        "spec.template." + text.replace(" with spec", " with spec.template.spec")
    ]
    assert warnings.of_change("apps", "deployments", deployment) == [
        "spec.template." + text.replace(" with spec", " with spec.template.spec")
    ]
    assert warnings.of_change("", "pods", obj) == []


@pytest.mark.parametrize(
    "obj",
    [
        pod(),
        container(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]),
        container(ports=[{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]),
        container(resources={"limits": {"cpu": "100m", "memory": "1Gi"}}),
    ],
)
def test_nothing_to_say(obj: dict[str, Any]) -> None:
    assert warnings.of_new("", "pods", obj) == []


def test_names_that_become_host_names() -> None:
    named = {**pod(), "metadata": {"name": "a.b"}}
    [text] = warnings.of_new("", "pods", named)
    assert text.startswith(
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
        "a DNS label is recommended: [a lowercase RFC 1123 label must consist of"
    )
    daemon = {"metadata": {"name": "a.b"}, "spec": {"template": pod()}}
    assert warnings.of_new("apps", "daemonsets", daemon) == []


def test_the_old_annotation_of_ingresses() -> None:
    ingress = {"metadata": {"name": "i", "annotations": {"kubernetes.io/ingress.class": "x"}}}
    assert warnings.of_new("networking.k8s.io", "ingresses", ingress) == [
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
    ]
