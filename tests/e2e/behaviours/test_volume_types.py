"""Types of volumes on real nodes: whose files they are, what may not be mounted and why, what a mount shows of others.

All pods are made at once; each test looks at its own.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.api.client import APIClient
from localcluster import until
from podset import FOREVER, Pods, entry, shell

from kubeletd import mounts

pytestmark = pytest.mark.e2e
Object = dict[str, Any]
WRONG = {
    "Directory": ("file", "is not a directory"),
    "DirectoryOrCreate": ("file", "is not a directory"),
    "File": ("folder", "is not a file"),
    "FileOrCreate": ("folder", "is not a file"),
    "Socket": ("file", "is not a socket file"),
    "CharDevice": ("file", "is not a character device"),
    "BlockDevice": ("missing", "is not a block device"),
}
RIGHT = {
    "Directory": "folder",
    "DirectoryOrCreate": "new/folder",
    "File": "file",
    "FileOrCreate": "folder/new",
    "Socket": "socket",
    "CharDevice": "null",
    "BlockDevice": "block",
    "": "made/by/nobody",
}
NOT_SUPPORTED = (
    'failed to resolve recursive read-only mode: volume "outside" requested recursive read-only mode, but it is not '
    "supported by the runtime"
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of all nodes, with something of each kind; what is mounted below it spreads."""
    root = tmp_path_factory.mktemp("host")
    mounts.mount_tmpfs(root, mode=0o755)
    subprocess.run(["mount", "--make-shared", str(root)], check=True)
    (root / "folder").mkdir()
    (root / "file").touch()
    os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(root / "block", 0o600 | stat.S_IFBLK, os.makedev(7, 0))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(root / "socket"))
    for name in ("always", "mismatch"):
        (root / name / "inner").mkdir(parents=True)
        (root / name / "inner" / "secret").write_text("s")
        os.chmod(root / name / "inner" / "secret", 0o600)
    os.chown(root / "mismatch", 0, 3000)
    os.chmod(root / "mismatch", 0o2775)
    yield root
    listener.close()
    for point in [*mounts.below(root), root]:
        mounts.unmount(point)
    shutil.rmtree(root)


def host_path(path: Path, kind: str = "") -> Object:
    return {"hostPath": {"path": str(path), "type": kind}}


def named(**volumes: Object) -> list[Object]:
    return [{"name": name.replace("_", "-"), **source} for name, source in volumes.items()]


def at(name: str, path: str, **more: Any) -> Object:
    return {"name": name, "mountPath": path, **more}


def claim(pods: Pods, name: str, volume: Object, **spec: Any) -> None:
    """A claim, and the volume that is made for it."""
    size = {"storage": "1Gi"}
    modes = spec.pop("accessModes", ["ReadWriteOnce"])
    made = f"{pods.namespace}-{name}"
    pods.core.create_persistent_volume(
        {
            "metadata": {"name": made},
            "spec": {
                "capacity": size, "accessModes": modes, "storageClassName": "",
                "claimRef": {"namespace": pods.namespace, "name": name}, **volume, **spec,
            },
        }
    )  # fmt: skip
    wanted = {
        "accessModes": modes, "storageClassName": "", "volumeName": made, "resources": {"requests": size},
        "volumeMode": spec.get("volumeMode", "Filesystem"),
    }  # fmt: skip
    pods.core.create_namespaced_persistent_volume_claim(
        pods.namespace, {"metadata": {"name": name}, "spec": wanted}
    )


