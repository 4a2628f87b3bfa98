"""What people and rules ask for, in the words of the client and of the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import model_envelope as me
from model_envelope.cli.app import app
from model_envelope.deployment.prediction_logs import log_folder, prune
from model_envelope.deployment.probing import JSON, ask
from model_envelope.deployment.rule import Rule
from model_envelope.errors import (
    DeploymentError,
    DeploymentFailed,
    EnvelopeNotFound,
    InvalidInput,
    InvalidName,
    ServiceNotFound,
    TargetFailed,
)
from tests.integration.deployment.scene import SERVICE, Scene, times

RULE = {"name": "best", "service": SERVICE, "when": "stage == 'prod'"}


def put_rule(scene: Scene, **fields: Any) -> None:
    rule = Rule.read({**RULE, **fields})
    scene.store.put_rule(rule.name, rule.service, rule.spec(), "ada")


def test_deployed_by_hand_it_runs_and_is_pinned(scene: Scene) -> None:
    scene.save(times(3), stage="test")
    envelope = scene.save(times(2), stage="prod")
    done = me.deploy("stage == 'prod'", SERVICE, reason="for the demo")
    assert (done.envelope_id, done.note) == (envelope.id, "")
    assert scene.answer(4.0) == 8.0
    assert scene.record.pinned
    assert scene.record.reason == "for the demo"
    (listed,) = me.services()
    assert listed == scene.record
    assert done.url == listed.url
    put_rule(scene)
    scene.save(times(5), stage="prod")
    assert [o.action for o in me.reconcile()] == ["unchanged"]
    again = me.deploy(envelope, SERVICE)
    assert "rule 'best' changes nothing until `model-envelope unpin ltv`" in again.note
    assert again.deployment == done.deployment


def test_a_rule_deploys_the_newest_match_and_rollback_pauses_it(scene: Scene) -> None:
    put_rule(scene)
    assert me.reconcile() == ()
    first = scene.save(times(2), stage="prod")
    assert [o.action for o in me.reconcile()] == ["deployed"]
    second = scene.save(times(3), stage="prod")
    assert scene.client.pending() == (SERVICE,)
    assert [(o.action, o.envelope_id) for o in me.reconcile()] == [("deployed", second.id)]
    assert scene.client.pending() == ()
    assert scene.record.desired_by == "rule:best@1"
    done = me.rollback(SERVICE)
    assert done.envelope_id == first.id
    assert "Rule 'best' is paused" in done.note
    assert scene.store.get_rule("best").pause_reason == f"Rolled back from {second.id}."
    assert [o.action for o in me.reconcile()] == ["unchanged"]
    scene.check_one_live(first)
    scene.store.resume_rule("best")
    assert [(o.action, o.envelope_id) for o in me.reconcile()] == [("deployed", second.id)]


def test_a_refused_match_is_told_and_left_until_something_changes(scene: Scene) -> None:
    put_rule(scene, gates=[{"metric": "metric.auc > 0.9"}])
    good = scene.save(times(2), stage="prod")
    good.log_metrics({"auc": 0.95})
    me.reconcile()
    worse = scene.save(times(3), stage="prod")
    worse.log_metrics({"auc": 0.5})
    (outcome,) = me.reconcile()
    assert outcome.action == "refused"
    assert "metric.auc=0.5" in outcome.reason
    assert [o.action for o in me.reconcile()] == ["refused"]
    assert len(scene.ledger) == 2
    scene.check_one_live(good)
    worse.log_metrics({"auc": 0.97}, step=1)
    assert [(o.action, o.envelope_id) for o in me.reconcile(retry=True)] == [("deployed", worse.id)]


def test_undeployed_it_stays_away_and_its_rule_is_paused(scene: Scene) -> None:
    put_rule(scene)
    scene.save(stage="prod")
    me.reconcile()
    done = me.undeploy(SERVICE)
    assert done.url is None
    assert "Rule 'best' is paused" in done.note
    me.reconcile()
    assert scene.running() == []


def test_unpinned_it_follows_its_rule_again(scene: Scene) -> None:
    me.deploy(scene.save(), SERVICE)
    put_rule(scene)
    ruled = scene.save(times(3), stage="prod")
    assert [o.action for o in me.reconcile()] == ["unchanged"]
    scene.client.unpin(SERVICE)
    assert [(o.action, o.envelope_id) for o in me.reconcile()] == [("deployed", ruled.id)]


def test_what_cannot_be_is_refused_before_anything_is_wanted(scene: Scene) -> None:
    envelope = scene.save()
    hopeless: list[tuple[type[Exception], Callable[[], Any]]] = [
        (InvalidName, lambda: me.deploy(envelope, "Not/A/Label")),
        (EnvelopeNotFound, lambda: me.deploy("no_such_tag", SERVICE)),
        (InvalidInput, lambda: me.deploy(envelope, SERVICE, target="abacus")),
        (InvalidInput, lambda: me.deploy(envelope, SERVICE, options={"replicas": 0})),
        (InvalidInput, lambda: me.deploy(envelope, SERVICE, options={"log": "everything"})),
        (InvalidInput, lambda: me.deploy(envelope, SERVICE, options={"log": {"share": 2}})),
        (InvalidInput, lambda: me.deploy(envelope, SERVICE, options={"limits": {"rows": 1}})),
        (
            InvalidInput,
            lambda: me.deploy(envelope, SERVICE, options={"limits": {"queue_rows": 1.5}}),
        ),
        (ServiceNotFound, lambda: me.rollback(SERVICE)),
        (ServiceNotFound, lambda: me.undeploy(SERVICE)),
        (ServiceNotFound, lambda: me.reconcile(["nobody"])),
    ]
    for error, call in hopeless:
        with pytest.raises(error):
            call()
    assert me.services() == ()


def test_limits_and_the_log_of_predictions_reach_the_service(scene: Scene) -> None:
    options = {"limits": {"body_bytes": 2_000}, "log": {"mode": "rows", "share": 1.0}}
    done = me.deploy(scene.save(), SERVICE, options=options)
    assert scene.answer(3.0) == 6.0
    body = b'[{"a": 1.0}' + b" " * 2_000 + b"]"
    answer = ask(done.url or "", "POST", "/predict", body, headers={"Content-Type": JSON})
    assert answer.status == 413
    assert scene.record.target["options"] == options


def test_a_log_of_predictions_stays_for_a_while_after_its_release(scene: Scene) -> None:
    state = scene.client.platform.state
    folder = log_folder(state, SERVICE, "any").parent
    releases = []
    # So many that they are written at once.
    rows = json.dumps([{"a": 1.0}] * 20_000).encode()
    for factor in (2, 3):
        done = me.deploy(scene.save(times(factor)), SERVICE, options={"log": "rows"})
        answer = ask(done.url or "", "POST", "/predict", rows, headers={"Content-Type": JSON})
        assert answer.status == 200
        releases.append(str(done.deployment))
        scene.wait_until(lambda: len(list(folder.glob("*/predict/*.parquet"))) == len(releases))
    old, live = releases
    (folder / ("x" * 20)).mkdir()  # of another store

    def collected(*words: str) -> list[str]:
        found: list[str] = json.loads(run("gc", "-o", "json", *words).stdout)["prediction_logs"]
        return found

    assert collected() == []
    assert collected("--dry-run", "--unused-days", "0") == [f"{SERVICE}/{old}"]
    assert (folder / old).exists()
    # Not by the command, which would remove what other tests stand on.
    assert prune(scene.store, state, keep=timedelta(0)) == (f"{SERVICE}/{old}",)
    assert {file.name for file in folder.iterdir()} == {live, "x" * 20}
    assert prune(scene.store, state, keep=timedelta(0)) == ()


def test_without_a_past_there_is_no_way_back(scene: Scene) -> None:
    me.deploy(scene.save(), SERVICE)
    with pytest.raises(DeploymentError, match="ran nothing else before"):
        me.rollback(SERVICE)


def test_a_person_is_told_why_it_failed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from model_envelope.deployment.targets.process import ProcessTarget

    envelope = scene.save()

    def fail(error: Exception) -> Callable[..., None]:
        def prepare(*_: Any) -> None:
            raise error

        return prepare

    with monkeypatch.context() as patched:
        patched.setattr(ProcessTarget, "prepare", fail(TargetFailed("no room")))
        with pytest.raises(TargetFailed, match="no room") as told:
            me.deploy(envelope, SERVICE)
        assert "It stays wanted: `model-envelope reconcile` tries it again" in str(told.value)
        patched.setattr(ProcessTarget, "prepare", fail(ValueError("what is this")))
        with pytest.raises(DeploymentFailed, match="prepare: ValueError: what is this"):
            me.deploy(envelope, SERVICE)
    # Asked for once more, it is tried once more.
    assert me.deploy(envelope, SERVICE).envelope_id == envelope.id


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_the_command_line_has_it_all(scene: Scene) -> None:
    first, second = scene.save(times(2)), scene.save(times(3))
    done = run("deploy", first.id, SERVICE, "--option", "threads=1", "--reason", "trying")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{SERVICE} runs {first.id} at {scene.record.url}\n"
    assert scene.record.target["options"] == {"threads": 1}
    run("deploy", second.id, SERVICE)
    (row,) = json.loads(run("services", "-o", "json").stdout)
    assert (row["runs"], row["state"], row["pinned"]) == (second.id, "as wanted", True)
    told = json.loads(run("service", SERVICE, "-o", "json").stdout)
    assert [d["state"] for d in told["deployments"]] == ["live", "retired"]
    assert {"step": "golden_rows", "state": "passed"}.items() <= told["steps"][4].items()
    assert "golden_rows" in run("service", SERVICE).stdout
    assert SERVICE in run("services").stdout
    scene.answer()
    assert "serving" in run("logs", SERVICE).stdout
    assert run("rollback", SERVICE).stdout.startswith(f"{SERVICE} runs {first.id}")
    outcome = run("reconcile", "-o", "json")
    assert [o["outcome"] for o in json.loads(outcome.stdout)] == ["unchanged"]
    assert run("undeploy", SERVICE).stdout == f"{SERVICE} is undeployed.\n"
    assert run("logs", SERVICE).exit_code == 1
    assert run("rollback", "nobody").exit_code == 1
