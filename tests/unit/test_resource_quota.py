"""ResourceQuota: never more than the limit, whoever asks at the same time, and right after something goes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from objectreader import ObjectReader, pod

from apimachinery import resources
from apimachinery.errors import StatusError
from apiserver.admission.resource_quota import ResourceQuota
from apiserver.request import AdmissionRequest, Object, User

PODS = resources.get("pods")
QUOTAS = resources.get("resourcequotas")


def quota(hard: dict[str, str], **spec: Any) -> Object:
    meta = {"name": "q", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": hard, **spec}}


class Setup:
    def __init__(self, *objects: Object) -> None:
        self.reader = ObjectReader(objects)
        self.now = 0.0
        self.plugin = ResourceQuota(self.reader, self.reader, lambda: self.now)

    async def create(
        self, obj: Object, kind: str = "pods", *, store: bool = True, dry_run: bool = False
    ) -> None:
        resource = resources.get(kind)
        meta = obj["metadata"]
        asked = AdmissionRequest(
            "CREATE", resource, "", "default", meta["name"], obj, None, User("x"), dry_run
        )
        step = self.plugin.validator("CREATE", resource, "")
        assert step is not None
        waiting = step(asked)
        if waiting is not None:
            await waiting
        if store:
            self.reader.put(obj)

    @property
    def used(self) -> dict[str, str]:
        stored = self.reader.get(QUOTAS, "default", "q")
        assert stored is not None
        return dict(stored["status"]["used"])


def sized(name: str, cpu: str = "", **spec: Any) -> Object:
    made = pod(name, **spec)
    if cpu:
        made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    return made


async def test_the_last_one_over_the_limit_is_refused_with_the_figures() -> None:
    setup = Setup(quota({"pods": "2", "requests.cpu": "1"}))
    await setup.create(sized("a", "300m"))
    with pytest.raises(StatusError) as error:
        await setup.create(sized("b", "800m"))
    assert error.value.message == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=800m, used: requests.cpu=300m, '
        "limited: requests.cpu=1"
    )
    await setup.create(sized("b", "700m"))
    assert setup.used == {"pods": "2", "requests.cpu": "1"}


async def test_what_must_be_said_is_named() -> None:
    setup = Setup(quota({"limits.memory": "1Gi", "requests.cpu": "1"}))
    with pytest.raises(
        StatusError, match=r"failed quota: q: must specify limits.memory for: c; requests.cpu for: c"
    ):
        await setup.create(sized("a"))


@pytest.mark.parametrize("conflicts", [0, 3])
async def test_many_at_once_get_exactly_the_limit_with_few_writes(conflicts: int) -> None:
    setup = Setup(quota({"pods": "10"}))
    setup.reader.conflicts = conflicts
    results = await asyncio.gather(*(setup.create(pod(f"p{i}")) for i in range(50)), return_exceptions=True)
    assert sum(result is None for result in results) == 10
    assert all(isinstance(result, StatusError) for result in results if result is not None)
    assert setup.used == {"pods": "10"}
    assert setup.reader.writes <= 2 + conflicts


async def test_what_was_granted_and_is_not_there_yet_counts() -> None:
    setup = Setup(quota({"pods": "1"}))
    await setup.create(pod("a"), store=False)
    with pytest.raises(StatusError):
        await setup.create(pod("b"))
    setup.now = 10.0  # the first never came
    await setup.create(pod("b"))


async def test_what_has_gone_is_free_at_once() -> None:
    setup = Setup(quota({"pods": "1"}))
    await setup.create(pod("a"))
    with pytest.raises(StatusError):
        await setup.create(pod("b"))
    setup.reader.remove(PODS, "default", "a")
    await setup.create(pod("b"))
    assert setup.used == {"pods": "1"}


async def test_a_dry_run_is_judged_and_not_charged() -> None:
    setup = Setup(quota({"pods": "1"}))
    await setup.create(pod("a"), store=False, dry_run=True)
    await setup.create(pod("a"))
    with pytest.raises(StatusError):
        await setup.create(pod("b"), store=False, dry_run=True)


async def test_counts_of_objects_and_services() -> None:
    setup = Setup(quota({"count/configmaps": "1", "services.nodeports": "2"}))
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}
    await setup.create(config, "configmaps")
    with pytest.raises(StatusError, match="requested: count/configmaps=1, used: count/configmaps=1"):
        await setup.create({**config, "metadata": {"name": "b", "namespace": "default"}}, "configmaps")
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "default"}}
    ports = [{"port": 1}, {"port": 2}, {"port": 3}]
    with pytest.raises(StatusError, match=r"requested: services\.nodeports=3"):
        await setup.create({**service, "spec": {"type": "NodePort", "ports": ports}}, "services")
    await setup.create({**service, "spec": {"ports": ports}}, "services")


async def test_a_quota_with_scopes_counts_only_its_own() -> None:
    setup = Setup(quota({"pods": "0"}, scopes=["BestEffort"]))
    await setup.create(sized("a", "1"))
    with pytest.raises(StatusError):
        await setup.create(sized("b"))


async def test_one_who_gives_up_does_not_take_the_others_along() -> None:
    setup = Setup(quota({"pods": "5"}))
    first = asyncio.ensure_future(setup.create(pod("a"), store=False))
    second = asyncio.ensure_future(setup.create(pod("b")))
    await asyncio.sleep(0)
    first.cancel()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
