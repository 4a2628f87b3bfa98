"""What the target `kubernetes` does beyond the contract, against a real API server."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

import model_envelope as me
from model_envelope import config
from model_envelope.deployment import probing
from model_envelope.deployment.cluster.api import open_cluster
from model_envelope.deployment.cluster.traffic import ServiceTraffic
from model_envelope.deployment.targets.protocol import Split
from model_envelope.errors import FenceLost, TargetFailed
from tests.integration.kubernetes.cluster import WANTED, KubernetesSite
from tests.integration.targets.models import times

pytestmark = WANTED

APPS = "/apis/apps/v1"
NETWORKING = "/apis/networking.k8s.io/v1"
SCALING = "/apis/autoscaling/v2beta2"
POLICY = "/apis/policy/v1beta1"


def everything(site: KubernetesSite) -> dict[str, list[str]]:
    """All that the target makes, by kind and name, and what came of it."""
    kinds = {
        "services": "/api/v1",
        "pods": "/api/v1",
        "endpoints": "/api/v1",
        "deployments": APPS,
        "replicasets": APPS,
        "ingresses": NETWORKING,
        "networkpolicies": NETWORKING,
        "horizontalpodautoscalers": SCALING,
        "poddisruptionbudgets": POLICY,
    }
    found = {kind: site.ask_api(kind, group=group) for kind, group in kinds.items()}
    found["secrets"] = [s for s in site.ask_api("secrets") if s["type"] == "Opaque"]
    return {kind: [item["metadata"]["name"] for item in items] for kind, items in found.items()}


def replicas(site: KubernetesSite) -> int:
    (deployment,) = site.ask_api("deployments", group=APPS)
    return int(deployment["spec"]["replicas"])


def test_one_call_deploys_from_outside_the_cluster(
    kubernetes_site: KubernetesSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(config.KUBERNETES_PODS, "forward")
    client = me.Client()
    target = {"kind": "kubernetes", **kubernetes_site.options}
    for factor in (2, 3):
        sample = pd.DataFrame({"a": [1.0, 2.0]})
        envelope = client.save_model(times(factor), tags={"factor": str(factor)}, api_input=sample)
        deployed = client.deploy(envelope, "doubles", target=target)
        assert deployed.url == kubernetes_site.url
        assert kubernetes_site.wait(kubernetes_site.serves, deployed.deployment.__eq__)
        assert kubernetes_site.ask(2.0).value == 2.0 * factor
    assert deployed.deployment is not None
    steps = {step.name: step for step in client.deployment_steps(deployed.deployment)}
    assert steps["golden_rows"].state == "passed"
    assert len(everything(kubernetes_site)["deployments"]) == 1
    client.undeploy("doubles")
    kubernetes_site.wait(lambda: everything(kubernetes_site), lambda found: not any(found.values()))


def test_pods_are_reached_through_the_api_server(
    kubernetes_site: KubernetesSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(config.KUBERNETES_PODS, "forward")
    live, candidate = kubernetes_site.start(times(2)), kubernetes_site.start(times(3), fence=2)
    (address,) = kubernetes_site.running(live).addresses
    assert address.startswith("pod://doubles-")
    rows = [{"a": float(number)} for number in range(20_000)]
    answer = probing.ask(
        address,
        "POST",
        "/predict",
        json.dumps(rows).encode(),
        headers={"Content-Type": "application/json"},
    )
    (column,) = answer.json()[-1]
    assert [row[column] for row in answer.json()] == [row["a"] * 2 for row in rows]
    # Control routes need their Authorization header, and pods reach each other.
    route = kubernetes_site.route(live)
    split = Split(mode="canary", candidate=candidate.id, share=1.0)
    kubernetes_site.target.split(route, split)
    assert kubernetes_site.ask(1.0).value == 3.0
    assert kubernetes_site.target.split_counts(route).requests == 1
    with pytest.raises(probing.Unanswered, match="pod nobody"):
        probing.ask("pod://nobody:8080", "GET", "/readyz")


def test_pods_that_come_later_share_the_traffic_too(kubernetes_site: KubernetesSite) -> None:
    site = kubernetes_site
    live, candidate = site.start(times(2)), site.start(times(3), fence=2)
    route = site.route(live)
    site.target.split(route, Split(mode="canary", candidate=candidate.id, share=1.0))

    def values() -> list[float]:
        site.target.split_counts(route)  # as whoever began the split does all the time
        return [site.ask(1.0, url=url).value for url in site.running(live).addresses]

    site.target.scale(route, 2)
    assert values() == [3.0, 3.0]
    name = site.running(live).addresses[0]
    pod = next(p for p in site.ask_api("pods") if f"http://{p['status']['podIP']}:8080" == name)
    assert site.plane is not None
    path = f"/api/v1/namespaces/{site.namespace}/pods/{pod['metadata']['name']}"
    site.plane.ask("DELETE", path, {"gracePeriodSeconds": 1})
    site.wait(lambda: site.running(live), lambda r: r.ready and name not in r.addresses)
    site.wait(values, lambda found: found == [3.0, 3.0])
    # As when whoever began the split was killed, and the next reconcile sweeps.
    site.stop(candidate)
    assert values() == [2.0, 2.0]
    assert site.target.split_counts(route).requests == 0


def test_the_autoscaler_keeps_its_number(kubernetes_site: KubernetesSite) -> None:
    site = kubernetes_site
    release = site.start(times(2), options={"replicas": {"min": 2, "max": 5}})
    route = site.route(release)
    assert replicas(site) == 2
    (scaler,) = site.ask_api("horizontalpodautoscalers", group=SCALING)
    path = f"{SCALING}/namespaces/{site.namespace}/horizontalpodautoscalers"
    site.change(f"{path}/{scaler['metadata']['name']}", {"spec": {"minReplicas": 3}})
    site.wait(lambda: replicas(site), (3).__eq__)
    site.target.start(release)
    (scaler,) = site.ask_api("horizontalpodautoscalers", group=SCALING)
    assert scaler["spec"]["minReplicas"] == 2
    assert replicas(site) == 3
    with pytest.raises(TargetFailed, match="HorizontalPodAutoscaler scales doubles"):
        site.target.scale(route, 1)
    # What replaces it starts with as many, so that it stands the same load.
    site.start(times(3), fence=2, options={"replicas": {"min": 1, "max": 5}})
    numbers = [d["spec"]["replicas"] for d in site.ask_api("deployments", group=APPS)]
    assert numbers == [3, 3]


def test_the_ingress_follows_the_traffic(kubernetes_site: KubernetesSite) -> None:
    site = kubernetes_site
    live = site.start(times(2), options={"host": "one.example.com"})
    assert everything(site)["ingresses"] == []
    site.route(live)
    other = {"host": "two.example.com", "tls_secret": "two-tls", "ingress_class": "nginx"}
    candidate = site.start(times(3), fence=2, options=other)
    for release, host in ((None, "one"), (candidate, "two")):
        if release is not None:
            site.route(release)
        (ingress,) = site.ask_api("ingresses", group=NETWORKING)
        assert ingress["spec"]["rules"][0]["host"] == f"{host}.example.com"
    assert ingress["spec"]["tls"] == [{"hosts": ["two.example.com"], "secretName": "two-tls"}]
    last = site.start(times(2), fence=3)
    site.route(last)
    assert everything(site)["ingresses"] == []


def test_deletion_leaves_nothing(kubernetes_site: KubernetesSite) -> None:
    site = kubernetes_site
    options = {"replicas": {"min": 1, "max": 2}, "host": "one.example.com"}
    first = site.start(times(2), options=options)
    site.route(first)
    second = site.start(times(3), fence=2, options=options)
    assert all(everything(site).values())
    site.stop(first)
    assert site.running(second).ready
    assert everything(site)["services"] == ["doubles"]
    site.stop(second)
    site.wait(lambda: everything(site), lambda found: not any(found.values()))


def test_of_those_who_start_at_once_none_is_forgotten(kubernetes_site: KubernetesSite) -> None:
    cluster = open_cluster()

    def claim(fence: int) -> bool:
        try:
            ServiceTraffic(cluster, "ab" * 10).claim("doubles", fence)
        except FenceLost:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(claim, range(1, 25)))
    (traffic,) = ServiceTraffic(cluster, "ab" * 10).all().values()
    assert traffic.candidates_fence == 24
    assert claimed[-1]
    assert not claim(23)
    (service,) = kubernetes_site.ask_api("services")
    assert int(service["metadata"]["annotations"]["io.model-envelope/candidates-fence"]) == 24
