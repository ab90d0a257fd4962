"""Area apps: workloads whose containers matter."""

from __future__ import annotations

from typing import Any

import pytest
import udpserver
from kubernetes import client
from localcluster import until
from podset import Pods, shell

pytestmark = pytest.mark.e2e
Object = dict[str, Any]
SERVE = "mkdir -p /www; hostname > /www/index.html; exec httpd -f -p 9376 -h /www"
# The first run in a pod leaves a file and fails; the next one finds it.
ONCE = "if [ -e /data/foo ]; then exit 0; else touch /data/foo; exit 1; fi"


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods) -> None:
    container = shell(ONCE, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    spec = {
        "restartPolicy": "OnFailure",
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    job = {
        "metadata": {"name": "fail-once-local"},
        "spec": {"parallelism": 2, "completions": 4, "backoffLimit": 6, "template": {"spec": spec}},
    }
    batch(pods).create_namespaced_job(pods.namespace, job)
    labels = {"name": "my-hostname-basic"}
    probe = {"readinessProbe": {"httpGet": {"path": "/", "port": 9376}, "periodSeconds": 1}}
    served = {"terminationGracePeriodSeconds": 1, "containers": [shell(SERVE, **probe)]}
    controller = {
        "metadata": {"name": "my-hostname-basic"},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": labels}, "spec": served}},
    }
    pods.core.create_namespaced_replication_controller(pods.namespace, controller)


def batch(pods: Pods) -> client.BatchV1Api:
    return client.BatchV1Api(pods.cluster.api.client)


def test_replication_controller_run_basic_image(pods: Pods) -> None:
    """Each replica answers for itself: by HTTP through the API server, by TCP from another, by UDP."""
    selector = "name=my-hostname-basic"
    until(lambda: len(pods.cluster.pods(pods.namespace, selector)) == 2, 30, "two replicas")
    names = sorted(pod["metadata"]["name"] for pod in pods.cluster.pods(pods.namespace, selector))
    found = [pods.ready(name) for name in names]
    for pod, other in zip(found, reversed(found), strict=True):
        name, address = pod["metadata"]["name"], pod["status"]["podIP"]
        proxied = pods.core.connect_get_namespaced_pod_proxy_with_path(
            f"{name}:9376", pods.namespace, "index.html"
        )
        assert proxied.strip() == name
        fetch = f"timeout 5 wget -qO- http://{address}:9376/"
        assert pods.exec(other["metadata"]["name"], fetch).strip() == name
        with udpserver.answering(pod["metadata"]["uid"], 9377, name):
            until(lambda a=address, n=name: udpserver.ask(a, 9377) == n, 30, "an answer by UDP")


def test_jobs_completion_after_task_failure(pods: Pods) -> None:
    def status() -> Any:
        return batch(pods).read_namespaced_job("fail-once-local", pods.namespace).status

    until(lambda: any(c.type == "Complete" for c in status().conditions or ()), 90, "the job to complete")
    assert (status().succeeded, status().failed) == (4, None)
    ended = pods.cluster.pods(pods.namespace, "job-name=fail-once-local")
    restarts = [pod["status"]["containerStatuses"][0]["restartCount"] for pod in ended]
    assert restarts == [1, 1, 1, 1]
