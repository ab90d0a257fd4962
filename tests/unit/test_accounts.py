"""Who a container's process is, by its pod's wishes and its image's files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kubeletd import translate
from kubeletd.accounts import Accounts, process_user
from kubeletd.podstate import plan_of
from kubeletd.podstate.adoption import adopt
from kubeletd.runtime import dockeraccounts
from kubeletd.runtime.interface import ContainerState, Identity

FILES = Accounts(
    "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1001::/:/bin/sh\nbroken\n",
    "root:x:0:\nusers:x:50000:bob,alice\nwheel:x:10:alice\nodd:x:y:alice\n",
)


def who(image_user: str, files: Accounts = FILES, **wishes: Any) -> Any:
    given: dict[str, Any] = {"user": None, "group": None, "more_groups": (), "strict": False, **wishes}
    return process_user(files, image_user, **given)


@pytest.mark.parametrize(
    ("image_user", "wishes", "found"),
    [
        ("", {}, (0, 0, (0,))),
        ("alice", {}, (1000, 1001, (1001, 50000, 10))),
        ("1000", {}, (1000, 1001, (1001, 50000, 10))),
        ("alice:wheel", {}, (1000, 10, (10, 50000))),
        ("alice:7", {"strict": True}, (1000, 7, (7,))),
        ("nobody-knows", {}, None),
        ("alice:nobody-knows", {}, None),
        ("nobody-knows", {"user": 5}, (5, 0, (0,))),
        ("", {"user": 1000, "more_groups": (60000, 10)}, (1000, 1001, (1001, 50000, 10, 60000))),
        ("", {"user": 1000, "group": 1000, "more_groups": (60000,)}, (1000, 1000, (1000, 50000, 10, 60000))),
        (
            "",
            {"user": 1000, "group": 1000, "more_groups": (60000,), "strict": True},
            (1000, 1000, (1000, 60000)),
        ),
        ("alice", {"group": 3}, (1000, 3, (3, 50000, 10))),
    ],
)
def test_user_and_groups_of_a_process(image_user: str, wishes: dict[str, Any], found: Any) -> None:
    assert who(image_user, **wishes) == found


def test_an_image_without_the_files() -> None:
    assert who("7:8", Accounts()) == (7, 8, (8,))
    assert who("alice", Accounts()) is None


def test_a_container_gets_numbers_where_they_are_known() -> None:
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {
            "containers": [{"name": "c", "image": "i"}],
            "securityContext": {
                "supplementalGroups": [5],
                "fsGroup": 6,
                "supplementalGroupsPolicy": "Strict",
            },
        },
    }

    def security(accounts: Accounts | None) -> Any:
        return translate.container_spec(
            pod, pod["spec"]["containers"][0], "container", 0, sandbox_id="s", env=(), mounts=(), image="i",
            image_user="alice", memory_capacity=1, accounts=accounts,
        ).security  # fmt: skip

    known = security(FILES)
    assert (known.user, known.groups, known.who) == ("1000:1001", (1001, 5, 6), (1000, 1001, (1001, 5, 6)))
    unknown = security(None)
    assert (unknown.user, unknown.groups, unknown.who) == ("", (5, 6), None)


def layer(path: Path, **files: str) -> str:
    (path / "etc").mkdir(parents=True)
    for name, text in files.items():
        (path / "etc" / name).write_text(text)
    return str(path)


def test_the_topmost_layer_that_has_a_file_has_it(tmp_path: Path) -> None:
    low = layer(tmp_path / "low", passwd="old", group="groups")
    high = layer(tmp_path / "high", passwd="new")
    bare = tmp_path / "bare"
    bare.mkdir()
    assert dockeraccounts.from_layers([str(bare), high, low]) == Accounts("new", "groups")
    assert dockeraccounts.from_layers([str(bare)]) == Accounts()


def test_links_of_an_image_do_not_lead_out_of_it(tmp_path: Path) -> None:
    linked = layer(tmp_path / "file")
    os.symlink("/etc/passwd", f"{linked}/etc/passwd")
    assert dockeraccounts.from_layers([linked]) is None
    (tmp_path / "folder").mkdir()
    os.symlink("/etc", tmp_path / "folder" / "etc")
    assert dockeraccounts.from_layers([str(tmp_path / "folder")]) is None


def test_layers_of_an_engine_that_keeps_them_elsewhere() -> None:
    assert dockeraccounts.directories({"Id": "sha256:1"}) == []
    assert dockeraccounts.directories({"GraphDriver": {"Name": "zfs", "Data": None}}) == []


def test_an_agents_next_run_knows_who_a_process_is() -> None:
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    plan = plan_of(pod)
    running = ContainerState(
        "id1", Identity("n", "p", "u", "c", "container", 0, plan.containers[0].spec_hash), "running"
    )
    user = {"linux": {"uid": 5, "gid": 6, "supplementalGroups": [6, 7]}}

    def known(container_id: str, **told: Any) -> Any:
        entry = {"name": "c", "containerID": f"docker://{container_id}", **told}
        return adopt(plan, [running], {"containerStatuses": [entry]}, 0.0).record("c").user

    assert known("id1", user=user) == (5, 6, (6, 7))
    assert known("id0", user=user) is None, "another run's"
    assert known("id1") is None
