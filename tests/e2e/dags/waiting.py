"""DAGs that wait for a model: by a sensor, and by the asset that a trigger watches."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from model_envelope.operators.sensors import TagQuerySensor
from model_envelope.operators.triggers import TagQueryTrigger

CHAMPION = "canonical_name == 'client_ltv' and champion"


def watched(name: str, tag_query: str) -> Asset:
    trigger = TagQueryTrigger(tag_query, poll_interval=1)
    return Asset(name, watchers=[AssetWatcher(f"{name}_watcher", trigger=trigger)])


with DAG("wait_for_champion", schedule=None):
    TagQuerySensor(task_id="wait", tag_query=CHAMPION, poke_interval=1, timeout=60)

with DAG("wait_for_any", schedule=None):
    TagQuerySensor(task_id="wait", tag_query="{{ dag_run.conf['query'] }}", since=None, timeout=60)

with DAG("on_champion", schedule=[watched("champion", CHAMPION)], is_paused_upon_creation=False):

    @task
    def announced(triggering_asset_events: Any = None) -> list[str]:
        events = [event for events in triggering_asset_events.values() for event in events]
        return [event.extra["payload"]["envelope_id"] for event in events]

    announced()

# Two assets of one trigger, and one of another that shares its poll.
with DAG(
    "on_either",
    schedule=watched("first", "region == 'US'") | watched("second", "region == 'US'"),
    is_paused_upon_creation=False,
):

    @task
    def woken() -> None: ...

    woken()
