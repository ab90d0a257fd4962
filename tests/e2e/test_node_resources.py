"""What a node tells of its containers' use, what it ends for having too much, and the pods that are its own.

One node with an API server and controllers: figures, an autoscaler on real load, limits of ephemeral storage, static
pods, the end of the node's pods when it shuts down.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import busyboximage
import pytest
from nodecluster import SLEEP, Eyes, NodeCluster, condition, container_status, running, shell
from prometheus_client.parser import text_string_to_metric_families

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeletd import mounts

pytestmark = pytest.mark.e2e

AUTOSCALERS = resources.get("horizontalpodautoscalers", "autoscaling")
DEPLOYMENTS = resources.get("deployments", "apps")
PODS = resources.get("pods")
BUSY = "while :; do :; done"
METRICS = "/apis/metrics.k8s.io/v1beta1"
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {{name: own, labels: {{app: own}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: main, image: "{image}", imagePullPolicy: Never, command: [sh, -c, "{script}"]}}]
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeCluster]:
    cluster = NodeCluster(tmp_path_factory.mktemp("cluster"), "resources-test")
    cluster.start()
    (cluster.directory / "manifests").mkdir()
    cluster.add_node(
        "n1",
        "--cluster-dns=10.96.0.10",
        "--capacity=memory=2Gi",
        f"--pod-manifest-path={cluster.directory / 'manifests'}",
        "--eviction-hard=memory.available<100Mi",
    )
    yield cluster
    cluster.stop()


@pytest.fixture
async def eyes(cluster: NodeCluster) -> AsyncIterator[Eyes]:
    async with Eyes(cluster) as eyes:
        await eyes.node("n1", lambda node: condition(node, "Ready") == "True")
        yield eyes
        names = [name for _, name in eyes._informers["pods"].store]
        await asyncio.gather(
            *(eyes.delete(name, 0) for name in names if eyes.get(name)), return_exceptions=True
        )
        await asyncio.gather(*(eyes.gone(name) for name in names))


async def eventually(check: Callable[[], Any], seconds: float = 40.0) -> Any:
    """Asks five times a second: figures have no watch."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await check()
            except (AssertionError, StatusError, KeyError, StopIteration):
                await asyncio.sleep(0.2)


async def document(eyes: Eyes, path: str) -> bytes:
    return (await eyes.client.request("GET", f"/api/v1/nodes/n1/proxy/{path}")).body


async def test_the_figures_of_a_busy_pod(eyes: Eyes) -> None:
    limits = {"limits": {"cpu": "200m", "memory": "64Mi"}}
    script = f"head -c 3000000 /dev/zero > /file; head -c 7000000 /dev/zero > /data/file; {BUSY}"
    await eyes.create(
        "busy",
        shell(script, resources=limits, volumeMounts=[{"name": "d", "mountPath": "/data"}],
              readinessProbe={"exec": {"command": ["true"]}, "periodSeconds": 1}),
        volumes=[{"name": "d", "emptyDir": {}}],
    )  # fmt: skip
    await eyes.pod("busy", lambda pod: condition(pod, "Ready") == "True")

    async def measured() -> Any:
        found = (await eyes.client.request("GET", f"{METRICS}/namespaces/default/pods/busy")).json()
        (container,) = found["containers"]
        assert container["name"] == "main"
        return container["usage"]

    usage = await eventually(measured, 30)
    assert 0.1 < int(usage["cpu"].removesuffix("n")) / 1e9 < 0.3
    summary = json.loads(await document(eyes, "stats/summary"))
    assert summary["node"]["memory"]["availableBytes"] < 2 << 30
    (pod,) = [p for p in summary["pods"] if p["podRef"]["name"] == "busy"]
    (container,) = pod["containers"]
    assert container["cpu"]["usageNanoCores"] > 10**8
    assert container["rootfs"]["usedBytes"] >= 3_000_000
    volume = next(v for v in pod["volume"] if v["name"] == "d")
    assert volume["usedBytes"] >= 7_000_000
    assert pod["ephemeral-storage"]["usedBytes"] >= 10_000_000
    assert pod["network"]["name"] == "eth0"
    assert (await document(eyes, "healthz")) == b"ok"
    for path, name in (
        ("metrics", "kubelet_running_pods"),
        ("metrics/resource", "container_memory_working_set_bytes"),
        ("metrics/cadvisor", "container_memory_working_set_bytes"),
        ("metrics/probes", "prober_probe"),
    ):
        families = text_string_to_metric_families((await document(eyes, path)).decode())
        samples = [sample for family in families if family.name == name for sample in family.samples]
        assert samples and samples[0].value > 0, path


