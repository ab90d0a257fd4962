"""What the scheduler knows of volumes: claims, persistent volumes, classes, and which pods use which claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scheduler.views import Claim, Pod, StorageClass, Volume


class Storage:
    """`generation` moves with every change of a claim, volume or class.

    `users`: (namespace, claim) → number of placed pods that use it. `promised`: volume → the claim it was promised
    to by a placement whose binding the volume controller has not finished yet. `limits`: node → driver → the most
    of its volumes there.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.claims: dict[tuple[str, str], Claim] = {}
        self.volumes: dict[str, Volume] = {}
        self.classes: dict[str, StorageClass] = {}
        self.users: dict[tuple[str, str], int] = {}
        self.promised: dict[str, tuple[str, str]] = {}
        self.limits: dict[str, dict[str, int]] = {}

    def set_claim(self, key: tuple[str, str], claim: Claim | None) -> None:
        self.generation += 1
        if claim is None:
            self.claims.pop(key, None)
        else:
            self.claims[key] = claim

    def set_volume(self, name: str, volume: Volume | None) -> None:
        self.generation += 1
        if volume is None:
            self.volumes.pop(name, None)
            self.promised.pop(name, None)
            return
        self.volumes[name] = volume
        if volume.claimed_by is not None:
            self.promised.pop(name, None)

    def set_class(self, name: str, storage_class: StorageClass | None) -> None:
        self.generation += 1
        if storage_class is None:
            self.classes.pop(name, None)
        else:
            self.classes[name] = storage_class

    def set_limits(self, node: str, counts: dict[str, int]) -> None:
        self.generation += 1
        if counts:
            self.limits[node] = counts
        else:
            self.limits.pop(node, None)

    def promise(self, volume: str, claim: tuple[str, str]) -> None:
        """A claim will be bound to this volume: no other may have it."""
        self.generation += 1
        self.promised[volume] = claim

    def withdraw(self, volume: str) -> None:
        self.generation += 1
        self.promised.pop(volume, None)

    def count(self, pod: Pod, sign: int) -> None:
        """A pod was placed (1) or removed (-1)."""
        for name in pod.wants.claims:
            key = pod.namespace, name
            users = self.users.get(key, 0) + sign
            if users:
                self.users[key] = users
            else:
                del self.users[key]
