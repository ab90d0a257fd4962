"""The chain of admission plugins, in Kubernetes's order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from apiserver.admission.plugin import Plugin, Step
from apiserver.request import AdmissionRequest

_Key = tuple[str, str, str, str, bool, str]


def _key(request: AdmissionRequest) -> _Key:
    """What plugins choose by. A custom resource may come back with another scope."""
    resource = request.resource
    return (
        request.operation,
        resource.group,
        resource.plural,
        resource.version,
        resource.namespaced,
        request.subresource,
    )


class Chain:
    """Runs the plugins a request concerns."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.plugins: Sequence[Plugin] = tuple(plugins)
        self._mutators: dict[_Key, tuple[Step, ...]] = {}
        self._validators: dict[_Key, tuple[Step, ...]] = {}

    async def mutate(self, request: AdmissionRequest) -> None:
        """Let plugins change the object. Raises StatusError for what may not be."""
        resource = request.resource
        key = _key(request)
        steps = self._mutators.get(key)
        if steps is None:
            found = (p.mutator(request.operation, resource, request.subresource) for p in self.plugins)
            steps = self._mutators[key] = tuple(step for step in found if step is not None)
        for step in steps:
            waiting = step(request)
            if waiting is not None:
                await waiting

    async def validate(self, request: AdmissionRequest) -> None:
        """Check the object as it will be stored. Raises StatusError."""
        resource = request.resource
        key = _key(request)
        steps = self._validators.get(key)
        if steps is None:
            found = (p.validator(request.operation, resource, request.subresource) for p in self.plugins)
            steps = self._validators[key] = tuple(step for step in found if step is not None)
        for step in steps:
            waiting = step(request)
            if waiting is not None:
                await waiting
