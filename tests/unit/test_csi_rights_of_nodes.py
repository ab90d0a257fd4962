"""What a node may read and ask for because a CSI volume of its pods needs it."""

from __future__ import annotations

import pytest
from admitting import NODE, make, meta, request
from objectreader import ObjectReader, pod

from apimachinery import resources
from apimachinery.errors import StatusError
from apiserver.authz_node import NodeAuthorizer
from apiserver.request import AdmissionRequest, Object

DRIVER = "d.example.com"


def volume(**csi: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "pv"},
        "spec": {"csi": {"driver": DRIVER, "volumeHandle": "h", **csi}},
    }


def claim() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {"volumeName": "pv"},
    }


USED = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]


def test_a_node_reads_the_secrets_that_drivers_on_it_log_in_with() -> None:
    secrets = {
        field: {"namespace": "storage", "name": name}
        for field, name in (
            ("nodeStageSecretRef", "stage"),
            ("nodePublishSecretRef", "publish"),
            ("nodeExpandSecretRef", "expand"),
            ("controllerPublishSecretRef", "attach"),
        )
    }
    reader = ObjectReader([volume(**secrets), claim(), pod("p", nodeName="n1", volumes=USED)])
    authorizer = NodeAuthorizer(reader)
    for name, may in (("stage", True), ("publish", True), ("expand", True), ("attach", False)):
        assert authorizer.refers("n1", "secrets", "storage", name) is may, name
    assert not authorizer.refers("n2", "secrets", "storage", "stage")


@pytest.mark.parametrize(
    "volumes", [USED, [{"name": "v", "csi": {"driver": DRIVER}}]], ids=["persistent", "inline"]
)
async def test_a_node_asks_for_the_tokens_that_a_driver_of_its_pods_wants(volumes: list[Object]) -> None:
    chain, reader = make()
    reader.put(volume())
    reader.put(claim())
    reader.put(pod("p", nodeName="n1", volumes=volumes))
    driver = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": DRIVER}}
    reader.put({**driver, "spec": {"tokenRequests": [{"audience": "vault"}]}})

    def asks(audience: str) -> AdmissionRequest:
        reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "uid-default-p"}
        body = {"metadata": meta("default"), "spec": {"boundObjectRef": reference, "audiences": [audience]}}
        accounts = resources.get("serviceaccounts")
        return request(body, resource=accounts, subresource="token", user=NODE)

    await chain.validate(asks("vault"))
    with pytest.raises(StatusError, match='audience "other" not found in pod spec volume'):
        await chain.validate(asks("other"))
