"""What Prometheus and Alertmanager themselves say of the files made for them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_envelope.errors import InvalidInput
from model_envelope.monitoring.alerting import Thresholds, alert_rules
from model_envelope.monitoring.watched import Watched
from model_envelope.monitoring.writing import write

CREATED = datetime(1970, 1, 1, tzinfo=UTC)
SERVICE = Watched(
    service="ltv-us",
    envelope_id="0123456789abcdef0123",
    deployment="abcdef0123456789abcd",
    kind="process",
    created_at=CREATED,
    reproducible="proved",
    addresses=("http://127.0.0.1:8101",),
    owners={"team": "growth", "owner": "ann"},
)
HOSTILE = replace(
    SERVICE,
    service="ltv-uk",
    addresses=("http://10.0.0.1:80/ltv-uk", "http://10.0.0.2:80/ltv-uk"),
    reproducible="unproved",
    owners={"team": 'x"} or vector(1) #\n{{ .Values }}\\'},
)
LABELS = 'service="ltv-us",envelope_id="0123456789abcdef0123",team="growth",owner="ann"'


def run(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of Prometheus or Alertmanager."""
    program = shutil.which(name)
    if not program:
        message = f"{name} is not installed: apt-get install prometheus prometheus-alertmanager"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def accepted(name: str, *arguments: str, folder: Path) -> str:
    """What a program prints; it must succeed."""
    done = run(name, *arguments, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_the_programs_accept_every_file_whatever_tags_say(tmp_path: Path) -> None:
    write(tmp_path, [SERVICE, HOSTILE])

    accepted("promtool", "check", "config", "prometheus.yml", folder=tmp_path)
    accepted("promtool", "check", "rules", "alerts.yml", folder=tmp_path)
    accepted("amtool", "check-config", "alertmanager.yml", folder=tmp_path)


def test_every_replica_is_a_target_with_its_owner(tmp_path: Path) -> None:
    write(tmp_path, [SERVICE, HOSTILE])

    groups = json.loads((tmp_path / "targets.json").read_text())

    assert [group["targets"] for group in groups] == [
        ["127.0.0.1:8101"],
        ["10.0.0.1:80"],
        ["10.0.0.2:80"],
    ]
    assert groups[0]["labels"]["__metrics_path__"] == "/metrics"
    assert groups[1]["labels"]["__metrics_path__"] == "/ltv-uk/metrics"
    assert groups[0]["labels"]["team"] == "growth"
    assert groups[1]["labels"]["team"] == HOSTILE.owners["team"]


def test_alerts_go_to_the_receiver_of_the_team_then_of_the_owner(tmp_path: Path) -> None:
    base = {
        "receivers": [{"name": "all"}, {"name": "team-growth"}, {"name": "owner-ann"}],
        "route": {"receiver": "all", "group_wait": "1s"},
    }
    (tmp_path / "base.yml").write_text(yaml.safe_dump(base))
    write(tmp_path, [SERVICE, HOSTILE], alertmanager=tmp_path / "base.yml")

    def receiver(*labels: str) -> str:
        asked = ["config", "routes", "test", "--config.file=alertmanager.yml", *labels]
        return accepted("amtool", *asked, folder=tmp_path)

    assert receiver("team=growth", "owner=ann") == "team-growth"
    assert receiver("owner=ann") == "owner-ann"
    assert receiver("team=others") == "all"
    assert (tmp_path / "alertmanager.yml").stat().st_mode & 0o077 == 0


def series(name: str, labels: str, values: str) -> dict[str, str]:
    return {"series": f"{name}{{{labels}}}", "values": values}


UP = f'job="model-envelope",{LABELS}'
OK = f'{LABELS},route="/predict",status="200"'
FAILED = f'{LABELS},route="/predict",status="500"'
REFUSED = f'{LABELS},route="/predict",status="429"'
LIVEZ = f'{LABELS},route="/livez",status="500"'
BUCKET = f'{LABELS},route="/predict"'
REQUESTS = "model_envelope_requests_total"
BUCKETS = "model_envelope_request_duration_seconds_bucket"


@pytest.mark.parametrize(
    ("alert", "input_series", "should"),
    [
        ("ModelServiceDown", [series("up", UP, "1 0x40")], True),
        # Healthy from its first moment, or one of two replicas: no page.
        ("ModelServiceDown", [series("up", UP, "1x40")], False),
        (
            "ModelServiceDown",
            [
                series("up", f'{UP},instance="a"', "1x40"),
                series("up", f'{UP},instance="b"', "0x40"),
            ],
            False,
        ),
        (
            "ModelServiceFails",
            [series(REQUESTS, OK, "0+60x40"), series(REQUESTS, FAILED, "0+20x40")],
            True,
        ),
        (
            "ModelServiceFails",
            [series(REQUESTS, OK, "0+60x40"), series(REQUESTS, FAILED, "0+1x40")],
            False,
        ),
        (
            "ModelServiceFails",
            [series(REQUESTS, OK, "0+60x40"), series(REQUESTS, LIVEZ, "0+60x40")],
            False,
        ),
        ("ModelServiceFails", [series(REQUESTS, FAILED, "0+1x40")], False),
        (
            "ModelServiceSlow",
            [
                series(REQUESTS, OK, "0+60x40"),
                series(BUCKETS, f'{BUCKET},le="1"', "0+30x40"),
                series(BUCKETS, f'{BUCKET},le="5"', "0+60x40"),
                series(BUCKETS, f'{BUCKET},le="+Inf"', "0+60x40"),
            ],
            True,
        ),
        (
            "ModelServiceSlow",
            [
                series(REQUESTS, OK, "0+60x40"),
                series(BUCKETS, f'{BUCKET},le="0.1"', "0+60x40"),
                series(BUCKETS, f'{BUCKET},le="+Inf"', "0+60x40"),
            ],
            False,
        ),
        (
            "ModelServiceQueueFull",
            [series(REQUESTS, OK, "0+60x40"), series(REQUESTS, REFUSED, "0+60x40")],
            True,
        ),
        ("ModelServiceQueueFull", [series(REQUESTS, OK, "0+60x40")], False),
    ],
)
def test_an_alert_fires_when_it_should(
    tmp_path: Path, alert: str, input_series: list[dict[str, str]], should: bool
) -> None:
    assert fires(tmp_path, SERVICE, alert, "30m", *input_series) is should


def test_a_model_becomes_stale(tmp_path: Path) -> None:
    # promtool's clock starts at 1970, when this model was saved; ten minutes are its limit,
    # and ten more pass before anybody is told.
    up = series("up", UP, "1x40")
    assert not fires(tmp_path, SERVICE, "ModelStale", "15m", up, model_age_days=10 / 1440)
    assert fires(tmp_path, SERVICE, "ModelStale", "30m", up, model_age_days=10 / 1440)


def test_an_environment_that_nobody_proved_is_told_of(tmp_path: Path) -> None:
    unproved = replace(SERVICE, reproducible="unproved")
    up = series("up", UP, "1x40")
    assert fires(tmp_path, unproved, "ModelEnvironmentUnproved", "30m", up)
    assert not fires(tmp_path, SERVICE, "ModelEnvironmentUnproved", "30m", up)


def fires(
    folder: Path,
    service: Watched,
    alert: str,
    at: str,
    *input_series: dict[str, str],
    **limits: float,
) -> bool:
    """What promtool says of an alert at a time, told that it does not fire."""
    rules = alert_rules([service], Thresholds().changed(limits))
    (folder / "alerts.yml").write_text(yaml.safe_dump(rules))
    expected_nothing = {
        "interval": "1m",
        "input_series": list(input_series),
        "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": []}],
    }
    test = {
        "rule_files": ["alerts.yml"],
        "evaluation_interval": "15s",
        "tests": [expected_nothing],
    }
    (folder / "test.yml").write_text(yaml.safe_dump(test))
    done = run("promtool", "test", "rules", "test.yml", folder=folder)
    if done.returncode == 0:
        return False
    # Otherwise the test itself was refused.
    assert f"alertname: {alert}" in done.stderr, done.stderr
    return True


