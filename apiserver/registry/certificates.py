"""CertificateSigningRequests: who asked is written by the server; spec and approval have their own writers. Pure."""

from __future__ import annotations

from typing import Any

from apiserver.request import User

Object = dict[str, Any]


def prepare_create(new: Object, user: User) -> None:
    """Write who asks into the spec, whatever the client wrote there."""
    spec = new.setdefault("spec", {})
    spec["username"] = user.name
    for key, value in (("uid", user.uid), ("groups", list(user.groups))):
        if value:
            spec[key] = value
        else:
            spec.pop(key, None)
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}
    else:
        spec.pop("extra", None)


def prepare_update(new: Object, old: Object) -> None:
    """The spec never changes."""
    if "spec" in old:
        new["spec"] = old["spec"]


def prepare_status(new: Object, old: Object) -> None:
    """Only approval may approve, deny or fail a request: those conditions stay as they were."""
    status = new.setdefault("status", {})
    before = (old.get("status") or {}).get("conditions") or []
    kept = [c for c in before if c.get("type") in ("Approved", "Denied")]
    others = [c for c in status.get("conditions") or [] if c.get("type") not in ("Approved", "Denied")]
    if kept or others:
        status["conditions"] = [*kept, *others]


def approved(new: Object, old: Object, now: str) -> None:
    """An update through `approval`: conditions change, the certificate and the spec do not."""
    conditions = []
    before = {c.get("type"): c for c in (old.get("status") or {}).get("conditions") or []}
    for condition in (new.get("status") or {}).get("conditions") or []:
        was = before.get(condition.get("type"))
        condition = dict(condition)
        condition.setdefault("lastUpdateTime", now)
        if not condition.get("lastTransitionTime"):
            same = was is not None and was.get("status") == condition.get("status")
            condition["lastTransitionTime"] = was["lastTransitionTime"] if same and was else now
        conditions.append(condition)
    for key in [key for key in new if key not in ("metadata", "status")]:
        del new[key]
    new.update({key: value for key, value in old.items() if key not in ("metadata", "status")})
    new["status"] = {**(old.get("status") or {}), "conditions": conditions}
