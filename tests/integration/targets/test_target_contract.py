"""What every target promises, on the real thing."""

from __future__ import annotations

import contextlib
import threading
import time
from datetime import timedelta
from itertools import pairwise

import pytest

from model_envelope.deployment.targets.opening import open_target
from model_envelope.deployment.targets.protocol import Platform, Route, Split
from model_envelope.errors import FenceLost, InvalidInput, TargetFailed
from tests.integration.targets.models import mortal, sleeping, telling, times, unloadable
from tests.integration.targets.site import Answer, Site
from tests.integration.targets.traffic import Traffic


def test_unknown_kinds_are_refused(platform: Platform) -> None:
    with pytest.raises(InvalidInput, match="process"):
        open_target("moon", platform)


def test_unknown_options_are_refused(site: Site) -> None:
    with pytest.raises(InvalidInput, match="gravity"):
        site.target.check_options({"gravity": 1})


def test_a_release_starts_off_traffic_gets_it_and_goes(site: Site) -> None:
    url = site.url
    release = site.start(times(2))
    assert site.serves() == ""
    (address,) = site.running(release).addresses
    assert site.ask(21.0, url=address).value == 42.0
    site.route(release)
    assert site.url == url
    answer = site.ask(21.0)
    assert (answer.value, answer.release) == (42.0, release.id)
    site.stop(release)
    assert site.target.running() == ()
    assert site.serves() == ""
    with pytest.raises(OSError, match=r"refused|No route"):
        site.ask(url=address)
    assert site.url == url


def test_everything_may_be_called_again(site: Site) -> None:
    release = site.start(times(2))
    first = site.running(release)
    site.target.prepare(release)
    site.target.start(release)
    assert site.running(release) == first
    site.route(release)
    site.route(release)
    site.target.start(release)
    assert site.serves() == release.id
    site.stop(release)
    site.stop(release)
    site.target.route([])
    assert site.target.running() == ()


def test_no_request_fails_while_releases_take_over(site: Site) -> None:
    releases = [site.start(times(2), fence=1)]
    site.route(releases[0])
    with Traffic(site.url) as traffic:
        traffic.wait_for(300)
        for fence in range(2, 6):
            releases.append(site.start(times(2), fence=fence))
            site.route(releases[-1])
            traffic.wait_for(300)
            site.stop(releases[-2], drain=60)
            traffic.wait_for(100)
    assert traffic.failures == []
    assert traffic.answered >= 1900
    assert traffic.by_release.keys() == {release.id for release in releases}
    assert [found.release for found in site.target.running()] == [releases[-1].id]


def test_after_a_route_nobody_is_answered_by_the_old_release(site: Site) -> None:
    first, second = site.start(times(2)), site.start(times(3), fence=2)
    for release, value in ((first, 2.0), (second, 3.0)):
        site.route(release)
        assert [site.ask(1.0).value for _ in range(20)] == [value] * 20


def test_a_kept_connection_goes_over_with_its_next_answer(site: Site) -> None:
    old, new = site.start(times(2)), site.start(times(2), fence=2)
    site.route(old)
    with Traffic(site.url, keeping=1, fresh=0) as traffic:
        traffic.wait_for(10)
        site.route(new)
        before = traffic.by_release[old.id]
        traffic.wait_for(50)
    assert traffic.failures == []
    # Two may have been on their way while the route was given.
    assert traffic.by_release[old.id] - before <= 2


def test_a_request_under_way_is_answered_by_whoever_has_it(site: Site) -> None:
    old, new = site.start(sleeping()), site.start(times(2), fence=2)
    site.route(old)
    answers: list[Answer] = []
    slow = threading.Thread(target=lambda: answers.append(site.ask(3.0)))
    slow.start()
    site.wait(lambda: site.target.logs(old.id), lambda log: "sleeping for 3.0" in log)
    site.route(new)
    assert site.serves() == new.id
    site.stop(old, drain=60)
    slow.join()
    assert [(a.status, a.release, a.value) for a in answers] == [(200, old.id, 6.0)]


def test_a_late_caller_changes_nothing(site: Site) -> None:
    old, new = site.start(times(2), fence=3), site.start(times(3), fence=4)
    site.route(old)
    site.route(new)
    with pytest.raises(FenceLost):
        site.route(old)
    late = site.release(times(2), fence=3)
    site.target.prepare(late)
    with pytest.raises(FenceLost):
        site.target.start(late)
    assert site.serves() == new.id
    assert {found.release for found in site.target.running()} == {old.id, new.id}
    with pytest.raises(FenceLost):
        site.target.scale(Route(service=old.service, release=old.id, fence=3), 2)


def test_what_is_live_may_be_routed_again_while_another_starts(site: Site) -> None:
    old, live = site.start(times(2), fence=1), site.start(times(2), fence=3)
    site.route(old)
    site.start(times(3), fence=4)
    # Whoever had fence 3 died before this; the ledger says that it is live.
    site.route(live)
    site.route(live)
    assert site.serves() == live.id


def test_services_that_are_not_named_get_no_traffic(site: Site) -> None:
    release = site.start(times(2))
    site.route(release)
    other = site.start(times(3), service="triples")
    site.target.route(
        [
            Route(service=release.service, release=release.id, fence=1),
            Route(service=other.service, release=other.id, fence=1),
        ]
    )
    url = site.target.url("triples", other.options)
    assert (site.ask(1.0).value, site.ask(1.0, url=url).value) == (2.0, 3.0)
    site.route(other)
    assert site.serves() == ""
    assert site.ask(1.0, url=url).value == 3.0
    site.route(release)
    assert site.serves() == release.id


