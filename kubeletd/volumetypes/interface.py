"""What a type of volume has to give: set up, take down, and which directory says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kubeletd.interfaces import Pod, PodFacts
from kubeletd.sources import ApiSources

if TYPE_CHECKING:
    from kubeletd.csi.node import CsiNode


@dataclass(frozen=True, slots=True)
class Node:
    """What the types of one node work with: the agent's root directory, the API, the node's name, its CSI drivers."""

    root: Path
    sources: ApiSources
    name: str
    csi: CsiNode | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One volume of a pod, to be there.

    `kind` is the key that says the type (`nfs`, in the pod or in a PersistentVolume), `source` what stands under it;
    `directory` is `pods/<uid>/volumes/<plugin>/<name>`, the type's own, with the PersistentVolume's name if there is
    one. `persistent` and `claim` are the PersistentVolume and its claim. `read_only` is the pod's word about a claim;
    a volume of the pod itself says it in `source`.
    """

    pod: Pod
    name: str
    kind: str
    source: Mapping[str, Any]
    directory: Path
    facts: PodFacts
    read_only: bool = False
    persistent: Mapping[str, Any] | None = None
    claim: Mapping[str, Any] | None = None


class VolumeType(Protocol):
    """A type's module has `create(node: Node) -> VolumeType`, called when a pod first wants the type."""

    async def set_up(self, asked: Asked) -> str:
        """The path on the node to mount into containers, with what is in it. Again is free, and brings up to date.

        Raises MountError (Kubernetes's words, without a prefix), OSError, StatusError, ProjectionError.
        """
        ...

    async def tear_down(self, directory: Path) -> None:
        """Takes down what `set_up` made in `directory` or for it; no container uses it any more. Again is free.

        The agent may have been started anew since: `directory` and what was written there is all that is known.
        Whatever is still mounted in it afterwards is unmounted, and it is removed, without following it.
        Raises MountError, OSError.
        """
        ...
