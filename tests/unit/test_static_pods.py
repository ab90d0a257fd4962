"""Static pods: manifests become pods, mirror pods follow them, whatever happens to either."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeletd import staticpods_plan as plan
from kubeletd.staticpods import StaticPods
from kubeletd.staticpods_plan import ManifestError, mirror_of, pods_in, static_pod

Object = dict[str, Any]
SEEN = "2026-01-01T00:00:00Z"
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: web}}}}
spec: {{containers: [{{name: c, image: "{image}"}}]}}
"""


def manifest(name: str = "web", **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def made(name: str = "web", text: bytes = b"x", **spec: Any) -> Object:
    return static_pod(manifest(name, **spec), "n1", "/m/web.yaml", text, SEEN)


def test_a_static_pod_is_its_nodes() -> None:
    pod = made()
    meta = pod["metadata"]
    assert (meta["name"], meta["namespace"]) == ("web-n1", "default")
    assert pod["spec"]["nodeName"] == "n1"
    assert {"operator": "Exists", "effect": "NoExecute"} in pod["spec"]["tolerations"]
    assert meta["annotations"]["kubernetes.io/config.hash"] == meta["uid"]
    assert meta["annotations"]["kubernetes.io/config.source"] == "file"
    assert made()["metadata"]["uid"] == meta["uid"]
    assert made(text=b"y")["metadata"]["uid"] != meta["uid"]
    assert made(priorityClassName="system-node-critical")["spec"]["priority"] == 2_000_001_000


@pytest.mark.parametrize(
    ("spec", "plural"),
    [
        ({"serviceAccountName": "a"}, "serviceaccounts"),
        ({"imagePullSecrets": [{"name": "a"}]}, "secrets"),
        ({"volumes": [{"name": "v", "configMap": {"name": "a"}}]}, "configmaps"),
        ({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "a"}}]}, "persistentvolumeclaims"),
        ({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "a"}}]}}]}, "secrets"),
        ({"initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "a"}}]}]}, "secrets"),
        ({"initContainers": [{"name": "i", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {}}}]}]},
         "configmaps"),
    ],
)  # fmt: skip
def test_a_static_pod_depends_on_nothing_of_the_api(spec: Object, plural: str) -> None:
    with pytest.raises(ManifestError, match=f"static pods may not reference {plural}"):
        made(**spec)


def test_manifests_hold_pods() -> None:
    one = {"apiVersion": "v1", "kind": "Pod"}
    assert pods_in(one) == [one]
    assert pods_in({"apiVersion": "v1", "kind": "PodList", "items": [one, one]}) == [one, one]
    documents: list[Any] = [None, [], {"kind": "Pod"}, {"apiVersion": "apps/v1", "kind": "Deployment"}]
    for wrong in documents:
        with pytest.raises(ManifestError):
            pods_in(wrong)


STATICS = st.lists(
    st.builds(lambda name, text: made(name, text), st.sampled_from("abc"), st.sampled_from([b"1", b"2"])),
    unique_by=lambda pod: pod["metadata"]["name"], max_size=3,
)  # fmt: skip
STRANGERS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([b"1", b"3"]), st.booleans()), max_size=4
)


@given(STATICS, STRANGERS)
def test_the_api_comes_to_show_exactly_what_runs(
    statics: list[Object], there: list[tuple[str, bytes, bool]]
) -> None:
    shown: dict[tuple[str, str], Object] = {}
    for name, text, deleted in there:
        mirror = mirror_of(made(name, text), "node-uid")
        if deleted:
            mirror["metadata"]["deletionTimestamp"] = SEEN
        shown[plan.name_of(mirror)] = mirror
    for _ in range(2):
        todo = plan.plan(statics, shown)
        for gone in todo.delete:
            del shown[plan.name_of(gone)]
        for pod in todo.create:
            assert plan.name_of(pod) not in shown
            shown[plan.name_of(pod)] = mirror_of(pod, "node-uid")
    assert plan.plan(statics, shown) == plan.MirrorPlan([], [])
    assert {name: m["metadata"]["annotations"][plan.MIRROR] for name, m in shown.items()} == {
        plan.name_of(pod): pod["metadata"]["uid"] for pod in statics
    }


