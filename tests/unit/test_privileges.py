"""Privileged containers of an engine that may not do everything itself."""

from __future__ import annotations

from kubeletd.runtime import privileges

SOME = ("CHOWN", "SYS_ADMIN", "NET_ADMIN")


def test_capabilities_by_their_numbers() -> None:
    assert len(privileges.CAPABILITIES) == 38
    assert privileges.named(1 << 24 | 1) == ("CHOWN", "SYS_RESOURCE")
    assert privileges.named(0x1FFFEFFFFFF) == tuple(c for c in privileges.CAPABILITIES if c != "SYS_RESOURCE")


def test_a_privileged_container_gets_what_there_is() -> None:
    fuse = {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "r"}
    asked = {"Privileged": True, "CapDrop": ["KILL"], "Devices": [fuse], "Memory": 5, "SecurityOpt": []}
    made = privileges.within(asked, SOME, lambda: ["/dev/fuse", "/dev/vda"])
    assert made["Privileged"] is False and made["CapAdd"] == list(SOME) and made["CapDrop"] == []
    assert "seccomp=unconfined" in made["SecurityOpt"] and made["MaskedPaths"] == []
    assert [d["PathOnHost"] for d in made["Devices"]] == ["/dev/fuse", "/dev/vda"] and made["Devices"][
        0
    ] is fuse
    assert made["Memory"] == 5 and asked["Privileged"]


def test_all_capabilities_are_all_there_are() -> None:
    asked = {"Privileged": False, "CapAdd": ["ALL"], "CapDrop": ["CAP_CHOWN"]}
    made = privileges.within(asked, SOME, lambda: ["/dev/vda"])
    assert made == {**asked, "CapAdd": ["SYS_ADMIN", "NET_ADMIN"]}
    plain = {"Privileged": False, "CapAdd": ["NET_ADMIN"]}
    assert privileges.within(plain, SOME, lambda: []) is plain


def test_devices_of_the_host_that_are_no_containers_own() -> None:
    found = set(privileges.devices())
    assert "/dev/null" in found and not any(path.startswith("/dev/pts") for path in found)
