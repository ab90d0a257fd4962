"""The plugins that clients configure while the server runs: webhooks and policies."""

from __future__ import annotations

from collections.abc import Callable

from apiserver.admission.match_conditions import hold
from apiserver.admission.plugin import Plugin
from apiserver.admission.webhooks import MutatingAdmissionWebhook, ValidatingAdmissionWebhook
from apiserver.registry.registries import Registries
from apiserver.webhookclient import WebhookClient


def plugins(registries: Registries, client: WebhookClient, uid: Callable[[], str]) -> list[Plugin]:
    """In the order in which they run."""
    return [
        MutatingAdmissionWebhook(registries, client, uid, hold, registries.versions, registries.convert),
        ValidatingAdmissionWebhook(registries, client, uid, hold, registries.versions, registries.convert),
    ]
