"""What goes wrong in a cluster, or around it, while the target `kubernetes` is used."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import model_envelope as me
from model_envelope import config
from model_envelope.deployment.reconciling import reconcile
from model_envelope.deployment.targets.protocol import Split
from model_envelope.errors import TargetFailed
from tests.conftest import free_port
from tests.integration.kubernetes.cluster import WANTED, KubernetesSite
from tests.integration.targets.models import times

pytestmark = WANTED

APPS = "/apis/apps/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"


@pytest.mark.parametrize(
    ("options", "said"),
    [({"image": "127.0.0.1:1/models:none"}, "ErrImagePull"), ({"cpus": 1000}, "Insufficient cpu")],
)
def test_what_cannot_run_says_why_while_the_old_one_serves(
    kubernetes_site: KubernetesSite, options: dict[str, Any], said: str
) -> None:
    site = kubernetes_site
    live = site.start(times(2))
    route = site.route(live)
    release = site.release(times(2), fence=2, options=options)
    site.target.prepare(release)
    site.target.start(release)
    found = site.wait(lambda: site.running(release), lambda r: said in r.detail)
    assert not found.ready
    with pytest.raises(TargetFailed, match=said):
        site.target.split(route, Split(mode="shadow", candidate=release.id, share=1.0))
    assert site.serves() == live.id
    site.stop(release, drain=0)
    assert [running.release for running in site.target.running()] == [live.id]


def test_a_rollout_that_takes_too_long_is_given_up_by_the_cluster(
    kubernetes_site: KubernetesSite,
) -> None:
    site = kubernetes_site
    live = site.start(times(2))
    site.route(live)
    options = {"image": "127.0.0.1:1/models:none", "startup_seconds": 10}
    broken = site.release(times(2), fence=2, options=options)
    site.target.start(broken)
    found = site.wait(lambda: site.running(broken), lambda r: "gave up" in r.detail)
    assert "ProgressDeadlineExceeded" in found.detail
    assert site.serves() == live.id


@pytest.mark.parametrize(
    ("kind", "spec", "told", "step"),
    [
        (
            "ResourceQuota",
            {"hard": {"requests.memory": "100Mi"}},
            "exceeded quota: small",
            "ask for a larger quota",
        ),
        (
            "LimitRange",
            {"limits": [{"type": "Container", "max": {"memory": "100Mi"}}]},
            "maximum memory usage per Container is 100Mi",
            "LimitRange says what",
        ),
    ],
)
def test_limits_of_a_namespace_are_named(
    kubernetes_site: KubernetesSite, kind: str, spec: dict[str, Any], told: str, step: str
) -> None:
    site = kubernetes_site
    body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "small"}, "spec": spec}
    assert site.plane is not None
    site.plane.apply(body, f"/api/v1/namespaces/{site.namespace}/{kind.lower()}s")
    release = site.release(times(2))
    site.target.prepare(release)
    site.target.start(release)
    said = site.wait(lambda: site.running(release).detail, lambda said: told in said)
    assert step in said


@contextmanager
def refusing(site: KubernetesSite) -> Iterator[str]:
    """A cluster whose policy for Deployments is asked at an address that does not answer."""
    assert site.plane is not None
    site.change(f"/api/v1/namespaces/{site.namespace}", {"metadata": {"labels": {"its": "own"}}})
    configurations = f"{ADMISSION}/validatingwebhookconfigurations"
    deployments = {"apiGroups": ["apps"], "apiVersions": ["*"], "resources": ["deployments"]}
    policy = {
        "name": "policy.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [{**deployments, "operations": ["CREATE"]}],
        "namespaceSelector": {"matchLabels": {"its": "own"}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": site.namespace},
        "webhooks": [policy],
    }
    site.plane.ask("POST", configurations, body)
    try:
        yield "policy.example.com"
    finally:
        site.plane.ask("DELETE", f"{configurations}/{site.namespace}")


def test_what_a_policy_refuses_is_said_and_costs_a_try(kubernetes_site: KubernetesSite) -> None:
    site = kubernetes_site
    store = site.platform.store
    target = {"kind": "kubernetes", "options": site.options}

    def want(factor: float) -> str:
        sample = pd.DataFrame({"a": [1.0, 2.0]})
        envelope = me.save_model(times(factor), tags={"name": "m"}, api_input=sample)
        store.want(site.service, target=target, envelope_id=envelope.id, by="ada")
        return envelope.id

    first = want(2)
    (deployed,) = reconcile(site.platform)
    assert (deployed.action, deployed.envelope_id) == ("deployed", first), deployed
    second = want(3)
    with refusing(site) as policy:
        # The API server learns of a new policy by and by.
        site.wait(lambda: refuses_deployments(site), bool)
        (outcome,) = reconcile(site.platform)
    assert (outcome.action, outcome.envelope_id) == ("retrying", first), outcome
    assert policy in outcome.reason
    assert "see that this cluster's webhook of that name runs" in outcome.reason
    site.wait(site.serves, deployed.deployment.__eq__)
    assert [found.release for found in site.target.running()] == [deployed.deployment]
    (outcome,) = reconcile(site.platform, retry=True)
    assert (outcome.action, outcome.envelope_id) == ("deployed", second), outcome


def refuses_deployments(site: KubernetesSite) -> bool:
    """Whether nobody may make one, as a trial says."""
    assert site.plane is not None
    (known,) = site.ask_api("deployments", group=APPS)
    metadata = {"name": "trial", "labels": known["metadata"]["labels"]}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": known["spec"],
    }
    path = f"{APPS}/namespaces/{site.namespace}/deployments?dryRun=All"
    try:
        site.plane.ask("POST", path, body)
    except AssertionError:
        return True
    return False


def test_an_api_server_that_is_away_takes_no_traffic_along(
    kubernetes_site: KubernetesSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = kubernetes_site
    release = site.start(times(2))
    route = site.route(release)
    away = tmp_path / "away.kubeconfig"
    body = json.loads(Path(os.environ["KUBECONFIG"]).read_text())
    body["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    away.write_text(json.dumps(body))
    with monkeypatch.context() as gone:
        gone.setenv("KUBECONFIG", str(away))
        for call in (
            site.target.running,
            lambda: site.target.route([]),
            lambda: site.target.start(release),
            lambda: site.target.scale(route, 2),
            lambda: site.target.stop(release.id, drain=timedelta(0)),
        ):
            with pytest.raises(TargetFailed, match=r"does not answer.*kubectl version"):
                call()
        assert site.serves() == release.id
    assert site.running(release).ready


def test_what_others_made_is_left_alone(kubernetes_site: KubernetesSite) -> None:
    site = kubernetes_site
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "doubles"},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80, "protocol": "TCP"}]},
    }
    assert site.plane is not None
    before = site.plane.apply(theirs, f"/api/v1/namespaces/{site.namespace}/services")
    release = site.release(times(2))
    site.target.prepare(release)
    with pytest.raises(TargetFailed, match="not this store's"):
        site.target.start(release)
    assert site.ask_api("services", "doubles") == before
    assert site.target.running() == ()
    site.target.route([])
    assert site.ask_api("services", "doubles") == before


def test_a_lost_secret_is_made_anew_and_its_pods_replaced(kubernetes_site: KubernetesSite) -> None:
    site = kubernetes_site
    release = site.start(times(2))
    route = site.route(release)
    (name,) = (s["metadata"]["name"] for s in site.ask_api("secrets") if s["type"] == "Opaque")
    (before,) = site.running(release).addresses
    assert site.plane is not None
    site.plane.ask("DELETE", f"/api/v1/namespaces/{site.namespace}/secrets/{name}")
    with pytest.raises(TargetFailed, match=r"Secret doubles-.* is gone"):
        site.target.split_counts(route)
    site.target.start(release)
    site.wait(
        lambda: site.running(release),
        lambda found: found.ready and len(found.addresses) == 1 and before not in found.addresses,
    )
    assert site.target.split_counts(route).requests == 0


def test_who_may_not_is_told_what_is_needed(
    kubernetes_site: KubernetesSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(config.KUBERNETES_NAMESPACE, "kube-system")
    with pytest.raises(TargetFailed, match=r"403.*kubernetes-services\.md"):
        kubernetes_site.target.running()
    monkeypatch.delenv(config.KUBERNETES_NAMESPACE)
    assert kubernetes_site.target.running() == ()
