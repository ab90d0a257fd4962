"""A pod's spec as runtime specs, hosts and resolver files, and as requests to the Docker Engine."""

from __future__ import annotations

from typing import Any

import pytest

from kubeletd import dnsconfig, qos, translate
from kubeletd.interfaces import PodConfigError
from kubeletd.runtime import dockerspec
from kubeletd.runtime.interface import ContainerSpec, Mount

DNS = dnsconfig.NodeDns(
    ("10.96.0.10",), "cluster.local", "# by dhcp\nnameserver 192.168.1.1\nsearch home\noptions edns0\n"
)


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    meta = {"uid": "0123456789", "name": "web", "namespace": "shop", "annotations": {"a": "b"}}
    return {
        "metadata": meta,
        "spec": {"containers": [{"name": "c", "image": "i", **(container or {})}], **spec},
    }


def spec_of(
    manifest: dict[str, Any], env: list[tuple[str, str]] | None = None, user: str = ""
) -> ContainerSpec:
    container = manifest["spec"]["containers"][0]
    return translate.container_spec(
        manifest, container, "container", 2, sandbox_id="box", env=env or [], mounts=[Mount("/h", "/c")],
        image="i", image_user=user, memory_capacity=8 << 30,
    )  # fmt: skip


def test_commands_are_expanded_by_the_environment() -> None:
    spec = spec_of(pod({"command": ["$(A)", "$$(A)"], "args": ["$(B)"]}), [("A", "x")])
    assert (spec.command, spec.args) == (("x", "$(A)"), ("$(B)",))


def test_resources_and_what_the_kernel_kills_first() -> None:
    limits = {"cpu": "250m", "memory": "64Mi"}
    manifest = pod({"resources": {"limits": limits, "requests": limits}})
    assert qos.qos_class(manifest) == "Guaranteed"
    resources = spec_of(manifest).resources
    assert (resources.cpu_limit_milli, resources.memory_limit, resources.oom_score_adj) == (
        250,
        64 << 20,
        -997,
    )
    assert qos.qos_class(pod()) == "BestEffort" and spec_of(pod()).resources.oom_score_adj == 1000
    burstable = pod({"resources": {"requests": {"memory": "4Gi"}}})
    assert qos.qos_class(burstable) == "Burstable" and spec_of(burstable).resources.oom_score_adj == 500


def test_security_contexts_of_pod_and_container() -> None:
    manifest = pod(
        {
            "securityContext": {
                "runAsUser": 5,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
        },
        securityContext={"runAsUser": 1, "runAsGroup": 2, "supplementalGroups": [7], "fsGroup": 9},
    )
    security = spec_of(manifest).security
    assert (security.user, security.groups, security.no_new_privileges) == ("5:2", (7, 9), True)
    assert security.drop_capabilities == ("ALL",) and security.seccomp == "unconfined"
    default = {"seccompProfile": {"type": "RuntimeDefault"}}
    assert spec_of(pod(securityContext=default)).security.seccomp == ""


@pytest.mark.parametrize(
    ("security", "user", "words"),
    [
        ({"runAsNonRoot": True}, "", "image will run as root"),
        ({"runAsNonRoot": True}, "app", "non-numeric user (app)"),
        ({"runAsNonRoot": True, "runAsUser": 0}, "", "runAsUser breaks non-root policy"),
    ],
)
def test_non_root_is_checked(security: dict[str, Any], user: str, words: str) -> None:
    with pytest.raises(PodConfigError) as caught:
        spec_of(pod(securityContext=security), user=user)
    assert words in caught.value.message and 'pod: "web_shop(0123456789)"' in caught.value.message
    spec_of(pod(securityContext={"runAsNonRoot": True}), user="1000")


def test_names_of_a_pod() -> None:
    assert (translate.hostname(pod(), "c"), translate.names(pod(), "c")) == ("web", ("web", ""))
    assert translate.hostname(pod(hostnameOverride="other.name", subdomain="sub"), "c") == "other.name"
    full = "web.sub.shop.svc.cluster.local"
    assert translate.names(pod(subdomain="sub"), "cluster.local") == ("web", full)
    assert translate.hostname(pod(subdomain="sub", setHostnameAsFQDN=True), "cluster.local") == full
    assert translate.hostname(pod(hostname="x" * 80 + "-"), "c") == "x" * 63
    with pytest.raises(PodConfigError, match=r"FQDN .* is too long \(64 characters is the max, 96 char"):
        long = pod(hostname="x" * 63, subdomain="s", setHostnameAsFQDN=True)
        translate.hostname(long, "a-cluster.example.com")


@pytest.mark.parametrize("as_full_name", [False, True])
def test_the_hosts_file_of_a_pod(as_full_name: bool) -> None:
    aliases = [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}, {"ip": "::5", "hostnames": ["c"]}]
    made = pod(subdomain="sub", setHostnameAsFQDN=as_full_name, hostAliases=aliases)
    lines = [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
        "10.0.0.5\tweb.sub.shop.svc.cluster.local\tweb",
        "",
        "# Entries added by HostAliases.",
        "1.2.3.4\ta\tb",
        "::5\tc",
        "",
    ]
    assert translate.hosts_file(made, "10.0.0.5", "cluster.local", "") == "\n".join(lines)
    assert translate.hosts_file(pod(), "10.0.0.5", "c", "").endswith("\n10.0.0.5\tweb\n")
    of_host = translate.hosts_file(pod(hostNetwork=True), "10.0.0.5", "c", "1.1.1.1 h\n")
    assert of_host == "# Kubernetes-managed hosts file (host network).\n1.1.1.1 h\n"


