"""The status of quotas: what exists is counted, and what was just charged is not taken back."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apimachinery import quantities, resources
from controllermanager.plans import resourcequota as plans
from controllermanager.plans.actions import RequeueAfter, Update

PODS = resources.get("pods")
SECRETS = resources.get("secrets")


def quota(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    status = {} if used is None else {"hard": dict(hard), "used": used}
    return {"metadata": {"name": "q", "namespace": "ns"}, "spec": {"hard": hard, **spec}, "status": status}


def pod(cpu: str = "100m", phase: str = "Running", **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}} if cpu else {}}
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": [container], **spec},
        "status": {"phase": phase},
    }


def test_only_what_counts_is_looked_at() -> None:
    small = quota({"secrets": "5", "count/deployments.apps": "2"})
    assert {r.plural for r in plans.measured(small)} == {"secrets", "deployments"}
    assert plans.only_counts(SECRETS, small)
    assert not plans.only_counts(PODS, quota({"pods": "1"})), "ended pods do not count"
    assert plans.only_counts(PODS, quota({"count/pods": "1"}))
    assert not plans.only_counts(PODS, quota({"count/pods": "1"}, scopes=["BestEffort"]))


def test_ended_pods_free_their_share_and_scopes_select() -> None:
    pods = [pod(), pod("200m", "Succeeded"), pod("", activeDeadlineSeconds=5)]
    for scopes, cpu, number in (
        ([], "100m", "2"),
        (["Terminating"], "0", "1"),
        (["NotBestEffort"], "100m", "1"),
    ):
        limits = quota({"pods": "5", "requests.cpu": "1"}, scopes=scopes)
        used = plans.total(PODS, pods, limits)
        assert str(used["pods"]) == number
        assert used.get("requests.cpu", plans.ZERO) == quantities.parse({"x": cpu})["x"]


def test_the_first_status_shows_zeros_and_an_equal_one_is_left_alone() -> None:
    (update,) = plans.plan(quota({"pods": "5", "secrets": "2"}), quantities.parse({"pods": "1"}), True)
    assert isinstance(update, Update)
    assert update.obj["status"] == {
        "hard": {"pods": "5", "secrets": "2"},
        "used": {"pods": "1", "secrets": "0"},
    }
    same = quota({"cpu": "1"}, {"cpu": "0.5"})
    assert not plans.plan(same, quantities.parse({"cpu": "500m"}), True)


NAMES = st.sampled_from(["pods", "requests.cpu", "secrets"])
AMOUNTS = st.dictionaries(NAMES, st.integers(0, 5).map(str))


@given(AMOUNTS, AMOUNTS, AMOUNTS, st.booleans())
def test_usage_is_lowered_only_when_all_is_quiet(hard: Any, before: Any, now: Any, quiet: bool) -> None:
    given_quota = quota(hard, before)
    actions = plans.plan(given_quota, quantities.parse(now), quiet)
    status = next((a.obj["status"] for a in actions if isinstance(a, Update)), given_quota["status"])
    for name in hard:
        shown, real, old = (int(x.get(name, "0")) for x in (status["used"], now, before))
        assert shown == (real if quiet else max(real, old))
    assert (RequeueAfter(plans.QUIET_SECONDS) in actions) == any(
        int(status["used"].get(n, "0")) != int(now.get(n, "0")) for n in hard
    )
