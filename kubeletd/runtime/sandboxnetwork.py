"""The network of sandboxes that make their own namespace: which still have to be connected, and connecting them."""

from __future__ import annotations

import asyncio

from kubeletd.runtime import bridgeport
from kubeletd.runtime.interface import StartError


def _port(sandbox_id: str) -> str:
    """The name of a sandbox's port on the bridge; at most 15 bytes."""
    return f"pyb{sandbox_id[:11]}"


class SandboxNetwork:
    """One node's on the cluster's bridge, whose addresses are `subnet` and whose own is `gateway`."""

    def __init__(self, bridge: str, subnet: str, gateway: str) -> None:
        self._bridge = bridge
        self._subnet = subnet
        self._gateway = gateway
        self._expected: dict[str, str] = {}

    def expect(self, sandbox_id: str, address: str) -> None:
        """A sandbox was created; it gets this address when it starts."""
        self._expected[sandbox_id] = address

    def expected(self, sandbox_id: str) -> str:
        """The address that a sandbox that starts is to get, "" if none."""
        return self._expected.get(sandbox_id, "")

    def forget(self, sandbox_id: str) -> None:
        self._expected.pop(sandbox_id, None)

    def missed(self, sandbox_id: str) -> bool:
        """Whether a sandbox that runs is not connected, and nobody is about to."""
        return sandbox_id not in self._expected and not bridgeport.connected(_port(sandbox_id))

    async def connect(self, sandbox_id: str, pid: int, address: str) -> None:
        """Puts a sandbox that runs, as process `pid`, on the cluster's bridge. Raises StartError."""
        try:
            await asyncio.to_thread(
                bridgeport.connect,
                self._bridge,
                _port(sandbox_id),
                pid,
                address,
                self._subnet,
                self._gateway,
            )
        except OSError as error:
            raise StartError(f"failed to set up the network of the sandbox: {error}") from error
        self._expected.pop(sandbox_id, None)
