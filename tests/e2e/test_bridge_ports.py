"""A sandbox's place on the bridge: made whole, or recognised as half made and finished."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from kubeletd.runtime import bridgeport

pytestmark = pytest.mark.e2e

BRIDGE = "pybt-bridge"
SUBNET, GATEWAY, ADDRESS = "10.198.0.0/16", "10.198.0.1", "10.198.1.2"


@pytest.fixture
def process() -> Iterator[int]:
    """A process in a network namespace of its own, beside a bridge."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
    subprocess.run(["ip", "address", "add", f"{GATEWAY}/16", "dev", BRIDGE], check=True)
    subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
    sleeping = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
    yield sleeping.pid
    sleeping.kill()
    sleeping.wait()
    subprocess.run(["ip", "link", "delete", BRIDGE], check=True)


def port(process: int) -> str:
    # The one of the test before goes with its namespace, which the kernel takes down in its own time.
    return f"pybt-{process}"


def connect(process: int) -> None:
    bridgeport.connect(BRIDGE, port(process), process, ADDRESS, SUBNET, GATEWAY)


def inside(process: int, *command: str) -> str:
    return subprocess.run(
        ["nsenter", f"--net=/proc/{process}/ns/net", *command], capture_output=True, text=True, check=True
    ).stdout


def test_a_sandbox_gets_its_address_and_a_way_out(process: int) -> None:
    assert not bridgeport.connected(port(process))
    connect(process)
    assert bridgeport.connected(port(process))
    assert f"inet {ADDRESS}/16" in inside(process, "ip", "address", "show", "eth0")
    assert f"default via {GATEWAY}" in inside(process, "ip", "route")


@pytest.mark.parametrize("after", [0, 1, 2], ids=["nothing", "the pair", "the address"])
def test_what_was_left_half_made_is_finished(
    process: int, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    exchange, done = bridgeport._exchange, []

    def until_killed(*arguments: Any) -> None:
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(exchange(*arguments))

    with monkeypatch.context() as patched:
        patched.setattr(bridgeport, "_exchange", until_killed)
        with pytest.raises(KeyboardInterrupt):
            connect(process)
    assert not bridgeport.connected(port(process))
    connect(process)
    assert bridgeport.connected(port(process))
    assert f"inet {ADDRESS}/16" in inside(process, "ip", "address", "show", "eth0")