class World:
    """Plays the agent and the API server."""

    def __init__(self, folder: Path) -> None:
        self.running: list[str] = []
        self.ending: list[str] = []
        self.told: list[str] = []
        self.api: dict[str, Object] = {}
        self.serial = 0
        self.statics = StaticPods(folder, "n1", self, self, lambda: "node-uid", lambda: 1000.0)  # type: ignore[arg-type]

    def start_static(self, pod: Object) -> None:
        self.running.append(pod["metadata"]["uid"])

    def end_static(self, pod: Object) -> None:
        assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
        self.ending.append(pod["metadata"]["uid"])

    def static_shown(self, uid: str) -> None:
        self.told.append(uid)

    def end(self) -> None:
        for uid in self.ending:
            self.running.remove(uid)
            self.statics.over(uid)
        self.ending = []

    async def create(self, resource: Any, obj: Object, namespace: str) -> None:
        self.serial += 1
        made = {**obj, "metadata": {**obj["metadata"], "uid": f"api-{self.serial}"}}
        self.api[obj["metadata"]["name"]] = made
        assert self.statics.on_pod(None, made)

    async def delete(
        self, resource: Any, name: str, namespace: str, *, grace_period_seconds: int, uid: str
    ) -> None:
        assert grace_period_seconds == 0
        gone = self.api.pop(name)
        assert gone["metadata"]["uid"] == uid
        assert self.statics.on_pod(gone, None)

    async def turn(self) -> None:
        self.statics.begin()
        await self.statics._mirror()


async def test_a_pods_whole_life(tmp_path: Path) -> None:
    world = World(tmp_path)
    file = tmp_path / "web.yaml"
    file.write_text(MANIFEST.format(name="web", image="one"))
    await world.turn()
    (first,) = world.running
    assert world.told == [first]
    mirror = world.api["web-n1"]
    assert mirror["metadata"]["ownerReferences"][0]["uid"] == "node-uid"
    assert world.statics.own_uid("api-1") == first
    assert world.statics.mirror(first) is mirror
    # Deleted through the API: it is shown anew, and runs on.
    world.statics.on_pod(mirror, {**mirror, "metadata": {**mirror["metadata"], "deletionTimestamp": SEEN}})
    await world.turn()
    await world.turn()
    assert world.running == [first]
    assert world.api["web-n1"]["metadata"]["uid"] == "api-2"
    # Another content: the new one waits until the old one has ended.
    file.write_text(MANIFEST.format(name="web", image="two-and-longer"))
    await world.turn()
    assert (world.running, world.ending) == ([first], [first])
    world.end()
    await world.turn()
    (second,) = world.running
    assert second != first
    await world.turn()
    assert world.api["web-n1"]["metadata"]["annotations"][plan.MIRROR] == second
    # No manifest any more.
    file.unlink()
    await world.turn()
    world.end()
    await world.turn()
    assert (world.running, world.api) == ([], {})


async def test_a_broken_manifest_is_named_and_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(MANIFEST.format(name="good", image="i"))
    bad.write_text("a: [")
    (tmp_path / ".hidden.yaml").write_text("a: [")
    with caplog.at_level(logging.ERROR):
        await world.turn()
        await world.turn()
    assert len(world.running) == 1
    assert [str(bad) in record.getMessage() for record in caplog.records] == [True]
    # A pod whose manifest becomes unreadable stays as it was.
    good.write_text("nothing")
    await world.turn()
    assert len(world.running) == 1 and not world.ending


async def test_wrong_pods_are_refused_with_the_fields(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.yaml").write_text(MANIFEST.format(name="web", image="i").replace("name: c", "name: C_"))
    world = World(tmp_path)
    with caplog.at_level(logging.ERROR):
        await world.turn()
    assert not world.running
    assert "spec.containers[0].name" in caplog.text


async def test_a_mirror_pod_of_no_static_pod_goes(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.create(None, mirror_of(made("old"), "node-uid"), "default")
    await world.turn()
    assert world.api == {}
    assert not world.statics.on_pod(None, {"metadata": {"name": "p", "namespace": "default"}})
