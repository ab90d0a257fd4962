"""Volumes of volumeMode Block: a container gets them as devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kubeletd.interfaces import Container, Pod, PodConfigError
from kubeletd.runtime.specs import ContainerSpec, Device


def with_devices(
    spec: ContainerSpec, pod: Pod, container: Container, paths: Mapping[str, str]
) -> ContainerSpec:
    """The spec with the container's volumeDevices; `paths` are the volumes'. Raises PodConfigError."""
    found = []
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    for wanted in container.get("volumeDevices") or ():
        name = wanted["name"]
        if name not in paths:
            raise PodConfigError(f'cannot find volume "{name}" to pass into container "{container["name"]}"')
        read_only = (volumes[name].get("persistentVolumeClaim") or {}).get("readOnly")
        found.append(Device(paths[name], wanted["devicePath"], "rm" if read_only else "rwm"))
    if not found:
        return spec
    resources = replace(spec.resources, devices=(*spec.resources.devices, *found))
    return replace(spec, resources=resources)
