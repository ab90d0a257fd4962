"""FlowSchemas and PriorityLevelConfigurations: those that every server needs are fixed."""

from __future__ import annotations

from typing import Any

from apimachinery import errors
from apiserver.flowcontrol import defaults
from apiserver.flowcontrol.schema import EXEMPT, GROUP

Object = dict[str, Any]


def prepare_update(new: Object, old: Object) -> None:
    """Raises 422 where the specification of a mandatory object is changed, but for what `exempt` reserves."""
    name = old["metadata"]["name"]
    if name not in defaults.MANDATORY:
        return
    levels = old["kind"] == "PriorityLevelConfiguration"
    made = defaults.levels() if levels else defaults.schemas()
    fixed = next(obj["spec"] for obj in made if obj["metadata"]["name"] == name)
    spec, free = new.get("spec") or {}, ""
    if levels and name == EXEMPT:
        fixed, spec = ({key: value for key, value in s.items() if key != "exempt"} for s in (fixed, spec))
        free = " except the 'spec.exempt' field"
    if spec != fixed:
        text = f"spec of '{name}'{free} must equal the fixed value"
        raise errors.invalid(old["kind"], name, [errors.invalid_value("spec", new.get("spec"), text)], GROUP)
