"""Names of images by the distribution reference grammar. Pure."""

from __future__ import annotations

import re

_DEFAULT_REGISTRY = "docker.io"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_TAG, _DIGEST = r"[\w][\w.-]{0,127}", r"[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"^(?P<name>(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?$"
)


def valid(image: str) -> bool:
    """Whether it can be an image's name or id."""
    return len(image) <= 4096 and _REFERENCE.match(image) is not None


def parts(image: str) -> tuple[str, str, str]:
    """(name as given, tag, digest); the latter two "" where it has none. Raises ValueError."""
    found = _REFERENCE.match(image)
    if found is None:
        raise ValueError(f"invalid reference format: {image!r}")
    return found["name"], found["tag"] or "", found["digest"] or ""


def repository(image: str) -> str:
    """Its full name without tag and digest: `docker.io/library/nginx` for `nginx:1`. Raises ValueError."""
    name = parts(image)[0]
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = _DEFAULT_REGISTRY, name
    elif first == "index.docker.io":
        first = _DEFAULT_REGISTRY
    if first == _DEFAULT_REGISTRY and "/" not in rest:
        rest = f"library/{rest}"
    return f"{first}/{rest}"


def pulled_by(image: str) -> str:
    """The name to ask a registry's engine for: with the tag latest if it says none, without one beside a digest."""
    name, tag, digest = parts(image)
    if digest:
        return f"{name}@{digest}"
    return f"{name}:{tag or 'latest'}"


def policy(image: str) -> str:
    """The pull policy of a container that says none, as the API server defaults it."""
    _, _, rest = image.rpartition("/")
    return "Always" if "@" not in image and rest.partition(":")[2] in ("", "latest") else "IfNotPresent"
