"""What a container uses, from the files of its control groups, versions 1 and 2.

Reading them costs a tenth of a millisecond a container and asks nothing of the engine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from kubeletd.runtime.interface import Usage

ROOT = "/sys/fs/cgroup"
#: Where engines put a container, below the hierarchy's root: the cgroupfs driver, and systemd's.
_USUAL = ("docker/{}", "system.slice/docker-{}.scope")
_UNLIMITED = 1 << 60  # version 1 writes "no limit" as the largest number of whole pages
_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_MICRO = 1000


def keyed(text: str) -> dict[str, int]:
    """A file of `name number` lines."""
    found = {}
    for line in text.splitlines():
        name, _, number = line.partition(" ")
        if number.isdigit():
            found[name] = int(number)
    return found


def usage_v1(
    cpu: str, cpu_stat: str, quota_stat: str, memory: str, stat: str, limit: str, pids: str
) -> Usage:
    """From cpuacct.usage, cpuacct.stat, cpu.stat, memory.usage_in_bytes, memory.stat, its limit, pids.current."""
    times, quota, details, used = keyed(cpu_stat), keyed(quota_stat), keyed(stat), int(memory)
    most = int(limit or 0)
    return Usage(
        cpu_nanoseconds=int(cpu),
        memory_working_set=max(0, used - details.get("total_inactive_file", 0)),
        cpu_user_nanoseconds=times.get("user", 0) * _TICK,
        cpu_system_nanoseconds=times.get("system", 0) * _TICK,
        cpu_periods=quota.get("nr_periods", 0),
        cpu_throttled_periods=quota.get("nr_throttled", 0),
        cpu_throttled_nanoseconds=quota.get("throttled_time", 0),
        memory_usage=used,
        memory_limit=most if most < _UNLIMITED else 0,
        memory_rss=details.get("total_rss", 0),
        memory_cache=details.get("total_cache", 0),
        memory_mapped_file=details.get("total_mapped_file", 0),
        memory_swap=details.get("total_swap", 0),
        page_faults=details.get("total_pgfault", 0),
        major_page_faults=details.get("total_pgmajfault", 0),
        processes=int(pids or 0),
    )


def usage_v2(cpu_stat: str, memory: str, stat: str, limit: str, swap: str, pids: str) -> Usage:
    """From cpu.stat, memory.current, memory.stat, memory.max, memory.swap.current, pids.current."""
    times, details, used = keyed(cpu_stat), keyed(stat), int(memory)
    limit = limit.strip()
    return Usage(
        cpu_nanoseconds=times.get("usage_usec", 0) * _MICRO,
        memory_working_set=max(0, used - details.get("inactive_file", 0)),
        cpu_user_nanoseconds=times.get("user_usec", 0) * _MICRO,
        cpu_system_nanoseconds=times.get("system_usec", 0) * _MICRO,
        cpu_periods=times.get("nr_periods", 0),
        cpu_throttled_periods=times.get("nr_throttled", 0),
        cpu_throttled_nanoseconds=times.get("throttled_usec", 0) * _MICRO,
        memory_usage=used,
        memory_limit=int(limit) if limit.isdigit() else 0,
        memory_rss=details.get("anon", 0),
        memory_cache=details.get("file", 0),
        memory_mapped_file=details.get("file_mapped", 0),
        memory_swap=int(swap or 0),
        page_faults=details.get("pgfault", 0),
        major_page_faults=details.get("pgmajfault", 0),
        processes=int(pids or 0),
    )


def groups_of(text: str) -> dict[str, str]:
    """/proc/<pid>/cgroup: controller → path; "" for version 2's."""
    found = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


class Cgroups:
    """The control groups of the engine's containers below `root`."""

    def __init__(self, root: str = ROOT) -> None:
        self._root = root
        self._unified = os.path.exists(f"{root}/cgroup.controllers")
        self._usual: tuple[str, ...] = _USUAL

    def find(self, container_id: str, groups: Mapping[str, str] | None = None) -> str | None:
        """The container's place below each hierarchy, None where it is not known.

        `groups` are those of its process, for an engine that puts containers where we do not look.
        """
        for pattern in self._usual:
            place = pattern.format(container_id)
            if os.path.exists(f"{self._base('memory')}/{place}"):
                return place
        if groups is None:
            return None
        path = groups.get("" if self._unified else "memory", "").lstrip("/")
        if not path or not os.path.exists(f"{self._base('memory')}/{path}"):
            return None
        pattern = path.replace(container_id, "{}")
        if pattern != path and "{" not in pattern.replace("{}", "", 1):
            # The next container is likely to be beside this one.
            self._usual = (*_USUAL, pattern)
        return path

    def _base(self, controller: str) -> str:
        return self._root if self._unified else f"{self._root}/{controller}"

    def read(self, place: str) -> Usage:
        """Raises OSError where it is gone."""
        if self._unified:
            read = _reader(f"{self._root}/{place}")
            return usage_v2(
                read("cpu.stat"),
                read("memory.current"),
                read("memory.stat"),
                read("memory.max", True),
                read("memory.swap.current", True),
                read("pids.current", True),
            )
        cpu, memory = _reader(f"{self._root}/cpuacct/{place}"), _reader(f"{self._root}/memory/{place}")
        return usage_v1(
            cpu("cpuacct.usage"),
            cpu("cpuacct.stat", True),
            _reader(f"{self._root}/cpu/{place}")("cpu.stat", True),
            memory("memory.usage_in_bytes"),
            memory("memory.stat"),
            memory("memory.limit_in_bytes", True),
            _reader(f"{self._root}/pids/{place}")("pids.current", True),
        )


def _reader(directory: str) -> Callable[..., str]:
    def read(name: str, optional: bool = False) -> str:
        try:
            return Path(directory, name).read_text()
        except FileNotFoundError:
            if not optional:
                raise
            return ""

    return read


def groups_of_process(pid: int) -> dict[str, str]:
    """Raises OSError where there is no such process."""
    return groups_of(Path(f"/proc/{pid}/cgroup").read_text())
