"""What may go wrong with a driver."""

from __future__ import annotations


class DriverError(Exception):
    """A driver refused a call, or could not be asked. str() is as Kubernetes writes it; `code` is gRPC's, as Go
    spells it (`FailedPrecondition`)."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {details}")
        self.code = code
        self.details = details


class RegistrationError(Exception):
    """A plugin cannot be registered as what it says it is."""
