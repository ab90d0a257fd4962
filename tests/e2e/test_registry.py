"""Images from a registry that wants a password: who gets them, what is told of it, whose they are afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import privateregistry
import pytest
from busyboximage import NAME as LOCAL
from localcluster import LocalCluster, is_ready, until, waiting_reason
from privateregistry import PrivateRegistry
from test_pods_on_containers import SLEEP, pod

pytestmark = pytest.mark.e2e

NAMESPACE = "registry"
BACK_OFF = ("ErrImagePull", "ImagePullBackOff")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRegistry]:
    with privateregistry.serve(tmp_path_factory.mktemp("registry")) as made:
        yield made


def wanting(name: str, image: str, *secrets: str, policy: str = "", **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": image, "command": ["sh", "-c", SLEEP]}
    if policy:
        container["imagePullPolicy"] = policy
    if secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in secrets]
    return pod(name, NAMESPACE, container, **spec)


@pytest.fixture(scope="module")
def made(cluster: LocalCluster, registry: PrivateRegistry) -> Iterator[dict[str, str]]:
    """All the pods, at once; gives the digests of the images."""
    names = (
        "team/own",
        "team/account",
        "team/several",
        "team/digest",
        "team/newest",
        "team/late",
        "team/shown",
    )
    digests = {name: registry.push(name) for name in names}
    digests["team/newest:latest"] = registry.push("team/newest", "latest")
    port = registry.address.rpartition(":")[2]
    by_digest = f"{registry.address}/team/digest@{digests['team/digest']}"
    account = {
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller", "namespace": NAMESPACE},
        "imagePullSecrets": [{"name": "legacy"}],
    }  # fmt: skip
    volume = {"name": "v", "image": {"reference": registry.name("team/shown")}}
    showing = wanting("shows-one", LOCAL, "right", volumes=[volume])
    showing["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": "/shown"}]
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        registry.secret("right", NAMESPACE),
        registry.secret("legacy", NAMESPACE, legacy=True),
        registry.secret("wrong", NAMESPACE, password="open-sesame", server=f"{registry.address}/team"),
        registry.secret("by-pattern", NAMESPACE, server=f"http://*.0.0.1:{port}/v2/"),
        registry.secret("of-another", NAMESPACE, server="127.0.0.1"),
        account,
    )
    cluster.apply(
        wanting("by-secret", registry.name("team/own"), "right"),
        wanting("by-account", registry.name("team/account"), serviceAccountName="puller"),
        wanting("several", registry.name("team/several"), "of-another", "wrong", "by-pattern"),
        wanting("by-digest", by_digest, "right"),
        wanting("by-both", f"{registry.name('team/digest')}@{digests['team/digest']}", "right"),
        wanting("newest", f"{registry.address}/team/newest", "right"),
        wanting("without", registry.name("team/late"), "of-another"),
        wanting("refused", registry.name("team/late"), "wrong"),
        wanting("late", registry.name("team/late"), "later"),
        wanting("no-such-tag", registry.name("team/own", "2"), "right"),
        wanting("never", registry.name("team/late"), "right", policy="Never"),
        wanting("never-here", LOCAL, policy="Never"),
        wanting("no-name", "Not/A::name"),
        showing,
    )
    yield digests
    cluster.pybctl("delete", "namespace", NAMESPACE, "--wait")


def found(cluster: LocalCluster, name: str, *reasons: str) -> dict[str, Any]:
    """The pod once it is ready, or its container waits for one of the reasons."""

    def looks() -> dict[str, Any]:
        current = cluster.pod(name, NAMESPACE)
        fine = waiting_reason(current) in reasons if reasons else is_ready(current)
        return current if fine else {}

    return until(looks, 120, f"{name}: {cluster.pod(name, NAMESPACE).get('status')}")


def events(cluster: LocalCluster, name: str, reason: str) -> list[str]:
    fields = f"involvedObject.name={name},reason={reason}"
    return [
        e.message or "" for e in cluster.core.list_namespaced_event(NAMESPACE, field_selector=fields).items
    ]


def told(cluster: LocalCluster, name: str, reason: str, text: str) -> None:
    until(
        lambda: any(text in said for said in events(cluster, name, reason)),
        30,
        f"{reason} {text!r} of {name}",
    )


def message(current: dict[str, Any]) -> str:
    return str(current["status"]["containerStatuses"][0]["state"]["waiting"]["message"])


def test_pull_secrets_of_pods_and_accounts(
    cluster: LocalCluster, registry: PrivateRegistry, made: dict[str, str]
) -> None:
    for name, repository in (
        ("by-secret", "team/own"), ("by-account", "team/account"), ("several", "team/several"),
        ("by-digest", "team/digest"), ("by-both", "team/digest"),
    ):  # fmt: skip
        status = found(cluster, name)["status"]["containerStatuses"][0]
        assert status["imageID"] == f"{registry.address}/{repository}@{made[repository]}"
    image = registry.name("team/own")
    assert found(cluster, "by-secret")["status"]["containerStatuses"][0]["image"] == image
    assert events(cluster, "by-secret", "Pulling") == [f'Pulling image "{image}"']
    (pulled,) = events(cluster, "by-secret", "Pulled")
    took = r"[0-9.]+m?s"
    words = rf'Successfully pulled image "{image}" in {took} \({took} including waiting\)\. Image size: \d+ bytes\.'
    assert re.fullmatch(words, pulled)
    assert found(cluster, "shows-one")


def test_pull_policies(cluster: LocalCluster, registry: PrivateRegistry, made: dict[str, str]) -> None:
    newest = found(cluster, "newest")
    assert newest["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    shown = f"{registry.address}/team/newest@{made['team/newest:latest']}"
    assert newest["status"]["containerStatuses"][0]["imageID"] == shown
    found(cluster, "never-here")
    text = f'Container image "{LOCAL}" already present on machine and can be accessed by the pod'
    assert events(cluster, "never-here", "Pulled") == [text]
    text = f'Container image "{registry.name("team/late")}" is not present with pull policy of Never'
    assert message(found(cluster, "never", "ErrImageNeverPull")) == text
    told(cluster, "never", "ErrImageNeverPull", text)
    text = (
        'Failed to apply default image tag "Not/A::name": couldn\'t parse image name "Not/A::name": invalid'
    )
    assert text in message(found(cluster, "no-name", "InvalidImageName"))
    told(cluster, "no-name", "InspectFailed", text)


def test_pulls_that_fail_say_why_and_back_off(
    cluster: LocalCluster, registry: PrivateRegistry, made: dict[str, str]
) -> None:
    late, missing = registry.name("team/late"), registry.name("team/own", "2")
    for name, image, why in (
        ("without", late, "no basic auth credentials"),
        ("refused", late, "unauthorized"),
        ("no-such-tag", missing, "manifest unknown"),
    ):
        said = message(found(cluster, name, *BACK_OFF))
        assert why in said
        told(cluster, name, "Failed", f'Failed to pull image "{image}": ')
        told(cluster, name, "Failed", "Error: ErrImagePull")
        told(cluster, name, "BackOff", f'Back-off pulling image "{image}"')
        said = message(found(cluster, name, "ImagePullBackOff"))
        assert said.startswith(f'Back-off pulling image "{image}": ErrImagePull: ') and why in said
    told(
        cluster,
        "late",
        "FailedToRetrieveImagePullSecret",
        "Unable to retrieve some image pull secrets (later); ",
    )
    cluster.apply(registry.secret("later", NAMESPACE))
    found(cluster, "late")


def test_images_are_for_pods_that_may_pull_them(
    cluster: LocalCluster, registry: PrivateRegistry, made: dict[str, str]
) -> None:
    """KEP-2535: what a secret was needed for is not everybody's because it is on the node."""
    image = registry.name("team/own")
    found(cluster, "by-secret")
    cluster.apply(
        registry.secret("equal", NAMESPACE),
        wanting("again", image, "right"),
        wanting("equally", image, "equal"),
        wanting("stranger", image),
        wanting("stranger-never", image, policy="Never"),
    )
    assert "no basic auth credentials" in message(found(cluster, "stranger", *BACK_OFF))
    text = f'Container image "{image}" is not present with pull policy of Never'
    assert message(found(cluster, "stranger-never", "ErrImageNeverPull")) == text
    for name in ("again", "equally"):
        found(cluster, name)
        text = f'Container image "{image}" already present on machine and can be accessed by the pod'
        assert events(cluster, name, "Pulled") == [text]
