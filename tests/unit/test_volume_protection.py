"""Storage objects that are deleted stay as long as others use them."""

from __future__ import annotations

from typing import Any

import pytest

from controllermanager.plans import volumeprotection as plans
from controllermanager.plans.actions import Patch
from controllermanager.plans.volumematch import CLAIMS, VOLUMES

Object = dict[str, Any]
KINDS = {
    plans.ATTRIBUTES_FINALIZER: (plans.ATTRIBUTES_CLASSES, plans.plan_attributes_class),
    plans.CLAIM_FINALIZER: (CLAIMS, plans.plan_claim),
    plans.VOLUME_FINALIZER: (
        VOLUMES,
        lambda obj, used: plans.plan_volume({**obj, "status": {"phase": "Bound" if used else "Released"}}),
    ),
}


def made(finalizers: list[str], deleted: bool) -> Object:
    metadata: Object = {"name": "n", "resourceVersion": "7", "finalizers": finalizers}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata}


@pytest.mark.parametrize("finalizer", KINDS)
@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("deleted", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_the_finalizer_is_there_until_a_deleted_object_is_used_no_more(
    finalizer: str, used: bool, deleted: bool, there: bool
) -> None:
    resource, plan = KINDS[finalizer]
    actions = plan(made(["another", *([finalizer] if there else [])], deleted), used)
    if there and deleted and not used:
        wanted = ["another"]
    elif not there and not deleted:
        wanted = ["another", finalizer]
    else:
        assert actions == []
        return
    (action,) = actions
    assert isinstance(action, Patch) and action.resource == resource
    assert action.patch["metadata"]["finalizers"] == wanted


def test_the_attributes_classes_of_claims_and_volumes() -> None:
    claim = {
        "spec": {"volumeAttributesClassName": "wanted"},
        "status": {"currentVolumeAttributesClassName": "has"},
    }
    assert plans.attributes_classes(claim) == {"wanted", "has"}
    assert plans.attributes_classes({"spec": {"volumeAttributesClassName": ""}}) == set()
    assert plans.attributes_classes(None) == set()