def resolver(**spec: Any) -> str:
    found, said = dnsconfig.of_pod(pod(**spec), DNS)
    assert said == []
    return found.text()


def test_dns_policies() -> None:
    cluster = "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local home\n"
    assert resolver() == f"{cluster}options ndots:5\n"
    assert resolver(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet") == resolver()
    host = resolver(dnsPolicy="Default")
    assert host == "nameserver 192.168.1.1\nsearch home\noptions edns0\n"
    assert resolver(hostNetwork=True) == host
    own = {"nameservers": ["9.9.9.9"], "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]}
    assert resolver(dnsPolicy="None", dnsConfig=own) == "nameserver 9.9.9.9\noptions ndots:2 rotate\n"
    own |= {"searches": ["home", "more"], "nameservers": ["10.96.0.10", "9.9.9.9"]}
    assert resolver(dnsConfig=own) == (
        "nameserver 10.96.0.10\nnameserver 9.9.9.9\n"
        "search shop.svc.cluster.local svc.cluster.local cluster.local home more\noptions ndots:2 rotate\n"
    )


def test_the_hosts_resolver_file() -> None:
    found = dnsconfig.parse(
        "; c\nnameserver\t1.1.1.1 # x\nsearch a\nsearch b.  c. .\noptions x:1 y\nbroken\n"
    )
    assert found == dnsconfig.Resolver(("1.1.1.1",), ("b", "c", "."), (("x", "1"), ("y", "")))


def test_what_resolvers_do_not_read_is_left_out_and_told() -> None:
    many = {"nameservers": [f"1.1.1.{n}" for n in range(4)], "searches": [f"s{n}.io" for n in range(40)]}
    found, said = dnsconfig.of_pod(pod(dnsPolicy="None", dnsConfig=many), DNS)
    assert (len(found.servers), len(found.searches)) == (3, 32)
    assert said[0] == (
        "DNSConfigForming",
        "Nameserver limits were exceeded, some nameservers have been omitted, "
        "the applied nameserver line is: 1.1.1.0 1.1.1.1 1.1.1.2",
    )
    assert said[1][1].startswith(
        "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: s0.io "
    )
    long = {"searches": [f"{'x' * 200}{n}.io" for n in range(12)]}
    found, said = dnsconfig.of_pod(pod(dnsPolicy="None", dnsConfig=long), DNS)
    assert len(" ".join(found.searches)) <= 2048 and len(found.searches) == 9 and len(said) == 1
    host = dnsconfig.NodeDns((), "cluster.local", DNS.host_file)
    found, said = dnsconfig.of_pod(pod(), host)
    assert found.servers == ("192.168.1.1",) and said[0][0] == "MissingClusterDNS"


def test_host_ports_belong_to_the_sandbox() -> None:
    manifest = pod({"ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]})
    spec = translate.sandbox_spec(manifest, 1, "10.0.0.5", "cluster.local")
    body = dockerspec.sandbox(spec, "pause", "net", "kt", "n1")
    assert body["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    assert body["NetworkingConfig"]["EndpointsConfig"]["net"]["IPAMConfig"] == {"IPv4Address": "10.0.0.5"}
    assert body["Hostname"] == "web" and body["HostConfig"]["NetworkMode"] == "net"
    body = dockerspec.sandbox(translate.sandbox_spec(pod(), 1, "10.0.0.5", "c"), "pause", "net", "kt", "n1")
    # It makes its own network namespace, which the agent connects.
    assert body["HostConfig"]["NetworkMode"] == "host" and "NetworkingConfig" not in body
    assert (body["Cmd"], body["HostConfig"]["CapAdd"]) == (["own-network"], ["SYS_ADMIN"])
    assert body["Labels"]["io.pybernetes.ip"] == "10.0.0.5"


def test_what_the_engine_is_asked_for() -> None:
    body = dockerspec.container(
        spec_of(pod({"tty": True, "workingDir": "/w"}), [("K", "v=1")]), "kt", "n1", -500
    )
    host = body["HostConfig"]
    assert host["NetworkMode"] == host["IpcMode"] == "container:box" and host["PidMode"] == ""
    assert body["Env"] == ["K=v=1"] and body["Tty"] and body["WorkingDir"] == "/w"
    assert "Entrypoint" not in body and "Cmd" not in body and "User" not in body
    assert host["Mounts"][0]["Source"] == "/h" and host["OomScoreAdj"] == 1000
    identity = dockerspec.identity_of(body["Labels"])
    assert identity == spec_of(pod()).identity
    assert identity is not None and dockerspec.name(identity, "n1") == "pyb_n1_shop_web_c_01234567_2"
    assert dockerspec.identity_of({"other": "label"}) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-21T02:00:00.123456789Z", 1795226400.123456789),
        ("2026-11-21T02:00:00+02:00", 1795219200.0),
        ("0001-01-01T00:00:00Z", 0.0),
        ("", 0.0),
    ],
)
def test_the_engines_times(text: str, seconds: float) -> None:
    assert dockerspec.epoch(text) == pytest.approx(seconds)
