"""When a node is short of something, and which pod has to go then. Pure.

As kubelets decide it (node-pressure eviction): a threshold is met while there is less than it says; a soft one counts
after its grace period. Each met threshold is a condition of the node, which stays for a transition period so that it
does not flap. One pod goes at a time: one that uses more than it asked for, of the lowest priority, using the most.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from apimachinery import quantity

MEMORY, PIDS = "memory.available", "pid.available"
NODE_DISK, NODE_INODES = "nodefs.available", "nodefs.inodesFree"
IMAGE_DISK, IMAGE_INODES = "imagefs.available", "imagefs.inodesFree"
_CONDITIONS = {
    MEMORY: "MemoryPressure",
    NODE_DISK: "DiskPressure",
    NODE_INODES: "DiskPressure",
    IMAGE_DISK: "DiskPressure",
    IMAGE_INODES: "DiskPressure",
    PIDS: "PIDPressure",
}
#: What an eviction's message calls the shortage.
_RESOURCES = {
    MEMORY: "memory",
    NODE_DISK: "ephemeral-storage",
    NODE_INODES: "inodes",
    IMAGE_DISK: "ephemeral-storage",
    IMAGE_INODES: "inodes",
    PIDS: "pids",
}
_THRESHOLD = re.compile(r"^([A-Za-z.]+)<([^<]+)$")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
CRITICAL_PRIORITY = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Amount:
    """So many bytes (or inodes, or processes), or that share of the capacity."""

    number: int = 0
    share: float = 0.0
    text: str = ""

    def of(self, capacity: int) -> int:
        return int(self.share * capacity) if self.share else self.number


@dataclass(frozen=True, slots=True)
class Threshold:
    """`grace` 0: a hard one. `reclaim` is how much more must be free before it is no longer met."""

    signal: str
    amount: Amount
    grace: float = 0.0
    reclaim: Amount = Amount()


@dataclass(frozen=True, slots=True)
class Observation:
    available: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Use:
    """What a pod uses and asked for of one resource."""

    used: int
    requested: int = 0

    @property
    def over(self) -> int:
        return self.used - self.requested


@dataclass(frozen=True, slots=True)
class PodUse:
    """A running pod. `containers`: name → use of memory, for the message."""

    uid: str
    priority: int = 0
    critical: bool = False
    memory: Use = Use(0)
    disk: Use = Use(0)
    inodes: int = 0
    processes: int = 0
    containers: Mapping[str, Use] = field(default_factory=dict)
    container_disks: Mapping[str, Use] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pressure:
    """What is remembered from one look to the next: since when thresholds are met, until when conditions stay."""

    since: Mapping[Threshold, float] = field(default_factory=dict)
    until: Mapping[str, float] = field(default_factory=dict)

    def conditions(self, now: float) -> frozenset[str]:
        """The node's conditions that are true."""
        met = {_CONDITIONS[threshold.signal] for threshold in self.since}
        return frozenset(met | {name for name, end in self.until.items() if end > now})


def duration(text: str) -> float:
    """Seconds of `1m30s`. Raises ValueError."""
    found = _DURATION.findall(text)
    if not found or "".join(number + unit for number, unit in found) != text:
        raise ValueError(f"invalid duration {text!r}")
    return sum(float(number) * _SECONDS[unit] for number, unit in found)


def _amount(text: str) -> Amount:
    if text.endswith("%"):
        share = float(text[:-1]) / 100
        if not 0 <= share <= 1:
            raise ValueError(f"invalid threshold {text!r}: a percentage lies between 0% and 100%")
        return Amount(share=share, text=text)
    number = quantity.to_int(text)
    if number < 0:
        raise ValueError(f"invalid threshold {text!r}: it must not be negative")
    return Amount(number, text=text)


def thresholds(
    hard: Iterable[str],
    soft: Iterable[str] = (),
    grace_periods: Iterable[str] = (),
    minimum_reclaim: Iterable[str] = (),
) -> tuple[Threshold, ...]:
    """From settings such as `memory.available<100Mi` and `memory.available=1m30s`, which may have commas between
    several. 0 and 0% mean none. Raises ValueError.
    """
    graces = {signal: duration(text) for signal, text in map(_pair, _each(grace_periods))}
    reclaims = {signal: _amount(text) for signal, text in map(_pair, _each(minimum_reclaim))}
    found = []
    for text, is_soft in [*((text, False) for text in _each(hard)), *((text, True) for text in _each(soft))]:
        match = _THRESHOLD.match(text)
        if match is None or match[1] not in _CONDITIONS:
            known = ", ".join(_CONDITIONS)
            raise ValueError(f"invalid threshold {text!r}: expected <signal><<quantity> with one of {known}")
        signal, amount = match[1], _amount(match[2])
        if is_soft and not graces.get(signal):
            raise ValueError(f"the soft threshold {text!r} has no grace period")
        if amount.number or amount.share:
            found.append(
                Threshold(signal, amount, graces[signal] if is_soft else 0.0, reclaims.get(signal, Amount()))
            )
    return tuple(found)


