"""The client side of the API: REST, watches, informers, work queues, events and leader election.

Everything a component needs to talk to an API server, and nothing that decides. It speaks HTTP/1.1 itself
(`kubeclient.http`), since every component of a cluster pays for what is imported here.
"""

from kubeclient.backoff import Backoff
from kubeclient.client import Client
from kubeclient.config import Config, ConfigError
from kubeclient.events import EventRecorder
from kubeclient.http import Response, Stream
from kubeclient.informer import Informer
from kubeclient.leaderelection import LeaderElector, LeadershipLost
from kubeclient.workqueue import WorkQueue

__all__ = [
    "Backoff",
    "Client",
    "Config",
    "ConfigError",
    "EventRecorder",
    "Informer",
    "LeaderElector",
    "LeadershipLost",
    "Response",
    "Stream",
    "WorkQueue",
]
