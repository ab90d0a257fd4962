"""The plugins that clients configure while the server runs: webhooks and policies."""

from __future__ import annotations

from collections.abc import Callable

from apiserver.admission.match_conditions import MatchConditions
from apiserver.admission.plugin import Plugin
from apiserver.admission.policies import MutatingAdmissionPolicy, ValidatingAdmissionPolicy
from apiserver.admission.webhooks import MutatingAdmissionWebhook, ValidatingAdmissionWebhook
from apiserver.authz import Authorizer
from apiserver.registry.registries import Registries
from apiserver.webhookclient import WebhookClient


def plugins(
    registries: Registries, authorizer: Authorizer, client: WebhookClient, uid: Callable[[], str]
) -> list[Plugin]:
    """In the order in which they run."""
    hold = MatchConditions(authorizer)
    return [
        MutatingAdmissionPolicy(registries, authorizer, hold),
        MutatingAdmissionWebhook(registries, client, uid, hold, registries.versions, registries.convert),
        ValidatingAdmissionPolicy(registries, authorizer, hold),
        ValidatingAdmissionWebhook(registries, client, uid, hold, registries.versions, registries.convert),
    ]
