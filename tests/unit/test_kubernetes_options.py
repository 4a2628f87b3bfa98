"""The options of the `kubernetes` target."""

from __future__ import annotations

from typing import Any

import pytest

from model_envelope.deployment.targets.kubernetes_options import DEFAULTS, Replicas, check_options
from model_envelope.errors import InvalidInput


def test_options_are_completed() -> None:
    assert check_options({}) == DEFAULTS
    given = {"replicas": {"min": 2, "max": 8}, "host": "ltv.example.com", "tls_secret": "ltv-tls"}
    assert check_options(given) == DEFAULTS | given
    assert check_options(check_options(given)) == DEFAULTS | given


@pytest.mark.parametrize(
    "options",
    [
        {"gravity": 1},
        {"replicas": 0},
        {"replicas": 257},
        {"replicas": True},
        {"replicas": {"min": 2}},
        {"replicas": {"min": 5, "max": 2}},
        {"replicas": {"max": 2, "cpu": 0}},
        {"replicas": {"max": 2, "cpu": 0.7}},
        {"replicas": {"max": 2, "in_flight": 3}},
        {"replicas": {"max": 2, "cooldown_seconds": 3601}},
        {"cpus": 0},
        {"cpus": None},
        {"cpus": float("nan")},
        {"cpus": "500m"},
        {"max_cpus": 0.1},
        {"memory_mb": None},
        {"memory_mb": 63},
        {"memory_mb": 1.5},
        {"startup_seconds": 1},
        {"image": "Registry.Example/Models"},
        {"image": "models:latest\n--privileged"},
        {"image": "models:{release}"},
        {"url": "ftp://models.example/{service}"},
        {"url": "https://models.example/{release}"},
        {"url": "https://models.example/a b"},
        {"host": "models.example/path"},
        {"host": "Models.Example"},
        {"host": "x" * 64 + ".example"},
        {"host": "models.example\n"},
        {"tls_secret": "ltv-tls"},
        {"ingress_class": "nginx"},
        {"ingress_annotations": {"a": "b"}},
        {"ingress_annotations": {"a b": "c"}, "host": "models.example"},
        {"ingress_annotations": {"a": 1}, "host": "models.example"},
        {"image_pull_secrets": "pull"},
        {"image_pull_secrets": ["Pull"]},
        {"service_account": "a/b"},
        {"node_selector": {"pool": "a b"}},
        {"node_selector": {"pool": "x" * 64}},
        {"node_selector": ["pool"]},
        {"tolerations": [{"key": "gpu", "operator": "In"}]},
        {"tolerations": [{"operator": "Exists", "value": "x"}]},
        {"tolerations": [{"value": "x"}]},
        {"tolerations": [{"key": "gpu", "seconds": 1}]},
        {"predictions_claim": ""},
        {"env": {"LD_PRELOAD": "x.so"}},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        check_options(options)


def test_replicas_are_a_number_or_follow_the_load() -> None:
    assert Replicas.read(3) == Replicas(min=3, max=3)
    assert Replicas.read({"max": 4}) == Replicas(min=1, max=4, cpu=70, cooldown_seconds=300)
    assert [Replicas.read({"min": 2, "max": 4}).clamp(n) for n in (0, 3, 9)] == [2, 3, 4]
