"""From a pod's container to a created one: image, environment, mounts, create."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.errors import StatusError
from kubeletd import podfiles, runtimeclasses, translate, volumedevices
from kubeletd.images import ImageTrouble, shown_id
from kubeletd.interfaces import Pod, PodConfigError, PodFacts
from kubeletd.parts import Parts
from kubeletd.podstate import events as ev
from kubeletd.podstate import instructions as do
from kubeletd.podstate.sizes import Sizes, sizes_of
from kubeletd.runtime.interface import ContainerSpec, EngineUnavailable, ImageNotFound, RuntimeFailure

log = logging.getLogger(__name__)

Record = Callable[[str, str, str], None]  # Normal|Warning, reason, message


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a container is made of. `image_id` and `volume_images` (by volume) are as a status shows them."""

    spec: ContainerSpec
    image_id: str
    sizes: Sizes
    volume_images: tuple[tuple[str, str], ...]


async def gather(
    parts: Parts,
    pod: Pod,
    instruction: do.Prepare,
    paths: Mapping[str, str],
    facts: PodFacts,
    target: str,
    record: Record,
) -> Gathered:
    """Everything the container refers to, read. `paths` are the volumes', `target` the id of the container whose
    processes an ephemeral one sees. Makes nothing in the engine, so it may be cancelled."""
    container, kind = translate.find_container(pod, instruction.name)
    secrets = await _pull_secrets(parts, pod)
    image = await parts.images.ensure(pod, container, secrets, record)
    env = await parts.resolve(pod, container, parts.sources, facts)
    shown = await parts.image_volumes.ensure(pod, container, paths, secrets, record)
    mounts = await parts.volumes.container_mounts(pod, container, paths, dict(env))
    if parts.root is not None:
        mounts += podfiles.mounts(parts.root, pod, container, instruction.attempt)
    handler = await runtimeclasses.handler(parts.sources, pod)
    accounts = await parts.runtime.accounts(image.id)
    spec = translate.container_spec(
        pod,
        container,
        kind,
        instruction.attempt,
        sandbox_id=instruction.sandbox_id,
        env=env,
        mounts=mounts,
        image=container["image"],
        image_user=image.user,
        memory_capacity=parts.memory_capacity,
        handler=handler,
        accounts=accounts,
        pids_limit=parts.pod_max_pids,
        target_container_id=target,
    )
    spec = volumedevices.with_devices(spec, pod, container, paths)
    if parts.root is not None:
        spec = podfiles.with_seccomp(parts.root, spec)
    sizes = sizes_of(container.get("resources"))
    return Gathered(spec, shown_id(image, container["image"]), sizes, tuple(sorted(shown.items())))


async def _pull_secrets(parts: Parts, pod: Pod) -> list[Mapping[str, Any]]:
    """Those that there are; one that is missing does not stop a pull that needs none."""
    found, missing = [], []
    for reference in pod["spec"].get("imagePullSecrets") or ():
        name = reference.get("name")
        if not name:
            continue
        secret = await parts.sources.get("Secret", pod["metadata"]["namespace"], name)
        if secret is None:
            missing.append(name)
        else:
            found.append(secret)
    if missing:
        text = f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
        text += "attempting to pull the image may not succeed."
        parts.record(pod, "", "Warning", "FailedToRetrieveImagePullSecret", text)
    return found


async def prepare(
    parts: Parts, pod: Pod, instruction: do.Prepare, gathering: asyncio.Task[Gathered], record: Record
) -> ev.Event:
    """The outcome of a Prepare; `gathering` is what may be cancelled of it."""
    name, attempt = instruction.name, instruction.attempt
    try:
        found = await gathering
    except asyncio.CancelledError:
        if not gathering.cancelled() or _ending():
            raise
        return ev.Cancelled(name, attempt)
    except ImageTrouble as error:
        return ev.PrepareFailed(
            name,
            attempt,
            error.reason,
            error.message,
            error.later_reason,
            error.later_message,
            error.retry_after,
        )
    except PodConfigError as error:
        record("Warning", "Failed", f"Error: {error.message}")
        return ev.PrepareFailed(name, attempt, error.reason, error.message)
    except (StatusError, EngineUnavailable, ConnectionError, TimeoutError) as error:
        log.info("container %s of %s waits: %s", name, translate.display(pod), error)
        return ev.PrepareFailed(name, attempt, "", str(error))
    except ImageNotFound:
        return ev.PrepareFailed(name, attempt, "", "")  # it went away since it was looked at: look again
    except RuntimeFailure as error:
        record("Warning", "Failed", f"Error: {error.message}")
        return ev.PrepareFailed(name, attempt, error.reason, error.message)
    except OSError as error:  # the node's disk
        record("Warning", "Failed", f"Error: {error}")
        return ev.PrepareFailed(name, attempt, "CreateContainerError", str(error))
    try:
        container_id = await parts.runtime.create_container(found.spec)
    except EngineUnavailable as error:
        return ev.PrepareFailed(name, attempt, "", error.message)
    except ImageNotFound:
        return ev.PrepareFailed(name, attempt, "", "")  # it went away since it was looked at: look again
    except RuntimeFailure as error:
        record("Warning", "Failed", f"Error: {error.message}")
        return ev.PrepareFailed(name, attempt, error.reason, error.message)
    record("Normal", "Created", "Container created")
    return ev.Prepared(
        name,
        attempt,
        container_id,
        found.image_id,
        found.spec.identity.spec_hash,
        found.sizes,
        found.volume_images,
        found.spec.security.who,
    )


def _ending() -> bool:
    """Whether the task that waits has itself been cancelled: the agent ends."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
