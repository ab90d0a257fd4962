"""Figures of containers and nodes: control group files, rates, the summary, Prometheus text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from apimachinery import quantity
from apiserver import nodeagent_pb2 as pb
from apiserver.nodemetrics import cpu_quantity, memory_quantity, pod_metrics, window
from kubeletd import metrics, stats_host
from kubeletd.interfaces import PodOnNode, ProbeKey
from kubeletd.metrics_text import Family, Sample, render
from kubeletd.runtime.cgroups import Cgroups, groups_of
from kubeletd.runtime.interface import ContainerState, Identity, Usage
from kubeletd.stats_host import Disk, FileSystem, Interface
from kubeletd.stats_model import ContainerFigures, NodeFigures, PodDisks, PodFigures
from kubeletd.stats_rates import Rate, Rates
from kubeletd.stats_summary import Surroundings, summary

ID = "f52d8f48"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_version_1_control_groups(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            f"cpuacct/docker/{ID}/cpuacct.usage": "2322272778\n",
            f"cpuacct/docker/{ID}/cpuacct.stat": "user 200\nsystem 30\n",
            f"cpu/docker/{ID}/cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 99\n",
            f"memory/docker/{ID}/memory.usage_in_bytes": "1000000\n",
            f"memory/docker/{ID}/memory.limit_in_bytes": "9223372036854771712\n",
            f"memory/docker/{ID}/memory.stat": "cache 5\ntotal_cache 7\ntotal_rss 11\ntotal_inactive_file 400000\n",
            f"pids/docker/{ID}/pids.current": "3\n",
        },
    )
    groups = Cgroups(str(tmp_path))
    place = groups.find(ID)
    assert place == f"docker/{ID}"
    usage = groups.read(place)
    assert usage.cpu_nanoseconds == 2322272778
    assert usage.cpu_user_nanoseconds == 2_000_000_000
    assert (usage.cpu_periods, usage.cpu_throttled_periods, usage.cpu_throttled_nanoseconds) == (10, 4, 99)
    assert (usage.memory_usage, usage.memory_working_set, usage.memory_limit) == (1000000, 600000, 0)
    assert (usage.memory_rss, usage.memory_cache, usage.processes) == (11, 7, 3)


def test_version_2_control_groups_wherever_the_engine_puts_them(tmp_path: Path) -> None:
    place = f"pods/pod1/{ID}.scope"
    write(
        tmp_path,
        {
            "cgroup.controllers": "cpu memory",
            f"{place}/cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\n",
            f"{place}/memory.current": "5000\n",
            f"{place}/memory.max": "max\n",
            f"{place}/memory.stat": "anon 100\nfile 4000\ninactive_file 3000\n",
            "pods/pod1/other.scope/memory.current": "0\n",
        },
    )
    groups = Cgroups(str(tmp_path))
    assert groups.find(ID) is None
    assert groups.find(ID, groups_of(f"0::/{place}\n")) == place
    assert groups.find("other") == "pods/pod1/other.scope"
    usage = groups.read(place)
    assert (usage.cpu_nanoseconds, usage.memory_working_set, usage.memory_limit) == (5000, 2000, 0)


def test_a_rate_needs_time() -> None:
    rates = Rates()
    assert rates.observe("c", 1000.0, 50, started_at=998.0) is None
    assert rates.observe("c", 1004.0, 60) is None
    assert rates.observe("c", 1010.0, 10_050) == Rate(1000, 10.0)
    # Asked again soon: measured from the reading before.
    assert rates.observe("c", 1012.0, 24_050) == Rate(2000, 12.0)
    assert rates.observe("c", 1013.0, 3) is None  # it began anew


def test_a_young_container_is_measured_from_its_start() -> None:
    assert Rates().observe("c", 1008.0, 4000, started_at=1000.0) == Rate(500, 8.0)
    assert Rates().observe("c", 9000.0, 4000, started_at=1000.0) is None


@given(st.lists(st.tuples(st.floats(0.1, 20), st.integers(0, 10**10)), min_size=1, max_size=30))
def test_rates_lie_between_the_slowest_and_the_fastest_step(steps: list[tuple[float, int]]) -> None:
    rates, at, value, speeds = Rates(), 1000.0, 0, []
    rates.observe("c", at, value)
    for seconds, more in steps:
        at, value = at + seconds, value + more
        speeds.append(more / seconds)
        rate = rates.observe("c", at, value)
        if rate is not None:
            assert rate.window >= 5.0 - 1e-6
            assert min(speeds) * 0.999 - 1 <= rate.nanocores <= max(speeds) * 1.001 + 1


def test_what_is_forgotten_is_summed_up() -> None:
    rates = Rates()
    rates.observe("a", 1.0, 5)
    rates.observe("b", 1.0, 7)
    assert rates.keep({"b"}) == 5
    assert rates.keep({"b"}) == 0


def figures() -> NodeFigures:
    pod = {
        "metadata": {"namespace": "default", "name": "web", "uid": "u", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "busybox"}]},
        "status": {"startTime": "2026-01-01T00:00:00Z"},
    }
    state = ContainerState(ID, Identity("default", "web", "u", "c", "container"), "running", started_at=900.0)
    usage = Usage(5_000_000_000, 2048, memory_usage=4096, memory_limit=8192, memory_rss=1024, processes=2)
    on_node = PodOnNode(pod, "u", None, "10.0.0.1", {"c": state}, {})
    container = ContainerFigures(state, usage, Rate(250_000_000, 10.0))
    return NodeFigures(
        at=1000.0, cpu_nanoseconds=7_000_000_000, rate=Rate(300_000_000, 10.0), memory_capacity=1 << 20,
        memory_working_set=4096, memory_usage=8192, memory_rss=1024, agent_cpu_nanoseconds=1, agent_memory=2,
        pods=[PodFigures(on_node, (container,))],
    )  # fmt: skip


def around() -> Surroundings:
    disk = FileSystem(capacity=1000, available=600, inodes=100, inodes_free=50)
    return Surroundings(
        "n", 800.0, 950.0, disk, disk,
        networks={"u": [Interface("eth0", 10, 1, 0, 0, 20, 2, 0, 0)]},
        disks={"u": PodDisks(1000.0, {"c": Disk(30, 3)}, {"c": Disk(5, 1)}, {"d": Disk(7, 2), "m": Disk(9, 1)},
                             frozenset({"m"}))},
    )  # fmt: skip


def test_the_summary() -> None:
    found = summary(figures(), around())
    node, pod = found["node"], found["pods"][0]
    assert node["cpu"]["usageNanoCores"] == 300_000_000
    assert node["memory"]["availableBytes"] == (1 << 20) - 4096
    assert node["fs"] | {"time": ""} == {
        "time": "", "availableBytes": 600, "capacityBytes": 1000, "usedBytes": 400, "inodesFree": 50, "inodes": 100,
        "inodesUsed": 50,
    }  # fmt: skip
    assert pod["podRef"] == {"name": "web", "namespace": "default", "uid": "u"}
    container = pod["containers"][0]
    assert container["cpu"]["usageNanoCores"] == 250_000_000
    assert container["memory"]["availableBytes"] == 8192 - 2048
    assert (container["rootfs"]["usedBytes"], container["logs"]["usedBytes"]) == (30, 5)
    assert pod["network"]["rxBytes"] == 10
    # What is in memory is not on disk.
    assert pod["ephemeral-storage"]["usedBytes"] == 42
    assert {v["name"]: v["usedBytes"] for v in pod["volume"]} == {"d": 7, "m": 9}
    json.dumps(found)


def test_the_brief_summary_has_cpu_and_memory_alone() -> None:
    found = summary(figures(), Surroundings("n"), only_cpu_and_memory=True)
    assert set(found["node"]) == {"nodeName", "systemContainers", "startTime", "cpu", "memory"}
    assert set(found["pods"][0]) == {"podRef", "startTime", "containers", "cpu", "memory"}


def parsed(families: list[Family]) -> dict[str, list[tuple[dict[str, str], float]]]:
    text = render(families).decode()
    return {
        sample.name: [(s.labels, s.value) for s in family.samples]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_resource_metrics() -> None:
    found = parsed(metrics.resource(figures()))
    where = {"namespace": "default", "pod": "web"}
    assert found["container_cpu_usage_seconds_total"] == [({"container": "c", **where}, 5.0)]
    assert found["pod_memory_working_set_bytes"] == [(where, 2048.0)]
    assert found["node_cpu_usage_seconds_total"] == [({}, 7.0)]
    assert found["resource_scrape_error"] == [({}, 0.0)]


def test_container_metrics() -> None:
    found = parsed(metrics.cadvisor(figures(), around(), 4))
    labels, value = found["container_memory_working_set_bytes"][0]
    assert value == 2048.0
    assert {labels[key] for key in ("container", "pod", "image", "name")} == {"c", "web", "busybox", ID}
    assert found["container_network_receive_bytes_total"][0][1] == 10
    assert found["container_fs_usage_bytes"][0][1] == 35
    assert found["machine_cpu_cores"] == [({}, 4.0)]


def test_probe_metrics() -> None:
    key = ProbeKey("default", "web", "u", "c", "readiness", "failed")
    labels = {"container": "c", "namespace": "default", "pod": "web", "pod_uid": "u"}
    expected = [({**labels, "probe_type": "Readiness", "result": "failed"}, 3.0)]
    assert parsed(metrics.probes({key: 3}))["prober_probe_total"] == expected


@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text(max_size=10), max_size=3))
def test_any_label_value_is_read_back(labels: dict[str, str]) -> None:
    labels = {key: value.replace("\r", "") for key, value in labels.items()}
    found = parsed([Family("m", "gauge", "Help.", [Sample(labels, 1.5)])])
    assert found["m"] == [(labels, 1.5)]


@given(st.integers(0, 10**13), st.integers(0, 1 << 50))
def test_quantities_are_exact(nanocores: int, memory: int) -> None:
    assert quantity.canonical(cpu_quantity(nanocores)) == cpu_quantity(nanocores)
    assert quantity.to_int(memory_quantity(memory)) == memory


def test_windows_are_written_as_durations() -> None:
    assert [window(n * 1_000_000) for n in (15_031, 10_000, 63_500, 3_600_000)] == [
        "15.031s", "10s", "1m3.5s", "1h0m0s",
    ]  # fmt: skip


def test_a_pod_is_told_when_all_its_containers_are_known() -> None:
    def stats(*rates: int) -> Any:
        containers = [
            pb.ContainerStats(
                name=str(i), memory_working_set=1024,
                cpu=pb.Rate(nanocores=n, window_nanoseconds=10**10) if n >= 0 else None,
            )
            for i, n in enumerate(rates)
        ]  # fmt: skip
        pod = pb.PodStats(namespace="default", name="web", uid="u", containers=containers)
        return {"n": pb.StatsResponse(time_nanoseconds=10**18, pods=[pod])}

    pod = {"metadata": {"namespace": "default", "name": "web", "uid": "u", "labels": {"app": "web"}}}
    assert pod_metrics([pod], stats(5, -1)) == []
    (found,) = pod_metrics([pod], stats(5, 2_000_000))
    assert found["metadata"]["labels"] == {"app": "web"}
    assert (found["timestamp"], found["window"]) == ("2001-09-09T01:46:40Z", "10s")
    assert [c["usage"] for c in found["containers"]] == [
        {"cpu": "5n", "memory": "1Ki"}, {"cpu": "2m", "memory": "1Ki"},
    ]  # fmt: skip


def test_what_a_directory_holds(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"x" * 10_000)
    before = stats_host.disk(str(tmp_path))
    (tmp_path / "again").hardlink_to(tmp_path / "a" / "one")
    assert stats_host.disk(str(tmp_path)) == before  # the same file
    assert before.used >= 10_000
    assert before.inodes == 3
    assert stats_host.disk(str(tmp_path / "missing")) == Disk()


def test_the_machine() -> None:
    assert stats_host.cpu_nanoseconds("cpu  100 1 50 9999 5 2 3 0 0 0\ncpu0 1\n") == 156 * 10_000_000
    found = stats_host.memory("MemTotal: 100 kB\nMemFree: 10 kB\nMemAvailable: 40 kB\nAnonPages: 5 kB\n")
    assert (found.total, found.available) == (102400, 40960)
    dev = (
        "Inter|\n face |\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 5 2 0 0 0 0 0 0 7 3 0 0 0 0 0 0\n"
    )
    assert stats_host.interfaces(dev) == [Interface("eth0", 5, 2, 0, 0, 7, 3, 0, 0)]
