"""How much a container is given: what its resources say, and what of it has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Amounts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sizes:
    """A container's `resources` by name, as quantities are written."""

    requests: Amounts = ()
    limits: Amounts = ()

    def changed(self, other: Sizes) -> frozenset[str]:
        """The resources that are not the same in both."""
        different = {*self.requests} ^ {*other.requests} | {*self.limits} ^ {*other.limits}
        return frozenset(name for name, _ in different)

    def resources(self) -> dict[str, dict[str, str]]:
        """As containerStatuses[].resources."""
        given = {"limits": dict(self.limits), "requests": dict(self.requests)}
        return {key: amounts for key, amounts in given.items() if amounts}


UNSIZED = Sizes()


def sizes_of(resources: Mapping[str, Any] | None) -> Sizes:
    """The sizes of a ResourceRequirements object."""
    given = resources or {}

    def amounts(key: str) -> Amounts:
        return tuple(sorted((name, str(text)) for name, text in (given.get(key) or {}).items()))

    return Sizes(amounts("requests"), amounts("limits"))


def restart_for(container: Mapping[str, Any]) -> frozenset[str]:
    """The resources whose change the container has to be restarted for, by its resizePolicy."""
    policies = container.get("resizePolicy") or ()
    return frozenset(p["resourceName"] for p in policies if p.get("restartPolicy") == "RestartContainer")
