"""The trigger in Airflow's own shared-stream manager, on a real store."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.api.datamodels._generated import AssetStateStoreResponse
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import comms, task_runner
from airflow.sdk.execution_time.context import AssetStateStoreAccessors
from airflow.serialization.encoders import encode_trigger
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from airflow.triggers.shared_stream import SharedStreamManager

from model_envelope import names
from model_envelope.deployment.planning import follow
from model_envelope.deployment.rule import Rule
from model_envelope.envelope import Environment, Manifest, Provenance
from model_envelope.errors import InvalidInput, TagQueryError
from model_envelope.operators.triggers import (
    CLASS_PATH,
    RuleTrigger,
    StoreTrigger,
    TagQueryTrigger,
)
from model_envelope.store.opening import SCHEMA, VERSION_TABLE, open_store, upgrade
from model_envelope.store.rows import MetricPoint
from model_envelope.store.store import Store

LTV = "canonical_name == 'client_ltv'"


def save(store: Store, **tags: str) -> str:
    """An envelope without files; its id."""
    environment = Environment(python="3.11.7", platform="any", distributions=(), digest="0" * 64)
    manifest = Manifest(
        id=names.new_id(),
        created_at=datetime.now(UTC),
        functions={},
        files={},
        environment=environment,
        provenance=Provenance(),
    )
    store.begin_upload(manifest.id, timedelta(minutes=1))
    store.commit_envelope(
        manifest=manifest,
        manifest_sha256="0" * 64,
        description="",
        tags={"canonical_name": "client_ltv", **tags},
        save_key=manifest.id,
    )
    return manifest.id


class AssetStates:
    """What Airflow's supervisor keeps for assets, without Airflow's database."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], Any] = {}

    async def asend(self, message: Any) -> Any:
        if isinstance(message, comms.SetAssetStateStoreByName):
            self.values[message.name, message.key] = message.value
            return None
        assert isinstance(message, comms.GetAssetStateStoreByName)
        if (message.name, message.key) not in self.values:
            return comms.ErrorResponse(error=ErrorType.ASSET_STORE_NOT_FOUND)
        value = self.values[message.name, message.key]
        return comms.AssetStateStoreResult.from_asset_state_store_response(
            AssetStateStoreResponse(value=value)
        )

    @property
    def assets(self) -> set[str]:
        return {name for name, _ in self.values}


class Triggerer:
    """Runs triggers as Airflow's `TriggerRunner.run_trigger` does, in its shared streams."""

    def __init__(self) -> None:
        self.streams = SharedStreamManager()
        self.persists = True
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, trigger: StoreTrigger) -> asyncio.Queue[dict[str, Any]]:
        """Payloads of the events, as they come."""
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._tasks.append(asyncio.create_task(self._run(len(self._tasks), trigger, events)))
        return events

    async def _run(
        self, trigger_id: int, trigger: StoreTrigger, events: asyncio.Queue[dict[str, Any]]
    ) -> None:
        key = trigger.shared_stream_key()
        stream = self.streams.subscribe(trigger_id=trigger_id, trigger=trigger, key=key)
        try:
            async for event in trigger.filter_shared_stream(stream):
                number = self.streams.bind_pending_event(trigger_id=trigger_id, key=key)
                if self.persists and number is not None:
                    self.streams.confirm_persisted([number])
                events.put_nowait(event.payload)
        finally:
            await self.streams.unsubscribe(trigger_id, key)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.streams.stop_all()


@asynccontextmanager
async def triggerer() -> AsyncIterator[Triggerer]:
    running = Triggerer()
    async with asyncio.timeout(30):
        try:
            yield running
        finally:
            await running.stop()


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> AssetStates:
    states = AssetStates()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", states, raising=False)
    return states


