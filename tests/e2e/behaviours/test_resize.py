"""Area common/node: pods resized in place, down to the control groups their containers see."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException
from localcluster import until
from podset import Pods, condition, entry, shell

pytestmark = pytest.mark.e2e
Object = dict[str, Any]
# What a container sees of its control groups: in version 2 one tree for all.
GROUPS = (
    "cd /sys/fs/cgroup; if [ -e cgroup.controllers ]; then echo v2; cat cpu.max cpu.weight memory.max; "
    "else echo v1; cat cpu/cpu.cfs_quota_us cpu/cpu.shares memory/memory.limit_in_bytes; fi"
)
IDLE = "sleep 1d"


def mi(amount: str) -> int:
    return int(amount.removesuffix("Mi")) << 20


def milli(amount: str) -> int:
    return int(amount.removesuffix("m"))


def sizes(cpu: str = "", memory: str = "", *, cpu_limit: str = "", memory_limit: str = "") -> Object:
    requests = {"cpu": cpu, "memory": memory}
    limits = {"cpu": cpu_limit, "memory": memory_limit}
    found = {"requests": requests, "limits": limits}
    return {key: given for key, one in found.items() if (given := {k: v for k, v in one.items() if v})}


def equal(cpu: str, memory: str) -> Object:
    return sizes(cpu, memory, cpu_limit=cpu, memory_limit=memory)


def ask(pods: Pods, name: str, *wanted: Object) -> None:
    """Asks for other sizes of the containers c1, c2…"""
    body = {"spec": {"containers": [{"name": f"c{i}", "resources": r} for i, r in enumerate(wanted, 1)]}}
    pods.core.patch_namespaced_pod_resize(name, pods.namespace, body)


def resized(pods: Pods, name: str, wanted: list[Object]) -> Object:
    """The pod once it has been asked to have these sizes, and has them."""
    ask(pods, name, *wanted)
    asked = pods.get(name)
    assert [c["resources"] for c in asked["spec"]["containers"]] == wanted
    return settled(pods, name, wanted)


def settled(pods: Pods, name: str, wanted: list[Object]) -> Object:
    def done(pod: Object) -> bool:
        shown = [entry(pod, f"c{i}").get("resources") for i in range(1, len(wanted) + 1)]
        resizing = [c for c in pod["status"]["conditions"] if c["type"].startswith("PodResize")]
        return shown == wanted and not resizing and condition(pod, "Ready") == "True"

    pod = pods.wait(name, done)
    for number, given in enumerate(wanted, 1):
        container = f"c{number}"
        check_groups(pods, name, container, given)
        assert entry(pod, container).get("allocatedResources") == given.get("requests")
    return pod


def check_groups(pods: Pods, name: str, container: str, given: Object) -> None:
    """The control groups that a container sees are as Kubernetes sets them for its resources."""
    version, quota_seen, shares_seen, memory_seen = pods.exec(name, GROUPS, container).split("\n")[:4]
    requests, limits = given.get("requests", {}), given.get("limits", {})
    limit = milli(limits["cpu"]) if "cpu" in limits else 0
    quota = max(1000, limit * 100) if limit else -1
    asked = milli(requests.get("cpu", "0m")) or limit
    shares = max(2, asked * 1024 // 1000)
    if version == "v2":
        assert quota_seen == f"{quota if quota > 0 else 'max'} 100000"
        assert shares_seen == str(1 + (shares - 2) * 9999 // 262142)
    else:
        assert (quota_seen, shares_seen) == (str(quota), str(shares))
    if "memory" in limits:
        assert memory_seen == str(mi(limits["memory"]))


def without_restarts(pod: Object) -> bool:
    return all(status["restartCount"] == 0 for status in pod["status"]["containerStatuses"])


NET_INCREASE = (
    [equal("20m", "35Mi"), equal("22m", "37Mi"), equal("24m", "39Mi")],
    [equal("25m", "40Mi"), equal("27m", "42Mi"), equal("19m", "34Mi")],
)
NET_DECREASE = (NET_INCREASE[0], [equal("25m", "40Mi"), equal("17m", "32Mi"), equal("19m", "34Mi")])
VARIOUS = (NET_INCREASE[0], [equal("25m", "35Mi"), equal("17m", "42Mi"), equal("29m", "44Mi")])
BURSTABLE = (
    [
        sizes("20m"), sizes(memory="35Mi"), sizes("20m", "35Mi"), sizes("20m"), sizes(memory="35Mi"),
        sizes("20m", "35Mi", cpu_limit="30m", memory_limit="45Mi"),
    ],
    [
        sizes("25m", cpu_limit="35m"), sizes(memory="30Mi", memory_limit="50Mi"), sizes("20m", "30Mi"),
        sizes("15m", "35Mi"), sizes("20m", "40Mi"),
        sizes("15m", "40Mi", cpu_limit="35m", memory_limit="40Mi"),
    ],
)  # fmt: skip
EQUIVALENT = ([sizes("2m", cpu_limit="10m")], [sizes("1m", cpu_limit="5m")])
RESTARTING = ([equal("20m", "35Mi")], [equal("20m", "40Mi")])


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods) -> None:
    for name, (before, _) in {
        "net-increase": NET_INCREASE, "net-decrease": NET_DECREASE, "various": VARIOUS,
        "burstable": BURSTABLE, "equivalent": EQUIVALENT,
    }.items():  # fmt: skip
        containers = [shell(IDLE, f"c{i}", resources=r) for i, r in enumerate(before, 1)]
        pods.create(name, *containers, restartPolicy="OnFailure", terminationGracePeriodSeconds=0)
    policies = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    pods.create(
        "restarting", shell(IDLE, "c1", resources=RESTARTING[0][0], resizePolicy=policies),
        restartPolicy="OnFailure", terminationGracePeriodSeconds=0,
    )  # fmt: skip
    for name in ("replaced", "shrinking", "hungry"):
        pods.create(
            name, shell(IDLE, "c1", resources=equal("20m", "35Mi")), restartPolicy="OnFailure",
            terminationGracePeriodSeconds=0,
        )  # fmt: skip


def there_and_back(pods: Pods, name: str, change: tuple[list[Object], list[Object]]) -> None:
    before, after = change
    settled(pods, name, before)
    assert without_restarts(resized(pods, name, after))
    assert without_restarts(resized(pods, name, before))


def test_in_place_pod_resize_guaranteed_pods_with_multiple_containers_net_increase(pods: Pods) -> None:
    there_and_back(pods, "net-increase", NET_INCREASE)


def test_in_place_pod_resize_guaranteed_pods_with_multiple_containers_net_decrease(pods: Pods) -> None:
    there_and_back(pods, "net-decrease", NET_DECREASE)


def test_in_place_pod_resize_guaranteed_pods_with_multiple_containers_various_operations(pods: Pods) -> None:
    there_and_back(pods, "various", VARIOUS)


def test_in_place_pod_resize_burtable_pod_with_multiple_containers_and_various_operations(pods: Pods) -> None:
    settled(pods, "burstable", BURSTABLE[0])
    assert without_restarts(resized(pods, "burstable", BURSTABLE[1]))


def test_in_place_pod_resize_burstable_pod_resized_with_equivalents(pods: Pods) -> None:
    there_and_back(pods, "equivalent", EQUIVALENT)


def test_in_place_pod_resize_read_and_replace_endpoints(pods: Pods) -> None:
    before = settled(pods, "replaced", [equal("20m", "35Mi")])
    assert before["metadata"]["generation"] == 1
    wanted = equal("25m", "40Mi")

    def replaced() -> bool:
        """Whether nobody else was faster."""
        pod = pods.get("replaced")
        pod["spec"]["containers"][0]["resources"] = wanted
        try:
            pods.core.replace_namespaced_pod_resize("replaced", pods.namespace, pod)
        except ApiException as error:
            assert error.status == 409
            return False
        return True

    until(replaced, 10, "the replacement")
    asked = pods.get("replaced")
    assert asked["metadata"]["generation"] == 2
    assert asked["spec"]["containers"][0]["resources"] == wanted
    pod = settled(pods, "replaced", [wanted])
    assert pod["status"]["observedGeneration"] == 2 and without_restarts(pod)
    answer = pods.core.read_namespaced_pod_resize("replaced", pods.namespace, _preload_content=False)
    shown = json.loads(answer.data)
    assert (shown.pop("apiVersion"), shown.pop("kind")) == ("v1", "Pod")
    assert shown == {k: v for k, v in pods.get("replaced").items() if k not in ("apiVersion", "kind")}


def test_a_policy_of_restarts_is_followed(pods: Pods) -> None:
    settled(pods, "restarting", RESTARTING[0])
    pod = resized(pods, "restarting", RESTARTING[1])
    assert entry(pod, "c1")["restartCount"] == 1
    pod = resized(pods, "restarting", RESTARTING[0])
    assert entry(pod, "c1")["restartCount"] == 2
    # CPU is of no matter to the policy.
    assert entry(resized(pods, "restarting", [equal("30m", "35Mi")]), "c1")["restartCount"] == 2


def pending(pod: Object) -> tuple[str, str]:
    found = [c for c in pod["status"]["conditions"] if c["type"].startswith("PodResize")]
    return (found[0]["type"], found[0].get("reason", "")) if found else ("", "")


def test_memory_is_not_taken_from_under_a_process(pods: Pods) -> None:
    settled(pods, "shrinking", [equal("20m", "35Mi")])
    ask(pods, "shrinking", equal("20m", "10Ki"))
    pod = pods.wait("shrinking", lambda p: pending(p) == ("PodResizeInProgress", "Error"))
    text = next(c["message"] for c in pod["status"]["conditions"] if c["type"] == "PodResizeInProgress")
    assert "memory limit (10240) below current usage" in text
    assert entry(pod, "c1")["resources"] == equal("20m", "35Mi")
    assert without_restarts(resized(pods, "shrinking", [equal("20m", "40Mi")]))


def test_what_a_node_cannot_give_waits_or_is_refused(pods: Pods) -> None:
    """The node has 4 CPUs; another pod has most of them until it goes."""
    node = settled(pods, "hungry", [equal("20m", "35Mi")])["spec"]["nodeName"]
    pods.create("hog", shell(IDLE, resources={"requests": {"cpu": "3500m"}}), nodeName=node)
    pods.wait("hog", lambda p: condition(p, "Ready") == "True")
    ask(pods, "hungry", equal("5000m", "35Mi"))
    pod = pods.wait("hungry", lambda p: pending(p) == ("PodResizePending", "Infeasible"))
    assert entry(pod, "c1")["resources"] == equal("20m", "35Mi")
    ask(pods, "hungry", equal("1500m", "35Mi"))
    pods.wait("hungry", lambda p: pending(p) == ("PodResizePending", "Deferred"))
    assert pods.events("hungry", "ResizeDeferred") or until(lambda: pods.events("hungry", "ResizeDeferred"))
    pods.delete("hog", 0)
    settled(pods, "hungry", [equal("1500m", "35Mi")])
