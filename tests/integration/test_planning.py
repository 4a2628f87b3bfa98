"""What rules make of services: planned, and written down; over SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from model_envelope.deployment.planning import Decision, decide, follow, plan
from model_envelope.deployment.rule import Rule
from model_envelope.envelope import EnvelopeRecord
from model_envelope.errors import RuleNotFound
from model_envelope.names import new_id
from model_envelope.store.rows import MetricPoint
from model_envelope.store.store import Store

Save = Callable[..., EnvelopeRecord]

HOUR = timedelta(hours=1)


def put(store: Store, name: str = "ltv", **more: Any) -> None:
    """A rule for the service of the same name."""
    asked = {"name": name, "when": "region == 'US' and passes_tests == 'true'", "service": name}
    rule = Rule.read({**asked, **more})
    store.put_rule(rule.name, rule.service, rule.spec())


def planned(store: Store, **options: Any) -> Decision:
    (decision,) = plan(store, **options).decisions
    return decision


def reconciled(store: Store, *, failing: str = "") -> None:
    """What reconcile does, with a target that needs no time."""
    for service in store.services():
        if service.generation == service.observed_generation:
            continue
        fence = store.claim(service.name, new_id(), HOUR)
        assert fence is not None
        if service.desired_envelope is None:
            store.undeployed(service.name, fence)
        elif service.desired_envelope != service.live_envelope:
            deployment = store.begin_deployment(
                service.name,
                fence,
                new_id(),
                envelope_id=service.desired_envelope,
                by=service.desired_by,
                generation=service.generation,
            )
            if failing:
                store.end_deployment(deployment.id, fence, "failed", failing)
            else:
                store.go_live(service.name, fence, deployment.id, "http://host")
        store.observe(service.name, fence, service.generation)
        store.release_claim(service.name, fence)


def passing(save: Save, **more: Any) -> str:
    return save(tags={"region": "US", "passes_tests": "true"}, **more).id


def auc(value: float | None, body: str | None = None) -> list[MetricPoint]:
    return [MetricPoint(name="auc", at=datetime.now(UTC), value=value, body=body)]


def test_without_rules_there_is_nothing_to_do(store: Store, save: Save) -> None:
    save()
    assert plan(store).decisions == ()
    assert follow(store) == ()


def test_the_newest_match_is_deployed_then_kept_then_replaced(store: Store, save: Save) -> None:
    put(store)
    assert planned(store).action == "no_match"
    first = passing(save)
    decision = planned(store)
    assert (decision.rule, decision.service, decision.action) == ("ltv", "ltv", "deploy")
    assert (decision.envelope_id, decision.replaces) == (first, None)
    (service,) = follow(store, "airflow")
    assert (service.desired_envelope, service.desired_by) == (first, "rule:ltv@1")
    assert service.reason == "It is the newest match. (airflow)"
    assert planned(store).reason == "It is on its way."
    assert follow(store) == ()
    reconciled(store)
    kept = planned(store)
    assert (kept.action, kept.envelope_id, kept.replaces) == ("keep", first, first)
    assert plan(store).changes == ()
    assert follow(store) == ()

    second = passing(save)
    decision = planned(store)
    assert (decision.action, decision.envelope_id, decision.replaces) == (
        "replace",
        second,
        first,
    )
    assert plan(store).changes == (decision,)
    follow(store)
    reconciled(store)
    assert store.service("ltv").live_envelope == second
    # Commit order counts: a tag that comes late does not displace a newer match.
    late = save(region="US")
    third = passing(save)
    follow(store)
    reconciled(store)
    store.set_tags(late.id, {"passes_tests": "true"})
    assert planned(store).action == "keep"
    # And without the tag, it is the one before.
    store.remove_tags(third, ["passes_tests"])
    assert planned(store).envelope_id == late.id


def test_what_runs_goes_on_when_nothing_matches_any_more(store: Store, save: Save) -> None:
    put(store)
    envelope = passing(save)
    follow(store)
    reconciled(store)
    store.set_tags(envelope, {"passes_tests": "false"})
    decision = planned(store, explain=True)
    assert (decision.action, decision.replaces) == ("no_match", envelope)
    assert "what runs goes on" in decision.reason
    (near,) = decision.near
    assert (near.clause, near.found) == ("passes_tests == 'true'", "passes_tests='false'")
    assert follow(store) == ()
    assert store.service("ltv").desired_envelope == envelope


def test_the_best_by_a_metric_is_chosen(store: Store, save: Save) -> None:
    put(store, "greatest", select="max metric.auc")
    put(store, "smallest", select="min metric.auc")
    passing(save)
    passing(save, metrics=auc(None, "NaN"))
    assert {d.action for d in plan(store).decisions} == {"no_match"}
    low, high = passing(save, metrics=auc(0.5)), passing(save, metrics=auc(0.9))
    again = passing(save, metrics=auc(0.9))
    save(region="UK", metrics=auc(0.99))
    greatest, smallest = plan(store).decisions
    assert (greatest.envelope_id, smallest.envelope_id) == (again, low)
    assert "greatest auc, 0.9" in greatest.reason
    store.archive(again)
    assert plan(store, only=["greatest"]).decisions[0].envelope_id == high
    follow(store)
    reconciled(store)
    store.log_metrics(low, [MetricPoint(name="auc", step=1, at=datetime.now(UTC), value=0.95)])
    greatest, smallest = plan(store).decisions
    assert (greatest.action, greatest.envelope_id) == ("replace", low)
    assert (smallest.action, smallest.envelope_id) == ("replace", high)


def test_what_failed_is_held_back_until_the_rule_changes_or_somebody_asks(
    store: Store, save: Save
) -> None:
    put(store)
    good = passing(save)
    follow(store)
    reconciled(store)
    bad = passing(save)
    follow(store)
    reconciled(store, failing="golden_rows: row 3 differs")
    held = planned(store)
    assert (held.action, held.envelope_id, held.replaces) == ("hold", bad, good)
    assert "golden_rows: row 3 differs" in held.reason
    assert follow(store) == ()
    # Pausing is no change of what the rule says.
    store.pause_rule("ltv", "wait")
    store.resume_rule("ltv")
    assert planned(store).action == "hold"

    assert planned(store, retry=True).action == "replace"
    generation = store.service("ltv").generation
    (asked,) = follow(store, retry=True)
    assert asked.generation == generation + 1
    # It is on its way: asking twice is asking once.
    assert follow(store, retry=True) == ()
    assert (planned(store).action, planned(store).reason) == ("replace", "It is on its way.")
    reconciled(store, failing="again")
    held = planned(store)
    assert held.action == "hold"
    assert "again" in held.reason

    put(store, gates=["reproducible"])
    assert planned(store).action == "replace"
    (asked,) = follow(store)
    assert asked.desired_by == "rule:ltv@2"
    reconciled(store)
    assert planned(store).action == "keep"
    assert store.service("ltv").live_envelope == bad


def test_what_waits_for_another_attempt_says_why(store: Store, save: Save) -> None:
    put(store)
    envelope = passing(save)
    follow(store)
    fence = store.claim("ltv", new_id(), HOUR)
    assert fence is not None
    attempt = store.begin_deployment(
        "ltv", fence, new_id(), envelope_id=envelope, by="rule:ltv@1", generation=1
    )
    store.end_deployment(attempt.id, fence, "superseded", "canary: It saw 3 requests.")
    decision = planned(store)
    assert decision.action == "deploy"
    assert decision.reason == (
        "It is on its way. The last attempt was given up: canary: It saw 3 requests."
    )
    assert follow(store, retry=True) == ()


def test_when_a_failed_one_no_longer_matches_what_runs_is_wanted_again(
    store: Store, save: Save
) -> None:
    put(store)
    good = passing(save)
    follow(store)
    reconciled(store)
    bad = passing(save)
    follow(store)
    reconciled(store, failing="no")
    store.set_tags(bad, {"passes_tests": "false"})
    assert planned(store).action == "keep"
    (service,) = follow(store)
    assert service.desired_envelope == good
    reconciled(store)
    assert follow(store) == ()
    # Nothing needs it any more.
    store.delete(bad, HOUR)


def test_a_better_match_after_a_failed_one_is_deployed(store: Store, save: Save) -> None:
    put(store)
    passing(save)
    follow(store)
    reconciled(store, failing="no")
    assert planned(store).action == "hold"
    better = passing(save)
    assert (planned(store).action, planned(store).envelope_id) == ("deploy", better)


def test_a_paused_rule_wants_nothing(store: Store, save: Save) -> None:
    put(store)
    envelope = passing(save)
    store.pause_rule("ltv", "Rolled back from x.")
    decision = planned(store)
    assert (decision.action, decision.envelope_id) == ("paused", envelope)
    assert decision.reason == "Rolled back from x."
    assert follow(store) == ()
    assert store.services() == ()


def test_a_pin_beats_the_rule(store: Store, save: Save) -> None:
    mine = save().id
    put(store)
    store.want(
        "ltv",
        target={"kind": "process"},
        envelope_id=mine,
        by="ada",
        reason="for the demo",
        pinned=True,
    )
    passing(save)
    decision = planned(store)
    assert decision.action == "pinned"
    assert decision.reason == f"ada wants {mine}: for the demo"
    assert follow(store) == ()
    store.want("ltv", target=None, envelope_id=mine, by="ada")
    assert planned(store).action == "deploy"


def test_another_target_is_another_deployment(store: Store, save: Save) -> None:
    put(store)
    envelope = passing(save)
    follow(store)
    reconciled(store)
    put(store, target={"kind": "docker", "replicas": 2})
    decision = planned(store)
    assert (decision.action, decision.envelope_id, decision.replaces) == (
        "replace",
        envelope,
        envelope,
    )
    assert "another target" in decision.reason
    (service,) = follow(store)
    assert service.target == {"kind": "docker", "options": {"replicas": 2}}


def test_a_rule_that_says_else_of_the_same_envelope_leaves_it(store: Store, save: Save) -> None:
    put(store)
    passing(save)
    follow(store)
    reconciled(store)
    put(store, gates=["reproducible"], owner="ada")
    assert planned(store).action == "keep"
    assert follow(store) == ()


def test_nearer_candidates_are_told_with_the_clause_that_held_them_back(
    store: Store, save: Save
) -> None:
    put(store)
    save(region="US", passes_tests="false")
    chosen = passing(save)
    untested = [save(region="US").id for _ in range(2)]
    british = save(region="UK", passes_tests="true").id
    save(region="UK")
    archived = passing(save)
    store.archive(archived)
    decision = planned(store, explain=True)
    assert decision.envelope_id == chosen
    assert [(n.newest, n.clause, n.found, n.envelopes) for n in decision.near] == [
        (archived, "not archived", "archived", 1),
        (british, "region == 'US'", "region='UK'", 1),
        (untested[-1], "passes_tests == 'true'", "no tag passes_tests", 2),
    ]
    assert planned(store).near == ()
    passing(save)
    assert planned(store, explain=True).near == ()


def test_nearer_by_a_metric_is_what_has_a_better_one(store: Store, save: Save) -> None:
    put(store, select="max metric.auc")
    better = save(region="US", metrics=auc(0.9)).id
    passing(save, metrics=auc(0.8))
    save(region="US", metrics=auc(0.7))
    passing(save)
    (near,) = planned(store, explain=True).near
    assert (near.newest, near.clause, near.envelopes) == (better, "passes_tests == 'true'", 1)


def test_wishes_of_persons_are_planned_too(store: Store, save: Save) -> None:
    envelope, other = save().id, save().id
    store.want("ltv", target={"kind": "process"}, envelope_id=envelope, by="ada", reason="why")
    decision = planned(store)
    assert (decision.rule, decision.action, decision.envelope_id) == ("", "deploy", envelope)
    assert decision.reason == f"ada wants {envelope}: why"
    assert follow(store) == ()
    assert plan(store, services=["churn"]).decisions == ()
    reconciled(store)
    assert plan(store).decisions == ()
    store.want("ltv", target=None, envelope_id=other, by="ada")
    assert planned(store).action == "replace"
    reconciled(store, failing="not ready")
    held = planned(store)
    assert held.action == "hold"
    assert "not ready" in held.reason
    store.want("ltv", target=None, envelope_id=None, by="ada")
    assert (planned(store).action, planned(store).replaces) == ("undeploy", envelope)
    reconciled(store)
    assert plan(store).decisions == ()


def test_only_what_is_asked_for_is_planned(store: Store, save: Save) -> None:
    passing(save)
    for name in ("a", "b", "c"):
        put(store, name)
    assert [d.rule for d in plan(store, only=["b"]).decisions] == ["b"]
    assert [d.rule for d in plan(store, services=["c", "a"]).decisions] == ["a", "c"]
    with pytest.raises(RuleNotFound, match="'d'"):
        plan(store, only=["d"])
    assert [s.name for s in follow(store, services=["b"])] == ["b"]


def test_a_plan_that_is_late_changes_nothing(store: Store, save: Save) -> None:
    put(store)
    passing(save)
    late = plan(store)
    pinned = save().id
    store.want("ltv", target={"kind": "process"}, envelope_id=pinned, by="ada", pinned=True)
    assert decide(store, late) == ()
    assert store.service("ltv").desired_envelope == pinned
    store.want("ltv", target=None, envelope_id=None, by="ada")
    late = plan(store)
    store.pause_rule("ltv", "stop")
    assert decide(store, late) == ()
    store.resume_rule("ltv")
    late = plan(store)
    store.delete(late.decisions[0].envelope_id or "", HOUR)
    assert decide(store, late) == ()
    assert store.service("ltv").desired_envelope is None


def test_plans_that_are_followed_at_once_want_a_thing_once(store: Store, save: Save) -> None:
    for name in ("a", "b", "c"):
        put(store, name)
    envelope = passing(save)
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda _: follow(store), range(4)))
    services = store.services()
    assert {(s.name, s.desired_envelope, s.generation) for s in services} == {
        (name, envelope, 1) for name in ("a", "b", "c")
    }
    assert {s.name for some in written for s in some} == {"a", "b", "c"}
    wishes = [change for change in store.changes(0) if change.kind == "service"]
    assert len(wishes) == 3


def test_a_rule_that_cannot_be_read_here_holds_up_no_other(store: Store, save: Save) -> None:
    envelope = passing(save)
    put(store, "b")
    store.put_rule("a", "a", {"when": "region ==", "of": "a newer version"})
    broken, fine = plan(store, explain=True).decisions
    assert broken.action == "hold"
    assert "cannot be read" in broken.reason
    assert (fine.action, fine.envelope_id) == ("deploy", envelope)
    assert [s.name for s in follow(store)] == ["b"]


@pytest.mark.parametrize("when", ["True", "not nothing_has_this"])
def test_a_rule_that_matches_everything_follows_the_newest(
    store: Store, save: Save, when: str
) -> None:
    put(store, when=when)
    assert planned(store, explain=True).action == "no_match"
    older, newest, archived = save(), save(region="UK"), save(region="US")
    store.archive(archived.id)
    found = planned(store, explain=True)
    assert (found.action, found.envelope_id) == ("deploy", newest.id)
    follow(store)
    reconciled(store)
    assert planned(store).action == "keep"
    store.set_tags(older.id, {"region": "US"})
    assert planned(store).action == "keep"
    assert follow(store) == ()
