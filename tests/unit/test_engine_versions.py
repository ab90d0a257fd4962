"""Answers of engines from API 1.41 (Debian 12) to those that have dropped what was deprecated, and their cgroups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubeletd.images import shown_id
from kubeletd.runtime import dockeraccounts, dockerinfo, dockerspec, dockerviews, podcgroups
from kubeletd.runtime.cgroups import Cgroups, groups_of
from kubeletd.runtime.dockerengine import spoken
from kubeletd.runtime.specs import Identity, Resources

ID = "4f1e" + "0" * 60
IMAGE_ID = "sha256:" + "a" * 64
WHO = Identity("shop", "web", "0123", "c", "container", 2, "hash")
LABELS = dockerspec.labels(WHO, "kt", "n1")
STATE = {
    "Status": "running", "Running": True, "Paused": False, "Restarting": False, "OOMKilled": False, "Dead": False,
    "Pid": 4711, "ExitCode": 0, "Error": "", "StartedAt": "2026-01-02T03:04:05.123456789Z",
    "FinishedAt": "0001-01-01T00:00:00Z",
}  # fmt: skip
# GET /containers/{id}/json, with what 1.41 has and 1.52 has not.
OLD = {
    "Id": ID, "Created": "2026-01-02T03:04:04.5Z", "Image": IMAGE_ID, "Name": "/pyb", "State": STATE,
    "LogPath": f"/var/lib/docker/containers/{ID}/{ID}-json.log", "GraphDriver": {"Name": "overlay2", "Data": {}},
    "HostConfig": {"NetworkMode": "none", "KernelMemory": 0, "KernelMemoryTCP": 0},
    "Config": {"Image": "app:1", "Labels": LABELS, "Env": None, "MacAddress": "", "StopSignal": "SIGTERM"},
    "NetworkSettings": {
        "Bridge": "", "SandboxID": "s", "HairpinMode": False, "LinkLocalIPv6Address": "", "IPAddress": "172.17.0.2",
        "IPPrefixLen": 16, "Gateway": "172.17.0.1", "MacAddress": "02:42:ac:11:00:02", "Networks": {},
    },
}  # fmt: skip
NEW = {
    "Id": ID, "Created": "2026-01-02T03:04:04.5Z", "Image": IMAGE_ID, "Name": "/pyb", "State": STATE,
    "LogPath": OLD["LogPath"], "ImageManifestDescriptor": {"digest": IMAGE_ID},
    "Storage": {"RootFS": {"Snapshot": {"Name": "overlayfs"}}},
    "HostConfig": {"NetworkMode": "none"}, "Config": {"Image": "app:1", "Labels": LABELS},
    "NetworkSettings": {"SandboxID": "s", "SandboxKey": "/var/run/docker/netns/s", "Ports": {}, "Networks": {}},
}  # fmt: skip


@pytest.mark.parametrize("entry", [OLD, NEW])
def test_an_inspected_container(entry: dict[str, Any]) -> None:
    found = dockerspec.inspected(entry)
    assert found is not None and found.identity == WHO
    assert (found.id, found.status, found.pid, found.image, found.image_id) == (
        ID, "running", 4711, "app:1", IMAGE_ID,
    )  # fmt: skip
    assert found.started_at == pytest.approx(1767323045.123456789) and found.finished_at == 0.0
    assert found.log_path == OLD["LogPath"]


def test_a_listed_container() -> None:
    common = {
        "Id": ID,
        "Image": "app:1",
        "ImageID": IMAGE_ID,
        "Created": 1767323044,
        "State": "running",
        "Labels": LABELS,
    }
    old = {**common, "Status": "Up", "NetworkSettings": {"Networks": {"n": {"IPAddress": "1.2.3.4"}}}}
    new = {
        **common,
        "ImageManifestDescriptor": {},
        "Health": {"Status": "none"},
        "NetworkSettings": {"Networks": {}},
    }
    assert dockerspec.listed(old) == dockerspec.listed(new)


def test_an_image() -> None:
    digest = "reg.io/app@sha256:" + "b" * 64
    common = {"Id": IMAGE_ID, "RepoTags": ["reg.io/app:1"], "RepoDigests": [digest], "Size": 77}
    old = {
        **common, "Parent": "", "Container": "x", "ContainerConfig": {"User": "no"}, "VirtualSize": 99,
        "Created": "2026-01-02T03:04:04Z", "Config": {"User": "1000", "Image": ""}, "DockerVersion": "20",
    }  # fmt: skip
    new = {
        **common, "Created": "2026-01-02T03:04:04Z", "Config": {"User": "1000"}, "Descriptor": {"digest": IMAGE_ID},
        "Identity": {"Pull": [{"Repository": "reg.io/app"}]},
    }  # fmt: skip
    assert dockerspec.image_of(old) == dockerspec.image_of(new)
    found = dockerspec.image_of(new)
    assert (found.user, found.size, shown_id(found, "reg.io/app:1")) == ("1000", 77, digest)
    # Of the list: seconds, -1 for what is not counted, nothing where there are no names.
    listed = dockerspec.image_of({"Id": IMAGE_ID, "RepoTags": None, "RepoDigests": None, "Size": 5, "Created": 7,
                                  "SharedSize": -1, "Containers": -1})  # fmt: skip
    assert (listed.tags, listed.digests, listed.created_at) == ((), (), 7.0)
    none = dockerspec.image_of(
        {"Id": IMAGE_ID, "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}
    )
    assert (none.tags, none.digests, none.created_at) == ((), (), 0.0)


def test_layers_that_are_a_snapshotters() -> None:
    """The containerd image store has no graph driver: files are asked for instead."""
    assert dockerviews.layers({"Id": IMAGE_ID}) == []
    assert dockeraccounts.directories({"Id": IMAGE_ID, "GraphDriver": None}) == []


@pytest.mark.parametrize(
    ("newest", "oldest", "version"),
    [
        ("1.41", "1.12", "1.41"), ("1.47", "1.24", "1.47"), ("1.52", "1.44", "1.47"), ("1.60", "1.50", "1.50"),
        ("1.52", "", "1.47"),
    ],
)  # fmt: skip
def test_which_version_is_spoken(newest: str, oldest: str, version: str) -> None:
    assert spoken(newest, oldest) == version


def test_an_engine_of_today() -> None:
    info = {
        "ID": "b1d4", "Driver": "overlayfs", "CgroupDriver": "systemd", "CgroupVersion": "2", "NCPU": 8, "MemTotal": 1,
        "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]], "Architecture": "aarch64", "OSType": "linux",
        "Runtimes": {"io.containerd.runc.v2": {"path": "runc"}, "runc": {"path": "runc", "status": {}}},
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"], "KernelVersion": "6.12.1",
    }  # fmt: skip
    found = dockerinfo.engine_info({"Version": "29.0.1", "ApiVersion": "1.52"}, info, "1.47")
    assert (found.architecture, found.cgroup_version, found.cgroup_driver) == ("arm64", 2, "systemd")
    assert not found.apparmor and "runc" in found.handlers


def unified(root: Path, place: str) -> None:
    """A version 2 hierarchy with one container's group."""
    (root / place).mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    for name, text in {
        "cpu.stat": "usage_usec 2500\nuser_usec 2000\nsystem_usec 500\nnr_throttled 1\nthrottled_usec 9\n",
        "memory.current": "1000\n", "memory.max": "max\n", "memory.swap.current": "0\n", "pids.current": "3\n",
        "memory.stat": "anon 600\nfile 300\ninactive_file 100\nfile_mapped 50\npgfault 7\npgmajfault 1\n",
    }.items():  # fmt: skip
        (root / place / name).write_text(text)