async def test_an_autoscaler_follows_real_load(eyes: Eyes) -> None:
    limits = {"requests": {"cpu": "50m"}, "limits": {"cpu": "150m"}}
    container = {"name": "main", "image": busyboximage.NAME, "resources": limits, **shell(BUSY)}
    labels = {"app": "load"}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"nodeName": "n1", "terminationGracePeriodSeconds": 0, "containers": [container]},
        },
    }
    await eyes.client.create(DEPLOYMENTS, {"metadata": {"name": "load"}, "spec": spec}, "default")
    target = {"type": "Utilization", "averageUtilization": 50}
    autoscaler = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "load"},
        "maxReplicas": 2,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    await eyes.client.create(AUTOSCALERS, {"metadata": {"name": "load"}, "spec": autoscaler}, "default")

    async def scaled() -> None:
        found = await eyes.client.get(DEPLOYMENTS, "load", "default")
        assert found["spec"]["replicas"] == 2

    try:
        await eventually(scaled, 75)
    finally:
        await eyes.client.delete(AUTOSCALERS, "load", "default")
        await eyes.client.delete(DEPLOYMENTS, "load", "default", propagation_policy="Foreground")
        await eyes.until(lambda: not [1 for _, name in eyes._informers["pods"].store if "load-" in name])


async def test_an_empty_dir_over_its_limit_ends_its_pod(eyes: Eyes) -> None:
    await eyes.create(
        "full",
        shell(f"head -c 9000000 /dev/zero > /data/file; {SLEEP}",
              volumeMounts=[{"name": "d", "mountPath": "/data"}]),
        volumes=[{"name": "d", "emptyDir": {"sizeLimit": "5Mi"}}],
    )  # fmt: skip
    pod = await eyes.pod("full", lambda pod: pod["status"].get("phase") == "Failed", 40)
    assert pod["status"]["reason"] == "Evicted"
    assert pod["status"]["message"] == 'Usage of EmptyDir volume "d" exceeds the limit "5Mi". '
    target = next(c for c in pod["status"]["conditions"] if c["type"] == "DisruptionTarget")
    assert (target["status"], target["reason"]) == ("True", "TerminationByKubelet")
    await eyes.event("full", "Evicted", "exceeds the limit")


async def test_a_container_over_its_ephemeral_storage_ends_its_pod(eyes: Eyes) -> None:
    limits = {"limits": {"ephemeral-storage": "5Mi"}}
    await eyes.create("full", shell(f"head -c 9000000 /dev/zero > /file; {SLEEP}", resources=limits))
    pod = await eyes.pod("full", lambda pod: pod["status"].get("phase") == "Failed", 40)
    assert pod["status"]["reason"] == "Evicted"
    assert (
        "ephemeral local storage usage exceeds the total limit of containers 5Mi" in pod["status"]["message"]
    )


async def test_a_full_disk_ends_the_pod_that_fills_it(cluster: NodeCluster, eyes: Eyes) -> None:
    """Under disk pressure the node takes no more pods, and the one that uses most beyond its request goes."""
    root = cluster.directory / "root" / "n2"
    root.mkdir(parents=True)
    mounts.mount_tmpfs(root, size=64 << 20, mode=0o755)
    agent = cluster.add_node("n2", "--eviction-hard=nodefs.available<50%", "--capacity=memory=1Gi")
    await eyes.node("n2", lambda node: condition(node, "Ready") == "True")
    volume = {"volumes": [{"name": "d", "emptyDir": {}}]}
    mounted = [{"name": "d", "mountPath": "/data"}]
    requests = {"requests": {"ephemeral-storage": "30Mi"}}
    fill = f"head -c {{}}000000 /dev/zero > /data/file; {SLEEP}"
    await eyes.create(
        "asked", shell(fill.format(20), volumeMounts=mounted, resources=requests), node="n2", **volume
    )
    await eyes.create("greedy", shell(fill.format(25), volumeMounts=mounted), node="n2", **volume)
    try:
        pod = await eyes.pod("greedy", lambda pod: pod["status"].get("phase") == "Failed", 40)
        assert pod["status"]["reason"] == "Evicted"
        start = "The node was low on resource: ephemeral-storage. Threshold quantity: 32768Ki, available: "
        assert pod["status"]["message"].startswith(start)
        await eyes.node("n2", lambda node: condition(node, "DiskPressure") == "True")
        await eyes.create("late", shell(SLEEP), node="n2")
        late = await eyes.pod("late", lambda pod: pod["status"].get("phase") == "Failed")
        assert late["status"]["message"] == "The node had condition: [DiskPressure]. "
        assert running(eyes.get("asked") or {})
        await asyncio.gather(*(eyes.delete(name, 0) for name in ("asked", "greedy", "late")))
        await asyncio.gather(*(eyes.gone(name) for name in ("asked", "greedy", "late")))
        await asyncio.gather(*(cluster.emptied(name) for name in ("asked", "greedy", "late")))
    finally:
        agent.stop()
        del cluster.agents["n2"]
        for point in (*mounts.below(root), root):
            mounts.unmount(point)


