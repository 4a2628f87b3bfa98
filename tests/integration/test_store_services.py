"""Rules, services and deployments in the store; the same tests over SQLite and PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from model_envelope.envelope import EnvelopeRecord
from model_envelope.errors import (
    DeploymentError,
    EnvelopeInUse,
    EnvelopeNotFound,
    FenceLost,
    InvalidInput,
    InvalidName,
    RuleNotFound,
    ServiceNotFound,
)
from model_envelope.names import new_id
from model_envelope.store import changes
from model_envelope.store.rows import DeploymentRecord
from model_envelope.store.store import Store

Save = Callable[..., EnvelopeRecord]

MINUTE = timedelta(minutes=1)
PROCESS: Mapping[str, Any] = {"kind": "process", "options": {"port": 8000}}
DOCKER: Mapping[str, Any] = {"kind": "docker", "options": {}}


def wanted(store: Store, envelope_id: str | None, **more: Any) -> int:
    """Somebody wants an envelope at the service `ltv`; gives the generation."""
    asked = {"target": PROCESS, "by": "ada", "envelope_id": envelope_id, **more}
    return store.want("ltv", **asked).generation


def claimed(store: Store) -> int:
    fence = store.claim("ltv", new_id(), MINUTE)
    assert fence is not None
    return fence


def begun(store: Store, fence: int, envelope_id: str, **more: Any) -> DeploymentRecord:
    asked = {"envelope_id": envelope_id, "by": "ada", "generation": 1, **more}
    return store.begin_deployment("ltv", fence, new_id(), **asked)


def lived(store: Store, envelope_id: str) -> DeploymentRecord:
    """An envelope goes live at the service `ltv`, all in one."""
    wanted(store, envelope_id)
    fence = claimed(store)
    deployment = begun(store, fence, envelope_id)
    live = store.go_live("ltv", fence, deployment.id, "http://host/ltv")
    store.release_claim("ltv", fence)
    return live


# Rules


def test_a_rule_has_revisions(store: Store) -> None:
    first = store.put_rule("ltv-us", "ltv", {"when": "region == 'US'"}, "ada")
    assert (first.revision, first.service, first.actor) == (1, "ltv", "ada")
    assert store.put_rule("ltv-us", "ltv", {"when": "region == 'US'"}, "bob") == first
    second = store.put_rule("ltv-us", "ltv", {"when": "region == 'UK'"}, "bob")
    assert (second.revision, second.spec, second.actor) == (2, {"when": "region == 'UK'"}, "bob")
    assert store.get_rule("ltv-us") == second
    assert store.rules() == (second,)
    assert store.rule_history("ltv-us") == (first, second)


def test_a_rule_is_paused_resumed_and_removed(store: Store) -> None:
    store.put_rule("b", "b", {})
    store.put_rule("a", "a", {}, "ada")
    paused = store.pause_rule("a", "rolled back", "bob")
    assert (paused.paused, paused.pause_reason, paused.actor) == (True, "rolled back", "bob")
    assert paused.revision == 1
    assert store.pause_rule("a", "rolled back", "cyd") == paused
    # What is kept in git does not know of the pause, and must not end it.
    assert store.put_rule("a", "a", {"x": 1}).paused
    resumed = store.resume_rule("a", "cyd")
    assert (resumed.paused, resumed.pause_reason, resumed.revision) == (False, "", 2)
    assert store.resume_rule("a") == resumed
    store.pause_rule("a", "again")
    removed = store.remove_rule("a", "ada")
    assert removed.removed
    assert store.remove_rule("a") == removed
    assert [rule.name for rule in store.rules()] == ["b"]
    assert [rule.name for rule in store.rules(include_removed=True)] == ["a", "b"]
    for act in (store.resume_rule, lambda name: store.pause_rule(name, "")):
        with pytest.raises(RuleNotFound, match="apply it again"):
            act("a")
    again = store.put_rule("a", "a", {"x": 1})
    assert (again.revision, again.removed, again.paused) == (3, False, False)
    states = [(r.revision, r.paused, r.removed) for r in store.rule_history("a")]
    assert states == [
        (1, False, False),
        (1, True, False),
        (2, True, False),
        (2, False, False),
        (2, True, False),
        (2, True, True),
        (3, False, False),
    ]


def test_one_service_has_one_rule(store: Store) -> None:
    store.put_rule("a", "ltv", {})
    with pytest.raises(InvalidInput, match="'a' and 'b' both have"):
        store.put_rule("b", "ltv", {})
    assert [rule.name for rule in store.rules()] == ["a"]
    store.remove_rule("a")
    assert store.put_rule("b", "ltv", {}).revision == 1
    with pytest.raises(InvalidInput, match="'b' and 'a' both have"):
        store.put_rule("a", "ltv", {})


def test_rules_are_changed_together_or_not_at_all(store: Store) -> None:
    store.apply_rules({"a": ("one", {}), "b": ("two", {}), "c": ("three", {})}, actor="ada")
    head = store.head()
    refused: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"d": ("four", {}), "e": ("one", {})}, ()),
        ({"d": ("four", {}), "e": ("four", {})}, ("a",)),
    ]
    for rules, remove in refused:
        with pytest.raises(InvalidInput, match="both have the service"):
            store.apply_rules(rules, remove=remove)
    with pytest.raises(RuleNotFound, match="'x'"):
        store.apply_rules({"d": ("four", {})}, remove=["x"])
    with pytest.raises(InvalidName):
        store.apply_rules({"d": ("four", {}), "e/": ("five", {})})
    assert store.head() == head
    # Services change hands, and a rule its name.
    swapped = store.apply_rules(
        {"b": ("one", {}), "a": ("two", {}), "d": ("three", {})}, remove=["c", "c"]
    )
    assert [(r.name, r.service, r.revision) for r in swapped] == [
        ("b", "one", 2),
        ("a", "two", 2),
        ("d", "three", 1),
    ]
    # What is wanted is not removed.
    assert store.apply_rules({"d": ("three", {})}, remove=["d"]) == (store.get_rule("d"),)
    assert [rule.name for rule in store.rules()] == ["a", "b", "d"]
    feed = store.changes(head)
    assert [change.revision for change in feed] == list(range(head + 1, store.head() + 1))


def test_rules_put_at_once_do_not_get_one_service(store: Store) -> None:
    start = threading.Barrier(4)

    def put(name: str) -> bool:
        start.wait()
        try:
            store.put_rule(name, "ltv", {})
        except InvalidInput:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(put, "abcd")) == [False, False, False, True]
    assert len(store.rules()) == 1


def test_changes_of_rules_wake_those_who_follow_the_feed(store: Store) -> None:
    store.put_rule("a", "ltv", {}, "ada")
    store.put_rule("a", "ltv", {}, "ada")
    store.pause_rule("a", "why", "bob")
    store.resume_rule("a", "cyd")
    store.remove_rule("a", "dee")
    feed = store.changes(0)
    assert store.head() == 4
    assert [change.revision for change in feed] == [1, 2, 3, 4]
    assert {(change.kind, change.envelope_id) for change in feed} == {("rule", "")}
    assert [(c.actor, c.data["event"]) for c in feed] == [
        ("ada", "changed"),
        ("bob", "paused"),
        ("cyd", "resumed"),
        ("dee", "removed"),
    ]


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a\n", "a b", "ü", "-a", "a.", "x" * 129, 7])
def test_names_of_rules_are_checked(store: Store, name: Any) -> None:
    with pytest.raises(InvalidName, match="no rule name"):
        store.put_rule(name, "ltv", {})
    assert store.rules() == ()


SERVICES = ["", "Ltv", "1a", "a-", "-a", "a_b", "a.b", "/../admin", "//evil", "a\n", "x" * 64, None]


@pytest.mark.parametrize("name", [*SERVICES, "metrics", "health", "localhost"])
def test_names_of_services_are_checked(store: Store, name: Any) -> None:
    with pytest.raises(InvalidName, match=r"no service name|reserved"):
        store.put_rule("a", name, {})
    with pytest.raises(InvalidName, match=r"no service name|reserved"):
        store.want(name, target=PROCESS, envelope_id=None, by="ada")
    assert (store.services(), store.rules()) == ((), ())


@pytest.mark.parametrize("spec", [{"x": object()}, {"x": "\ud800"}, {(1, 2): 3}])
def test_what_is_no_json_is_refused(store: Store, spec: Any) -> None:
    with pytest.raises(InvalidInput, match="no plain JSON"):
        store.put_rule("a", "ltv", spec)
    assert store.rules() == ()


def test_texts_that_no_database_keeps_do_no_harm(store: Store, save: Save) -> None:
    envelope = save()
    store.put_rule("a", "ltv", {"owner": "' OR 1=1--", "x": ("a", 1.5, None)}, "a\0b" * 200)
    assert store.get_rule("a").spec == {"owner": "' OR 1=1--", "x": ["a", 1.5, None]}
    assert "\0" not in store.pause_rule("a", "b\0\ud800").pause_reason
    service = store.want(
        "ltv", target=PROCESS, envelope_id=envelope.id, by="a\0\ud800", reason="\0"
    )
    assert "\0" not in service.desired_by + service.reason


# What is wanted


def test_a_wish_makes_a_service(store: Store, save: Save) -> None:
    envelope = save()
    with pytest.raises(ServiceNotFound, match="'ltv'"):
        store.service("ltv")
    made = store.want(
        "ltv", target=PROCESS, envelope_id=envelope.id, by="ada", reason="new", pinned=True
    )
    assert store.service("ltv") == made
    assert store.services() == (made,)
    assert (made.target, made.desired_envelope, made.desired_by) == (PROCESS, envelope.id, "ada")
    assert (made.pinned, made.reason, made.generation, made.observed_generation) == (
        True,
        "new",
        1,
        0,
    )
    assert (made.live_deployment, made.live_envelope, made.url, made.fence) == (None, None, None, 0)
    change = store.changes(0)[-1]
    assert (change.kind, change.envelope_id, change.actor) == ("service", envelope.id, "ada")
    assert change.data["service"] == "ltv"
    assert change.revision == store.head()


def test_only_something_new_is_a_new_generation(store: Store, save: Save) -> None:
    one, other = save().id, save().id
    assert wanted(store, one) == 1
    head = store.head()
    assert wanted(store, one) == 1
    assert wanted(store, one, reason="another reason") == 1
    assert wanted(store, one, target=None) == 1
    assert store.head() == head
    assert wanted(store, other) == 2
    assert wanted(store, other, target=DOCKER) == 3
    assert wanted(store, other, target=None, pinned=True) == 4
    assert wanted(store, other, target=None, pinned=True, by="bob") == 5
    assert wanted(store, None, target=None) == 6
    assert store.service("ltv").target == DOCKER


def test_what_was_tried_can_be_wanted_again(store: Store, save: Save) -> None:
    envelope = save().id
    assert wanted(store, envelope) == 1
    # Not tried yet: it will be, anyway.
    assert wanted(store, envelope, retry=True) == 1
    fence = claimed(store)
    store.observe("ltv", fence, 1)
    assert wanted(store, envelope) == 1
    assert wanted(store, envelope, retry=True) == 2
    with pytest.raises(InvalidInput, match="no generation 3"):
        store.observe("ltv", fence, 3)
    store.observe("ltv", fence, 2)
    store.observe("ltv", fence, 1)
    assert store.service("ltv").observed_generation == 2


def test_a_wish_is_for_an_envelope_that_is_there(store: Store, save: Save) -> None:
    gone = save().id
    store.delete(gone, MINUTE)
    for envelope_id in (gone, new_id()):
        with pytest.raises(EnvelopeNotFound, match=envelope_id):
            wanted(store, envelope_id)
    with pytest.raises(InvalidInput, match="at which target"):
        wanted(store, None, target=None)
    assert store.services() == ()


@pytest.mark.parametrize(
    "target",
    [{}, {"options": {}}, {"kind": 1}, {"kind": "x", "options": []}, {"kind": "x", "y": 1}],
)
def test_a_target_has_a_kind_and_options(store: Store, target: Any) -> None:
    with pytest.raises(InvalidInput, match="A target is"):
        store.want("ltv", target=target, envelope_id=None, by="ada")


def by_rule(store: Store, envelope_id: str, generation: int, revision: int = 1) -> Any:
    return store.want_by_rule(
        "a",
        revision,
        service="ltv",
        generation=generation,
        target=PROCESS,
        envelope_id=envelope_id,
    )


def test_a_rule_wants_what_it_was_made_from(store: Store, save: Save) -> None:
    one, other = save().id, save().id
    store.put_rule("a", "ltv", {})
    assert by_rule(store, one, generation=1) is None
    assert by_rule(store, one, generation=0, revision=2) is None
    assert store.services() == ()
    made = by_rule(store, one, generation=0)
    assert (made.desired_envelope, made.desired_by, made.generation) == (one, "rule:a@1", 1)
    assert by_rule(store, one, generation=1).generation == 1
    # A person comes between.
    wanted(store, one)
    assert by_rule(store, other, generation=1) is None
    assert by_rule(store, other, generation=2).desired_envelope == other
    wanted(store, one, pinned=True)
    assert by_rule(store, other, generation=4) is None
    wanted(store, one)
    store.pause_rule("a", "why")
    assert by_rule(store, other, generation=5) is None
    store.resume_rule("a")
    assert by_rule(store, other, generation=5).generation == 6
    store.put_rule("a", "ltv", {"x": 1})
    assert by_rule(store, one, generation=6) is None
    store.put_rule("a", "other", {})
    assert by_rule(store, one, generation=6, revision=3) is None
    store.remove_rule("a")
    assert by_rule(store, one, generation=6, revision=3) is None
    assert store.service("ltv").desired_envelope == other


def test_of_many_wishes_of_a_rule_at_once_one_counts(store: Store, save: Save) -> None:
    store.put_rule("a", "ltv", {})
    envelopes = [save().id for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = [r for r in pool.map(lambda e: by_rule(store, e, 0), envelopes) if r is not None]
    assert len(made) == 1
    assert store.service("ltv") == made[0]
    feed = store.changes(0)
    assert [change.revision for change in feed] == list(range(1, store.head() + 1))


# Leases


def test_one_at_a_time_holds_a_service(store: Store, save: Save) -> None:
    with pytest.raises(ServiceNotFound):
        store.claim("ltv", "one", MINUTE)
    wanted(store, save().id)
    assert store.claim("ltv", "one", MINUTE) == 1
    assert store.claim("ltv", "other", MINUTE) is None
    # The answer got lost, and the same asks again.
    assert store.claim("ltv", "one", MINUTE) == 1
    held = store.service("ltv")
    assert (held.fence, held.lease_owner) == (1, "one")
    assert held.lease_until is not None
    store.release_claim("ltv", 1)
    store.release_claim("ltv", 1)
    assert store.service("ltv").lease_owner is None
    assert store.claim("ltv", "other", MINUTE) == 2
    acts: list[Callable[[], object]] = [
        lambda: store.release_claim("ltv", 1),
        lambda: store.renew("ltv", 1, MINUTE),
        lambda: store.observe("ltv", 1, 1),
    ]
    for act in acts:
        with pytest.raises(FenceLost, match="its fence is 2, yours was 1"):
            act()


def test_a_lease_ends_by_itself(store: Store, save: Save) -> None:
    wanted(store, save().id)
    assert store.claim("ltv", "one", timedelta(microseconds=1)) == 1
    # Nobody took over: it still holds.
    store.renew("ltv", 1, timedelta(microseconds=1))
    assert store.claim("ltv", "other", MINUTE) == 2
    with pytest.raises(FenceLost):
        store.renew("ltv", 1, MINUTE)


def test_a_renewed_lease_lasts(store: Store, save: Save) -> None:
    wanted(store, save().id)
    assert store.claim("ltv", "one", timedelta(seconds=1)) == 1
    store.renew("ltv", 1, MINUTE)
    time.sleep(1.1)
    assert store.claim("ltv", "other", MINUTE) is None
    with pytest.raises(InvalidInput, match="lease"):
        store.renew("ltv", 1, timedelta(0))
    with pytest.raises(InvalidInput, match="owner"):
        store.claim("ltv", "", MINUTE)


def test_of_many_claims_at_once_one_wins(store: Store, save: Save) -> None:
    wanted(store, save().id)
    with ThreadPoolExecutor(6) as pool:
        fences = list(pool.map(lambda i: store.claim("ltv", str(i), MINUTE), range(6)))
    assert sorted(fence for fence in fences if fence) == [1]


# Deployments


def test_a_deployment_goes_live(store: Store, save: Save) -> None:
    envelope = save().id
    generation = wanted(store, envelope)
    fence = claimed(store)
    deployment = begun(store, fence, envelope, generation=generation, by="rule:a@1")
    assert (deployment.state, deployment.fence, deployment.by) == ("running", fence, "rule:a@1")
    assert deployment.target == PROCESS
    assert (
        store.begin_deployment(
            "ltv", fence, deployment.id, envelope_id=envelope, by="rule:a@1", generation=1
        )
        == deployment
    )
    assert store.routes("process") == ()
    live = store.go_live("ltv", fence, deployment.id, "http://host/ltv")
    assert store.go_live("ltv", fence, deployment.id, "http://host/ltv") == live
    assert (live.state, live.live_to, live.finished_at) == ("live", None, None)
    assert store.deployment(deployment.id) == live
    service = store.service("ltv")
    assert (service.live_deployment, service.live_envelope) == (deployment.id, envelope)
    assert (service.url, service.previous_envelope) == ("http://host/ltv", None)
    (route,) = store.routes("process")
    assert (route.service, route.deployment, route.fence) == ("ltv", deployment.id, fence)
    assert store.routes("docker") == ()
    told = [c for c in store.changes(0) if c.kind == "deployment"]
    assert [(c.envelope_id, c.data["state"]) for c in told] == [
        (envelope, "running"),
        (envelope, "live"),
    ]


def test_the_ledger_tells_what_was_live_when(store: Store, save: Save) -> None:
    before = datetime.now(UTC) - timedelta(days=1)
    first, second = lived(store, save().id), lived(store, save().id)
    first = store.deployment(first.id)
    assert (first.state, first.live_to, first.finished_at) == (
        "retired",
        second.live_from,
        second.live_from,
    )
    assert second.id in first.reason
    assert first.live_from is not None
    assert second.live_from is not None
    assert store.live_at("ltv", before) is None
    assert store.live_at("ltv", first.live_from) == first
    assert store.live_at("ltv", second.live_from) == second
    assert store.live_at("ltv", second.live_from + timedelta(days=1)) == second
    assert store.live_at("other", second.live_from) is None
    assert [d.id for d in store.deployments()] == [second.id, first.id]
    assert [d.id for d in store.deployments(limit=1)] == [second.id]
    assert store.deployments("other") == ()
    assert store.deployments("ltv", envelope_id=first.envelope_id) == (first,)
    service = store.service("ltv")
    assert (service.live_deployment, service.previous_envelope) == (second.id, first.envelope_id)


def test_the_ledger_never_goes_back_in_time(
    store: Store, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lived(store, save().id)
    tick = changes.tick

    def an_hour_behind(*arguments: Any, **options: Any) -> changes.Tick:
        moment = tick(*arguments, **options)
        return changes.Tick(revision=moment.revision, at=moment.at - timedelta(hours=1))

    monkeypatch.setattr(changes, "tick", an_hour_behind)
    second = lived(store, save().id)
    fence = claimed(store)
    store.undeployed("ltv", fence)
    assert first.live_from == store.deployment(first.id).live_to == second.live_from
    assert store.deployment(second.id).live_to == second.live_from


def test_the_previous_envelope_is_another_one(store: Store, save: Save) -> None:
    one, other = save().id, save().id
    for envelope_id, previous in [
        (one, None),
        (one, None),
        (other, one),
        (other, one),
        (one, other),
    ]:
        lived(store, envelope_id)
        assert store.service("ltv").previous_envelope == previous


def test_an_undeployed_service_runs_nothing(store: Store, save: Save) -> None:
    lived(store, save().id)
    live = lived(store, save().id)
    wanted(store, None, target=None)
    fence = claimed(store)
    store.undeployed("ltv", fence)
    store.undeployed("ltv", fence)
    service = store.service("ltv")
    assert (service.live_deployment, service.live_envelope, service.url) == (None, None, None)
    assert service.previous_envelope is None
    ended = store.deployment(live.id)
    assert ended.state == "retired"
    assert ended.live_to is not None
    assert store.live_at("ltv", ended.live_to) is None
    assert store.routes("process") == ()
    assert store.changes(0, limit=1000)[-1].data["state"] == "retired"


@pytest.mark.parametrize("outcome", ["failed", "superseded", "retired"])
def test_a_deployment_may_end_before_it_was_live(store: Store, save: Save, outcome: Any) -> None:
    live = lived(store, save().id)
    fence = claimed(store)
    tried = begun(store, fence, save().id, by="rule:a@1")
    ended = store.end_deployment(tried.id, fence, outcome, "the golden rows differ\0")
    assert (ended.state, ended.live_from, ended.live_to) == (outcome, None, None)
    assert ended.reason.startswith("the golden rows differ")
    assert ended.finished_at is not None
    # Once ended, it stays so.
    assert store.end_deployment(tried.id, fence, "superseded", "another") == ended
    with pytest.raises(DeploymentError, match="begin another"):
        store.go_live("ltv", fence, tried.id, "u")
    with pytest.raises(DeploymentError, match="is live"):
        store.end_deployment(live.id, fence, "failed", "no")
    assert store.service("ltv").live_deployment == live.id
    vain = store.vain_deployments(["rule:a@1", "rule:b@2"])
    assert vain == (() if outcome == "retired" else (ended,))
    assert store.vain_deployments(["rule:a@2"]) == ()


def test_who_was_taken_over_can_do_nothing_any_more(store: Store, save: Save) -> None:
    live = lived(store, save().id)
    fence = store.claim("ltv", "slow", timedelta(microseconds=1))
    assert fence is not None
    tried = begun(store, fence, save().id)
    head = store.head()
    later = claimed(store)
    given_up = store.deployment(tried.id)
    assert given_up.state == "superseded"
    assert "lost its lease" in given_up.reason
    assert given_up.finished_at is not None
    assert store.head() == head + 1
    acts: list[Callable[[], object]] = [
        lambda: begun(store, fence, live.envelope_id),
        lambda: store.add_step(tried.id, fence, "ready", "passed"),
        lambda: store.go_live("ltv", fence, tried.id, "u"),
        lambda: store.end_deployment(tried.id, fence, "failed"),
        lambda: store.undeployed("ltv", fence),
        lambda: store.observe("ltv", fence, 1),
    ]
    for act in acts:
        with pytest.raises(FenceLost, match="ltv"):
            act()
    store.release_claim("ltv", later)
    for act in acts:
        with pytest.raises(FenceLost):
            act()
    with pytest.raises(FenceLost, match="claim it again"):
        begun(store, later, live.envelope_id)
    assert store.service("ltv").live_deployment == live.id
    assert store.steps(tried.id) == ()
    assert store.head() == head + 1


def test_steps_are_told_in_order(store: Store, save: Save) -> None:
    envelope = save().id
    wanted(store, envelope)
    fence = claimed(store)
    tried = begun(store, fence, envelope)
    head = store.head()
    store.add_step(tried.id, fence, "ready", "running")
    store.add_step(tried.id, fence, "ready", "passed", {"seconds": 1.5, "at": ("a",)})
    # The answer got lost, and the same is told again.
    again = store.add_step(tried.id, fence, "ready", "passed", {"seconds": 1.5, "at": ("a",)})
    store.add_step(tried.id, fence, "canary", "held", {"reason": "too few requests"})
    found = store.steps(tried.id)
    assert [(step.number, step.name, step.state) for step in found] == [
        (1, "ready", "running"),
        (2, "ready", "passed"),
        (3, "canary", "held"),
    ]
    assert found[1] == again
    assert found[1].detail == {"seconds": 1.5, "at": ["a"]}
    assert store.head() == head
    with pytest.raises(DeploymentError, match="no deployment"):
        store.add_step(new_id(), fence, "ready", "passed")


def test_an_id_is_of_one_deployment(store: Store, save: Save) -> None:
    one, other = save().id, save().id
    wanted(store, one)
    fence = claimed(store)
    tried = begun(store, fence, one)
    with pytest.raises(DeploymentError, match="an id of its own"):
        store.begin_deployment("ltv", fence, tried.id, envelope_id=other, by="ada", generation=1)
    with pytest.raises(EnvelopeNotFound):
        begun(store, fence, new_id())
    with pytest.raises(InvalidName):
        store.begin_deployment("ltv", fence, "../x", envelope_id=one, by="ada", generation=1)
    store.want("other", target=DOCKER, envelope_id=one, by="ada")
    there = store.claim("other", "me", MINUTE)
    assert there is not None
    with pytest.raises(DeploymentError, match="service 'ltv'"):
        store.go_live("other", there, tried.id, "u")


# Envelopes that are needed


def test_an_envelope_that_a_service_needs_cannot_be_deleted(store: Store, save: Save) -> None:
    one, other, tried = save().id, save().id, save().id

    def refused(envelope_id: str, how: str) -> None:
        with pytest.raises(EnvelopeInUse, match=f"{how}|to the service 'ltv'") as caught:
            store.delete(envelope_id, MINUTE)
        assert "'ltv'" in str(caught.value)
        assert store.get(envelope_id).id == envelope_id

    wanted(store, one)
    refused(one, "is to run it")
    lived(store, one)
    wanted(store, None, target=None)
    refused(one, "runs it")
    lived(store, other)
    refused(one, "roll back to it")
    refused(other, "runs it")
    fence = claimed(store)
    attempt = begun(store, fence, tried)
    refused(tried, "is being deployed")
    store.end_deployment(attempt.id, fence, "failed")
    store.delete(tried, MINUTE)
    wanted(store, None, target=None)
    store.undeployed("ltv", fence)
    store.delete(one, MINUTE)
    store.delete(other, MINUTE)
    with pytest.raises(EnvelopeNotFound):
        store.get(other)


def test_a_wish_and_a_deletion_at_once_do_not_both_happen(store: Store, save: Save) -> None:
    def happened(act: Callable[[], object], start: threading.Barrier) -> bool:
        start.wait()
        try:
            act()
        except (EnvelopeInUse, EnvelopeNotFound):
            return False
        return True

    for _ in range(5):
        envelope, start = save().id, threading.Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            wish = pool.submit(happened, partial(wanted, store, envelope), start)
            deletion = pool.submit(happened, partial(store.delete, envelope, MINUTE), start)
        assert wish.result() != deletion.result()
