"""How many replicas: as many as the load asks for, sooner up than down, and never out of bounds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_envelope.deployment.scaling import ROOM, Calm, decide
from model_envelope.deployment.targets.docker_options import check_options as check_docker
from model_envelope.deployment.targets.process_options import check_options as check_process
from model_envelope.deployment.targets.replicas import Load, Replicas
from model_envelope.errors import InvalidInput

FOUR = Replicas(min=1, max=4, in_flight=10, queued_rows=100, cooldown_seconds=60)

bounds = st.tuples(st.integers(1, 64), st.integers(1, 64)).map(sorted)
policies = st.builds(
    lambda ends, in_flight, rows, cooldown: Replicas(
        min=ends[0], max=ends[1], in_flight=in_flight, queued_rows=rows, cooldown_seconds=cooldown
    ),
    bounds,
    st.floats(0.1, 1000),
    st.floats(0.1, 1e5),
    st.floats(0, 3600),
)
amounts = st.floats(0, 1e6)
times = st.floats(0, 4e9)
calms = st.none() | st.builds(Calm, since=times, peak=st.integers(1, 64))


@st.composite
def loads(draw: st.DrawFn) -> Load:
    replicas = draw(st.integers(0, 100))
    silent = draw(st.integers(0, replicas))
    return Load(
        replicas=replicas, silent=silent, in_flight=draw(amounts), queued_rows=draw(amounts)
    )


def load(replicas: int, in_flight: float, *, rows: float = 0, silent: int = 0) -> Load:
    return Load(replicas=replicas, silent=silent, in_flight=in_flight, queued_rows=rows)


@settings(deadline=None)
@given(policies, loads(), calms, times)
def test_it_stays_within_its_bounds(
    policy: Replicas, seen: Load, calm: Calm | None, now: float
) -> None:
    assert policy.min <= decide(policy, seen, calm, now)[0] <= policy.max


@settings(deadline=None)
@given(policies, loads(), calms, times)
def test_nothing_is_removed_while_somebody_does_not_answer(
    policy: Replicas, seen: Load, calm: Calm | None, now: float
) -> None:
    after, remembered = decide(policy, seen, calm, now)
    if seen.silent:
        assert after >= min(seen.replicas, policy.max)
        assert remembered is None


@settings(deadline=None)
@given(policies, loads(), calms, times)
def test_more_are_there_at_once_and_enough(
    policy: Replicas, seen: Load, calm: Calm | None, now: float
) -> None:
    after, _ = decide(policy, seen, calm, now)
    if policy.min <= seen.replicas <= policy.max:
        carried = after * policy.in_flight >= seen.in_flight * (1 - 1e-6)
        queued = after * policy.queued_rows >= seen.queued_rows * (1 - 1e-6)
        assert after == policy.max or (carried and queued)


@settings(deadline=None)
@given(policies, st.lists(st.tuples(st.floats(0, 120), amounts, amounts), min_size=2, max_size=40))
def test_what_is_removed_was_not_needed_for_the_whole_cooldown(
    policy: Replicas, seen: list[tuple[float, float, float]]
) -> None:
    now, calm, replicas = 1e9, None, policy.min
    history: list[tuple[float, float, float]] = []
    for pause, in_flight, rows in seen:
        now += pause
        before = replicas
        found = Load(replicas=replicas, silent=0, in_flight=in_flight, queued_rows=rows)
        replicas, calm = decide(policy, found, calm, now)
        history.append((now, in_flight, rows))
        if replicas < before:
            since = [one for one in history if now - one[0] < policy.cooldown_seconds]
            recent = [*since, history[-1]]
            assert all(i <= replicas * policy.in_flight * ROOM + 1e-3 for _, i, _ in recent)
            assert all(r <= replicas * policy.queued_rows * ROOM + 1e-3 for _, _, r in recent)
            # And it does not come back for the same load.
            again = Load(replicas=replicas, silent=0, in_flight=in_flight, queued_rows=rows)
            assert decide(policy, again, None, now)[0] == replicas


@settings(deadline=None)
@given(policies, amounts, amounts, st.integers(1, 64))
def test_a_steady_load_is_followed_once(
    policy: Replicas, in_flight: float, rows: float, start: int
) -> None:
    now, calm, replicas = 1e9, None, start
    numbers = [start]
    for _ in range(6):
        found = Load(replicas=replicas, silent=0, in_flight=in_flight, queued_rows=rows)
        replicas, calm = decide(policy, found, calm, now)
        numbers.append(replicas)
        now += policy.cooldown_seconds + 1
    settled = numbers[-1]
    assert numbers[-3:] == [settled] * 3
    # Once within bounds, it goes one way only.
    inside = [policy.clamp(start), *numbers[1:]]
    steps = [b - a for a, b in pairwise(inside)]
    assert all(step >= 0 for step in steps) or all(step <= 0 for step in steps)


def test_a_day_of_one_service() -> None:
    now, calm = 0.0, None
    after, calm = decide(FOUR, load(1, 35), calm, now)
    assert (after, calm) == (4, None)
    # Quiet, but for a moment that needs three: what was needed at most stays.
    for now, in_flight in ((10.0, 2), (30.0, 21), (69.0, 0)):
        after, calm = decide(FOUR, load(4, in_flight), calm, now)
        assert after == 4
    after, calm = decide(FOUR, load(4, 0), calm, 70.0)
    assert after == 3
    after, calm = decide(FOUR, load(3, 0), calm, 75.0)
    assert after == 3
    after, calm = decide(FOUR, load(3, 0), calm, 135.0)
    assert (after, calm) == (1, None)


def test_a_load_at_the_border_moves_nothing() -> None:
    calm = None
    for now in range(0, 1000, 5):
        after, calm = decide(FOUR, load(2, 9 + now % 2), calm, float(now))
        assert after == 2


def test_rows_count_where_requests_are_few() -> None:
    assert decide(FOUR, load(1, 1, rows=250), None, 0.0)[0] == 3


def test_a_clock_that_goes_back_begins_the_wait_again() -> None:
    assert decide(FOUR, load(2, 0), Calm(since=1e9, peak=1), 5.0) == (2, Calm(since=5.0, peak=1))


@pytest.mark.parametrize("check", [check_process, check_docker])
def test_a_number_or_bounds(check: Any) -> None:
    assert Replicas.read(check({"replicas": 3})["replicas"]) == Replicas(min=3, max=3)
    assert Replicas.read(check({})["replicas"]).is_fixed
    wanted = {"max": 5, "cooldown_seconds": 0}
    found = Replicas.read(check({"replicas": wanted})["replicas"])
    assert (found.min, found.max, found.cooldown_seconds) == (1, 5, 0)


@pytest.mark.parametrize(
    "option",
    [
        {},
        {"min": 2},
        {"min": 3, "max": 2},
        {"min": 0, "max": 2},
        {"max": 65},
        {"max": True},
        {"max": "4"},
        {"max": 4, "cpu": 80},
        {"max": 4, "in_flight": 0},
        {"max": 4, "in_flight": "many"},
        {"max": 4, "in_flight": float("nan")},
        {"max": 4, "queued_rows": -1},
        {"max": 4, "cooldown_seconds": -1},
        {"max": 4, "cooldown_seconds": float("inf")},
        [1, 4],
        1.5,
    ],
)
def test_bounds_that_cannot_be(option: Any) -> None:
    with pytest.raises(InvalidInput, match="replicas must be a number from 1 to 64, or a mapping"):
        check_docker({"replicas": option})
    with pytest.raises(InvalidInput, match="replicas must be"):
        Replicas.read(option)
