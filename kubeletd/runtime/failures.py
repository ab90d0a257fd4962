"""How a container runtime says no. Each failure carries the reason a container's state shows for it."""

from __future__ import annotations


class RuntimeFailure(Exception):
    """The runtime refused or failed. `reason` is the container state reason Kubernetes shows for it."""

    reason = "RunContainerError"

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        if reason:
            self.reason = reason


class EngineUnavailable(RuntimeFailure):
    """The engine does not answer: nothing is known about what was asked; ask again."""

    reason = "ContainerRuntimeNotReady"


class ContainerNotFound(RuntimeFailure):
    """There is no container of that id (any more)."""

    reason = "ContainerNotFound"


class ContainerNotRunning(RuntimeFailure):
    """The container exists and does not run, so there is nothing to exec in or attach to."""

    reason = "ContainerNotRunning"


class CreateFailure(RuntimeFailure):
    """The container could not be created from its spec."""

    reason = "CreateContainerError"


class StartError(RuntimeFailure):
    """Created, but its process could not be started (no such command, no permission); `exit_code` 127, 126 or 128."""

    reason = "StartError"

    def __init__(self, message: str, exit_code: int = 128, reason: str = "") -> None:
        super().__init__(message, reason)
        self.exit_code = exit_code


class SandboxFailure(RuntimeFailure):
    """The pod's sandbox could not be made."""

    reason = "FailedCreatePodSandBox"


class ImageNotFound(RuntimeFailure):
    """No such image, here or where it was to be pulled from."""

    reason = "ErrImagePull"


class ImagePullFailure(RuntimeFailure):
    """The pull failed for another reason (network, authorization)."""

    reason = "ErrImagePull"
