"""Admission: what happens to a write between authorization and storage.

Built-in plugins only, in the order in which Kubernetes runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    ClusterTrustBundleAttest,
)
from apiserver.admission.chain import Chain
from apiserver.admission.default_ingress_class import DefaultIngressClass
from apiserver.admission.default_toleration_seconds import DefaultTolerationSeconds
from apiserver.admission.limit_ranger import LimitRanger
from apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from apiserver.admission.nodes import NodeRestriction, TaintNodesByCondition
from apiserver.admission.object_warnings import ObjectWarnings
from apiserver.admission.plugin import Fresh, Plugin
from apiserver.admission.pod_security import PodSecurity
from apiserver.admission.priority import Priority
from apiserver.admission.rbac_escalation import PrivilegeEscalation
from apiserver.admission.resource_quota import ResourceQuota
from apiserver.admission.runtime_class import RuntimeClass
from apiserver.admission.service_account import ServiceAccount
from apiserver.admission.storage import (
    DefaultStorageClass,
    PersistentVolumeClaimResize,
    StorageObjectInUseProtection,
)
from apiserver.authz import Authorizer
from apiserver.request import Reader, Writer

OFF_BY_DEFAULT = frozenset({"StorageObjectInUseProtection"})
"""Its finalizers are for the controllers of volumes to take off; where none run, claims could never be deleted."""


def chain(
    reader: Reader,
    authorizer: Authorizer,
    writer: Writer,
    suffix: Callable[[], str],
    *,
    fresh: Fresh | None = None,
    dynamic: Sequence[Plugin] = (),
    enabled: Collection[str] = (),
    disabled: Collection[str] = (),
) -> Chain:
    """The chain. `suffix` gives five random characters. `dynamic`: the plugins that clients configure.

    `enabled` names plugins of OFF_BY_DEFAULT to run, `disabled` plugins to leave out. Raises ValueError for names
    that no plugin has.
    """
    plugins: list[Plugin] = [
        PrivilegeEscalation(authorizer),
        NamespaceLifecycle(reader, fresh),
        LimitRanger(reader),
        ServiceAccount(reader, suffix, fresh),
        NodeRestriction(reader),
        TaintNodesByCondition(),
        PodSecurity(reader),
        Priority(reader),
        DefaultTolerationSeconds(),
        PersistentVolumeClaimResize(reader),
        DefaultStorageClass(reader),
        StorageObjectInUseProtection(),
        RuntimeClass(reader),
        CertificateApproval(authorizer),
        CertificateSigning(authorizer),
        CertificateSubjectRestriction(),
        ClusterTrustBundleAttest(authorizer),
        DefaultIngressClass(reader),
        *dynamic,
        ResourceQuota(reader, writer),
        ObjectWarnings(),
    ]
    unknown = {*enabled, *disabled} - {plugin.name for plugin in plugins}
    if unknown:
        raise ValueError(f"unknown admission plugin {', '.join(sorted(unknown))}")
    left_out = {*disabled, *(OFF_BY_DEFAULT - set(enabled))}
    return Chain(plugin for plugin in plugins if plugin.name not in left_out)