def claimed(name: str) -> Object:
    return {"persistentVolumeClaim": {"claimName": name}}


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods, host: Path) -> Iterator[None]:
    """Everything, on its way."""
    node = pods.core.list_node().items[0].metadata.name
    only = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [only]}]}}
    for name in ("always", "mismatch"):
        claim(pods, name, {"local": {"path": str(host / name)}}, nodeAffinity=affinity)
    claim(
        pods, "one-pod", {"local": {"path": str(host / "folder")}}, nodeAffinity=affinity,
        accessModes=["ReadWriteOncePod"],
    )  # fmt: skip
    claim(pods, "raw", {"local": {"path": str(host / "block")}}, nodeAffinity=affinity, volumeMode="Block")
    claim(pods, "nfs", {"nfs": {"server": "127.0.0.1", "path": "/none"}}, mountOptions=["retry=0"])

    # hostPath
    right = {f"t{i}": host_path(host / path, kind) for i, (kind, path) in enumerate(RIGHT.items())}
    mounted = [at(name, f"/t/{name}") for name in right]
    pods.create("right", shell(f"ls -l /t; {FOREVER}", volumeMounts=mounted), volumes=named(**right))
    for kind, (path, _) in WRONG.items():
        volumes = named(v=host_path(host / path, kind))
        pods.create(f"wrong-{kind.lower()}", shell("true", volumeMounts=[at("v", "/v")]), volumes=volumes)

    # fsGroup
    look = "stat -c '%a %g %n' /data /data/inner /data/inner/secret"
    for name, policy in (("always", "Always"), ("mismatch", "OnRootMismatch")):
        group = {"fsGroup": 3000, "runAsUser": 1000, "fsGroupChangePolicy": policy}
        container = shell(look, volumeMounts=[at("v", "/data")])
        pods.create(name, container, volumes=named(v=claimed(name)), securityContext=group)
    ephemeral = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}
    pods.create(
        "grouped",
        shell(
            "exec 2>&1; touch /p/file /e/file /s/file; stat -c '%a %g %u %n' /p /p/file /e /e/file /s /s/file; "
            "touch /r/file; stat -c '%n' /e/sub/path",
            volumeMounts=[
                at("p", "/p"), at("e", "/e"), at("e", "/s", subPathExpr="sub/$(OF)"), at("p", "/r", readOnly=True),
            ],
            env=[{"name": "OF", "value": "path"}],
        ),
        volumes=named(p={"ephemeral": {"volumeClaimTemplate": ephemeral}}, e={"emptyDir": {}}),
        securityContext={"fsGroup": 3000, "runAsUser": 1000},
    )  # fmt: skip

    # subPath
    links = shell("ln -s /etc /e/out; ln -s inside /e/in; mkdir /e/inside; touch /e/inside/f", name="first")
    links["volumeMounts"] = [at("e", "/e")]
    empty = named(e={"emptyDir": {}})
    for name, path, script in (
        ("escape", "out/passwd", "true"), ("within", "in", "ls /m"), ("file", "inside/f", "echo x > /m; cat /m"),
    ):  # fmt: skip
        container = shell(script, volumeMounts=[at("e", "/m", subPath=path)])
        pods.create(f"subpath-{name}", container, initContainers=[links], volumes=empty)
    unset = shell("true", volumeMounts=[at("e", "/m", subPathExpr="$(NOT_THERE)")])
    pods.create("subpath-unset", unset, volumes=empty)

    # Propagation, and read-only mounts over others
    outside = named(outside=host_path(host / "folder", "Directory"))
    for name, mode in (("private", "None"), ("follows", "HostToContainer")):
        container = shell(FOREVER, volumeMounts=[at("outside", "/o", mountPropagation=mode)])
        pods.create(name, container, volumes=outside, nodeName=node)
    script = f"mkdir -p /o/from && mount -t tmpfs none /o/from && touch /o/from/pod && {FOREVER}"
    mount = at("outside", "/o", mountPropagation="Bidirectional")
    container = shell(script, volumeMounts=[mount], securityContext={"privileged": True})
    pods.create("spreads", container, volumes=outside)
    for mode in ("Enabled", "IfPossible", "Disabled"):
        mount = at("outside", "/o", readOnly=True, recursiveReadOnly=mode)
        container = shell(FOREVER, volumeMounts=[mount])
        pods.create(f"recursive-{mode.lower()}", container, volumes=outside)

    # emptyDir
    fill = "dd if=/dev/zero of=/m/f bs=1M count=8 2>/dev/null; stat -c %s /m/f; df -k /l | tail -n 1"
    pods.create(
        "memory",
        shell(fill, volumeMounts=[at("m", "/m"), at("l", "/l")], resources={"limits": {"memory": "48Mi"}}),
        volumes=named(
            m={"emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}}, l={"emptyDir": {"medium": "Memory"}}
        ),
    )
    pods.create(
        "huge", shell("true", volumeMounts=[at("h", "/h")]), volumes=named(h={"emptyDir": {"medium": "HugePages"}})
    )  # fmt: skip

    # Claims that may not be mounted
    pods.create("nfs", shell("true", volumeMounts=[at("v", "/v")]), volumes=named(v=claimed("nfs")))
    device = shell("true", volumeDevices=[{"name": "v", "devicePath": "/dev/v"}])
    pods.create("raw", device, volumes=named(v=claimed("raw")))
    for name in ("first-of-one", "second-of-one"):
        container = shell(FOREVER, volumeMounts=[at("v", "/v")])
        pods.create(name, container, volumes=named(v=claimed("one-pod")), nodeName=node)

    pods.config_map("followed", key="before")
    container = shell(FOREVER, volumeMounts=[at("e", "/m", subPath="a"), at("c", "/c")])
    pods.create("outlives-agent", container, volumes=[*empty, *named(c={"configMap": {"name": "followed"}})])
    yield
    for name in ("always", "mismatch", "one-pod", "raw", "nfs"):
        pods.core.delete_persistent_volume(f"{pods.namespace}-{name}")


def not_mounted(pods: Pods, name: str) -> str:
    """Why a volume of the pod is not mounted, as its events say."""
    return until(lambda: "\n".join(pods.events(name, "FailedMount")), 90, f"an event of pod {name}")


def waits(pods: Pods, name: str) -> Object:
    """What the container of a pod waits for that cannot be made."""
    reason = "CreateContainerConfigError"
    pod = pods.wait(name, lambda p: (entry(p).get("state") or {}).get("waiting", {}).get("reason") == reason)
    found: Object = entry(pod)["state"]["waiting"]
    return found


def test_host_paths_are_what_their_type_says(pods: Pods, host: Path) -> None:
    pods.ready("right")
    kinds = [line[0] for line in pods.log("right").splitlines() if not line.startswith("total")]
    assert "".join(kinds) == "dd--scbd"
    assert stat.S_IMODE((host / "new/folder").stat().st_mode) == 0o755
    assert stat.S_IMODE((host / "folder/new").stat().st_mode) == 0o644
    for kind, (path, text) in WRONG.items():
        said = not_mounted(pods, f"wrong-{kind.lower()}")
        assert (
            said
            == f'MountVolume.SetUp failed for volume "v" : hostPath type check failed: {host / path} {text}'
        )


def test_local_volumes_are_given_to_the_pods_group(pods: Pods, host: Path) -> None:
    assert pods.output("always").splitlines() == [
        "2775 3000 /data", "2775 3000 /data/inner", "660 3000 /data/inner/secret",
    ]  # fmt: skip
    assert pods.output("mismatch").splitlines() == [
        "2775 3000 /data", "755 0 /data/inner", "600 0 /data/inner/secret",
    ]  # fmt: skip
    bound = pods.core.read_persistent_volume(f"{pods.namespace}-always")
    assert bound.status.phase == "Bound" and bound.status.last_phase_transition_time is not None


def test_provisioned_and_empty_volumes_are_given_to_the_pods_group(pods: Pods) -> None:
    pods.ended("grouped")
    assert pods.log("grouped").splitlines() == [
        "2777 3000 0 /p", "644 3000 1000 /p/file", "2777 3000 0 /e", "644 3000 1000 /e/file",
        "2777 3000 0 /s", "644 3000 1000 /s/file", "touch: /r/file: Read-only file system", "/e/sub/path",
    ]  # fmt: skip


def test_sub_paths_stay_within_their_volume(pods: Pods) -> None:
    assert pods.output("subpath-within") == "f\n"
    assert pods.output("subpath-file") == "x\n"
    assert waits(pods, "subpath-escape")["message"] == (
        'failed to prepare subPath for volumeMount "e" of container "main"'
    )
    assert waits(pods, "subpath-unset")["message"] == "missing value for NOT_THERE"


def may_be_privileged() -> bool:
    """Whether this machine lets the engine give a container all capabilities: only then may it spread mounts."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    (bound,) = [
        x.split()[1] for x in Path("/proc/1/status").read_text().splitlines() if x.startswith("CapBnd")
    ]
    return int(bound, 16) == (1 << last + 1) - 1


def asked_of_the_engine(pods: Pods, name: str) -> str:
    """The propagation of the pod's mount of `/o`, as the engine was asked for it."""
    uid = pods.get(name)["metadata"]["uid"]
    labels = [f"io.pybernetes.uid={uid}", "io.pybernetes.container=main"]
    client = APIClient(version="auto")
    found = until(
        lambda: client.containers(all=True, filters={"label": labels}), 90, f"the container of {name}"
    )
    (mount,) = [m for m in client.inspect_container(found[0])["HostConfig"]["Mounts"] if m["Target"] == "/o"]
    client.close()
    return str(mount["BindOptions"]["Propagation"])


def test_mounts_made_later_are_seen_by_those_who_asked(pods: Pods, host: Path) -> None:
    for name in ("private", "follows"):
        pods.ready(name)
    place = host / "folder" / "later"
    place.mkdir()
    mounts.mount_tmpfs(place)
    (place / "seen").touch()
    assert pods.exec("follows", "ls /o/later") == "seen\n"
    assert pods.exec("private", "ls /o/later") == ""
    if may_be_privileged():
        until(lambda: (host / "folder" / "from" / "pod").exists(), 90, "the pod's mount on the node")
        until(lambda: pods.exec("follows", "ls /o/from") == "pod\n", 30, "the pod's mount in another pod")
        assert pods.exec("private", "ls /o/from") == ""
    assert asked_of_the_engine(pods, "spreads") == "rshared"


def test_recursive_read_only_is_as_the_engine_can(pods: Pods) -> None:
    node = pods.core.list_node().items[0].status
    (handler,) = [h for h in node.runtime_handlers if not h.name]
    able = handler.features.recursive_read_only_mounts
    newer = int(node.node_info.container_runtime_version.partition("://")[2].partition(".")[0]) >= 25
    assert newer or not able
    wanted = {"ifpossible": "Enabled" if able else "Disabled", "disabled": "Disabled"}
    if able:
        wanted["enabled"] = "Enabled"
    else:
        assert waits(pods, "recursive-enabled")["message"] == NOT_SUPPORTED
    for name, told in wanted.items():
        mount = entry(pods.ready(f"recursive-{name}"))["volumeMounts"][0]
        assert mount == {"name": "outside", "mountPath": "/o", "readOnly": True, "recursiveReadOnly": told}


def test_memory_is_limited_and_huge_pages_are_refused(pods: Pods) -> None:
    written, free = pods.output("memory").splitlines()
    assert int(written) == 4 << 20
    assert free.split()[1] == str(48 << 10), "no more than the pod's own limit"
    assert not_mounted(pods, "huge").endswith(
        "medium HugePages: hugePages storage requested, but there is no resource request for huge pages"
    )


def test_what_cannot_be_mounted_says_why(pods: Pods) -> None:
    said = not_mounted(pods, "nfs")
    assert said.startswith(
        f'MountVolume.SetUp failed for volume "{pods.namespace}-nfs" : mount failed: exit status 32'
    )
    assert "Mounting arguments: -t nfs -o retry=0 127.0.0.1:/none " in said and "Output: mount" in said
    assert "volumeMode Block" in not_mounted(pods, "raw")
    pair = ("first-of-one", "second-of-one")
    loser = until(lambda: next((n for n in pair if pods.events(n, "FailedMount")), ""), 90, "one pod waits")
    (winner,) = {*pair} - {loser}
    pods.ready(winner)
    assert not_mounted(pods, loser).endswith(
        "volume uses the ReadWriteOncePod access mode and is already in use by another pod"
    )
    pods.delete(winner)
    pods.ready(loser)


def test_volumes_outlive_their_agent_and_not_their_pod(pods: Pods) -> None:
    pod = pods.ready("outlives-agent")
    root = pods.cluster.home / "nodes" / pod["spec"]["nodeName"] / "root" / "pods" / pod["metadata"]["uid"]
    assert len(mounts.below(root)) == 2, "its token and its subPath"
    agent = f"kubeletd-{pod['spec']['nodeName']}"
    pods.exec("outlives-agent", "echo kept > /m/file")
    pods.cluster.kill(agent)
    pods.core.patch_namespaced_config_map("followed", pods.namespace, {"data": {"key": "after"}})
    shown = root / "volumes" / "kubernetes.io~configmap" / "c" / "key"
    until(lambda: shown.read_text() == "after", 90, "the new agent shows the change")
    assert (root / "volumes" / "kubernetes.io~empty-dir" / "e" / "a" / "file").read_text() == "kept\n"
    pods.cluster.kill(agent)
    pods.delete("outlives-agent")
    until(lambda: not mounts.below(root) and not root.exists(), 90, "nothing is left of the pod")
