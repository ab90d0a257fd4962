"""The server: put together from its parts, started, and stopped."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from apimachinery import resources
from apimachinery.errors import StatusError
from apiserver import admission, bootstrap, nonresource, pki_files, subresources
from apiserver.admission import dynamic
from apiserver.aggregation.aggregator import Aggregator
from apiserver.aggregation.backend import Backends
from apiserver.aggregation.registration import Registration
from apiserver.authn import Authenticator
from apiserver.authz import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, Authorizer
from apiserver.cachers import Cachers
from apiserver.config import ServerConfig
from apiserver.connection import ConnectionServer, Request
from apiserver.customresources.controller import CustomResources
from apiserver.customresources.webhookconversion import asking
from apiserver.dispatch import Dispatcher
from apiserver.exchange import MAX_BODY
from apiserver.flowcontrol import metrics as flow_metrics
from apiserver.flowcontrol.controller import LEVELS, SCHEMAS, FlowControlController
from apiserver.flowcontrol.filter import FlowControl
from apiserver.kubernetes_service import KubernetesService
from apiserver.metrics import RequestMetrics
from apiserver.registry.call import Backend, Identity
from apiserver.registry.registries import InternalWriter, Registries
from apiserver.registry.services_registry import ServiceRegistry
from apiserver.storage.interface import StorageError, Store
from apiserver.streams_routes import StreamRoutes
from apiserver.webhookclient import WebhookClient

if TYPE_CHECKING:
    from apiserver.audit.auditor import Auditor

logger = logging.getLogger(__name__)

EVENT_TTL = 3600
#: Seconds that running requests get to finish when the server stops.
SHUTDOWN_SECONDS = 5.0
#: The part of its time that a request may wait for a seat.
WAIT_SHARE = 0.25
REPAIR_SECONDS = 180.0
RETRY_SECONDS = 0.5

_IP_FREEBIND = 15  # linux/in.h; the socket module does not name it


class ApiServer:
    """From `start()` to `stop()`, which must follow a failed start too. `url`: where the first address answers."""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.url = ""
        self.port = 0
        self._ready = False
        self._running = AsyncExitStack()

    async def start(self) -> None:
        """Make what is missing in the data directory, load the objects, and listen."""
        config = self.config
        data = Path(config.data_dir)
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        sockets = _listen(config)
        self.port = sockets[0].getsockname()[1]
        self.url = f"https://{_host(config.bind_address[0])}:{self.port}"
        certificates = pki_files.prepare(
            data, self.url, service_cidr=config.service_cidr, extra_names=_names(config)
        )
        store = _store(config, data)
        await store.start()
        self._running.push_async_callback(store.close)
        cachers = Cachers(store)
        await cachers.start(list(resources.stored()), ttl={("", "events"): EVENT_TTL})
        backend = Backend(store, Identity(), None, config.service_cidr, config.node_ports)
        registries = Registries(backend, cachers)
        authorizer = Authorizer(registries, registries.pods_of_node)
        authenticator = Authenticator(
            registries,
            authorizer,
            key_files=[certificates.service_account_pub],
            issuer=config.service_account_issuer,
        )
        webhooks = WebhookClient(registries)
        self._running.push_async_callback(webhooks.close)
        backend.admission = admission.chain(
            registries,
            authorizer,
            InternalWriter(registries),
            backend.identity.suffix,
            fresh=lambda resource: cachers[resource].fresh(),
            dynamic=dynamic.plugins(registries, authorizer, webhooks, backend.identity.uid),
            enabled=config.enable_admission_plugins,
            disabled=config.disable_admission_plugins,
        )
        metrics = RequestMetrics()
        flow = FlowControl(
            max(1, config.max_requests_inflight + config.max_mutating_requests_inflight),
            config.request_timeout * WAIT_SHARE,
        )
        metrics.sources.append(lambda: flow_metrics.families(flow))
        dispatcher = Dispatcher(
            registries, authenticator, authorizer, metrics, flow, timeout=config.request_timeout
        )
        subresources.install(dispatcher, authenticator, authorizer, certificates, config)
        auditor = self._auditor(config, backend.identity.uid)
        if auditor is not None:
            dispatcher.auditor = auditor
            metrics.sources.append(auditor.families)
        streams = StreamRoutes(dispatcher, authorizer, certificates)
        nonresource.install(
            dispatcher.plain,
            metrics,
            registries,
            lambda: self._ready,
            authenticator,
            self.url.removeprefix("https://"),
        )
        flow_controller = FlowControlController(registries, flow)
        await asyncio.gather(bootstrap.objects(registries), flow_controller.ensure(status=False))
        flow_controller.configure()
        custom = CustomResources(registries, dispatcher, asking(webhooks, backend.identity.uid))
        await custom.start()
        dispatcher.find = custom.find
        backends = Backends(registries, certificates)
        self._running.push_async_callback(backends.close)
        dispatcher.aggregator = Aggregator(registries, backends, certificates.ca_file)
        await dispatcher.aggregator.start()
        registration = Registration(registries)
        await registration.start()
        service = KubernetesService(registries, _advertised(config), self.port)
        await service.start()
        background = Background()
        for resource in (CLUSTER_ROLES, ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS):
            background.start(_invalidate(cachers, resource, authorizer.invalidate))
        for resource in (LEVELS, SCHEMAS):
            background.start(_invalidate(cachers, resource, flow_controller.invalidate))
        background.start(flow_controller.run())
        background.start(service.run())
        background.start(_repair(registries))
        background.start(custom.run())
        background.start(dispatcher.aggregator.run())
        background.start(registration.run())
        # What is pushed last is stopped first: no more requests, then their watches end, then the rest.
        self._running.push_async_callback(background.stop)
        self._running.push_async_callback(custom.stop)
        runner = await self._listener(dispatcher, sockets, certificates)
        self._running.push_async_callback(runner.cleanup)
        self._running.push_async_callback(cachers.close)
        self._running.push_async_callback(streams.close)
        self._running.push_async_callback(service.stop)
        self._ready = True

    def _auditor(self, config: ServerConfig, uid: Callable[[], str]) -> Auditor | None:
        """What records requests, where that is asked for. Raises SettingError or OSError."""
        if not config.audit_policy_file:
            if config.audit_log_path:
                logger.warning("no audit policy file is given: no events are recorded")
            return None
        from apiserver.audit import auditor, log

        policy = auditor.load(config.audit_policy_file)
        if not config.audit_log_path:
            logger.warning("no audit log path is given: no events are recorded")
            return None
        audit_log = log.AuditLog(
            config.audit_log_path,
            max_size=config.audit_log_maxsize << 20,
            max_age=config.audit_log_maxage,
            max_backups=config.audit_log_maxbackup,
        )
        audit_log.start()
        self._running.callback(audit_log.close)
        return auditor.Auditor(policy, audit_log, uid)

    async def _listener(
        self, dispatcher: Dispatcher, sockets: list[socket.socket], certificates: pki_files.ClusterFiles
    ) -> web.ServerRunner:
        """Listen on the sockets, with TLS."""
        config = self.config
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(certificates.ca_file)
        if config.tls_cert_file:
            context.load_cert_chain(config.tls_cert_file, config.tls_private_key_file or None)
        else:
            context.load_cert_chain(certificates.serving_cert, certificates.serving_key)
        loop = asyncio.get_running_loop()

        def request(*parts: Any) -> web.BaseRequest:
            message, payload, protocol, writer, task = parts
            return Request(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)

        server = ConnectionServer(dispatcher, request_factory=request, access_log=None, keepalive_timeout=300)
        runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        for sock in sockets:
            await web.SockSite(runner, sock, ssl_context=context, backlog=1024).start()
        return runner

    async def stop(self) -> None:
        """Stop listening, end watches, let writes finish, close the store: whatever of it has begun."""
        self._ready = False
        await self._running.aclose()


class Background:
    """Tasks that run as long as the server; one that fails is logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a background task failed", exc_info=error)

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _invalidate(cachers: Cachers, resource: resources.Resource, invalidate: Callable[[], None]) -> None:
    """Have whoever goes by the objects of a resource look anew whenever one changes."""
    cacher = cachers[resource]
    while True:
        watcher = cacher.watch(cacher.revision, encoder=_changed)
        invalidate()
        try:
            async for _ in watcher:
                invalidate()
        finally:
            watcher.close()
        try:
            await cacher.fresh()
        except StorageError:
            await asyncio.sleep(RETRY_SECONDS)