@pytest.mark.parametrize(
    ("place", "of_process"),
    [
        (f"system.slice/docker-{ID}.scope", ""),
        (f"docker/{ID}", ""),
        (f"pybernetes/pod0123/{ID}", f"0::/pybernetes/pod0123/{ID}\n"),
        (
            f"user.slice/user@1000.service/docker-{ID}.scope",
            f"0::/user.slice/user@1000.service/docker-{ID}.scope\n",
        ),
    ],
)
def test_what_a_container_uses_in_version_2(tmp_path: Path, place: str, of_process: str) -> None:
    unified(tmp_path, place)
    groups = Cgroups(str(tmp_path))
    found = groups.find(ID, groups_of(of_process) if of_process else None)
    assert found == place
    used = groups.read(found)
    assert (used.cpu_nanoseconds, used.memory_working_set, used.memory_limit) == (2_500_000, 900, 0)
    assert (used.memory_rss, used.memory_cache, used.processes, used.cpu_throttled_nanoseconds) == (
        600,
        300,
        3,
        9000,
    )


def test_a_pods_group_in_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    (tmp_path / "cgroup.subtree_control").write_text("")
    podcgroups.make(
        "u", Resources(cpu_request_milli=500, cpu_limit_milli=1000, memory_limit=64 << 20), tmp_path
    )
    group = tmp_path / "pybernetes" / "podu"
    assert (group / "cpu.max").read_text() == "100000 100000" and (group / "cpu.weight").read_text() == "20"
    assert (group / "memory.max").read_text() == str(64 << 20)
    assert (tmp_path / "pybernetes" / "cgroup.subtree_control").read_text() == "+cpu +memory"
