"""The sensor in DAG runs of a real Airflow."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow.sdk import DAG, DagRunState

if TYPE_CHECKING:
    from model_envelope.client.client import Client

CHAMPION = {"canonical_name": "client_ltv", "champion": "yes"}


def answer() -> int:
    return 42


answer.__module__ = "__main__"  # as in a notebook: saved by value


def save(models: Client, **tags: str) -> str:
    return models.save_model(answer, tags=tags, api_input=None).id


def test_it_gives_the_id_of_any_match(models: Client, dags: dict[str, DAG]) -> None:
    save(models, region="UK")
    model = save(models, region="US")
    save(models, region="UK")
    run = dags["wait_for_any"].test(run_conf={"query": "region == 'US'"})
    assert run.state == DagRunState.SUCCESS
    task = run.get_task_instance("wait")
    assert task.xcom_pull("wait") == model
    link = f"plugin/models/m/{model}"
    assert task.xcom_pull("wait", key="_link_EnvelopeLink") == link


def test_it_defers_until_there_is_a_new_match(models: Client, dags: dict[str, DAG]) -> None:
    save(models, **CHAMPION)
    saved: list[str] = []

    def save_later() -> None:
        time.sleep(5)
        saved.append(save(models, **CHAMPION))

    saver = threading.Thread(target=save_later)
    saver.start()
    run = dags["wait_for_champion"].test(logical_date=None)
    saver.join()
    assert run.state == DagRunState.SUCCESS
    assert [run.get_task_instance("wait").xcom_pull("wait")] == saved


def test_since_is_the_start_of_the_data_interval(models: Client, dags: dict[str, DAG]) -> None:
    model = save(models, **CHAMPION)
    yesterday = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    run = dags["wait_for_champion"].test(logical_date=yesterday)
    assert run.get_task_instance("wait").xcom_pull("wait") == model


def test_a_query_that_cannot_be_read_fails_the_task(models: Client, dags: dict[str, DAG]) -> None:
    run = dags["wait_for_any"].test(run_conf={"query": "region =="})
    assert run.state == DagRunState.FAILED
