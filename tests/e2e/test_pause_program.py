"""The sandbox's program, run by itself: a namespace of its own when asked, no capabilities, and an end by SIGTERM."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest
from localcluster import until

from kubeletd.runtime import pause

pytestmark = pytest.mark.e2e
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "pause"
    path.write_bytes(pause.program(ARCHITECTURE))
    path.chmod(0o755)
    return path


def capabilities(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16)


@pytest.mark.parametrize("arguments", [[], [pause.OWN_NETWORK]])
def test_it_waits_without_capabilities_and_ends_when_told(program: Path, arguments: list[str]) -> None:
    process = subprocess.Popen([str(program), *arguments])
    try:
        until(lambda: capabilities(process.pid) == 0, 10)
        moved = os.readlink(f"/proc/{process.pid}/ns/net") != os.readlink("/proc/self/ns/net")
        assert moved == bool(arguments)
    finally:
        process.terminate()
    # A signal that comes before it is blocked ends it by default.
    assert process.wait(10) in (0, -15)


def test_all_architectures_are_known() -> None:
    for architecture in ("amd64", "arm64"):
        text = pause.program(architecture)
        assert text[:4] == b"\x7fELF" and len(text) < 512
    with pytest.raises(KeyError):
        pause.program("riscv64")
