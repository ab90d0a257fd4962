"""Which representation an Accept header gets."""

from __future__ import annotations

import pytest

from apimachinery.errors import StatusError
from apiserver import negotiation
from apiserver.negotiation import PLAIN, Media

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("header", "media"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("application/json, */*", PLAIN),
        ("application/yaml", Media(yaml=True)),
        (f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Media(kind="Table")),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", PLAIN),
        ("application/vnd.kubernetes.protobuf,application/json", PLAIN),
        (
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            Media(kind="PartialObjectMetadata"),
        ),
        ("application/yaml;q=0.5, application/json;q=0.9", PLAIN),
        ("application/json;q=0, application/yaml", Media(yaml=True)),
    ],
)
def test_accepted(header: str, media: Media) -> None:
    assert negotiation.accept(header) == media


@pytest.mark.parametrize(
    "header", ["application/vnd.kubernetes.protobuf", "text/html", "application/json;q=0"]
)
def test_refused(header: str) -> None:
    with pytest.raises(StatusError) as caught:
        negotiation.accept(header)
    assert caught.value.code == 406
