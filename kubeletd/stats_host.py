"""What the machine under a node uses: /proc, and the file systems."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_BLOCK = 512  # of st_blocks, whatever the file system's are


@dataclass(frozen=True, slots=True)
class FileSystem:
    """Bytes and inodes of a file system. File systems without a fixed number of inodes say 0."""

    capacity: int
    available: int
    inodes: int
    inodes_free: int
    device: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    """What a directory holds."""

    used: int = 0
    inodes: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `available` is what can be had without swapping."""

    total: int
    free: int
    available: int
    anonymous: int
    swap_total: int = 0
    swap_free: int = 0


@dataclass(frozen=True, slots=True)
class Interface:
    """Counts since the interface was made."""

    name: str
    received_bytes: int
    received_packets: int
    received_errors: int
    received_dropped: int
    sent_bytes: int
    sent_packets: int
    sent_errors: int
    sent_dropped: int


@dataclass(frozen=True, slots=True)
class Processes:
    most: int
    running: int


def cpu_nanoseconds(stat: str) -> int:
    """Time that all processors together were busy, from /proc/stat."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, stat.split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) * _TICK


def memory(meminfo: str) -> Memory:
    """From /proc/meminfo."""
    kilobytes = {}
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        kilobytes[name] = int(rest.split()[0])
    values = ("MemTotal", "MemFree", "MemAvailable", "AnonPages", "SwapTotal", "SwapFree")
    return Memory(*(kilobytes.get(name, 0) * 1024 for name in values))


def interfaces(dev: str) -> list[Interface]:
    """From /proc/net/dev; the loopback is nobody's traffic."""
    found = []
    for line in dev.splitlines()[2:]:
        name, _, rest = line.partition(":")
        if name.strip() == "lo":
            continue
        n = [int(word) for word in rest.split()]
        found.append(Interface(name.strip(), n[0], n[1], n[2], n[3], n[8], n[9], n[10], n[11]))
    return found


def read_cpu() -> int:
    return cpu_nanoseconds(Path("/proc/stat").read_text())


def read_memory() -> Memory:
    return memory(Path("/proc/meminfo").read_text())


def read_interfaces(pid: int | str = "self") -> list[Interface]:
    """Of the network namespace a process is in. Raises OSError where it is gone."""
    return interfaces(Path(f"/proc/{pid}/net/dev").read_text())


def read_processes() -> Processes:
    """How many processes and threads there are, and may be."""
    most = int(Path("/proc/sys/kernel/pid_max").read_text())
    threads = int(Path("/proc/sys/kernel/threads-max").read_text())
    running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    return Processes(min(most, threads), running)


def process_usage(pid: int | str = "self") -> tuple[int, int]:
    """(CPU nanoseconds, resident bytes) of one process. Raises OSError where it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK, int(fields[21]) * os.sysconf("SC_PAGE_SIZE")


def file_system(path: str) -> FileSystem | None:
    """The file system a path is on, None where there is no such path."""
    try:
        found = os.statvfs(path)
        device = os.stat(path).st_dev
    except OSError:
        return None
    size = found.f_frsize
    return FileSystem(found.f_blocks * size, found.f_bavail * size, found.f_files, found.f_favail, device)


def disk(path: str) -> Disk:
    """What a directory, or one file, takes up; other file systems mounted in it are not counted.

    Files with several names count once. What disappears meanwhile is left out.
    """
    try:
        start = os.lstat(path)
    except OSError:
        return Disk()
    used, inodes = start.st_blocks * _BLOCK, 1
    seen: set[int] = set()
    waiting = [path]
    while waiting:
        for entry in _entries(waiting.pop()):
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if found.st_dev != start.st_dev or found.st_ino in seen:
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif found.st_nlink > 1:
                seen.add(found.st_ino)
            used += found.st_blocks * _BLOCK
            inodes += 1
    return Disk(used, inodes)


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as found:
            return list(found)
    except OSError:
        return []


def log_disk(path: str) -> Disk:
    """What a container's log takes up with its rotated files, which have a number after the name."""
    directory, name = os.path.split(path)
    used = inodes = 0
    try:
        with os.scandir(directory) as found:
            for entry in found:
                if entry.name.startswith(name):
                    used += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                    inodes += 1
    except OSError:
        return Disk()
    return Disk(used, inodes)
