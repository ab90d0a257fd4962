"""The registry of Services: takes addresses and node ports before a Service is stored, gives them back after."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any

from apimachinery import errors, meta
from apimachinery.errors import FieldError
from apimachinery.validation import objectmeta
from apiserver.registry import services
from apiserver.registry.allocation import Allocator, Full, Taken
from apiserver.registry.call import Call
from apiserver.registry.registry import Registry

Object = dict[str, Any]


class _Taking:
    """What one write has taken so far."""

    def __init__(self, allocator: Allocator, obj: Object, *, dry_run: bool) -> None:
        self.allocator = allocator
        self.namespace, self.name = meta.namespace(obj), meta.name(obj)
        self.owner = f"{self.namespace}/{self.name}"
        self.dry_run = dry_run
        self.addresses: list[str] = []
        self.ports: list[int] = []

    async def undo(self) -> None:
        if self.dry_run:
            return
        for address in self.addresses:
            await self.allocator.give_back_address(address, self.namespace, self.name)
        for port in self.ports:
            await self.allocator.give_back_port(port, self.owner)


class ServiceRegistry(Registry):
    """Services."""

    @cached_property
    def allocator(self) -> Allocator:
        return Allocator(self.backend)

    async def reserve(
        self, call: Call, old: Object | None, new: Object
    ) -> Callable[[], Awaitable[None]] | None:
        spec = new.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return None
        before = (old or {}).get("spec") or {}
        if old is None:
            # Addresses are taken in the Service's name: that must be right first.
            check = objectmeta.name_check(self.resource.group, self.resource.kind)
            self.refuse(objectmeta.validate(new, check, namespaced=True), new)
        taking = _Taking(self.allocator, new, dry_run=call.options.dry_run)
        try:
            self._families(new, spec)
            await self._addresses(taking, new, spec, before)
            await self._ports(taking, new, spec, before)
        except BaseException:
            await taking.undo()
            raise
        return taking.undo

    def _families(self, obj: Object, spec: Object) -> None:
        """Fill ipFamilies and ipFamilyPolicy, or refuse those that this cluster does not have."""
        family = self.allocator.family
        families = list(spec.get("ipFamilies") or ())
        first = next(iter(spec.get("clusterIPs") or ()), "")
        if first == "None" and not spec.get("selector"):
            families = families or [family]
            policy = spec.setdefault("ipFamilyPolicy", "RequireDualStack")
            if policy != "SingleStack" and len(families) < 2:
                families.append("IPv6" if families[0] == "IPv4" else "IPv4")
            spec["ipFamilies"] = families
            return
        policy = spec.setdefault("ipFamilyPolicy", "SingleStack")
        if policy == "RequireDualStack":
            self._refuse(obj, errors.invalid_value(
                "spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services"))  # fmt: skip
        for index, wanted in enumerate(families):
            if wanted != family and (index == 0 or policy != "PreferDualStack"):
                self._refuse(obj, errors.invalid_value(
                    f"spec.ipFamilies[{index}]", wanted, "not configured on this cluster"))  # fmt: skip
        spec["ipFamilies"] = [family]

    async def _addresses(self, taking: _Taking, obj: Object, spec: Object, before: Object) -> None:
        held = set(services.addresses(before))
        wanted = list(spec.get("clusterIPs") or ())
        if "None" in wanted:
            return
        if not wanted:
            try:
                address = await self.allocator.next_address(
                    taking.namespace, taking.name, dry_run=taking.dry_run
                )
            except Full:
                raise errors.internal("failed to allocate a serviceIP: range is full") from None
            taking.addresses.append(address)
            spec["clusterIP"], spec["clusterIPs"] = address, [address]
            return
        for address in wanted:
            if address in held:
                continue
            why = ""
            if not self.allocator.holds(address):
                if _is_address(address):
                    why = (
                        f"the provided IP ({address}) is not in the valid range. "
                        f"The range of valid IPs is {self.allocator.network}"
                    )
                else:
                    return  # validation says what is wrong with it
            else:
                try:
                    await self.allocator.take_address(
                        address, taking.namespace, taking.name, dry_run=taking.dry_run
                    )
                    taking.addresses.append(address)
                except Taken:
                    why = "provided IP is already allocated"
            if why:
                self._refuse(obj, errors.invalid_value(
                    "spec.clusterIPs", wanted, f"failed to allocate IP {address}: {why}"))  # fmt: skip

    async def _ports(self, taking: _Taking, obj: Object, spec: Object, before: Object) -> None:
        held = {port for _, port in services.node_ports(before)}
        given: dict[int, None] = {}
        if services.wanted_node_ports(spec):
            numbered: dict[int, str] = {}
            for index, port in enumerate(spec.get("ports") or ()):
                number = port.get("nodePort")
                if number:
                    if number not in held and number not in numbered:
                        await self._take_port(taking, obj, f"spec.ports[{index}].nodePort", number)
                    numbered[number] = port.get("protocol", "TCP")
            for port in spec.get("ports") or ():
                if not port.get("nodePort"):
                    port["nodePort"] = self._shared(spec, port, given) or await self._any_port(taking)
                    given[port["nodePort"]] = None
        if spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
            number = spec.get("healthCheckNodePort")
            if not number:
                spec["healthCheckNodePort"] = await self._any_port(taking)
            elif number not in held:
                await self._take_port(taking, obj, "spec.healthCheckNodePort", number)

    @staticmethod
    def _shared(spec: Object, port: Object, given: dict[int, None]) -> int:
        """The node port of the same port number with another protocol (TCP and UDP of a DNS server)."""
        for other in spec.get("ports") or ():
            same = other.get("port") == port.get("port") and other.get("protocol") != port.get("protocol")
            if other is not port and same and other.get("nodePort") in given:
                return int(other["nodePort"])
        return 0

    async def _any_port(self, taking: _Taking) -> int:
        try:
            port = await self.allocator.next_port(taking.owner, dry_run=taking.dry_run)
        except Full:
            raise errors.internal("failed to allocate a nodePort: range is full") from None
        taking.ports.append(port)
        return port

    async def _take_port(self, taking: _Taking, obj: Object, field: str, number: int) -> None:
        first, last = self.backend.node_ports
        if not isinstance(number, int) or not first <= number <= last:
            self._refuse(obj, errors.invalid_value(
                field, number,
                f"provided port is not in the valid range. The range of valid ports is {first}-{last}"))  # fmt: skip
        try:
            await self.allocator.take_port(number, taking.owner, dry_run=taking.dry_run)
        except Taken:
            self._refuse(obj, errors.invalid_value(field, number, "provided port is already allocated"))
        taking.ports.append(number)

    def _refuse(self, obj: Object, problem: FieldError) -> None:
        raise errors.invalid("Service", meta.name(obj), [problem])

    async def replaced(self, old: Object, new: Object) -> None:
        spec = new.get("spec") or {}
        await self._give_back(
            old,
            [ip for ip in services.addresses(old.get("spec") or {}) if ip not in services.addresses(spec)],
            {p for _, p in services.node_ports(old.get("spec") or {})}
            - {p for _, p in services.node_ports(spec)},
        )

    async def released(self, old: Object) -> None:
        spec = old.get("spec") or {}
        await self._give_back(old, services.addresses(spec), {p for _, p in services.node_ports(spec)})

    async def _give_back(self, obj: Object, addresses: list[str], ports: set[int]) -> None:
        namespace, name = meta.namespace(obj), meta.name(obj)
        for address in addresses:
            await self.allocator.give_back_address(address, namespace, name)
        for port in ports:
            await self.allocator.give_back_port(port, f"{namespace}/{name}")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