def test_what_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    assert len(write(tmp_path, [SERVICE])) == 5
    assert write(tmp_path, [SERVICE]) == ()
    changed = write(tmp_path, [replace(SERVICE, deployment="0" * 20)])
    assert [path.name for path in changed] == ["targets.json"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"default": {"error_rate": 1}}, "no threshold 'error_rate'"),
        ({"default": {"error_ratio": "much"}}, "positive number, not 'much'"),
        ({"services": {"ltv-us": {"p99_seconds": -1}}}, "positive number, not -1"),
        ({"service": {}}, "'service'"),
        ({"default": 3}, "3 where names and values"),
    ],
)
def test_a_wrong_threshold_is_named(tmp_path: Path, given: Any, message: str) -> None:
    (tmp_path / "thresholds.yml").write_text(yaml.safe_dump(given))
    with pytest.raises(InvalidInput, match=message):
        write(tmp_path / "out", [SERVICE], thresholds=tmp_path / "thresholds.yml")
    assert not (tmp_path / "out").exists()


def test_a_service_has_its_own_thresholds(tmp_path: Path) -> None:
    given = {"default": {"p99_seconds": 2}, "services": {"ltv-us": {"error_ratio": 0.5}}}
    (tmp_path / "thresholds.yml").write_text(yaml.safe_dump(given))
    write(tmp_path, [SERVICE, HOSTILE], thresholds=tmp_path / "thresholds.yml")
    text = (tmp_path / "alerts.yml").read_text()
    assert 'errors:ratio2m{service="ltv-us"} > 0.5 ' in text
    assert 'errors:ratio2m{service="ltv-uk"} > 0.05 ' in text
    assert 'p99_5m{service="ltv-us"} > 2 ' in text
