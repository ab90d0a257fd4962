"""Which of the engine's runtimes a pod is to run by."""

from __future__ import annotations

from kubeletd.interfaces import Pod, PodConfigError, Sources


async def handler(sources: Sources, pod: Pod) -> str:
    """The handler of the pod's RuntimeClass, "" for the engine's default. Raises PodConfigError, StatusError."""
    name = pod["spec"].get("runtimeClassName")
    if not name:
        return ""
    found = await sources.get("RuntimeClass", "", name)
    if found is None:
        raise PodConfigError(f'runtimeclass.node.k8s.io "{name}" not found')
    return str(found["handler"])
