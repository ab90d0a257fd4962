"""Which volume a claim gets, and what becomes of volumes whose claim is gone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from storagemodel import PODS, Storage

from apimachinery import meta
from controllermanager.plans import claimbinding, volumematch, volumeprotection
from controllermanager.plans.views import pod_view
from controllermanager.plans.volumematch import CLAIMS, VOLUMES

SIZES = st.sampled_from(["1Gi", "2Gi", "5Gi"])
MODES = st.sampled_from([("ReadWriteOnce",), ("ReadWriteMany",), ("ReadWriteOnce", "ReadOnlyMany")])
CLASS = st.sampled_from(["", "slow"])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_volume_has_two_claims_and_none_that_fits_is_left_over(data: st.DataObject) -> None:
    storage = Storage()
    storage.storage_class("slow", provisioner="kubernetes.io/no-provisioner")
    volumes = [f"v{i}" for i in range(data.draw(st.integers(0, 5)))]
    claims = [f"c{i}" for i in range(data.draw(st.integers(0, 5)))]
    for name in volumes:
        more = {}
        if data.draw(st.booleans()) and claims:
            more["claimRef"] = {"namespace": "ns", "name": data.draw(st.sampled_from(claims))}
        storage.volume(name, data.draw(SIZES), data.draw(MODES), storageClassName=data.draw(CLASS), **more)
    for name in claims:
        more = {}
        if data.draw(st.integers(0, 3)) == 0 and volumes:
            more["volumeName"] = data.draw(st.sampled_from(volumes))
        storage.claim(name, data.draw(SIZES), data.draw(MODES), storageClassName=data.draw(CLASS), **more)
    everything = [(VOLUMES, name) for name in volumes] + [(CLAIMS, name) for name in claims]
    for _ in range(data.draw(st.integers(0, 20)) if everything else 0):
        # Turns in any order, and each may end anywhere, as the process may.
        storage.step(*data.draw(st.sampled_from(everything)), data.draw(st.integers(0, 4)))
    storage.settle()
    bound = [c for c in storage.of(CLAIMS) if c["status"]["phase"] == "Bound"]
    assert len({c["spec"]["volumeName"] for c in bound}) == len(bound)
    for claim in bound:
        volume = storage.get(VOLUMES, claim["spec"]["volumeName"])
        assert volume["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]
        assert volume["status"]["phase"] == "Bound"
        assert volumematch.capacity(volume) >= volumematch.requested(claim) or volumematch.claimed_for(
            volume, claim
        )
        assert claim["status"]["capacity"] == volume["spec"]["capacity"]
    for volume in storage.of(VOLUMES):
        if volume["status"]["phase"] == "Bound":
            assert volume["metadata"]["name"] in {c["spec"]["volumeName"] for c in bound}
    for claim in storage.of(CLAIMS):
        if claim["status"]["phase"] == "Pending" and not claim["spec"].get("volumeName"):
            assert volumematch.best(storage.of(VOLUMES), claim) is None


def test_the_smallest_volume_that_fits_is_taken() -> None:
    storage = Storage()
    for name, size in (("big", "10Gi"), ("small", "1Gi"), ("middle", "3Gi"), ("other", "2Gi")):
        storage.volume(name, size, labels={}, storageClassName="x" if name == "other" else "")
    storage.claim("c", "2Gi")
    storage.settle()
    claim, volume = storage.get(CLAIMS, "c"), storage.get(VOLUMES, "middle")
    assert claim["spec"]["volumeName"] == "middle"
    assert claim["metadata"]["annotations"] == {
        "pv.kubernetes.io/bind-completed": "yes",
        "pv.kubernetes.io/bound-by-controller": "yes",
    }
    assert claim["status"] == {
        "phase": "Bound",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "3Gi"},
    }
    assert volume["status"] == {"phase": "Bound", "lastPhaseTransitionTime": storage.stamp()}
    assert storage.phase(VOLUMES, "big") == "Available"


def test_selectors_modes_and_names_decide() -> None:
    storage = Storage()
    storage.volume("plain")
    storage.volume("block", volumeMode="Block")
    labelled = storage.volume("labelled")
    storage.change(VOLUMES, labelled["metadata"]["name"], {"metadata": {"labels": {"a": "b"}}})
    storage.claim("chosen", selector={"matchLabels": {"a": "b"}})
    storage.claim("raw", volumeMode="Block")
    storage.claim("named", "5Gi", volumeName="plain")
    storage.settle()
    assert storage.get(CLAIMS, "chosen")["spec"]["volumeName"] == "labelled"
    assert storage.get(CLAIMS, "raw")["spec"]["volumeName"] == "block"
    assert storage.phase(CLAIMS, "named") == "Pending"
    assert 'Cannot bind to requested volume "plain": requested PV is too small' in [
        e.message for e in storage.events
    ]


def test_a_released_volume_is_kept_or_fails_by_its_policy() -> None:
    storage = Storage()
    for policy in ("Retain", "Recycle", "Delete"):
        storage.volume(policy.lower(), persistentVolumeReclaimPolicy=policy)
        storage.claim(policy.lower(), volumeName=policy.lower())
    storage.settle()
    for name in ("retain", "recycle", "delete"):
        storage.delete(CLAIMS, name)
    assert storage.phase(VOLUMES, "retain") == "Released"
    assert storage.phase(VOLUMES, "recycle") == "Failed"
    assert storage.phase(VOLUMES, "delete") == "Failed"
    assert storage.reasons()[-2:] == ["VolumeFailedRecycle", "VolumeFailedDelete"]
    storage.claim("retain")
    storage.settle()
    assert storage.phase(CLAIMS, "retain") == "Pending", "a namesake must not get the data"


def test_a_volume_kept_for_a_claim_must_offer_its_access_modes() -> None:
    storage = Storage()
    kept = {"namespace": "ns", "name": "c"}
    storage.volume("other", modes=("ReadOnlyMany",), claimRef=kept)
    storage.settle()
    assert storage.phase(VOLUMES, "other") == "Available"
    storage.claim("c")
    storage.settle()
    assert storage.phase(CLAIMS, "c") == "Pending"
    # Neither class nor selector stand in the way of what an administrator has decided.
    storage.volume("right", storageClassName="slow", claimRef=kept)
    storage.settle()
    assert storage.get(CLAIMS, "c")["spec"]["volumeName"] == "right"


def test_who_is_to_grow_what_nothing_here_can_is_said() -> None:
    storage = Storage()
    storage.volume("v")
    storage.claim("c")
    storage.settle()
    storage.change(CLAIMS, "c", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
    storage.settle()
    assert storage.reasons()[-1] == "ExternalExpanding"
    assert storage.get(CLAIMS, "c")["status"]["capacity"] == {"storage": "1Gi"}


def test_a_claim_whose_volume_vanished_is_lost() -> None:
    storage = Storage()
    storage.volume("v")
    storage.claim("c")
    storage.settle()
    storage.remove(VOLUMES, "v")
    storage.settle()
    assert storage.phase(CLAIMS, "c") == "Lost"
    assert storage.reasons()[-1] == "ClaimLost"


def test_what_is_used_stays_until_it_is_not() -> None:
    storage = Storage()
    storage.volume("v")
    storage.claim("c")
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]
    storage.add(PODS, {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "volumes": volumes}})
    storage.settle()
    storage.delete(VOLUMES, "v")
    storage.delete(CLAIMS, "c")
    assert storage.phase(CLAIMS, "c") == "Bound" and storage.phase(VOLUMES, "v") == "Bound"
    storage.remove(PODS, "p")
    storage.settle()
    assert not storage.of(CLAIMS) and not storage.of(VOLUMES)


def test_a_pod_that_no_node_runs_protects_nothing() -> None:
    pod = {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "resourceVersion": "1"},
        "spec": {"volumes": [{"name": "scratch", "ephemeral": {}}]},
    }
    assert not volumeprotection.in_use("p-scratch", [pod_view(pod)])
    pod["spec"]["nodeName"] = "n"
    assert volumeprotection.in_use("p-scratch", [pod_view(pod)])


def test_a_claim_without_a_choice_gets_the_default_class_later_too() -> None:
    storage = Storage()
    storage.claim("c", storageClassName=None)
    storage.claim("none")
    storage.settle()
    assert set(storage.reasons()) == {"FailedBinding"}
    storage.storage_class("std", annotations={"storageclass.kubernetes.io/is-default-class": "true"})
    storage.settle()
    assert storage.get(CLAIMS, "c")["spec"]["storageClassName"] == "std"
    assert storage.get(CLAIMS, "none")["spec"]["storageClassName"] == ""


def test_external_provisioners_are_told_and_waited_for() -> None:
    storage = Storage()
    storage.storage_class("csi", provisioner="csi.example.com")
    storage.claim("c", storageClassName="csi")
    storage.claim("lost", storageClassName="missing")
    storage.settle()
    annotations = storage.get(CLAIMS, "c")["metadata"]["annotations"]
    assert annotations["volume.kubernetes.io/storage-provisioner"] == "csi.example.com"
    assert 'storageclass.storage.k8s.io "missing" not found' in [e.message for e in storage.events]
    assert "ExternalProvisioning" in storage.reasons()


def test_ephemeral_claims_are_owned_by_their_pod() -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    pod = {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {"volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]},
    }
    (create,) = volumeprotection.plan_ephemeral(pod, {})
    assert isinstance(create, claimbinding.Create)
    assert create.obj["metadata"]["name"] == "p-scratch" and create.obj["spec"] == spec
    assert meta.is_controlled_by(create.obj, pod)
    assert not volumeprotection.plan_ephemeral(pod, {"p-scratch": create.obj})
    (event,) = volumeprotection.plan_ephemeral(pod, {"p-scratch": {"metadata": {"name": "p-scratch"}}})
    assert isinstance(event, claimbinding.Event)
