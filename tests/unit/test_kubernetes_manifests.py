"""What a release and a service are in a cluster, against the schemas of Kubernetes."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import kubernetes_validate
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes_validate import utils

import model_envelope as me
from model_envelope import names
from model_envelope.deployment.targets.kubernetes_options import check_options
from model_envelope.deployment.targets.manifests import naming
from model_envelope.deployment.targets.manifests import service as services
from model_envelope.deployment.targets.manifests.checking import check
from model_envelope.deployment.targets.manifests.release import (
    Manifest,
    Rendered,
    entrance,
    secret_variables,
)
from model_envelope.deployment.targets.manifests.service import Traffic
from model_envelope.deployment.targets.protocol import Release, Split
from model_envelope.envelope import EnvelopeRecord
from model_envelope.errors import InvalidInput, InvalidName, InvalidTag
from model_envelope.serving.plan import Limits

VERSIONS = ("1.25", "1.29", "1.33", "1.37")
OWNER = "0123456789abcdef0123"
TOKEN = "the-control-token"  # noqa: S105
IMAGE = f"registry.example/models@sha256:{'0' * 64}"

OPTIONS: dict[str, list[Any]] = {
    "replicas": [1, {"max": 9}, {"min": 2, "max": 4, "cpu": 50, "cooldown_seconds": 0}],
    "threads": [None, 2],
    "cpus": [0.5, 0.01],
    "max_cpus": [None, 8],
    "host": [None, "ltv.models.example.com"],
    "service_account": [None, "model-runner"],
    "image_pull_secrets": [[], ["pull", "pull-2"]],
    "node_selector": [{}, {"node.example/pool": "gpu"}],
    "tolerations": [
        [],
        [{"operator": "Exists"}, {"key": "gpu", "value": "yes", "effect": "NoSchedule"}],
    ],
    "predictions_claim": [None, "predictions"],
    "env": [{}, {"REGION": "US", "PASSWORD": "hunter2\n---\nkind: Secret"}],
}
FOR_INGRESS: dict[str, list[Any]] = {
    "tls_secret": [None, "ltv-tls"],
    "ingress_class": [None, "nginx"],
    "ingress_annotations": [{}, {"nginx.ingress.kubernetes.io/proxy-body-size": "16m"}],
}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> EnvelopeRecord:
    folder = tmp_path_factory.mktemp("store")
    client = me.Client(store=f"sqlite:///{folder}/store.sqlite", artifacts=str(folder / "files"))
    sample = pd.DataFrame({"a": [1.0, 2.0]})
    tags = {"canonical_name": "client_ltv"}
    return client.save_model(lambda frame: frame["a"], tags=tags, api_input=sample).record


@pytest.fixture(scope="module")
def rendered(record: EnvelopeRecord) -> Callable[..., Rendered]:
    def render(
        options: dict[str, Any] | None = None, *, tags: dict[str, str] | None = None, **fields: Any
    ) -> Rendered:
        given = {"id": "ab" * 10, "service": "ltv-us", "fence": 7, **fields}
        seen = record if tags is None else record.evolve(tags=tags)
        release = Release(record=seen, options=check_options(options or {}), **given)
        secret = secret_variables(release, TOKEN)
        return Rendered(release=release, owner=OWNER, image=IMAGE, secret=secret)

    return render


@pytest.fixture(autouse=True, scope="module")
def schemas_read_once() -> Iterator[None]:
    """The validator reads megabytes for each manifest otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", cache(utils.schema_contents))
        yield


