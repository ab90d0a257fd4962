"""Whatever JSON is sent wherever, the answer is never a failure of the server (5xx)."""

from __future__ import annotations

import json

from apiclient import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api, Object
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apimachinery import resources, schema

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(
        ["None", "", "10.0.0.300", "100m", "-1", "a=b", "x" * 70, "2024-01-01T00:00:00Z", "\x00"]
    ),
)


def shaped(node: schema.Schema | None, depth: int) -> st.SearchStrategy[object]:
    """Mostly what the schema says, sometimes not, a few levels deep."""
    if node is None or depth <= 0:
        return SCALARS
    fields = node.fields
    if fields:
        chosen = st.lists(st.sampled_from(sorted(fields)), max_size=5, unique=True)
        right = chosen.flatmap(
            lambda names: st.fixed_dictionaries({name: shaped(fields[name], depth - 1) for name in names})
        )
    elif node.type == "array":
        right = st.lists(shaped(node.items, depth - 1), max_size=3)  # type: ignore[assignment]
    elif node.type == "object":
        right = st.dictionaries(st.text(max_size=5), shaped(node.values, depth - 1), max_size=3)  # type: ignore[assignment]
    elif node.type == "string":
        right = st.text(max_size=8)  # type: ignore[assignment]
    elif node.type == "integer":
        right = st.integers(-2, 70000)  # type: ignore[assignment]
    else:
        right = SCALARS  # type: ignore[assignment]
    # One in eight values is something else.
    return st.integers(0, 7).flatmap(lambda n: SCALARS if n == 7 else right)


SERVED = [r for r in resources.BUILTIN if "create" in r.verbs]


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, object, str]:
    resource = draw(st.sampled_from(SERVED))
    node = schema.for_resource(resource)
    body: Object = {"metadata": {"name": draw(st.sampled_from(["a", "b", "web", "A_b", ""]))}}
    for name in draw(st.lists(st.sampled_from(sorted(node.fields)), max_size=4, unique=True)):
        if name not in ("apiVersion", "kind", "metadata"):
            body[name] = draw(shaped(node.fields[name], 6))
    if draw(st.integers(0, 4)) == 0:
        more = draw(shaped(node.fields["metadata"], 4))
        body["metadata"] = {**body["metadata"], **more} if isinstance(more, dict) else more
    method = draw(st.sampled_from(["POST", "POST", "PUT", "PATCH"]))
    content = (
        draw(st.sampled_from([MERGE, JSON_PATCH, STRATEGIC, APPLY]))
        if method == "PATCH"
        else "application/json"
    )
    sub = draw(st.sampled_from(["", "", "", *[f"/{s.name}" for s in resource.subresources if not s.kind]]))
    return method, resource.path("fuzz", "" if method == "POST" else "web", "") + sub, body, content


def ensure_namespace(api: Api) -> None:
    api.post("/api/v1/namespaces", {"metadata": {"name": "fuzz"}})


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(request=requests())
def test_no_body_breaks_the_server(api: Api, request: tuple[str, str, object, str]) -> None:
    ensure_namespace(api)
    method, path, body, content = request
    query = "?fieldManager=fuzz" if content == APPLY else ""
    answer = api.request(method, path + query, json.dumps(body), content=content)
    assert answer.code < 500, (method, path, body, answer.body)
    if answer.code < 300 and method == "POST" and isinstance(answer.body, dict):
        name = answer.body.get("metadata", {}).get("name")
        if name and "/namespaces/fuzz/" in path:
            assert api.get(f"{path}/{name}").code in (200, 404, 405)
