"""When a node is short, which pod goes, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeletd import eviction, eviction_plan, imagegc_plan
from kubeletd.eviction_plan import (
    IMAGE_DISK,
    MEMORY,
    NODE_INODES,
    PIDS,
    Observation,
    PodUse,
    Pressure,
    Threshold,
    Use,
    choose,
    due,
    duration,
    look,
    over_its_limits,
    ranked,
    thresholds,
)
from kubeletd.imagegc_plan import Disk, PulledImage, candidates, seen, to_free
from kubeletd.nodestatus import NodeFindings, NodeSettings, node_status
from kubeletd.runtime.interface import EngineInfo

MI = 1 << 20


def test_thresholds_as_settings_write_them() -> None:
    hard, share, soft = thresholds(
        ["memory.available<100Mi, nodefs.available<10%", "pid.available<0%"],
        ["memory.available<300Mi"],
        ["memory.available=1m30s"],
        ["memory.available=50Mi"],
    )
    assert (hard.signal, hard.amount.of(0), hard.grace) == (MEMORY, 100 * MI, 0)
    assert share.amount.of(1000) == 100
    assert (soft.grace, soft.reclaim.of(0)) == (90.0, 50 * MI)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ((["memory<1Mi"],), "invalid threshold"),
        ((["memory.available<-1"],), "must not be negative"),
        ((["memory.available<200%"],), "between 0% and 100%"),
        (([], ["memory.available<1Mi"]), "no grace period"),
        (([], [], ["memory.available=soon"]), "invalid duration"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(settings: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        thresholds(*settings)


def test_durations() -> None:
    assert [duration(text) for text in ("90s", "1m30s", "1h", "500ms")] == [90, 90, 3600, 0.5]


def test_a_condition_outlasts_its_shortage() -> None:
    wanted = thresholds(["memory.available<100Mi"], (), (), ["memory.available=50Mi"])

    def at(pressure: Pressure, available: int, now: float) -> Pressure:
        return look(pressure, wanted, {MEMORY: Observation(available * MI, 1000 * MI)}, now, 300)

    fine = at(Pressure(), 100, 0)
    assert not due(fine, 0)
    short = at(fine, 99, 10)
    assert due(short, 10) == list(wanted)
    assert short.conditions(10) == {"MemoryPressure"}
    # A little more is not enough: the minimum reclaim.
    assert due(at(short, 120, 20), 20)
    over = at(short, 150, 30)
    assert not due(over, 30)
    assert over.conditions(309) == {"MemoryPressure"}
    assert over.conditions(311) == frozenset()


def test_a_soft_threshold_waits() -> None:
    wanted = thresholds([], ["memory.available<300Mi"], ["memory.available=30s"])
    found = {MEMORY: Observation(200 * MI, 1000 * MI)}
    first = look(Pressure(), wanted, found, 100, 300)
    assert first.conditions(100) == {"MemoryPressure"}
    assert not due(first, 100)
    later = look(first, wanted, found, 130, 300)
    assert due(later, 130) == list(wanted)
    away = look(later, wanted, {MEMORY: Observation(400 * MI, 1000 * MI)}, 140, 300)
    assert not due(look(away, wanted, found, 150, 300), 150)


def test_what_cannot_be_observed_is_not_short() -> None:
    wanted = thresholds(["imagefs.available<15%", "nodefs.inodesFree<5%"])
    nothing = look(Pressure(), wanted, {NODE_INODES: Observation(0, 0)}, 0, 300)
    assert not nothing.since


def test_who_uses_more_than_asked_for_goes_first_then_by_priority() -> None:
    pods = [
        PodUse("within", 0, memory=Use(500, 600)),
        PodUse("important", 1000, memory=Use(900, 100)),
        PodUse("little", 0, memory=Use(200, 100)),
        PodUse("much", 0, memory=Use(400, 100)),
        PodUse("critical", 0, critical=True, memory=Use(10_000, 0)),
    ]
    assert [pod.uid for pod in ranked(MEMORY, pods)] == ["much", "little", "important", "within"]
    processes = [PodUse("few", 0, processes=1), PodUse("many", 0, processes=9)]
    assert ranked(PIDS, processes)[0].uid == "many"


USES = st.builds(Use, st.integers(0, 1000), st.integers(0, 1000))
PODS = st.lists(
    st.builds(
        PodUse, st.uuids().map(str), st.integers(-5, 5), st.booleans(), USES, USES, st.integers(0, 9),
        st.integers(0, 9),
    ),
    max_size=8,
)  # fmt: skip


@given(PODS, st.sampled_from(["memory.available", "nodefs.available", "imagefs.inodesFree", "pid.available"]))
def test_the_order_does_not_depend_on_how_pods_are_listed(pods: list[PodUse], signal: str) -> None:
    order = ranked(signal, pods)
    assert order == ranked(signal, list(reversed(pods)))
    assert not any(pod.critical for pod in order)
    if signal == MEMORY:
        over = [pod.memory.over > 0 for pod in order]
        assert over == sorted(over, reverse=True)


@given(PODS, st.lists(st.integers(0, 1000), min_size=1, max_size=8))
def test_nobody_is_evicted_while_there_is_enough(pods: list[PodUse], available: list[int]) -> None:
    wanted = thresholds(["memory.available<500", "pid.available<10%"])
    pressure = Pressure()
    for now, number in enumerate(available):
        found = {MEMORY: Observation(number, 1000)}
        pressure = look(pressure, wanted, found, now, 300)
        chosen = choose(due(pressure, now), pods, found, 0)
        assert (chosen is not None) == (number < 500 and any(not pod.critical for pod in pods))


def test_what_an_eviction_says() -> None:
    hard = thresholds(["memory.available<100Mi"])
    pod = PodUse("u", memory=Use(513300 << 10, 20 * MI), containers={"c": Use(513300 << 10, 20 * MI)})
    chosen = choose(hard, [pod], {MEMORY: Observation(39064 << 10, 600 * MI)}, 0)
    assert chosen is not None
    assert chosen.grace == 1
    assert chosen.message == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 39064Ki. "
        "Container c was using 513300Ki, request is 20Mi, has larger consumption of memory. "
    )
    share = thresholds([], ["imagefs.available<15%"], ["imagefs.available=1s"])
    chosen = choose(share, [pod], {IMAGE_DISK: Observation(4096, 100 * MI)}, 30)
    assert chosen is not None
    assert chosen.grace == 30
    start = "The node was low on resource: ephemeral-storage. Threshold quantity: 15360Ki, available: 4Ki. "
    assert chosen.message == start


def test_memory_comes_before_disk() -> None:
    wanted = thresholds(["nodefs.available<10%", "memory.available<1Mi"])
    assert due(Pressure(dict.fromkeys(wanted, 0.0)), 1)[0].signal == MEMORY
    assert isinstance(wanted[0], Threshold)


def test_limits_on_disk() -> None:
    none = (0, "")
    assert over_its_limits({"d": (5 * MI, "5Mi")}, none, {}) is None
    assert over_its_limits({"d": (5 * MI + 1, "5Mi")}, none, {}) == (
        'Usage of EmptyDir volume "d" exceeds the limit "5Mi". '
    )
    assert over_its_limits({}, (2 * MI, "1Mi"), {"c": (2 * MI, "1Mi")}) == (
        "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "
    )
    assert over_its_limits({}, (2 * MI, "3Mi"), {"c": (2 * MI, "1Mi")}) == (
        'Container c exceeded its local ephemeral storage limit "1Mi". '
    )


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}], **spec}}


SIZED = [{"name": "c", "resources": {"requests": {"memory": "1Mi"}}}]
TOLERANT = [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]


def test_a_node_that_is_short_takes_few_pods() -> None:
    memory, disk = frozenset({"MemoryPressure"}), frozenset({"DiskPressure"})
    refused = ("Evicted", "The node had condition: [MemoryPressure]. ")
    assert eviction.refusal(pod(), frozenset()) is None
    assert eviction.refusal(pod(), memory) == refused
    assert eviction.refusal(pod(tolerations=TOLERANT), memory) is None
    assert eviction.refusal(pod(containers=SIZED), memory) is None
    assert eviction.refusal(pod(containers=SIZED), disk) is not None
    assert eviction.refusal(pod(priority=eviction_plan.CRITICAL_PRIORITY), disk | memory) is None
    both = eviction.refusal(pod(), disk | memory)
    assert both is not None and both[1] == "The node had condition: [DiskPressure MemoryPressure]. "


def test_the_conditions_of_a_node_that_is_short() -> None:
    engine = EngineInfo("docker", "1", "1", "k", "os", "linux", "amd64", 1, 1 << 30, 2, "")
    findings = NodeFindings(engine, pressures=frozenset({"DiskPressure"}))
    conditions = {c["type"]: c for c in node_status(NodeSettings("n"), findings, {}, 0)["conditions"]}
    assert (conditions["DiskPressure"]["status"], conditions["DiskPressure"]["reason"]) == (
        "True",
        "KubeletHasDiskPressure",
    )
    assert conditions["MemoryPressure"]["status"] == "False"


# Images


def test_images_go_when_the_disk_is_full() -> None:
    assert to_free(Disk(1000, 160), 85, 80) == 0
    assert to_free(Disk(1000, 150), 85, 80) == 50
    assert to_free(Disk(1000, 0), 100, 80) == 0


IMAGES = st.lists(
    st.builds(
        PulledImage, st.text(min_size=1, max_size=3), st.sampled_from("abc"), st.integers(1, 9),
        st.floats(0, 1000), st.floats(0, 1000),
    ),
    max_size=8,
)  # fmt: skip


@given(IMAGES, st.sets(st.sampled_from("abc")), st.dictionaries(st.text(max_size=3), st.sampled_from("abc")))
def test_only_old_unused_images_that_the_agent_pulled_go(
    pulled: list[PulledImage], in_use: set[str], here: dict[str, str]
) -> None:
    kept = seen(pulled, here, in_use, 1000.0)
    assert all(here[image.name] == image.id for image in kept)
    going = candidates(kept, in_use, 1000.0, 120.0)
    assert {image.name for image in going} <= {image.name for image in pulled}
    assert not any(image.id in in_use or image.pulled_at > 880 for image in going)
    assert [image.used_at for image in going] == sorted(image.used_at for image in going)


def test_a_name_that_means_another_image_by_now_is_not_ours() -> None:
    ours = PulledImage("app:1", "a", 5, 0, 0)
    assert imagegc_plan.seen([ours], {"app:1": "b"}, set(), 10) == []