async def test_a_static_pod_needs_no_api_server(cluster: NodeCluster) -> None:
    """An agent that cannot reach the API server runs what is in its folder."""
    folder = cluster.directory / "alone"
    folder.mkdir()
    manifest = MANIFEST.format(image=busyboximage.NAME, script="while :; do sleep 0.1; done")
    manifest = manifest.replace("spec:", "spec:\n  hostNetwork: true").replace("name: own", "name: alone", 1)
    (folder / "alone.yaml").write_text(manifest)
    kubeconfig = cluster.node_kubeconfig("n3")
    kubeconfig.write_text(kubeconfig.read_text().replace(cluster.server.url, "https://127.0.0.1:1"))
    agent = cluster.add_node("n3", f"--pod-manifest-path={folder}")

    async def runs() -> None:
        assert cluster.containers("alone-n3", "main", running=True)

    try:
        await eventually(runs)
        (folder / "alone.yaml").unlink()
    finally:
        agent.stop()
        del cluster.agents["n3"]
        for container in cluster.containers("alone-n3"):
            cluster.engine.remove_container(container["Id"], force=True)


async def test_a_static_pod_lives_as_its_manifest_does(cluster: NodeCluster, eyes: Eyes) -> None:
    """Run from the folder, shown in the API, made again there when deleted, replaced with its file, gone with it."""
    file = cluster.directory / "manifests" / "own.yaml"
    script = "echo {}; while :; do sleep 0.1; done"
    (cluster.directory / "manifests" / "broken.yaml").write_text("kind: [")
    file.write_text(MANIFEST.format(image=busyboximage.NAME, script=script.format("one")))
    first = await eyes.pod("own-n1", lambda pod: condition(pod, "Ready") == "True")
    annotations = first["metadata"]["annotations"]
    assert annotations["kubernetes.io/config.source"] == "file"
    assert annotations["kubernetes.io/config.mirror"] == annotations["kubernetes.io/config.hash"]
    assert first["metadata"]["ownerReferences"][0]["kind"] == "Node"
    assert first["metadata"]["labels"] == {"app": "own"}
    log = await eyes.client.request("GET", PODS.path("default", "own-n1", "log"))
    assert log.body == b"one\n"
    assert "broken.yaml" in cluster.agents["n1"].log.read_text()
    container = container_status(first)["containerID"]

    await eyes.delete("own-n1")
    uid = first["metadata"]["uid"]
    again = await eyes.pod(
        "own-n1", lambda pod: pod["metadata"]["uid"] != uid and condition(pod, "Ready") == "True"
    )
    assert container_status(again)["containerID"] == container

    cluster.agents["n1"].stop()
    cluster.agents["n1"].start()
    file.write_text(MANIFEST.format(image=busyboximage.NAME, script=script.format("two")))
    second = await eyes.pod(
        "own-n1", lambda pod: running(pod) and container_status(pod)["containerID"] != container
    )
    assert (
        second["metadata"]["annotations"]["kubernetes.io/config.hash"]
        != annotations["kubernetes.io/config.hash"]
    )

    file.unlink()
    await eyes.gone("own-n1")
    await cluster.emptied("own-n1")


async def test_pods_outlive_their_agent_unless_the_node_shuts_down(cluster: NodeCluster, eyes: Eyes) -> None:
    await eyes.create("p", shell(SLEEP))
    before = await eyes.pod("p", running)
    agent = cluster.agents["n1"]
    agent.stop()
    assert cluster.containers("p", "main", running=True)
    flags = agent._flags
    agent._flags = (*flags, "--shutdown-grace-period=4", "--shutdown-grace-period-critical-pods=1")
    agent.start()
    try:
        await eyes.node("n1", lambda node: condition(node, "Ready") == "True")
        # The agent has taken it up once it answers for it.
        await eventually(lambda: document_of(eyes, container_status(before)["containerID"]))
        await asyncio.to_thread(agent.stop)
        pod = await eyes.pod("p", lambda pod: pod["status"].get("phase") == "Failed")
        assert pod["status"]["reason"] == "Terminated"
        assert pod["status"]["message"] == "Pod was terminated in response to imminent node shutdown."
        assert not cluster.containers("p", "main", running=True)
    finally:
        agent._flags = flags
        agent.start()
        await eyes.node("n1", lambda node: condition(node, "Ready") == "True")


async def document_of(eyes: Eyes, container_id: str) -> None:
    assert container_id.removeprefix("docker://") in (await document(eyes, "metrics/cadvisor")).decode()
