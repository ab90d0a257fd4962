"""A node whose operator has decided otherwise: processes of a pod, sysctls, no cluster DNS, images to be verified."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import busyboximage
import pytest
from nodecluster import SLEEP, Eyes, NodeCluster, condition, container_status, running, shell, waiting

pytestmark = pytest.mark.e2e
VERIFIED = "pybernetes-test/verified:1"
FORKS = "n=0; while [ $n -lt 100 ]; do sleep 60 & n=$((n + 1)); done"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeCluster]:
    cluster = NodeCluster(tmp_path_factory.mktemp("cluster"), "settings-test")
    cluster.start()
    busyboximage.ensure(cluster.engine, VERIFIED)
    cluster.add_node(
        "n1",
        "--pod-max-pids=40",
        "--allowed-unsafe-sysctls=kernel.msg*",
        "--image-pull-credentials-verification-policy=NeverVerifyAllowlistedImages",
        f"--preloaded-images-verification-allowlist={busyboximage.NAME.rpartition(':')[0]}",
    )
    yield cluster
    cluster.stop()


@pytest.fixture
async def eyes(cluster: NodeCluster) -> AsyncIterator[Eyes]:
    async with Eyes(cluster) as eyes:
        await eyes.node("n1", lambda node: condition(node, "Ready") == "True")
        yield eyes


async def test_what_its_operator_decided(eyes: Eyes) -> None:
    last_words = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    await eyes.create("forks", {**shell(FORKS), **last_words}, restartPolicy="Never")
    sysctls = {"sysctls": [{"name": "kernel.msgmax", "value": "16384"}]}
    read = "test $(cat /proc/sys/kernel/msgmax) = 16384 && " + SLEEP
    await eyes.create("messages", shell(read), securityContext=sysctls)
    other = {"sysctls": [{"name": "kernel.sem", "value": "1 1 1 1"}]}
    await eyes.create("semaphores", shell(SLEEP), securityContext=other)
    await eyes.create("verified", {**shell(SLEEP), "image": VERIFIED, "imagePullPolicy": "Never"})

    ended = await eyes.pod("forks", lambda pod: pod["status"].get("phase") == "Failed")
    state = container_status(ended)["state"]["terminated"]
    assert state["exitCode"] != 0 and "can't fork" in state["message"]
    await eyes.pod("messages", running)
    refused = await eyes.pod("semaphores", lambda pod: pod["status"].get("phase") == "Failed")
    text = 'Pod was rejected: forbidden sysctl: "kernel.sem" not allowlisted'
    assert (refused["status"]["reason"], refused["status"]["message"]) == ("SysctlForbidden", text)
    held = await eyes.pod("verified", lambda pod: waiting(pod).get("reason") == "ErrImageNeverPull")
    assert (
        waiting(held)["message"] == f'Container image "{VERIFIED}" is not present with pull policy of Never'
    )
    text = 'cannot create Pod using "ClusterFirst" policy. Falling back to "Default" policy.'
    await eyes.event("messages", "MissingClusterDNS", text)