def test_a_route_to_what_is_not_there_fails_and_names_it(site: Site) -> None:
    release = site.start(times(2))
    site.route(release)
    absent = site.release(times(2), fence=2)
    with pytest.raises(TargetFailed, match=absent.id):
        site.route(absent)
    assert site.serves() == release.id


def test_what_dies_comes_back(site: Site) -> None:
    release = site.start(mortal())
    site.route(release)
    assert site.serves() == release.id
    with contextlib.suppress(OSError):  # a proxy answers instead
        assert site.ask(666.0).status == 502
    found = site.wait(lambda: site.running(release), lambda r: r.ready and r.restarts == 1)
    assert found.release == release.id
    assert site.wait(site.serves, bool) == release.id
    log = site.target.logs(release.id)
    assert "asked for [666.0]" in log
    assert site.target.logs(release.id, lines=1) == log.splitlines(keepends=True)[-1]


@pytest.mark.parametrize(
    ("fault", "said"), [("raises", "the weights are not what they were"), ("exits", "out of here")]
)
def test_what_cannot_start_says_why(site: Site, fault: str, said: str) -> None:
    live = site.start(times(2))
    site.route(live)
    broken = site.release(unloadable(fault), fence=2)
    site.target.prepare(broken)
    site.target.start(broken)
    found = site.wait(lambda: site.running(broken), lambda r: r.restarts >= 1 and bool(r.detail))
    assert not found.ready
    assert said in found.detail or said in site.target.logs(broken.id)
    assert site.serves() == live.id
    site.stop(broken)
    assert [found.release for found in site.target.running()] == [live.id]


def test_what_never_becomes_ready_is_stopped(site: Site) -> None:
    live = site.start(times(2))
    site.route(live)
    stuck = site.release(unloadable("hangs"), fence=2)
    site.target.prepare(stuck)
    site.target.start(stuck)
    time.sleep(3)
    assert not site.running(stuck).ready
    assert site.serves() == live.id
    site.stop(stuck)
    assert [found.release for found in site.target.running()] == [live.id]


def test_another_process_sees_what_runs_and_goes_on(site: Site) -> None:
    release = site.start(times(2))
    leftover = site.start(times(3), fence=2)
    site.route(release)
    other = site.again()
    assert set(other.running()) == set(site.target.running())
    other.stop(leftover.id, drain=timedelta(0))
    assert [found.release for found in other.running()] == [release.id]
    assert site.serves() == release.id


def test_a_canary_answers_a_share(site: Site) -> None:
    live, candidate = site.start(times(2)), site.start(times(3), fence=2)
    route = site.route(live)
    site.target.split(route, Split(mode="canary", candidate=candidate.id, share=0.5))
    values = [site.ask(1.0).value for _ in range(200)]
    counts = site.target.split_counts(route)
    assert set(values) == {2.0, 3.0}
    assert counts.requests == values.count(3.0)
    assert counts.failures == 0
    assert counts.candidate_seconds > 0
    site.target.split(route, None)
    assert {site.ask(1.0).value for _ in range(50)} == {2.0}


def test_a_bad_canary_fails_no_request(site: Site) -> None:
    live, candidate = site.start(times(2)), site.start(mortal(), fence=2)
    route = site.route(live)
    site.target.split(route, Split(mode="canary", candidate=candidate.id, share=1.0))
    answers = [site.ask(666.0) for _ in range(5)]
    assert [(a.status, a.value) for a in answers] == [(200, 1332.0)] * 5
    assert site.target.split_counts(route).failures >= 1


def test_a_shadow_is_compared_and_never_answers(site: Site) -> None:
    live, candidate = site.start(times(2)), site.start(times(3), fence=2)
    route = site.route(live)
    site.target.split(route, Split(mode="shadow", candidate=candidate.id, share=1.0))
    assert {site.ask(1.0).value for _ in range(50)} == {2.0}
    # Comparing goes on after the answer.
    counts = site.wait(
        lambda: site.target.split_counts(route), lambda c: 40 <= c.requests == c.different
    )
    assert counts.failures == 0
    assert counts.candidate_seconds > 0


def test_replicas_share_the_traffic(site: Site) -> None:
    release = site.start(times(2))
    route = site.route(release)
    with Traffic(site.url) as traffic:
        traffic.wait_for(100)
        site.target.scale(route, 3)
        site.wait(lambda: site.running(release), lambda r: r.ready and len(r.addresses) == 3)
        traffic.wait_for(500)
        site.target.scale(route, 1)
        site.wait(lambda: site.running(release), lambda r: len(r.addresses) == 1)
        traffic.wait_for(100)
    assert traffic.failures == []
    assert traffic.by_release.keys() == {release.id}


def test_what_the_platform_knows_does_not_reach_the_model(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = site.release(telling())
    monkeypatch.setenv("MODEL_ENVELOPE_STORE", "postgresql://who:db-secret@db/x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3-secret")
    site.target.prepare(release)
    site.target.start(release)
    site.wait_ready(release)
    site.route(release)
    seen = site.ask().value
    assert "PATH=" in seen
    for secret in ("db-secret", "s3-secret", "PYTEST"):
        assert secret not in seen


def test_releases_replace_each_other_in_both_directions(site: Site) -> None:
    releases = [site.start(times(2), fence=1), site.start(times(3), fence=2)]
    site.route(releases[0])
    site.route(releases[1])
    back = site.start(times(2), fence=3)
    site.route(back)
    for release in releases:
        site.stop(release)
    assert site.serves() == back.id
    assert all(one.fence < other.fence for one, other in pairwise((*releases, back)))