def _each(values: Iterable[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _pair(text: str) -> tuple[str, str]:
    signal, equals, value = text.partition("=")
    if not equals or signal not in _CONDITIONS:
        raise ValueError(f"expected <signal>=<value>, not {text!r}")
    return signal, value


def _met(threshold: Threshold, seen: Observation, before: bool) -> bool:
    if not seen.capacity:
        return False
    wanted = threshold.amount.of(seen.capacity)
    if before:
        wanted += threshold.reclaim.of(seen.capacity)
    return seen.available < wanted


def look(
    pressure: Pressure,
    wanted: Iterable[Threshold],
    seen: Mapping[str, Observation],
    now: float,
    transition: float,
) -> Pressure:
    """The pressure after a look; what could not be observed is not short."""
    since: dict[Threshold, float] = {}
    until = {name: end for name, end in pressure.until.items() if end > now}
    for threshold in wanted:
        found = seen.get(threshold.signal)
        if found is not None and _met(threshold, found, threshold in pressure.since):
            since[threshold] = pressure.since.get(threshold, now)
            until[_CONDITIONS[threshold.signal]] = now + transition
    return replace(pressure, since=since, until=until)


def due(pressure: Pressure, now: float) -> list[Threshold]:
    """The thresholds that ask for an eviction now: memory first, hard before soft."""
    found = [t for t, since in pressure.since.items() if now - since >= t.grace]
    return sorted(found, key=lambda t: (t.signal != MEMORY, t.grace > 0, t.signal))


def ranked(signal: str, pods: Iterable[PodUse]) -> list[PodUse]:
    """The pods that may go, the first one first."""
    candidates = [pod for pod in pods if not pod.critical]
    return sorted(candidates, key=partial(_rank, signal))


def _rank(signal: str, pod: PodUse) -> tuple[bool, int, int, str]:
    if signal == PIDS:
        return (False, pod.priority, -pod.processes, pod.uid)
    if signal in (NODE_INODES, IMAGE_INODES):
        return (False, pod.priority, -pod.inodes, pod.uid)
    use = pod.memory if signal == MEMORY else pod.disk
    return (use.over <= 0, pod.priority, -use.over, pod.uid)


@dataclass(frozen=True, slots=True)
class Eviction:
    """`grace` None: the pod's own grace period, up to the limit that the settings give."""

    uid: str
    signal: str
    message: str
    grace: int | None


def choose(
    short: Sequence[Threshold], pods: Sequence[PodUse], seen: Mapping[str, Observation], max_grace: int
) -> Eviction | None:
    """The one pod to evict for the first of the thresholds that any pod can help with."""
    for threshold in short:
        for pod in ranked(threshold.signal, pods)[:1]:
            message = _message(threshold, pod, seen[threshold.signal])
            return Eviction(pod.uid, threshold.signal, message, max_grace if threshold.grace else 1)
    return None


def binary(number: int) -> str:
    """Bytes as a quantity: `64Mi`, `1500`."""
    place = 0
    while number and number % 1024 == 0 and place < 4:
        number //= 1024
        place += 1
    return f"{number}{('', 'Ki', 'Mi', 'Gi', 'Ti')[place]}"


def _size(number: int) -> str:
    """A measured size as messages show it: in Ki."""
    return f"{number // 1024}Ki" if number >= 1024 else str(number)


def _message(threshold: Threshold, pod: PodUse, seen: Observation) -> str:
    resource = _RESOURCES[threshold.signal]
    counted = resource in ("inodes", "pids")
    shown = str if counted else _size
    quota = threshold.amount.of(seen.capacity)
    wanted = threshold.amount.text if not threshold.amount.share else shown(quota)
    text = f"The node was low on resource: {resource}. "
    text += f"Threshold quantity: {wanted}, available: {shown(seen.available)}. "
    uses = {MEMORY: pod.containers, NODE_DISK: pod.container_disks, IMAGE_DISK: pod.container_disks}
    for name, use in uses.get(threshold.signal, {}).items():
        if use.over > 0:
            text += f"Container {name} was using {_size(use.used)}, request is {binary(use.requested)}, "
            text += f"has larger consumption of {resource}. "
    return text


# What a pod may have on disk


def over_its_limits(
    empty_dirs: Mapping[str, tuple[int, str]],
    ephemeral: tuple[int, str],
    containers: Mapping[str, tuple[int, str]],
) -> str | None:
    """Why a pod goes that has more on disk than it may; each is (bytes used, limit), "" for no limit.

    `empty_dirs` by volume, `ephemeral` all of the pod's, `containers` what each has written and logged.
    """
    for name, (used, limit) in sorted(empty_dirs.items()):
        if limit and used > quantity.to_int(limit):
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}". '
    used, limit = ephemeral
    if limit and used > quantity.to_int(limit):
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "
    for name, (used, limit) in containers.items():
        if limit and used > quantity.to_int(limit):
            return f'Container {name} exceeded its local ephemeral storage limit "{limit}". '
    return None


def refusal(
    conditions: Iterable[str], *, critical: bool, best_effort: bool, tolerates_memory: bool
) -> str | None:
    """Why a node under pressure does not take a pod; None where it does."""
    present = sorted(conditions)
    if not present or critical:
        return None
    if present == ["MemoryPressure"] and (not best_effort or tolerates_memory):
        return None
    return f"The node had condition: [{' '.join(present)}]. "