def some_of(choices: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Any combination of values, and of options that are left out."""
    return st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(values) for name, values in choices.items()}
    )


def validate(manifest: Manifest, *, versions: tuple[str, ...] = VERSIONS[-1:]) -> None:
    for version in versions:
        kubernetes_validate.validate(manifest, version, strict=True)


anything = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(anything, max_examples=150)
@given(options=some_of(OPTIONS), log_mode=st.sampled_from(["off", "rows"]))
def test_all_options_give_what_the_schemas_allow(
    rendered: Callable[..., Rendered], options: dict[str, Any], log_mode: str
) -> None:
    for manifest in check(rendered(options, log_mode=log_mode).manifests()):
        validate(manifest)


@settings(anything, max_examples=20)
@given(options=some_of(FOR_INGRESS))
def test_all_options_of_an_ingress_give_what_the_schemas_allow(options: dict[str, Any]) -> None:
    given = check_options({"host": "ltv.models.example.com", **options})
    validate(services.ingress("ltv-us", OWNER, "ab" * 10, entrance(given)))


@pytest.mark.parametrize("version", VERSIONS)
def test_all_kinds_are_what_the_schemas_of_each_version_allow(
    rendered: Callable[..., Rendered], version: str
) -> None:
    everything = {name: values[-1] for name, values in OPTIONS.items()}
    for manifest in rendered(everything, log_mode="rows").manifests():
        validate(manifest, versions=(version,))
    ingress = {name: values[-1] for name, values in FOR_INGRESS.items()}
    options = check_options({"host": "ltv.models.example.com", **ingress})
    validate(services.ingress("ltv-us", OWNER, "ab" * 10, entrance(options)), versions=(version,))
    validate(services.network_policy("ltv-us", OWNER), versions=(version,))
    split = Split(mode="canary", candidate="cd" * 10, share=0.25)
    given = Traffic(release="ab" * 10, fence=3, candidates_fence=4, split=split)
    for traffic in (Traffic(), given):
        manifest = services.service("ltv-us", OWNER, traffic)
        validate(manifest, versions=(version,))
        assert Traffic.of(manifest) == traffic


def hostile_tags() -> st.SearchStrategy[dict[str, str]]:
    text = st.text(
        st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), min_size=1, max_size=80
    )
    shown = text.map(str.strip).filter(bool)
    return st.dictionaries(st.one_of(st.just("canonical_name"), shown), shown, max_size=5)


@settings(anything, max_examples=60)
@given(tags=hostile_tags(), service=st.from_regex(names.SERVICE, fullmatch=True), env=st.text())
def test_no_name_and_no_tag_breaks_out(
    rendered: Callable[..., Rendered], tags: dict[str, str], service: str, env: str
) -> None:
    try:
        names.check_tags(tags)
        names.check_service(service)
        options = check_options({"env": {"TEXT": env}, "replicas": {"max": 3}})
    except (InvalidTag, InvalidName, InvalidInput):
        return
    made = rendered(options, tags=tags, service=service)
    manifests = check(made.manifests())
    for manifest in manifests:
        validate(manifest)
        assert manifest["metadata"]["name"] == made.name
    assert made.name.endswith("-" + made.release.id)
    assert len(made.name) <= 47
    data = manifests[0]["data"]
    assert base64.b64decode(data["TEXT"]).decode() == env


def test_the_schemas_know_every_field(rendered: Callable[..., Rendered]) -> None:
    manifest = copy.deepcopy(rendered().deployment())
    manifest["spec"]["template"]["spec"]["containers"][0]["imagePullPolicie"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePullPolicie"):
        validate(manifest)


def test_nothing_secret_is_outside_the_secret(rendered: Callable[..., Rendered]) -> None:
    secret, *others = rendered({"env": {"PASSWORD": "hunter2"}}).manifests()
    assert TOKEN in base64.b64decode(secret["data"]["MODEL_ENVELOPE_RELEASE"]).decode()
    text = json.dumps(others)
    encoded = [value for value in secret["data"].values() if len(value) > 3]
    assert not [value for value in (TOKEN, "hunter2", *encoded) if value in text]
    (container,) = others[0]["spec"]["template"]["spec"]["containers"]
    assert {frozenset(v["valueFrom"]) for v in container["env"]} == {frozenset({"secretKeyRef"})}


def test_a_new_token_replaces_the_pods(rendered: Callable[..., Rendered]) -> None:
    first = rendered()
    other = Rendered(
        release=first.release,
        owner=OWNER,
        image=IMAGE,
        secret=secret_variables(first.release, "another"),
    )
    digests = [
        made.deployment()["spec"]["template"]["metadata"]["annotations"][naming.SECRET_DIGEST]
        for made in (first, first, other)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_the_number_of_pods_is_left_to_whoever_scales(rendered: Callable[..., Rendered]) -> None:
    for replicas in (3, {"max": 5}):
        assert "replicas" not in rendered({"replicas": replicas}).deployment()["spec"]
    kinds = [manifest["kind"] for manifest in rendered({"replicas": {"max": 5}}).manifests()]
    assert kinds == ["Secret", "Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"]
    assert len(rendered({"replicas": 3}).manifests()) == 3


def test_pods_are_hardened(rendered: Callable[..., Rendered]) -> None:
    pod = rendered().deployment()["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_pod_has_time_to_end(rendered: Callable[..., Rendered]) -> None:
    made = rendered(limits=Limits(drain_seconds=90.5))
    pod = made.deployment()["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    waits = int(re.findall(r"sleep\((\d+)\)", str(container["lifecycle"]))[0])
    assert pod["terminationGracePeriodSeconds"] >= waits + 90.5


def change(manifests: list[Manifest], kind: str, path: str, value: Any) -> None:
    target: Any = next(manifest for manifest in manifests if manifest["kind"] == kind)
    *keys, last = path.split("/")
    for key in keys:
        target = target[int(key) if key.isdigit() else key]
    if value is None:
        del target[last]
    else:
        target[last] = value


CONTAINER = "spec/template/spec/containers/0"


@pytest.mark.parametrize(
    ("kind", "path", "value", "said"),
    [
        ("Deployment", f"{CONTAINER}/resources/limits/memory", "1 GB", "no quantity"),
        ("Deployment", f"{CONTAINER}/resources/requests/cpu", "-1", "no quantity"),
        ("Deployment", f"{CONTAINER}/ports/0/protocol", None, "no protocol"),
        ("Deployment", f"{CONTAINER}/volumeMounts/0/name", "nothing", "no volume"),
        (
            "Deployment",
            f"{CONTAINER}/env",
            [{"name": "PASSWORD", "value": "hunter2"}],
            "belong in the Secret",
        ),
        ("Deployment", "spec/strategy/rollingUpdate/maxSurge", 0, "no pod can be replaced"),
        ("Deployment", "spec/selector/matchLabels", {"app": "x"}, "selects none"),
        ("PodDisruptionBudget", "spec/selector/matchLabels", {"app": "x"}, "selects none"),
        ("Deployment", "metadata/labels", {"team": "x" * 80}, "label team is"),
        ("Deployment", "metadata/labels", {"a/b/c": "x"}, "no name of a label"),
        ("Secret", "metadata/annotations", {"note": "x" * (1 << 19)}, "256 KiB"),
        ("Deployment", "metadata/name", "x" * 60, "longer than 52"),
        ("Secret", "metadata/name", "Up_Per", "no DNS name"),
        ("HorizontalPodAutoscaler", "spec/minReplicas", 7, "no numbers from 7 to 3"),
    ],
)
def test_what_the_schemas_let_through_is_found(
    rendered: Callable[..., Rendered], kind: str, path: str, value: Any, said: str
) -> None:
    manifests = list(copy.deepcopy(rendered({"replicas": {"max": 3}}).manifests()))
    change(manifests, kind, path, value)
    for manifest in manifests:
        validate(manifest)
    with pytest.raises(InvalidInput, match=said):
        check(manifests)
