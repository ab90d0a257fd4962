"""kubernetes_asyncio, kr8s, lightkube and kopf: a small flow of each, kopf's also on a kind of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kr8s
import lightkube
import pytest
from kr8s.asyncio.objects import ConfigMap as Kr8sConfigMap
from kr8s.asyncio.objects import Deployment as Kr8sDeployment
from kr8s.asyncio.objects import Pod as Kr8sPod
from kubernetes_asyncio import client as aclient
from kubernetes_asyncio import config as aconfig
from kubernetes_asyncio import watch as awatch
from kubernetes_asyncio.client.exceptions import ApiException
from lightkube.codecs import load_all_yaml
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Event, Pod
from lightkube.types import PatchType

from pytest_pybernetes.servers import KubeServer

from .manifests import widgets

SECONDS = 30


async def test_kubernetes_asyncio(kube_cluster: KubeServer, kube_cluster_namespace: str) -> None:
    space = kube_cluster_namespace
    api = await aconfig.new_client_from_config(str(kube_cluster.kubeconfig))
    async with api, asyncio.timeout(SECONDS):
        core = aclient.CoreV1Api(api)
        body = aclient.V1ConfigMap(metadata=aclient.V1ObjectMeta(name="c"), data={"a": "1"})
        made = await core.create_namespaced_config_map(space, body)
        await core.patch_namespaced_config_map("c", space, {"data": {"a": "2"}})
        await core.delete_namespaced_config_map("c", space)
        seen = []
        async with awatch.Watch() as watching:
            async for event in watching.stream(
                core.list_namespaced_config_map, space, resource_version=made.metadata.resource_version
            ):
                seen.append((event["type"], event["object"].data))
                if len(seen) == 2:
                    break
        assert seen == [("MODIFIED", {"a": "2"}), ("DELETED", {"a": "2"})]
        with pytest.raises(ApiException) as missing:
            await core.read_namespaced_config_map("c", space)
        assert missing.value.status == 404


async def test_kr8s(kube_cluster: KubeServer, kube_cluster_namespace: str) -> None:
    space = kube_cluster_namespace
    api = await kr8s.asyncio.api(kubeconfig=str(kube_cluster.kubeconfig), namespace=space)
    async with asyncio.timeout(SECONDS):
        assert (await api.version())["minor"] == "36"
        assert await api.whoami() == "kubernetes-admin"
        deployment = await Kr8sDeployment(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "web", "namespace": space},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": {"app": "web"}},
                    "template": {
                        "metadata": {"labels": {"app": "web"}},
                        "spec": {"containers": [{"name": "c", "image": "nginx:1"}]},
                    },
                },
            },
            api=api,
        )
        await deployment.create()
        await deployment.wait("condition=Available")
        await deployment.scale(2)
        await deployment.wait("jsonpath='{.status.readyReplicas}'=2")
        pods = [pod async for pod in api.get("pods", namespace=space, label_selector="app=web")]
        assert all(isinstance(pod, Kr8sPod) for pod in pods)
        assert [await pod.ready() for pod in pods] == [True] * 2
        await deployment.label(tier="front")
        assert deployment.labels["tier"] == "front"
        settings = await Kr8sConfigMap(
            {"metadata": {"name": "c", "namespace": space}, "data": {"a": "1"}}, api=api
        )
        await settings.create()
        await settings.patch([{"op": "add", "path": "/data/b", "value": "2"}], type="json")
        assert settings.data == {"a": "1", "b": "2"}
        await settings.delete()
        assert not await settings.exists()
        with pytest.raises(kr8s.NotFoundError):
            await Kr8sConfigMap.get("c", namespace=space, api=api)
        await deployment.delete()


def test_lightkube(kube_cluster: KubeServer, kube_cluster_namespace: str) -> None:
    space = kube_cluster_namespace
    config = lightkube.KubeConfig.from_file(kube_cluster.kubeconfig)
    client = lightkube.Client(config, namespace=space, field_manager="lightkube")
    container = Container(name="c", image="nginx:1")
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels={"app": "web"}), spec=PodSpec(containers=[container])
    )
    spec = DeploymentSpec(selector=LabelSelector(matchLabels={"app": "web"}), template=template, replicas=1)
    client.create(Deployment(metadata=ObjectMeta(name="web", namespace=space), spec=spec))
    client.wait(Deployment, "web", for_conditions=["Available"])
    scale = client.get(Deployment.Scale, "web")
    assert scale.spec is not None
    scale.spec.replicas = 0
    client.replace(scale, "web")
    assert client.get(Deployment, "web").spec.replicas == 0
    settings = ConfigMap(
        apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="c", namespace=space), data={"a": "1"}
    )
    assert client.apply(settings).data == {"a": "1"}
    with pytest.raises(ApiError) as conflict:
        client.apply(ConfigMap(
            apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="c", namespace=space), data={"a": "2"}
        ), field_manager="other")  # fmt: skip
    assert (conflict.value.status.code, conflict.value.status.reason) == (409, "Conflict")
    patched = client.patch(ConfigMap, "c", {"data": {"b": "2"}}, patch_type=PatchType.MERGE)
    assert patched.data == {"a": "1", "b": "2"}
    events = client.watch(ConfigMap, fields={"metadata.name": "c"}, server_timeout=SECONDS)
    assert next(iter(events))[0] == "ADDED"
    assert {item.metadata.name for item in client.list(ConfigMap)} == {"c", "kube-root-ca.crt"}
    client.delete(ConfigMap, "c")
    client.delete(Deployment, "web")
    assert [pod for pod in client.list(Pod) if not pod.metadata.deletionTimestamp] == []


def gone_from(client: Any, kind: Any, name: str) -> None:
    """Deletes an object and waits until it is gone, by a watch from the version before.

    The operator may be done with it before a watch of what there is begins.
    """
    seen = client.get(kind, name).metadata.resourceVersion
    client.delete(kind, name)
    events = client.watch(kind, fields={"metadata.name": name}, server_timeout=SECONDS, resource_version=seen)
    assert any(event == "DELETED" for event, _ in events)


OPERATOR = """
import kopf

