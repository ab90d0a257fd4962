"""Which plugins decide, in which order, and what their scores weigh."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.framework import Filter, Score
from scheduler.plugins.allocation import BalancedAllocation, Fragmentation, LeastAllocated, MostAllocated
from scheduler.plugins.imagelocality import ImageLocality
from scheduler.plugins.interpodaffinity import InterPodAffinity, InterPodPreference
from scheduler.plugins.nodeaffinity import NodeAffinity, NodePreference
from scheduler.plugins.nodeports import NodePorts
from scheduler.plugins.noderesources import NodeResourcesFit
from scheduler.plugins.nodeunschedulable import NodeUnschedulable
from scheduler.plugins.podtopologyspread import OwnerSpread, PodTopologySpread, PodTopologySpreadScore
from scheduler.plugins.tainttoleration import TaintToleration
from scheduler.plugins.volumebinding import VolumeBinding, VolumeRestrictions, VolumeZone
from scheduler.plugins.volumelimits import NodeVolumeLimits


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """`filters` in the order in which a node's first failure is its reason; `scores` with their weights."""

    name: str
    filters: tuple[Filter, ...]
    scores: tuple[tuple[Score, int], ...]


# The API server lets nobody set spec.nodeName on a pod that is to be scheduled, so there is no NodeName filter.
_TAINTS = TaintToleration()
_FILTERS: tuple[Filter, ...] = (
    NodeUnschedulable(),
    _TAINTS,
    NodeAffinity(),
    NodePorts(),
    NodeResourcesFit(),
    VolumeRestrictions(),
    NodeVolumeLimits(),
    VolumeBinding(),
    VolumeZone(),
    PodTopologySpread(),
    InterPodAffinity(),
)
# What users ask for outweighs what the profile prefers; the weights are Kubernetes's.
_PREFERENCES: tuple[tuple[Score, int], ...] = (
    (_TAINTS, 3),
    (NodePreference(), 2),
    (PodTopologySpreadScore(), 2),
    (InterPodPreference(), 2),
    (ImageLocality(), 1),
)

BINPACK = Profile("binpack", _FILTERS, (*_PREFERENCES, (MostAllocated(), 1), (Fragmentation(), 2)))
SPREAD = Profile(
    "spread", _FILTERS, (*_PREFERENCES, (LeastAllocated(), 1), (BalancedAllocation(), 1), (OwnerSpread(), 2))
)
PROFILES = {profile.name: profile for profile in (BINPACK, SPREAD)}
