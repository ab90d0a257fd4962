"""What a StorageClass says to Pybernetes among what it says to the driver: secrets, file system. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]
SecretKey = tuple[str, str]  # namespace, name

PREFIX = "csi.storage.k8s.io/"
_FSTYPE = ("csi.storage.k8s.io/fstype", "fstype")
_TEMPLATE = re.compile(r"\$\{([^}]*)\}")
_ANNOTATION = re.compile(r"pvc\.annotations\['([^']+)'\]")
# The key of a secret in a class, its field in a PersistentVolume.
SECRETS = {
    "provisioner": "",
    "controller-publish": "controllerPublishSecretRef",
    "node-stage": "nodeStageSecretRef",
    "node-publish": "nodePublishSecretRef",
    "controller-expand": "controllerExpandSecretRef",
    "node-expand": "nodeExpandSecretRef",
}


class ParameterError(Exception):
    """A class says something that cannot be understood."""


def for_driver(parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters that are the driver's own."""
    return {key: value for key, value in parameters.items() if not key.startswith(PREFIX) and key != "fstype"}


def file_system(parameters: Mapping[str, str], default: str) -> str:
    return next((parameters[key] for key in _FSTYPE if parameters.get(key)), default)


def secret(parameters: Mapping[str, str], purpose: str, claim: Object, volume: str) -> SecretKey | None:
    """The secret of a class for that purpose (a key of SECRETS). Raises ParameterError."""
    name = parameters.get(f"{PREFIX}{purpose}-secret-name", "")
    namespace = parameters.get(f"{PREFIX}{purpose}-secret-namespace", "")
    if not name and not namespace:
        return None
    if not name or not namespace:
        raise ParameterError(f"only one of name and namespace for {purpose} secret specified")
    return _filled(namespace, claim, volume, names_only=True), _filled(name, claim, volume, names_only=False)


def _filled(text: str, claim: Object, volume: str, *, names_only: bool) -> str:
    meta = claim["metadata"]
    known = {"pv.name": volume, "pvc.namespace": meta["namespace"]}
    if not names_only:
        known["pvc.name"] = meta["name"]

    def fill(match: re.Match[str]) -> str:
        key = match.group(1)
        annotation = _ANNOTATION.fullmatch(key)
        if annotation is not None and not names_only:
            return str((meta.get("annotations") or {}).get(annotation.group(1), ""))
        if key not in known:
            raise ParameterError(f'error resolving value "{text}": "{key}" is not known')
        return str(known[key])

    return _TEMPLATE.sub(fill, text)
