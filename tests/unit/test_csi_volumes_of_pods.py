"""What a node asks CSI drivers for a pod's volume, and what of it is still to be done."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.attachments import attachment_name, parse_unique_name, unique_name
from kubeletd import csi_pb2, inotify, volumedevices
from kubeletd.csi import figures, model, plan, records, requests
from kubeletd.csi.model import Driver, Rules, Source
from kubeletd.csi.plan import Device as Staged
from kubeletd.csi.plan import Publication
from kubeletd.interfaces import PodConfigError, PodFacts
from kubeletd.runtime.specs import ContainerSpec, Device, Identity
from kubeletd.sources import ApiSources, Kind
from kubeletd.stats_model import VolumeFigures
from kubeletd.volumetypes import hostpath
from kubeletd.volumetypes.interface import Asked, Node

ABLE = frozenset({model.STAGE, model.EXPAND})
DRIVER = Driver("d.example.com", "n1", ABLE)
SOURCE = Source("d.example.com", "h", "pv", fs_type="ext4", access_modes=("ReadWriteOnce",), capacity=10)
DEVICE = Staged("d.example.com", "h", "pv", boot="b1")
HELD = Publication("d.example.com", "h", "pv", asked=True, boot="b1")
POD = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
    "spec": {"serviceAccountName": "sa", "volumes": []},
}


@given(handle=st.text(min_size=1), driver=st.from_regex(r"[a-z][a-z0-9.-]{0,40}", fullmatch=True))
def test_a_volume_is_known_by_its_unique_name(handle: str, driver: str) -> None:
    assert parse_unique_name(unique_name(driver, handle)) == (driver, handle)
    assert len(attachment_name(driver, handle, "n1")) == len("csi-") + 64


def test_other_plugins_volumes_are_not_taken_for_ours() -> None:
    assert parse_unique_name("kubernetes.io/nfs/x^y") is None
    assert parse_unique_name("kubernetes.io/csi/nothing") is None


@pytest.mark.parametrize(
    ("device", "publication", "more", "steps"),
    [
        (None, None, {}, (True, False, True)),
        (DEVICE, None, {}, (False, False, True)),
        (DEVICE, HELD, {}, (False, False, False)),
        (DEVICE, HELD, {"rules": Rules(requires_republish=True)}, (False, False, True)),
        (DEVICE, HELD, {"grown": True}, (False, True, False)),
        (DEVICE, HELD, {"boot": "b2"}, (True, False, True)),
        (None, None, {"driver": Driver("d.example.com", "n1")}, (False, False, True)),
        (None, None, {"source": Source("d.example.com", "h", "v", ephemeral=True)}, (False, False, True)),
    ],
    ids=["new", "staged", "there", "republished", "grown", "rebooted", "unstageable", "inline"],
)
def test_only_what_is_missing_is_asked_for(
    device: Staged | None, publication: Publication | None, more: dict[str, Any], steps: tuple[bool, ...]
) -> None:
    given = {"source": SOURCE, "driver": DRIVER, "rules": Rules(), "boot": "b1", "grown": False, **more}
    found = plan.steps(device=device, publication=publication, **given)
    assert (found.stage, found.expand, found.publish) == steps


_KEYS = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2", "3"]))


@given(staged=st.sets(_KEYS), published=st.lists(_KEYS), attached=st.booleans())
def test_what_a_pod_has_is_neither_unstaged_nor_detached(
    staged: set[tuple[str, str]], published: list[tuple[str, str]], attached: bool
) -> None:
    name = "csi-x" if attached else ""
    devices = [Staged(*key, name="pv", attachment=name) for key in staged]
    held = [Publication(*key, name="pv", attachment=name) for key in published]
    unused = {device.key for device in plan.unused(devices, held)}
    assert unused == staged - set(published)
    in_use = plan.in_use(devices, held)
    wanted = {unique_name(*key) for key in staged | set(published)} if attached else set()
    assert set(in_use) == wanted
    assert in_use == sorted(in_use)


def test_records_survive_the_agent(tmp_path: Path) -> None:
    first = records.Records(tmp_path)
    directory = tmp_path / "pods" / "u" / "volumes" / "kubernetes.io~csi" / "pv"
    first.publish(directory, HELD)
    first.stage(DEVICE)
    second = records.Records(tmp_path)
    second.load()
    assert second.publications == {directory: HELD}
    assert second.devices == {DEVICE.key: DEVICE}
    second.unpublished(directory)
    second.unstaged(DEVICE.key)
    third = records.Records(tmp_path)
    third.load()
    assert (third.publications, third.devices) == ({}, {})
    assert not first.device_directory(DEVICE.key).exists()


def test_a_broken_record_is_no_record(tmp_path: Path) -> None:
    directory = tmp_path / "pods" / "u" / "volumes" / "kubernetes.io~csi" / "pv"
    directory.mkdir(parents=True)
    (directory / records.FILE).write_text("{")
    found = records.Records(tmp_path)
    found.load()
    assert found.publications == {}


@pytest.mark.parametrize(
    ("modes", "able", "mode"),
    [
        (("ReadWriteOnce",), (), "SINGLE_NODE_WRITER"),
        (("ReadWriteOncePod",), (), "SINGLE_NODE_WRITER"),
        (("ReadWriteOnce",), (model.MULTI_WRITER,), "SINGLE_NODE_MULTI_WRITER"),
        (("ReadWriteOncePod",), (model.MULTI_WRITER,), "SINGLE_NODE_SINGLE_WRITER"),
        (("ReadOnlyMany", "ReadWriteOnce"), (), "MULTI_NODE_READER_ONLY"),
        (("ReadWriteMany",), (), "MULTI_NODE_MULTI_WRITER"),
        ((), (), "SINGLE_NODE_WRITER"),
    ],
)
def test_access_modes_by_the_interfaces_names(
    modes: tuple[str, ...], able: tuple[str, ...], mode: str
) -> None:
    source = Source("d", "h", "pv", access_modes=modes)
    assert requests.access_mode(source, Driver("d", "n", frozenset(able))) == mode


@pytest.mark.parametrize(
    ("policy", "source", "owns"),
    [
        ("ReadWriteOnceWithFSType", {}, True),
        ("ReadWriteOnceWithFSType", {"fs_type": ""}, False),
        ("ReadWriteOnceWithFSType", {"access_modes": ("ReadWriteMany",)}, False),
        ("File", {"fs_type": "", "access_modes": ("ReadWriteMany",)}, True),
        ("File", {"read_only": True}, False),
        ("File", {"block": True}, False),
        ("None", {}, False),
    ],
)
def test_who_gives_a_volume_to_the_pods_group(policy: str, source: dict[str, Any], owns: bool) -> None:
    given = {"fs_type": "ext4", "access_modes": ("ReadWriteOnce",), **source}
    made = Source("d", "h", "pv", **given)
    rules = Rules(fs_group_policy=policy)
    assert model.owns_group(made, rules, DRIVER, 1000) is owns
    assert not model.owns_group(made, rules, DRIVER, None)
    mounter = Driver("d", "n", frozenset({model.MOUNT_GROUP}))
    assert not model.owns_group(made, rules, mounter, 1000)
    if not made.block:
        assert requests.capability(made, mounter, 1000)["mount"]["volume_mount_group"] == "1000"


def test_a_driver_is_told_of_the_pod_as_it_wishes() -> None:
    source = model.inline_source(POD, "v", {"driver": "d", "volumeAttributes": {"a": "b"}, "readOnly": True})
    asked = requests.publish(
        source,
        DRIVER,
        "",
        "/t",
        attachment={},
        secrets={},
        context={**requests.pod_info(POD, True), **requests.tokens({"aud": ("t", "2030-01-01T00:00:00Z")})},
        group=None,
    )
    assert asked["readonly"] is True and asked["volume_id"] == model.inline_handle("u", "v")
    assert asked["volume_context"] == {
        "a": "b",
        "csi.storage.k8s.io/pod.name": "p",
        "csi.storage.k8s.io/pod.namespace": "ns",
        "csi.storage.k8s.io/pod.uid": "u",
        "csi.storage.k8s.io/serviceAccount.name": "sa",
        "csi.storage.k8s.io/ephemeral": "true",
        "csi.storage.k8s.io/serviceAccount.tokens": (
            '{"aud":{"token":"t","expirationTimestamp":"2030-01-01T00:00:00Z"}}'
        ),
    }


def test_lives_that_a_driver_does_not_offer_are_refused() -> None:
    inline = Source("d", "h", "v", ephemeral=True)
    assert model.refusal(inline, Rules()).endswith("(no CSIDriver object)")
    assert 'only supports ["Persistent"]' in model.refusal(inline, Rules(exists=True))
    assert model.refusal(inline, Rules(exists=True, modes=("Ephemeral",))) == ""
    assert model.refusal(SOURCE, Rules()) == ""


def test_rules_are_those_of_the_csidriver_object() -> None:
    spec = {
        "attachRequired": False,
        "podInfoOnMount": True,
        "fsGroupPolicy": "File",
        "volumeLifecycleModes": ["Ephemeral"],
        "tokenRequests": [{"audience": "a", "expirationSeconds": 600}, {"audience": ""}],
        "requiresRepublish": True,
    }
    found = model.rules_of({"spec": spec})
    assert found == Rules(
        True, False, True, "File", ("Ephemeral",), (("a", 600), ("", 3600)), True, tokens_in_secrets=False
    )


def test_a_driver_that_says_the_usual_place_means_ours() -> None:
    path, seen = requests.our_path("/home/me/root", "/var/lib/kubelet/plugins/d/csi.sock")
    assert (path, seen) == ("/home/me/root/plugins/d/csi.sock", "/var/lib/kubelet")
    driver = Driver("d", "n", root=seen)
    assert requests.seen_by(driver, "/home/me/root", "/home/me/root/pods/u") == "/var/lib/kubelet/pods/u"
    assert requests.our_path("/home/me/root", "/run/d.sock") == ("/run/d.sock", "/home/me/root")


def test_a_claim_is_told_that_its_file_system_has_grown() -> None:
    claim = {
        "metadata": {"uid": "c"},
        "status": {
            "capacity": {"storage": "1Gi"},
            "conditions": [{"type": "FileSystemResizePending", "status": "True"}, {"type": "Other"}],
            "allocatedResourceStatuses": {"storage": "NodeResizePending"},
        },
    }
    volume = {"spec": {"capacity": {"storage": "2Gi"}}}
    assert model.grown(claim, Source("d", "h", "pv", capacity=2 << 30))
    assert not model.grown(claim, Source("d", "h", "pv", capacity=1 << 30))
    assert model.grown_claim(claim, volume)["status"] == {
        "capacity": {"storage": "2Gi"},
        "conditions": [{"type": "Other"}],
        "allocatedResourceStatuses": None,
    }


def test_a_nodes_place_does_not_change_under_a_driver() -> None:
    assert model.label_collision({"zone": "a"}, {"zone": "a", "rack": "1"}) == ""
    assert '"zone":"b" but existing label is "zone":"a"' in model.label_collision(
        {"zone": "a"}, {"zone": "b"}
    )


async def test_a_manifest_that_says_the_usual_place_means_the_agents(tmp_path: Path) -> None:
    created = hostpath.create(Node(tmp_path, None, "n1"))  # type: ignore[arg-type]
    source = {"path": "/var/lib/kubelet/plugins/d", "type": "DirectoryOrCreate"}
    asked = Asked(POD, "v", "hostPath", source, tmp_path / "unused", PodFacts())
    assert await created.set_up(asked) == str(tmp_path / "plugins" / "d")
    assert (tmp_path / "plugins" / "d").is_dir()


def test_a_driver_says_how_full_a_volume_is() -> None:
    usage = [
        csi_pb2.VolumeUsage(unit=csi_pb2.VolumeUsage.BYTES, total=100, available=60, used=40),
        csi_pb2.VolumeUsage(unit=csi_pb2.VolumeUsage.INODES, total=10, available=7, used=3),
    ]
    assert figures.from_usage("data", "claim", usage) == VolumeFigures(
        "data", "claim", capacity=100, available=60, used=40, inodes=10, inodes_free=7, inodes_used=3
    )


def test_block_volumes_are_devices_of_their_containers() -> None:
    identity = Identity("ns", "p", "u", "main", "container")
    spec = ContainerSpec(identity, "any", "sandbox")
    claims = {
        "rw": {"persistentVolumeClaim": {"claimName": "a"}},
        "ro": {"persistentVolumeClaim": {"claimName": "b", "readOnly": True}},
    }
    pod = {**POD, "spec": {"volumes": [{"name": name, **source} for name, source in claims.items()]}}
    devices = [{"name": "rw", "devicePath": "/dev/a"}, {"name": "ro", "devicePath": "/dev/b"}]
    container = {"name": "main", "volumeDevices": devices}
    made = volumedevices.with_devices(spec, pod, container, {"rw": "/x", "ro": "/y"})
    assert made.resources.devices == (Device("/x", "/dev/a", "rwm"), Device("/y", "/dev/b", "rm"))
    with pytest.raises(PodConfigError, match='cannot find volume "ro"'):
        volumedevices.with_devices(spec, pod, container, {"rw": "/x"})


def test_entries_of_a_directory_are_told() -> None:
    def told(mask: int, name: bytes) -> bytes:
        return struct.pack("iIII", 1, mask, 0, len(name)) + name

    data = told(0x100, b"a.sock\0\0") + told(0x200, b"a.sock\0\0") + told(0x4000, b"")
    changes = [(change.name, change.here) for change in inotify.parse(data)]
    assert changes == [("a.sock", True), ("a.sock", False), ("", True)]
    with pytest.raises(NotADirectoryError):
        inotify.parse(told(0x8000, b""))


class CountingClient:
    """Answers every get with another revision of the object."""

    def __init__(self) -> None:
        self.revision = 0

    async def get(self, resource: Any, name: str, namespace: str = "") -> dict[str, Any]:
        self.revision += 1
        return {"metadata": {"name": name, "resourceVersion": str(self.revision)}}


async def test_volumes_and_their_claims_are_read_as_they_are_now() -> None:
    sources = ApiSources(CountingClient())  # type: ignore[arg-type]
    kinds: tuple[Kind, ...] = ("PersistentVolume", "PersistentVolumeClaim", "VolumeAttachment")
    for kind in kinds:
        first, second = await sources.get(kind, "", "x"), await sources.get(kind, "", "x")
        assert first != second, kind
    secret = await sources.get("Secret", "ns", "x")
    assert await sources.get("Secret", "ns", "x") == secret