@pytest.fixture
def store(sqlite_store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterable[Store]:
    """The store of Airflow's default connection."""
    extra = {"store": sqlite_store_url, "artifacts": "/unused"}
    description = json.dumps({"conn_type": "model_envelope", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_MODEL_ENVELOPE_DEFAULT", description)
    with open_store(sqlite_store_url) as store:
        yield store


def watcher(query: str, *assets: str) -> TagQueryTrigger:
    """A trigger as the triggerer makes it for the watchers of assets."""
    trigger = TagQueryTrigger(query, poll_interval=0.02)
    trigger.asset_state_store = AssetStateStoreAccessors([Asset(name) for name in assets])
    return trigger


async def quiet(events: asyncio.Queue[dict[str, Any]]) -> bool:
    """Whether nothing came while the store was looked at several times."""
    await asyncio.sleep(0.3)
    return events.empty()


def polls() -> int:
    """How many polls of a store are going on."""
    tasks = [task.get_name() for task in asyncio.all_tasks()]
    return len([name for name in tasks if name.startswith("shared-stream-poll")])


def test_a_watcher_tells_of_the_present_match_and_of_every_new_one(
    store: Store, states: AssetStates
) -> None:
    first = save(store, region="US")

    async def scenario() -> None:
        async with triggerer() as airflow:
            events = airflow.start(watcher(LTV, "ltv"))
            assert await events.get() == {
                "envelope_id": first,
                "revision": 1,
                "tags": {"canonical_name": "client_ltv", "region": "US"},
            }
            second = save(store)
            assert (await events.get())["envelope_id"] == second

    asyncio.run(scenario())


def test_what_the_query_does_not_look_at_wakes_nobody(store: Store, states: AssetStates) -> None:
    model = save(store)

    async def scenario() -> None:
        async with triggerer() as airflow:
            events = airflow.start(watcher(LTV, "ltv"))
            await events.get()
            store.set_tags(model, {"used_by": "the DAG that was woken"})
            store.set_description(model, "used")
            store.start_batch("dag/task/run", model, {})
            now = datetime.now(UTC)
            store.log_metrics(model, [MetricPoint(name="loss", at=now, value=0.3)])
            save(store, canonical_name="churn")
            assert await quiet(events)

    asyncio.run(scenario())


def test_what_the_query_looks_at_does(store: Store, states: AssetStates) -> None:
    model = save(store, region="US")
    query = f"{LTV} and region in ('US', 'UK') and metric.auc > 0.8"

    async def scenario() -> None:
        async with triggerer() as airflow:
            events = airflow.start(watcher(query, "ltv"))
            assert await quiet(events)
            now = datetime.now(UTC)
            store.log_metrics(model, [MetricPoint(name="auc", at=now, value=0.9)])
            assert (await events.get())["envelope_id"] == model
            store.set_tags(model, {"region": "UK"})
            assert (await events.get())["tags"]["region"] == "UK"

    asyncio.run(scenario())


def test_when_the_latest_goes_the_one_before_it_is_the_match_again(
    store: Store, states: AssetStates
) -> None:
    before, latest = save(store), save(store)

    async def scenario() -> None:
        async with triggerer() as airflow:
            events = airflow.start(watcher(LTV, "ltv"))
            assert (await events.get())["envelope_id"] == latest
            store.archive(latest)
            assert (await events.get())["envelope_id"] == before

    asyncio.run(scenario())


def test_no_match_is_no_event(store: Store, states: AssetStates) -> None:
    only = save(store)

    async def scenario() -> None:
        async with triggerer() as airflow:
            events = airflow.start(watcher(LTV, "ltv"))
            await events.get()
            store.archive(only)
            assert await quiet(events)

    asyncio.run(scenario())


def test_a_restart_neither_repeats_nor_loses(store: Store, states: AssetStates) -> None:
    save(store)

    async def before() -> None:
        async with triggerer() as airflow:
            await airflow.start(watcher(LTV, "ltv")).get()
            while not states.values:
                await asyncio.sleep(0.01)

    async def after() -> None:
        async with triggerer() as airflow:
            events = airflow.start(watcher(LTV, "ltv"))
            assert await quiet(events)

    async def once_more() -> None:
        async with triggerer() as airflow:
            assert (await airflow.start(watcher(LTV, "ltv")).get())["envelope_id"] == meanwhile

    asyncio.run(before())
    asyncio.run(after())
    meanwhile = save(store)
    asyncio.run(once_more())


def test_an_event_that_airflow_did_not_store_comes_again(store: Store, states: AssetStates) -> None:
    model = save(store)

    async def lost() -> None:
        async with triggerer() as airflow:
            airflow.persists = False
            events = airflow.start(watcher(LTV, "ltv"))
            await events.get()
            assert await quiet(events)

    async def again() -> None:
        async with triggerer() as airflow:
            assert (await airflow.start(watcher(LTV, "ltv")).get())["envelope_id"] == model

    asyncio.run(lost())
    assert not states.values
    asyncio.run(again())


def test_queries_of_one_connection_share_one_poll(store: Store, states: AssetStates) -> None:
    us, uk = save(store, region="US"), save(store, region="UK")

    async def scenario() -> None:
        async with triggerer() as airflow:
            in_us = airflow.start(watcher(f"{LTV} and region == 'US'", "us"))
            assert (await in_us.get())["envelope_id"] == us
            # Late to the stream, when nothing changes any more.
            in_uk = airflow.start(watcher(f"{LTV} and region == 'UK'", "uk"))
            assert (await in_uk.get())["envelope_id"] == uk
            assert polls() == 1
            new = save(store, region="UK")
            assert (await in_uk.get())["envelope_id"] == new
            assert await quiet(in_us)

    asyncio.run(scenario())


def test_assets_of_one_trigger_remember_alike(store: Store, states: AssetStates) -> None:
    save(store)

    async def two() -> None:
        async with triggerer() as airflow:
            await airflow.start(watcher(LTV, "one", "two")).get()
            while states.assets != {"one", "two"}:
                await asyncio.sleep(0.01)

    async def both_again() -> None:
        async with triggerer() as airflow:
            assert await quiet(airflow.start(watcher(LTV, "one", "two")))

    async def a_third() -> None:
        async with triggerer() as airflow:
            await airflow.start(watcher(LTV, "one", "two", "three")).get()

    asyncio.run(two())
    asyncio.run(both_again())
    asyncio.run(a_third())


def test_two_watchers_of_one_asset_remember_apart(store: Store, states: AssetStates) -> None:
    us, uk = save(store, region="US"), save(store, region="UK")

    async def scenario() -> None:
        async with triggerer() as airflow:
            in_us = airflow.start(watcher(f"{LTV} and region == 'US'", "ltv"))
            in_uk = airflow.start(watcher(f"{LTV} and region == 'UK'", "ltv"))
            assert (await in_us.get())["envelope_id"] == us
            assert (await in_uk.get())["envelope_id"] == uk
            while len(states.values) < 2:
                await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_it_waits_for_a_store_that_is_not_there_yet(
    tmp_path: Any, states: AssetStates, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/later.sqlite"
    monkeypatch.setenv("MODEL_ENVELOPE_STORE", url)

    async def scenario() -> None:
        async with triggerer() as airflow:
            events = airflow.start(watcher(LTV, "ltv"))
            assert await quiet(events)
            upgrade(url)
            with open_store(url) as store:
                model = save(store)
            assert (await events.get())["envelope_id"] == model

    asyncio.run(scenario())


def test_a_watcher_of_rules_waits_until_the_store_is_upgraded(
    store: Store, sqlite_store_url: str, states: AssetStates, caplog: pytest.LogCaptureFixture
) -> None:
    put_rule(store)
    save(store)

    def call_it(version: str) -> None:
        with sqlite3.connect(sqlite_store_url.removeprefix("sqlite:///")) as database:
            database.execute(f"UPDATE {VERSION_TABLE} SET version_num = ?", (version,))
        database.close()

    async def scenario() -> None:
        async with triggerer() as airflow:
            call_it("0001")
            events = airflow.start(rule_watcher())
            assert await quiet(events)
            assert "has schema 0001" in caplog.text
            assert "Run `model-envelope db upgrade`" in caplog.text
            call_it(SCHEMA)
            assert await events.get() == {"services": ["ltv"]}

    asyncio.run(scenario())


def deferred(**arguments: Any) -> TagQueryTrigger:
    """A trigger as a sensor defers to it."""
    return TagQueryTrigger(LTV, poll_interval=0.02, **arguments)


def test_a_task_is_woken_once_by_a_match_since_a_revision(store: Store) -> None:
    save(store)
    since = store.head()

    async def scenario() -> None:
        async with triggerer() as airflow:
            events = airflow.start(deferred(since=since))
            assert await quiet(events)
            new = save(store)
            assert (await events.get())["envelope_id"] == new
            save(store)
            assert await quiet(events)

    asyncio.run(scenario())


def test_a_task_is_woken_by_a_match_since_a_time(store: Store) -> None:
    save(store)
    since = datetime.now(UTC)

    async def scenario() -> None:
        async with triggerer() as airflow:
            events = airflow.start(deferred(since=since.isoformat()))
            assert await quiet(events)
            new = save(store)
            assert (await events.get())["envelope_id"] == new

    asyncio.run(scenario())


def test_it_also_runs_alone(store: Store) -> None:
    model = save(store)

    async def first() -> TriggerEvent:
        async with asyncio.timeout(30):
            return await anext(aiter(deferred().run()))

    assert asyncio.run(first()).payload["envelope_id"] == model


def test_it_is_stored_by_its_public_name_and_comes_back_equal() -> None:
    trigger = TagQueryTrigger({"region": "US"}, conn_id="models", poll_interval=5, since=3)
    path, arguments = trigger.serialize()
    assert path == CLASS_PATH == f"{TagQueryTrigger.__module__}.{TagQueryTrigger.__name__}"
    assert json.loads(json.dumps(arguments)) == arguments
    assert TagQueryTrigger(**arguments).serialize() == (path, arguments)


def test_equal_queries_are_one_trigger_to_airflow() -> None:
    def as_airflow_knows_it(query: Any) -> int:
        encoded = encode_trigger(TagQueryTrigger(query))
        return BaseEventTrigger.hash(encoded["classpath"], encoded["kwargs"])

    assert as_airflow_knows_it({"region": "US"}) == as_airflow_knows_it('region   == "US"')


def test_a_wrong_query_fails_where_the_dag_is_parsed() -> None:
    with pytest.raises(TagQueryError):
        encode_trigger(TagQueryTrigger("region =="))


@pytest.mark.parametrize("since", ["yesterday", "2026-01-31T06:00:00"])
def test_since_must_be_a_revision_or_a_time_with_a_zone(store: Store, since: str) -> None:
    async def scenario() -> None:
        async for _ in deferred(since=since).run():
            pass

    with pytest.raises(InvalidInput, match="since="):
        asyncio.run(scenario())


def rule_watcher(*assets: str) -> RuleTrigger:
    trigger = RuleTrigger(poll_interval=0.02)
    found = [Asset(name) for name in assets or ("rules",)]
    trigger.asset_state_store = AssetStateStoreAccessors(found)
    return trigger


def put_rule(store: Store, **fields: Any) -> None:
    rule = Rule.read({"name": "ltv", "service": "ltv", "when": LTV, **fields})
    store.put_rule(rule.name, rule.service, rule.spec())


def test_a_rule_that_wants_something_else_wakes_continuous_deployment(
    store: Store, states: AssetStates
) -> None:
    async def scenario() -> None:
        async with triggerer() as airflow:
            events = airflow.start(rule_watcher())
            save(store)
            assert await quiet(events), "there is no rule yet"
            put_rule(store)
            assert await events.get() == {"services": ["ltv"]}
            follow(store)
            assert await quiet(events), "it is on its way"
            save(store)
            assert await events.get() == {"services": ["ltv"]}
            put_rule(store, gates=["reproducible"])
            assert await events.get() == {"services": ["ltv"]}
            store.pause_rule("ltv", "a holiday")
            save(store)
            assert await quiet(events), "the rule is paused"

    asyncio.run(scenario())


def test_what_a_rule_wants_again_is_told_again(store: Store, states: AssetStates) -> None:
    put_rule(store)
    model = save(store)
    told = {"services": ["ltv"]}

    async def scenario() -> None:
        async with triggerer() as airflow:
            events = airflow.start(rule_watcher())
            assert await events.get() == told
            for _ in range(2):
                store.pause_rule("ltv", "a rollback")
                assert await quiet(events), "nothing is wanted"
                store.resume_rule("ltv")
                assert await events.get() == told
            store.remove_tags(model, ["canonical_name"])
            assert await quiet(events)
        store.set_tags(model, {"canonical_name": "client_ltv"})
        async with triggerer() as airflow:
            events = airflow.start(rule_watcher())
            assert await events.get() == told, "it changed while nobody looked"

    asyncio.run(scenario())


def test_watchers_of_rules_share_a_poll_and_are_told_alike(
    store: Store, states: AssetStates
) -> None:
    put_rule(store)

    async def scenario() -> None:
        async with triggerer() as airflow:
            both = [airflow.start(rule_watcher("rules")), airflow.start(rule_watcher("others"))]
            for _ in range(2):
                save(store)
                for events in both:
                    assert await events.get() == {"services": ["ltv"]}
                assert polls() == 1
                assert all([await quiet(events) for events in both])

    asyncio.run(scenario())
    assert states.assets == {"rules", "others"}


def test_a_restarted_triggerer_does_not_repeat_what_rules_want(
    store: Store, states: AssetStates
) -> None:
    put_rule(store)
    save(store)

    async def scenario() -> None:
        async with triggerer() as airflow:
            assert (await airflow.start(rule_watcher()).get())["services"] == ["ltv"]
        async with triggerer() as airflow:
            assert await quiet(airflow.start(rule_watcher()))

    asyncio.run(scenario())


def test_a_rule_trigger_is_found_again_by_the_path_that_airflow_keeps() -> None:
    path, arguments = RuleTrigger(conn_id="ours", poll_interval=3).serialize()
    module, _, name = path.rpartition(".")
    again = getattr(import_module(module), name)(**arguments)
    assert isinstance(again, RuleTrigger)
    assert again.serialize() == (path, arguments)
