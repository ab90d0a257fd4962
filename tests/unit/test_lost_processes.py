"""What an engine that was killed has left running of containers that do not run is ended, and nothing else."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kubeletd.runtime import lostprocesses

KEEPER = "sleep 1000 & echo $!; wait"


@contextmanager
def shim(
    container: str, name: str = "containerd-shim-runc-v2"
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that looks like the shim of a container, and the one it keeps."""
    process = subprocess.Popen(
        [name, "-c", KEEPER, "-namespace", "moby", "-id", container],
        executable="/bin/sh",
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    kept = int(process.stdout.readline())
    try:
        yield process, kept
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        if running(kept):
            os.kill(kept, 9)


def running(pid: int) -> bool:
    """Whether it has not ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_a_lost_container_kept_is_ended() -> None:
    with shim("lost") as (lost, kept), shim("running") as (other, others):
        assert {container for _, container in lostprocesses.shims({"lost", "running"})} == {"lost", "running"}
        handle = os.pidfd_open(kept)
        assert lostprocesses.end({"lost"}) == ["lost"]
        lost.wait(30)  # killed, or quicker: what it waited for has ended
        assert select.select([handle], [], [], 30)[0], "it has ended"
        os.close(handle)
        assert other.poll() is None and running(others)
        assert lostprocesses.end({"lost"}) == []


def test_only_shims_count() -> None:
    with shim("mine", name="some-tool") as (process, kept):
        assert lostprocesses.end({"mine"}) == []
        assert process.poll() is None and running(kept)