async def _repair(registries: Registries) -> None:
    """Give back addresses and ports that a crash left taken."""
    services = registries.registry("services")
    assert isinstance(services, ServiceRegistry)
    suspects: set[str] = set()
    while True:
        try:
            suspects = await services.allocator.repair(suspects)
        except (StorageError, StatusError) as error:
            logger.warning("cannot check the allocated addresses and ports: %s", error)
        await asyncio.sleep(REPAIR_SECONDS)


def _changed(event: str, entry: object) -> bytes:
    return b"\n"


def _store(config: ServerConfig, data: Path) -> Store:
    if config.storage == "etcd":
        from apiserver.storage.etcd import EtcdStore

        return EtcdStore(
            config.etcd_servers or ("http://127.0.0.1:2379",),
            ca_file=config.etcd_cafile,
            cert_file=config.etcd_certfile,
            key_file=config.etcd_keyfile,
            retain_seconds=config.etcd_compaction_interval,
        )
    from apiserver.storage.sqlite import SqliteStore

    path = ":memory:" if config.storage == "memory" else str(data / "store.db")
    return SqliteStore(path, retain_seconds=config.etcd_compaction_interval)


def _listen(config: ServerConfig) -> list[socket.socket]:
    """Sockets on all addresses and one port; port 0 chooses one that is free on the first address."""
    sockets: list[socket.socket] = []
    port = config.secure_port
    for address in config.bind_address:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET:
            # The pod network's bridge, whose address this may be, comes and goes with the nodes' agents.
            sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        try:
            sock.bind((address, port))
        except OSError as error:
            raise OSError(
                error.errno, f"cannot listen on {_host(address)}:{port}: {error.strerror}"
            ) from error
        port = sock.getsockname()[1]
        sockets.append(sock)
    return sockets


def _advertised(config: ServerConfig) -> str:
    """The address in the endpoints of the Service `kubernetes`."""
    if config.advertise_address:
        return config.advertise_address
    reachable = [a for a in config.bind_address if a not in ("0.0.0.0", "::") and not a.startswith("127.")]
    return reachable[0] if reachable else _host(config.bind_address[0]).strip("[]")


def _host(address: str) -> str:
    if address in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{address}]" if ":" in address else address


def _names(config: ServerConfig) -> list[str]:
    names = [*config.bind_address, config.advertise_address, *config.tls_san]
    return [name for name in dict.fromkeys(names) if name and name not in ("0.0.0.0", "::")]
