"""Lists that are sent in pieces are the lists they would be in one piece."""

from __future__ import annotations

import gzip

import orjson
import pytest
from apiclient import Api
from objects import config


@pytest.fixture
def large(api: Api, namespace: str) -> str:
    """The path of a collection of 30 objects, 1.5 MB together."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for number in range(30):
        body = config(f"c{number:02}")
        body["data"] = {"text": f"{number:02}" * 25_000}
        assert api.post(path, body).code == 201
    return path


def test_a_large_list_is_whole_however_it_is_sent(api: Api, large: str) -> None:
    connection = api._connect()
    try:
        texts = []
        for accept in ("identity", "gzip"):
            # One connection: what is left of an answer would spoil the next one.
            connection.request("GET", large, headers={**api._headers, "Accept-Encoding": accept})
            answer = connection.getresponse()
            assert answer.status == 200
            text = answer.read()
            if accept == "gzip":
                assert answer.headers["Content-Encoding"] == "gzip"
                text = gzip.decompress(text)
            else:
                assert int(answer.headers["Content-Length"]) == len(text)
            texts.append(text)
        connection.request("HEAD", large, headers=api._headers)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        assert int(answer.headers["Content-Length"]) == len(texts[0])
    finally:
        connection.close()
    one, other = (orjson.loads(text) for text in texts)
    assert one["items"] == other["items"]
    assert one["kind"] == "ConfigMapList"
    assert [item["metadata"]["name"] for item in one["items"]] == [f"c{n:02}" for n in range(30)]
    for number, item in enumerate(one["items"]):
        assert item["data"]["text"] == f"{number:02}" * 25_000


def test_a_large_list_in_chunks(api: Api, large: str) -> None:
    first = api.get(f"{large}?limit=20")
    assert len(first["items"]) == 20
    assert first["metadata"]["remainingItemCount"] == 10
    second = api.get(f"{large}?limit=20&continue={first['metadata']['continue']}")
    assert len(second["items"]) == 10