@kopf.on.startup()
def settings(settings: kopf.OperatorSettings, **_):
    settings.watching.server_timeout = 60

@kopf.on.create("", "v1", "configmaps", labels={"greet": kopf.PRESENT})
def greet(body, meta, patch, **_):
    kopf.info(body, reason="Greeted", message="hello")
    patch.setdefault("data", {})["greeting"] = f"hello {meta.name}"

@kopf.on.update("", "v1", "configmaps", labels={"greet": kopf.PRESENT}, field="data.name")
def renamed(old, new, patch, **_):
    patch.setdefault("data", {})["was"] = str(old)

@kopf.on.delete("", "v1", "configmaps", labels={"greet": kopf.PRESENT})
def farewell(**_):
    pass
"""


@contextmanager
def kopf(cluster: KubeServer, namespace: str, operator: Path, log: Path) -> Iterator[None]:
    """The operator runs; afterwards it ends as told, without complaint."""
    command = [sys.executable, "-P", "-m", "kopf", "run", "--standalone", "-n", namespace, str(operator)]
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    with log.open("wb") as output:
        running = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield
    finally:
        running.terminate()
        code = running.wait(SECONDS)
    assert code == 0, log.read_text()


def test_kopf_on_configmaps(kube_cluster: KubeServer, kube_cluster_namespace: str, tmp_path: Path) -> None:
    """Handlers of creation, update and deletion: annotations, finalizers, patches and events of a real operator."""
    space = kube_cluster_namespace
    operator = tmp_path / "operator.py"
    operator.write_text(OPERATOR)
    client = lightkube.Client(lightkube.KubeConfig.from_file(kube_cluster.kubeconfig), namespace=space)
    settings = ConfigMap(
        metadata=ObjectMeta(name="c", namespace=space, labels={"greet": "me"}), data={"name": "a"}
    )

    def until(condition: Any) -> ConfigMap:
        events = client.watch(ConfigMap, fields={"metadata.name": "c"}, server_timeout=SECONDS)
        return next(obj for kind, obj in events if condition(kind, obj.data or {}))

    with kopf(kube_cluster, space, operator, tmp_path / "log"):
        client.create(settings)
        greeted = until(lambda kind, data: "greeting" in data)
        assert greeted.data["greeting"] == "hello c"
        assert greeted.metadata.finalizers == ["kopf.zalando.org/KopfFinalizerMarker"]
        client.patch(ConfigMap, "c", {"data": {"name": "b"}}, patch_type=PatchType.MERGE)
        assert until(lambda kind, data: "was" in data).data["was"] == "a"
        gone_from(client, ConfigMap, "c")
    events = [event.reason for event in client.list(Event) if event.involvedObject.name == "c"]
    assert "Greeted" in events, (tmp_path / "log").read_text()


WIDGETS_OPERATOR = """
import kopf

@kopf.on.create("widgets")
def create(body, spec, name, namespace, **_):
    return {"made": spec["size"]}

@kopf.timer("widgets", interval=0.2)
def tick(status, patch, **_):
    patch.status["ticks"] = status.get("ticks", 0) + 1

@kopf.on.field("widgets", field="spec.size")
def resized(old, new, patch, **_):
    patch.status["resized"] = f"{old} to {new}"

@kopf.on.delete("widgets")
def delete(**_):
    pass
"""


def test_kopf_on_a_kind_of_its_own(
    kube_cluster: KubeServer, kube_cluster_namespace: str, tmp_path: Path
) -> None:
    """Finalizers, timers, results of handlers and patches of the status, as operators have them."""
    space = kube_cluster_namespace
    group = f"{space}.example.com"
    operator = tmp_path / "operator.py"
    operator.write_text(WIDGETS_OPERATOR)
    client = lightkube.Client(lightkube.KubeConfig.from_file(kube_cluster.kubeconfig), namespace=space)
    [definition] = load_all_yaml(widgets(group))
    client.create(definition)
    client.wait(type(definition), f"widgets.{group}", for_conditions=["Established"])
    widget = create_namespaced_resource(group, "v1", "Widget", "widgets")

    def until(condition: Any) -> Any:
        events = client.watch(widget, fields={"metadata.name": "w"}, server_timeout=SECONDS)
        return next(obj for kind, obj in events if condition(kind, obj.get("status") or {}))

    try:
        with kopf(kube_cluster, space, operator, tmp_path / "log"):
            client.create(widget(metadata=ObjectMeta(name="w", namespace=space), spec={"size": 2}))
            made = until(lambda kind, status: "create" in status and status.get("ticks", 0) > 2)
            assert made["status"]["create"] == {"made": 2}
            assert made.metadata.finalizers == ["kopf.zalando.org/KopfFinalizerMarker"]
            client.patch(widget, "w", {"spec": {"size": 3}}, patch_type=PatchType.MERGE)
            assert until(lambda kind, status: status.get("resized") == "2 to 3")["spec"]["size"] == 3
            gone_from(client, widget, "w")
    finally:
        client.delete(type(definition), f"widgets.{group}")
